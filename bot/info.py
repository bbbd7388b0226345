"""`easel info`: the settings a picture carries, and the command that draws it again. Knows files, nothing of Discord."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from bot.child import ask_child
from bot.config import EngineSection, Settings
from engine import metadata
from engine.contract import STARTER, GenerationRequest
from engine.metadata import PictureInfo


def show_info(image: Path, settings: Settings) -> int:
    """Prints what the file says, and whether this machine would draw the same bits; the exit code."""
    try:
        found = metadata.read(image)
    except OSError as error:  # Pillow's "this is no picture" is one too
        print(f"{image} can't be read: {error.strerror or 'it is not a picture'}.", file=sys.stderr)
        return 1
    if found is None:
        print(f"{image} carries no settings: they are lost when a picture is saved anew.", file=sys.stderr)
        return 1
    for line in lines(found):
        print(
            "".join(char if char.isprintable() else " " for char in line)
        )  # a stranger's file must not drive the terminal
    if found.fingerprint and not (found.request is not None and found.request.is_seedless):
        print(_judged(found, settings))
    return 0


def _judged(found: PictureInfo, settings: Settings) -> str:
    engine = settings.engine
    adapters = json.dumps([key for key in found.fingerprint if key.startswith(_ADAPTERS)])
    model = found.request.model if found.request is not None else ""
    here, complaint = ask_child(
        _HERE,
        *(engine.model, engine.device, engine.dtype, str(settings.models_dir.absolute())),
        *(adapters, model, found.fingerprint.get("mode", "exact"), found.fingerprint.get("unet", "")),
    )
    if here is None:
        return f"Whether this machine would draw it again can't be told: {complaint}"
    size, own = found.request and found.request.size, here.pop("size", None)
    whole = size == own and not (found.request and found.request.loras)
    return verdict(found.fingerprint, here, model=model, settings=settings.engine, whole=whole)


_HERE = """
import json, sys
from engine import adapter_files, arithmetic, models, places
from engine.contract import EngineSettings
model, device, dtype, folder, adapters, wanted, mode, unet = sys.argv[1:]
sources = models.sources(EngineSettings(model=model, spool="", models=folder))
model = next((source for source in sources if places.model_id(source) == wanted), sources[0])
settings = EngineSettings(model=model, spool="", device=device, dtype=dtype, hub_offline=True, mode=mode)
arithmetic.prepare_environment(settings)
info = models.describe(settings)
arithmetic.pin(info)
facts = arithmetic.fingerprint(models.choose_place(settings, info.family))
facts["weights"] = models.digest(settings)
facts["model"], facts["size"] = info.id, f"{info.width}x{info.height}"
facts.update(adapter_files.digests(folder, json.loads(adapters)))
if unet:
    from engine import compiling
    facts.update({"unet": compiling.words()} if compiling.compiler() else {})
