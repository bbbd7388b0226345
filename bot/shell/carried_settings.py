"""`easel info`: the settings a picture carries, and the command that draws it again. Knows files, nothing of Discord."""

from __future__ import annotations

import re
import shlex
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bot.core.asking.request_facts import RequestFacts
from bot.shell.child import ask_engine
from engine.contract import ROWS, STARTER, GenerationRequest, misread, parse_loras
from engine.pictures import metadata
from engine.pictures.metadata import PictureInfo

if TYPE_CHECKING:
    from bot.config import EngineSection, Settings

TEXTS_TOLD, TEXT_CHARS_TOLD = 20, 300
"""Of what a file says that means nothing to us."""


def show_info(image: Path, settings: Settings | None, devices: Sequence[str] = ()) -> int:
    """Prints what the file says and, by these settings, whether this machine would draw the same bits; the exit code.

    `devices`: those of its engines, where several have one each.

    To tell the latter, this machine's own fingerprint is taken, which loads torch in a child: seconds instead of an instant.
    """
    name = safe(str(image))
    try:
        found = metadata.read(image)
    except OSError as error:  # "this is no picture" is one too
        print(f"{safe(str(image.absolute()))} can't be read: {error.strerror or error}.", file=sys.stderr)
        return 1
    if found is None:
        print(f"{name} carries no settings: they are lost when a picture is saved anew.", file=sys.stderr)
        return 1
    if not (found.prompt or found.negative_prompt or found.fields or found.program or found.request):
        print(f"{name} carries no settings that Easel can read. {_instead(found)}", file=sys.stderr)
        _print(_texts(found))
        return 1
    _print(lines(found, encoding=_encoding()))
    if (
        settings is not None
        and found.fingerprint
        and not (found.request is not None and found.request.is_seedless)
    ):
        _print([safe(_judged(found, settings, devices or [settings.engine.device]))])
    return 0


def _instead(found: PictureInfo) -> str:
    if found.texts:
        return "What its texts say:"
    return "Its text is empty." if found.is_whole else "It holds more than is read of a picture."


def _texts(found: PictureInfo) -> Iterator[str]:
    for key, text in list(found.texts.items())[:TEXTS_TOLD]:
        told = f"{key}: {text}"
        yield safe(told if len(told) <= TEXT_CHARS_TOLD else f"{told[:TEXT_CHARS_TOLD]}…")


def _print(told: Iterable[str]) -> None:
    """Whatever the terminal can write: what it can't becomes a question mark."""
    text = "".join(f"{line}\n" for line in told)
    print(text.encode(_encoding(), "replace").decode(_encoding()), end="")


def _encoding() -> str:
    return sys.stdout.encoding or "utf-8"


def safe(line: str) -> str:
    """One line without what could drive a terminal or hide what is written; joiners inside words and emoji stay."""
    return "".join(char if char.isprintable() or char in _JOINERS else " " for char in line)


_JOINERS = "\u200c\u200d"


def _judged(found: PictureInfo, settings: Settings, devices: Sequence[str]) -> str:
    """By the first of this machine's engines that runs on a card of the picture's kind, else by the first of all."""
    number = 0
    if len(devices) > 1:
        cards, _ = ask_engine("torch")
        names: list[str] = [] if cards is None else cards["cuda"]
        number = next(
            (at for at, name in enumerate(names[: len(devices)]) if name == found.fingerprint.get("device")),
            0,
        )
    told = _judged_by(found, settings, devices[number])
    return (
        f"Engine {number + 1} of {len(devices)} ({devices[number]}), the nearest to it: {told}"
        if len(devices) > 1
        else told
    )


def _judged_by(found: PictureInfo, settings: Settings, device: str) -> str:
    engine = settings.engine
    model = found.request.model if found.request is not None else ""
    here, complaint = ask_engine(
        "here",
        settings={
            **engine.model_dump(include=_ASKED),
            "device": device,
            "models": str(settings.models_dir.absolute()),
            "data": str(settings.data_dir.absolute()),
        },
        wanted=model,
        made=dict(found.fingerprint),
    )
    if here is None:
        return f"Whether this machine would draw it again can't be told: {complaint}"
    here.pop("size", None)
    quick, request = here.pop("quick", ""), found.request
    whole = request is not None and not request.tile and ", ".join(map(str, request.loras)) in ("", quick)
    return verdict(found.fingerprint, here, model=model, settings=settings.engine, whole=whole)


_ASKED = {"model", "device", "dtype", "mode", "rows", "runtime", "slots"}
_SWITCHES = ("channels_last", "fused_qkv")
_OF_MODE = ("auto", "mode", "width", "decode", "profile", "model", *_SWITCHES)


