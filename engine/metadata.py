"""What a PNG says about how it was made, in and out; knows Pillow and the contract, neither torch nor Discord.

Two text chunks are written. `parameters` is the line AUTOMATIC1111's web UI writes, so that its "PNG Info" and the
many tools that copy it understand our pictures. `easel` is JSON, holds everything and is what we believe when present,
because the other format cannot carry every prompt (a prompt may itself contain "Negative prompt:").
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

from PIL import Image, PngImagePlugin

from engine.contract import GenerationRequest, InvalidRequest

PARAMETERS_KEY, EASEL_KEY = "parameters", "easel"
_ORIENTATION, _LYING = 0x0112, range(5, 9)
"""The tag of a photo that tells how the camera was held, and its values for one on its side."""
_NEGATIVE = "Negative prompt:"
_FIELD = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
_FIELDS_MIN = 3
"""A last line with fewer fields than this belongs to the prompt."""
_SIZE = re.compile(r"^(\d+)x(\d+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureInfo:
    """How a picture was made, as far as its file tells."""

    prompt: str
    negative_prompt: str = ""
    fields: Mapping[str, str] = field(default_factory=dict[str, str])
    """The settings line as AUTOMATIC1111 reads it; a size is split into "Size-1" and "Size-2"."""
    request: GenerationRequest | None = None
    """Only from our own chunk: draws this very picture again (its own seed, one image)."""
    notes: tuple[str, ...] = ()
    fingerprint: Mapping[str, str] = field(default_factory=dict[str, str])
    version: str = ""


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
) -> bytes:
    """PNG bytes of image `index` of the request, with both text chunks."""
    own = replace(request, seed=request.seed_of(index), images=1)
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text(PARAMETERS_KEY, parameters(own))
    chunks.add_text(EASEL_KEY, _own_json(own, notes, fingerprint or {}))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", pnginfo=chunks)
    return buffer.getvalue()


def parameters(request: GenerationRequest) -> str:
    """The text AUTOMATIC1111 would write for this picture (image 0 of the request)."""
    settings = {
        "Steps": request.steps,
        "Sampler": request.sampler,
        "CFG scale": f"{request.guidance_scale:g}",
        "Seed": request.seed,
        "Size": request.size,
        "Model": request.model,
        **_start(request),
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
        return version("easel")
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


def _unquote(text: str) -> str:
    if len(text) < 2 or not (text.startswith('"') and text.endswith('"')):
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        return text


# ------------------------------------------------------------------ in


def read(source: Path | str | bytes) -> PictureInfo | None:
    """What a picture's file says, None where it says nothing. Raises OSError where it is no picture."""
    texts = _texts(source)
    shown = parse_parameters(texts[PARAMETERS_KEY]) if PARAMETERS_KEY in texts else None
    return _read_own(texts.get(EASEL_KEY, ""), shown) or shown


def _texts(source: Path | str | bytes) -> dict[str, str]:
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            image.load()  # text chunks may come after the pixels
            return {
                key: text
                for key, text in image.info.items()
                if isinstance(key, str) and isinstance(text, str)
            }
    except (Image.DecompressionBombError, SyntaxError, ValueError) as error:  # Pillow's words for bad files
        raise OSError(f"it is not a picture that can be read: {error}") from error


def parse_parameters(text: str) -> PictureInfo:
    """Reads a `parameters` text by AUTOMATIC1111's rules; never raises."""
    *lines, last = text.strip().split("\n")
    if len(_FIELD.findall(last)) < _FIELDS_MIN:
        lines, last = [*lines, last], ""
    prompt: list[str] = []
    negative: list[str] = []
    part = prompt
    for line in (line.strip() for line in lines):
        if line.startswith(_NEGATIVE):
            part = negative
            line = line.removeprefix(_NEGATIVE).strip()  # noqa: PLW2901
        part.append(line)
    return PictureInfo(
        prompt="\n".join(prompt).strip("\n"),
        negative_prompt="\n".join(negative).strip("\n"),
        fields=_fields(last),
    )


def _fields(line: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, raw in cast("list[tuple[str, str]]", _FIELD.findall(line)):
        value = _unquote(raw)
        if size := _SIZE.match(value):
            found[f"{key}-1"], found[f"{key}-2"] = size.groups()
        else:
            found[key] = value
    return found


def _read_own(text: str, shown: PictureInfo | None) -> PictureInfo | None:
    """Our own chunk, None where it is missing, damaged or of a version we can't read."""
    try:
        values: Any = json.loads(text)
        request = GenerationRequest.from_dict(values["request"])
        return PictureInfo(
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            fields=shown.fields if shown else {},
            request=request,
            notes=tuple(str(note) for note in values["notes"]),
            fingerprint={str(key): str(value) for key, value in values["fingerprint"].items()},
            version=str(values["version"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, InvalidRequest):
        return None