print(json.dumps(facts))
"""
_ADAPTERS = ("lora ", "embedding ")
"""What begins the keys that tell digests of files."""
_SWITCHES = ("channels_last", "fused_qkv")
_OF_MODE = ("mode", "width", "decode", "profile", "model", *_SWITCHES)


def verdict(
    made: Mapping[str, str],
    here: Mapping[str, str],
    *,
    model: str,
    settings: EngineSection,
    whole: bool = False,
) -> str:
    """Whether a machine with fingerprint `here` and these settings draws a picture with fingerprint `made` again.

    `whole` is one of the model's own size and without LoRA, as what is compiled draws them.
    """
    leave = {*_OF_MODE, *(("weights",) if model != here.get("model") else ())}
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
    wanted = [*_wanted(made, here, model=model, settings=settings), *_compiled(made, here, settings, whole)]
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
    if mode != settings.mode:
        yield f'mode = "{mode}"'
    if mode == "wide" and width != f"{settings.rows} rows":
        yield f"rows = {width.split()[0]}"
    if (profile := _profile(made, settings)) != settings.profile:
        yield f'profile = "{profile}"'
    for name in _SWITCHES:
        configured = getattr(settings, name)
        if made.get(name) == "on" and configured != "on":
            yield f'{name} = "on"'
        elif name not in made and (configured == "on" or (configured == "auto" and mode != "exact")):
            yield f'{name} = "off"'


def _compiled(
    made: Mapping[str, str], here: Mapping[str, str], settings: EngineSection, whole: bool
) -> Iterator[str]:
    compiles = settings.compile == "on" or (settings.compile == "auto" and here.get("device") == "cpu")
    if "unet" in made and not compiles:
        yield 'compile = "on"'
    elif "unet" not in made and compiles and whole and made.get("mode") == "wide":
        yield 'compile = "off"'


def _profile(made: Mapping[str, str], settings: EngineSection) -> str:
    """The one that draws it again; what "auto" chooses is not known here, so that is left where nothing was special."""
    if "profile" in made:
        return made["profile"]
    return "auto" if settings.profile == "auto" else "full"


def lines(found: PictureInfo) -> Iterator[str]:
    yield from f"Prompt: {found.prompt}".split("\n")
    if found.negative_prompt:
        yield from f"Negative prompt: {found.negative_prompt}".split("\n")
    if found.request is None:
        yield from (f"{key}: {value}" for key, value in found.fields.items())
        return
    request = found.request
    yield f"Model: {request.model}"
    yield f"Size: {request.size}"
    if not request.is_seedless:
        yield f"Steps: {request.steps}, sampler {request.sampler}, guidance {request.guidance_scale:g}"
        yield f"Seed: {request.seed}"
    if request.loras:
        yield f"LoRA: {', '.join(map(str, request.loras))}"
    if request.image is not None:
        yield _start(request)
    yield from found.notes
    yield f"Made by: Easel {found.version}"
    yield from (f"  {key}: {value}" for key, value in found.fingerprint.items())
    if not _names_its_model(request) and request.upscale > 1:
        yield "(MODEL stands for its model's folder or file, which the picture does not tell.)"
    elif not _names_its_model(request):
        yield "(The picture does not say where its model's folder is: name it with --model, unless it is configured.)"
    yield from _files(request)
    yield from f"Again: {command(request)}".split("\n")


def _start(request: GenerationRequest) -> str:
    if request.is_plain:
        return f"Upscaled {request.upscale} times from an image, with Lanczos alone"
    if request.is_seedless:
        return f"Upscaled {request.upscale} times from an image, by the model's network"
    if request.upscale > 1:
        return (
            f"Upscaled {request.upscale} times from an image, and drawn anew at strength {request.strength:g}"
        )
    within = " within a mask" if request.mask is not None else ""
    return f"Started from an image{within}, strength {request.strength:g}"


def _files(request: GenerationRequest) -> Iterator[str]:
    """What has to take the place of the names in the command: a picture does not hold what it started from."""
    for name, digest in (("IMAGE", request.image), ("MASK", request.mask)):
        if digest is not None:
            yield f"({name} stands for the file with the SHA-256 {digest}.)"


def _names_its_model(request: GenerationRequest) -> bool:
    """Whether the name alone finds it: an id of the hub, the model that ships with Easel, or an upscaler."""
    own = request.is_seedless and not request.is_plain
    return "/" in request.model or request.model == STARTER or own


def command(request: GenerationRequest) -> str:
    """What draws this request again when pasted into a shell.

    A model that is no hub id has to be the configured one, and names of files have to take the place of IMAGE and MASK.
    """
    words = ["easel", "imagine"]
    if request.upscale > 1:
        words.append(f"--upscale={request.upscale}")
    else:
        words.append(f"--size={request.size}")
    if request.is_plain:  # whatever the model: without one an upscaler would do it
        words += ["--image=IMAGE", f"--sampler={request.sampler}"]
        model = request.model if _names_its_model(request) else "MODEL"
        return shlex.join([*words, f"--model={model}", "--", request.prompt])
    if request.is_seedless:
        return shlex.join([*words, "--image=IMAGE", f"--upscaler={request.model}", "--", request.prompt])
    words += [f"--seed={request.seed}", f"--steps={request.steps}"]
    words += [f"--guidance={request.guidance_scale!r}", f"--sampler={request.sampler}"]
    if _names_its_model(request):
        words.append(f"--model={request.model}")
    elif request.upscale > 1:
        words.append("--model=MODEL")  # without any an upscaler would do it
    if request.negative_prompt:
        words.append(f"--negative={request.negative_prompt}")
    words += [f"--lora={lora}" for lora in request.loras]
    if request.images > 1:
        words.append(f"--images={request.images}")
    if request.image is not None:
        words += ["--image=IMAGE", f"--strength={request.strength!r}"]
    if request.mask is not None:
        words.append("--mask=MASK")
    return shlex.join([*words, "--", request.prompt])  # after "--" a prompt may begin with a dash