def verdict(
    made: Mapping[str, str],
    here: Mapping[str, str],
    *,
    model: str,
    settings: EngineSection,
    whole: bool = False,
) -> str:
    """Whether a machine with fingerprint `here` and these settings draws a picture with fingerprint `made` again.

    `whole` is one without edges that meet, and without any LoRA but that of the model's quick recipe, as OpenVINO draws them.
    """
    if "then" in made.get("runtime", ""):
        return (
            "OpenVINO failed while it was drawn, and torch finished it: it can't be drawn again to the bit."
        )
    leave = {*_OF_MODE, *(("weights", "decoder") if model != here.get("model") else ())}
    others = [
        f"{key} {made.get(key, 'none')} there, {here.get(key, 'none')} here"
        for key in sorted({*made, *here} - leave)
        if made.get(key) != here.get(key)
    ]
    if others:
        return f"This machine draws it with other bits: {'; '.join(others)}."
    if made.get("mode") == "fast":
        return (
            "It was drawn in the fast mode: this machine draws one that is equal to the eye, not to the bit."
        )
    if " and " in made.get("mode", "") or made.get("decode") == "tiles":
        return "Memory was short when it was drawn, which changed its last bits: it can't be drawn again to the bit."
    wanted = [*_wanted(made, here, model=model, settings=settings), *_runtime(made, here, settings, whole)]
    how = f" with {', '.join(wanted)} under [engine]" if wanted else ""
    if model != here.get("model") and "/" not in model:
        how += f", once the model “{model}” lies in checkpoints in the folder for models"
    return f"This machine draws it again to the bit{how}."


def _wanted(
    made: Mapping[str, str], here: Mapping[str, str], *, model: str, settings: EngineSection
) -> Iterator[str]:
    """The settings that it takes and that are not so now."""
    if model != here.get("model") and "/" in model:
        yield f'model = "{model}"'
    mode, width = made.get("mode", "exact"), made.get("width", "")
    if mode != (here.get("auto", "exact") if settings.mode == "auto" else settings.mode):
        yield f'mode = "{mode}"'
    if mode == "wide" and width and "runtime" not in made and width != f"{_rows(settings)} rows":
        yield f"rows = {width.partition(' ')[0]}"
    if (profile := _profile(made, settings)) != settings.profile:
        yield f'profile = "{profile}"'
    for name in _SWITCHES:
        configured = getattr(settings, name)
        if made.get(name) == "on" and configured != "on":
            yield f'{name} = "on"'
        elif name not in made and (configured == "on" or (configured == "auto" and mode != "exact")):
            yield f'{name} = "off"'


def _runtime(
    made: Mapping[str, str], here: Mapping[str, str], settings: EngineSection, whole: bool
) -> Iterator[str]:
    hastens = settings.runtime != "torch" and here.get("device") == "cpu"
    if "runtime" in made and not hastens:
        yield 'runtime = "openvino"'
    elif "runtime" not in made and hastens and whole and made.get("mode") == "wide":
        yield 'runtime = "torch"'


def _rows(settings: EngineSection) -> int:
    return ROWS if settings.rows == "auto" else settings.rows


def _profile(made: Mapping[str, str], settings: EngineSection) -> str:
    """The one that draws it again; what "auto" chooses is not known here, so that is left where nothing was special."""
    if "profile" in made:
        return made["profile"]
    return "auto" if settings.profile == "auto" else "full"


def lines(found: PictureInfo, *, encoding: str = "utf-8") -> Iterator[str]:
    """What `easel info` prints, safe for a terminal with this encoding; only what is to be copied stands as it is."""
    yield from map(safe, _told(found))
    if found.request is not None:
        yield from _again(found.request, encoding)


def _told(found: PictureInfo) -> Iterator[str]:
    if found.prompt or found.request is not None or not found.program:
        yield from f"Prompt: {found.prompt}".split("\n")
    if found.negative_prompt:
        yield from f"Negative prompt: {found.negative_prompt}".split("\n")
    if found.request is None:
        yield from (f"{key}: {value}" for key, value in found.fields.items())
        yield from ([f"Made by: {found.program}"] if found.program else [])
        yield from ([] if found.is_whole else ["(The file holds more than is read of a picture.)"])
        return
    request, facts = found.request, RequestFacts.of(found.request)
    yield f"Model: {facts.model}"
    yield f"Size: {facts.size}"
    if facts.seed is not None:
        schedule = f" {facts.schedule}" * bool(facts.schedule)
        until = (
            "" if facts.guidance_until is None else f" in the first {facts.guidance_until:.0%} of the steps"
        )
        yield f"Steps: {facts.steps}, sampler {facts.sampler}{schedule}, guidance {facts.guidance:g}{until}"
        yield f"Seed: {facts.seed}"
    if facts.loras:
        yield f"LoRA: {facts.loras}"
    if facts.is_tiled:
        yield "Seamless: its edges meet"
    if facts.references:
        yield f"Edited by these words from {facts.references} image{'s' * (facts.references > 1)}"
    elif facts.has_image:
        yield _start(facts)
    yield from found.notes
    yield f"Made by: Easel {found.version}"
    yield from (f"  {key}: {value}" for key, value in found.fingerprint.items())
    if not _names_its_model(request) and request.upscale > 1:
        yield "(MODEL stands for its model's folder or file, which the picture does not tell.)"
    elif not _names_its_model(request):
        yield "(The picture does not say where its model's folder is: name it with --model, unless it is configured.)"
    yield from _files(request)


