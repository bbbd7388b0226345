"""What a PNG says about how it was made, in and out; knows Pillow and the contract, neither torch nor Discord.

Two text chunks are written. `parameters` is the line AUTOMATIC1111's web UI writes, so that its "PNG Info" and the
many tools that copy it understand our pictures. `easel` is JSON, holds everything and is what we believe when present,
because the other format cannot carry every prompt (a prompt may itself contain "Negative prompt:").
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image, PngImagePlugin

from engine.contract import GenerationRequest, InvalidRequest
from engine.contract.limits import check_text
from engine.contract.samplers import AYS
from engine.contract.settings import Metadata
from engine.pictures import other_programs, stealth
from engine.pictures import texts as picture_texts
from engine.pictures.info import PictureInfo
from engine.pictures.other_programs import PARAMETERS_KEY, parse_parameters

__all__ = [
    "EASEL_KEY",
    "PARAMETERS_KEY",
    "PictureInfo",
    "easel_version",
    "encode_png",
    "exif_of",
    "parameters",
    "parse_parameters",
    "read",
    "upright_size",
]

EASEL_KEY = "easel"
_ORIENTATION, _LYING = 0x0112, range(5, 9)
"""The tag of a photo that tells how the camera was held, and its values for one on its side."""
_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286
_NEGATIVE = "Negative prompt:"


# ------------------------------------------------------------------ out


def upright_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) the way up it is looked at, by its header: photos may lie on their side, and say so."""
    try:
        lies = image.getexif().get(_ORIENTATION) in _LYING
    except Exception:  # noqa: BLE001 - damaged metadata takes nothing from the pixels
        lies = False
    width, height = image.size
    return (height, width) if lies else (width, height)


def encode_png(
    image: Image.Image,
    *,
    request: GenerationRequest,
    index: int = 0,
    notes: tuple[str, ...] = (),
    fingerprint: Mapping[str, str] | None = None,
    told: Metadata = "full",
) -> bytes:
    """PNG bytes of image `index` of the request, with both text chunks; `told` "seed": with the seed alone, "none": bare."""
    own = replace(request, seed=request.seed_of(index), images=1)
    chunks = PngImagePlugin.PngInfo()
    match told:
        case "full":
            chunks.add_text(PARAMETERS_KEY, parameters(own))
            chunks.add_text(EASEL_KEY, _own_json(own, notes, fingerprint or {}))
        case "seed":
            # three settings are the fewest by which AUTOMATIC1111 knows such a line
            line = f"Seed: {own.seed}, Size: {own.size}, Version: Easel {easel_version()}"
            chunks.add_text(PARAMETERS_KEY, line)
        case "none":
            pass
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", pnginfo=chunks)
    return buffer.getvalue()


def exif_of(png: Image.Image) -> bytes:
    """What such a file tells AUTOMATIC1111 and its like, as the EXIF data of a WebP or JPEG; empty where it tells nothing."""
    text = png.info.get(PARAMETERS_KEY)
    if not isinstance(text, str):
        return b""
    exif = Image.Exif()
    exif[_EXIF_IFD] = {_USER_COMMENT: b"UNICODE\0" + text.encode("utf-16-be", "replace")}
    return exif.tobytes()


_SCHEDULES = {AYS: "Align Your Steps"}
"""Those that AUTOMATIC1111 calls something else."""


def parameters(request: GenerationRequest) -> str:
    """The text AUTOMATIC1111 would write for this picture (image 0 of the request)."""
    settings = {
        "Steps": request.steps,
        "Sampler": request.sampler,
        **({"Schedule type": _SCHEDULES.get(request.schedule, request.schedule)} if request.schedule else {}),
        "CFG scale": f"{request.guidance_scale:g}",
        **({"Guidance until": f"{request.guidance_until:g}"} if request.guidance_until < 1 else {}),
        "Seed": request.seed,
        "Size": request.size,
        "Model": request.model,
        **_start(request),
        **({"Reference images": len(request.references)} if request.references else {}),
        **({"Tiling": True} if request.tile else {}),
        "Version": f"Easel {easel_version()}",
    }
    negative = f"\n{_NEGATIVE} {request.negative_prompt}" if request.negative_prompt else ""
    line = ", ".join(f"{key}: {_quote(str(value))}" for key, value in settings.items())
    tags = "".join(f" {lora.tag}" for lora in request.loras)
    text = f"{request.prompt}{tags}{negative}\n{line}".strip()
    return text.replace("\0", "")  # a PNG text chunk may hold any character but this one


