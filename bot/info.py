"""`easel info`: the settings a picture carries, and the command that draws it again. Knows files, nothing of Discord."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from engine import metadata
from engine.contract import STARTER, GenerationRequest
from engine.metadata import PictureInfo


def show_info(image: Path) -> int:
    """Prints what the file says; the exit code."""
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
    return 0


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
    yield f"Steps: {request.steps}, sampler {request.sampler}, guidance {request.guidance_scale:g}"
    yield f"Seed: {request.seed}"
    yield from found.notes
    yield f"Made by: Easel {found.version}"
    yield from (f"  {key}: {value}" for key, value in found.fingerprint.items())
    if not _names_its_model(request):
        yield "(The picture does not say where its model's folder is: name it with --model, unless it is configured.)"
    yield from f"Again: {command(request)}".split("\n")


def _names_its_model(request: GenerationRequest) -> bool:
    """Whether the name alone finds it: an id of the hub, or the model that ships with Easel."""
    return "/" in request.model or request.model == STARTER


def command(request: GenerationRequest) -> str:
    """What draws this request again when pasted into a shell; a model that is no hub id has to be the configured one."""
    words = [
        "easel",
        "imagine",
        f"--seed={request.seed}",
        f"--size={request.size}",
        f"--steps={request.steps}",
    ]
    words += [f"--guidance={request.guidance_scale!r}", f"--sampler={request.sampler}"]
    if _names_its_model(request):
        words.append(f"--model={request.model}")
    if request.negative_prompt:
        words.append(f"--negative={request.negative_prompt}")
    if request.images > 1:
        words.append(f"--images={request.images}")
    return shlex.join([*words, "--", request.prompt])  # after "--" a prompt may begin with a dash