# ------------------------------------------------------------------ the command that draws it again


def _again(request: GenerationRequest, encoding: str) -> Iterator[str]:
    told = command(request)
    if reason := uncopied(request, encoding):
        yield f"(The command can't be copied exactly and would draw another picture: {reason}.)"
        yield from map(safe, f"Alike: {told}".split("\n"))
        return
    if _HARD_TO_SELECT.search(told):
        yield "(Some terminals copy tabs and spaces before a line's end wrongly: let a file or a pipe take the command.)"
    yield from f"Again: {told}".split("\n")


_HARD_TO_SELECT = re.compile(r"\t| \n")


def uncopied(request: GenerationRequest, encoding: str = "utf-8") -> str:
    """Why no command that a terminal shows draws this request again, "" where one does."""
    told = command(request)
    driving = {char for char in told if unicodedata.category(char) in {"Cc", "Cs"} and char not in "\n\t"}
    if driving:
        return f"it holds {_named(driving)}, which no terminal may be sent"
    lost = {char for char in told if char.encode(encoding, "ignore") == b""}
    if lost:
        return f"it holds {_named(lost)}, which this terminal's {encoding} can't write"
    if misreading := misread(request.prompt, request.negative_prompt):
        return misreading
    if any(parse_loras(str(lora)) != (lora,) for lora in request.loras):
        return "the weight of a LoRA has more digits than a command takes"
    return ""


def _named(chars: Iterable[str]) -> str:
    return ", ".join(f"U+{ord(char):04X}" for char in sorted(chars)[:3])


def _start(facts: RequestFacts) -> str:
    if facts.is_plain:
        return f"Upscaled {facts.upscale} times from an image, with Lanczos alone"
    if facts.strength is None:
        return f"Upscaled {facts.upscale} times from an image, by the model's network"
    if facts.upscale is not None:
        return f"Upscaled {facts.upscale} times from an image, and drawn anew at strength {facts.strength:g}"
    within = " within a mask" if facts.has_mask else ""
    return f"Started from an image{within}, strength {facts.strength:g}"


def _files(request: GenerationRequest) -> Iterator[str]:
    """What has to take the place of the names in the command: a picture does not hold what it started from."""
    references = ((f"REFERENCE{number}", digest) for number, digest in enumerate(request.references, 1))
    for name, digest in (("IMAGE", request.image), ("MASK", request.mask), *references):
        if digest is not None:
            yield f"({name} stands for the file with the SHA-256 {digest}.)"


def _names_its_model(request: GenerationRequest) -> bool:
    """Whether the name alone finds it: an id of the hub, the model that ships with Easel, or an upscaler."""
    own = request.is_seedless and not request.is_plain
    return "/" in request.model or request.model == STARTER or own


def command(request: GenerationRequest) -> str:
    """What draws this request again when pasted into a shell, unless `uncopied` says why not.

    A model that is no hub id has to be the configured one, and names of files have to take the place of IMAGE, MASK and REFERENCE1.
    """
    facts = RequestFacts.of(request)
    words = ["easel", "imagine"]
    words.append(f"--size={facts.size}" if facts.upscale is None else f"--upscale={facts.upscale}")
    if facts.is_plain:  # whatever the model: without one an upscaler would do it
        model = facts.model if _names_its_model(request) else "MODEL"
        words += ["--image=IMAGE", f"--sampler={facts.sampler}", f"--model={model}"]
    elif facts.seed is None:
        words += ["--image=IMAGE", f"--upscaler={facts.model}"]
    else:
        words += _drawing(request, facts)
    return shlex.join([*words, "--", facts.prompt])  # after "--" a prompt may begin with a dash


def _drawing(request: GenerationRequest, facts: RequestFacts) -> Iterator[str]:
    yield f"--seed={facts.seed}"
    yield f"--steps={facts.steps}"
    yield f"--guidance={facts.guidance!r}"
    yield f"--sampler={facts.sampler}"
    if facts.schedule:
        yield f"--schedule={facts.schedule}"
    if facts.guidance_until is not None:
        yield f"--guidance-until={facts.guidance_until!r}"
    if _names_its_model(request):
        yield f"--model={facts.model}"
    elif facts.upscale is not None:
        yield "--model=MODEL"  # without any an upscaler would do it
    if facts.negative_prompt:
        yield f"--negative={facts.negative_prompt}"
    yield from (f"--lora={lora}" for lora in request.loras)
    if facts.images > 1:
        yield f"--images={facts.images}"
    if facts.is_tiled:
        yield "--tile"
    yield from (f"--reference=REFERENCE{number}" for number in range(1, facts.references + 1))
    if facts.has_image:
        yield "--image=IMAGE"
        yield f"--strength={facts.strength!r}"
    if facts.has_mask:
        yield "--mask=MASK"