def _start(request: GenerationRequest) -> dict[str, object]:
    """What the picture was made from besides words, as that program calls it."""
    if request.strength is None:
        return {}
    if request.is_seedless:
        upscaler = request.sampler if request.is_plain else request.model
        return {"Postprocess upscale by": request.upscale, "Postprocess upscaler": upscaler}
    hires = {} if request.upscale == 1 else {"Hires upscale": request.upscale, "Hires upscaler": "Lanczos"}
    return {"Denoising strength": f"{request.strength:g}", **hires}


@cache
def easel_version() -> str:
    try:
        return version("easel-imagine")
    except PackageNotFoundError:
        return "development"


def _own_json(request: GenerationRequest, notes: tuple[str, ...], fingerprint: Mapping[str, str]) -> str:
    return json.dumps(
        {
            "version": easel_version(),
            "request": request.to_dict(),
            "notes": list(notes),
            "fingerprint": dict(fingerprint),
        }
    )


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if any(char in text for char in ",:\n") else text


# ------------------------------------------------------------------ in


def read(source: Path | str | bytes, *, hidden: bool = True) -> PictureInfo | None:
    """What a picture's file says, None where it says nothing. Raises OSError where it is no picture.

    The time and memory it takes have bounds, whatever the file holds: those of `picture_texts` and `stealth`. Only what is
    `hidden` in pixels takes a decoder of pictures to find.
    """
    if isinstance(source, bytes):
        return _read(io.BytesIO(source), hidden)
    if Path(source).exists() and not Path(source).is_file():  # a pipe would have us wait
        raise picture_texts.NoPicture("it is no file")
    with Path(source).open("rb") as file:
        return _read(file, hidden)


def _read(file: BinaryIO, hidden: bool) -> PictureInfo | None:
    found = picture_texts.texts(file)
    texts = found.values
    shown = other_programs.read(texts)
    told = _read_own(texts.get(EASEL_KEY, ""), shown) or shown
    if told is None and hidden and found.is_whole:
        texts = texts | stealth.texts(file)
        told = other_programs.read(texts)
    if told is None and (texts or not found.is_whole):
        told = PictureInfo(prompt="")
    return None if told is None else replace(told, texts=texts, is_whole=found.is_whole)


def _read_own(text: str, shown: PictureInfo | None) -> PictureInfo | None:
    """Our own chunk, None where it is missing, damaged, not as we write it or of a version we can't read."""
    try:
        values: Any = json.loads(text)
        request = _typed(GenerationRequest.from_dict(values["request"]))
        return PictureInfo(
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            fields=shown.fields if shown else {},
            request=request,
            notes=tuple(str(note) for note in values["notes"]),
            fingerprint=_facts(values["fingerprint"]),
            version=str(values["version"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError, InvalidRequest):
        return None


_KINDS: Mapping[type, set[type]] = {str: {str}, int: {int}, bool: {bool}, float: {int, float}}
"""What JSON makes of a number or text; True is none."""


def _typed(request: GenerationRequest) -> GenerationRequest:
    """The same; raises TypeError or InvalidRequest where JSON held another kind of value, which no command could say."""
    for names, kind in (
        (("prompt", "negative_prompt", "sampler", "schedule", "model"), str),
        (("width", "height", "steps", "seed", "images", "upscale"), int),
        (("tile",), bool),
        (("guidance_scale", "guidance_until", *(() if request.strength is None else ("strength",))), float),
    ):
        for name in names:
            if type(getattr(request, name)) not in _KINDS[kind]:
                raise TypeError(f"{name} is of another kind")
    if "\0" in request.model:
        raise InvalidRequest("No model is called so.")
    check_text("model", request.model)
    return request


FACTS_CHARS_MAX = 10_000
"""Of a whole fingerprint: those that we write have a few hundred letters."""


def _facts(values: Any) -> dict[str, str]:
    """A fingerprint, empty where it is none that we could have written: it goes into a command line."""
    facts = {str(key): str(value) for key, value in values.items()}
    words = [*facts, *facts.values()]
    is_ours = all(map(str.isprintable, words)) and sum(map(len, words)) <= FACTS_CHARS_MAX
    return facts if is_ours else {}
