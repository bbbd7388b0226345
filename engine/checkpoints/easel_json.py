"""`easel.json` in a model's folder, or the like beside a file: what its owner tells, checked; knows no weights."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from engine.checkpoints import folder as checkpoint
from engine.checkpoints.architectures import BY_FAMILY
from engine.contract import (
    EVERY_SAMPLER,
    FULL,
    OWN_SAMPLER,
    SAMPLERS,
    SIDE_MULTIPLE,
    TINY,
    InvalidRequest,
    ModelInfo,
    Recipe,
    Start,
    parse_loras,
)
from engine.contract.samplers import spelled, spelled_schedule
from engine.errors import BrokenModel

FILE = "easel.json"
QUICK = "quick"
"""Its key for a recipe: what the model draws with where pictures are wanted sooner."""
_FIXED = (
    "id",
    "family",
    "preview",
    "safety_checker",
    "takes_images",
    "needs_mask",
    "references_max",
    "references_min",
    "takes_tiling",
    "loras",
    "embeddings",
    "scale",
)
_ANY = Start(image="0" * 64, mask="0" * 64, strength=1.0)
"""For models that draw nothing without."""


def read(
    folder: Path,
    name: str = FILE,
    also: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
    others: Collection[str] = (),
) -> dict[str, Any]:
    """What such a file says, each value of its right kind; `also`: further keys and their values. Raises BrokenModel.

    `others`: keys that mean something to another program.
    """
    if not (folder / name).exists():
        return {}
    told = checkpoint.read_json(folder, name)
    values = {key: value for key, value in told.items() if key not in others}
    allowed = {
        entry.name: getattr(_SAMPLE, entry.name) for entry in fields(ModelInfo) if entry.name not in _FIXED
    }
    for key, value in values.items():
        if key == QUICK:
            values[key] = _recipe(value, name)
        elif key in also:
            if value not in also[key]:
                raise BrokenModel(
                    f"{name} has a wrong value for “{key}”: it may be {' or '.join(also[key])}."
                )
        elif key not in allowed:
            raise BrokenModel(f"{name} knows no “{key[:40]}”: it may hold {', '.join((*allowed, *also))}.")
        elif isinstance(allowed[key], tuple) and isinstance(value, list):
            values[key] = tuple(str(name) for name in cast("list[object]", value))
        elif isinstance(value, bool) != isinstance(allowed[key], bool) or not isinstance(
            value, _accepted(allowed[key])
        ):
            raise BrokenModel(f"{name} has a wrong value for “{key}”: {json.dumps(value)[:60]}.")
    return values


def _recipe(told: Any, name: str) -> Recipe | None:
    """None where it says false. Raises BrokenModel."""
    if told is False:
        return None
    values = cast("dict[str, Any]", told) if isinstance(told, dict) else {}
    for key, value in values.items():
        if key not in _RECIPE:
            known = ", ".join(_RECIPE)
            raise BrokenModel(f"{name} knows no “{key[:40]}” within “{QUICK}”: it may hold {known}.")
        if isinstance(value, bool) or not isinstance(value, _accepted(_RECIPE[key])):
            raise BrokenModel(
                f"{name} has a wrong value for “{key}” within “{QUICK}”: {json.dumps(value)[:60]}."
            )
    if missing := [key for key in ("steps", "sampler") if key not in values]:
        raise BrokenModel(
            f"{name} says not enough of “{QUICK}”: name its {' and '.join(missing)}, or say false."
        )
    try:
        named = parse_loras(values.pop("lora", ""))
    except InvalidRequest as error:
        raise BrokenModel(f"{name} has a wrong value for “lora” within “{QUICK}”: {error}") from None
    values["sampler"] = spelled(values["sampler"])
    values["schedule"] = spelled_schedule(values.get("schedule", ""))
    return Recipe(**values, lora=named[0] if named else None)


_RECIPE: Mapping[str, object] = {
    "steps": 4,
    "guidance_scale": 1.0,
    "sampler": "LCM",
    "schedule": "",
    "guidance_until": 1.0,
    "lora": "",
}
"""The keys of a recipe, and a value of each one's kind."""


def overridden(info: ModelInfo, values: Mapping[str, Any], name: str = FILE) -> ModelInfo:
    """With the values of the file of this name, each of which must make sense."""
    if QUICK in values and values[QUICK] is None:  # it is to be drawn in its own way alone
        values = {**values, QUICK: replace(info, **values).standard}
    for key, fits, rule in _rules(replace(info, **values)):
        if key in values and not fits:
            raise BrokenModel(
                f"{name} has a wrong value for “{key}”: {json.dumps(values[key])[:60]} is not {rule}."
            )
    return checked(info, values)


def _rules(info: ModelInfo) -> Iterator[tuple[str, bool, str]]:
    """(key, whether it holds, what the value has to be); a later rule relies on the earlier ones."""
    for key in _NUMBERS:
        yield key, getattr(info, key) > 0, "a positive number"
    yield "title", bool(info.title.strip()), "a name"
    only = BY_FAMILY[info.family].is_called
    decoders = (FULL,) if only else (FULL, TINY)
    alone = ", by which alone models of this kind are decoded" if only else ""
    yield "decoder", info.decoder in decoders, f"{' or '.join(decoders)}{alone}"
    yield "side_multiple", info.side_multiple % SIDE_MULTIPLE == 0, f"a multiple of {SIDE_MULTIPLE}"
    ordered = info.side_min <= info.side_max
    yield "side_min", ordered, f"at most side_max, which is {info.side_max}"
    yield "side_max", ordered, f"at least side_min, which is {info.side_min}"
    known = (OWN_SAMPLER.name,) if BY_FAMILY[info.family].is_called else tuple(SAMPLERS)
    yield "sampler", info.sampler in known, f"one of {', '.join(known)}"
    yield "samplers", set(info.samplers) <= set(known), f"a choice from {', '.join(known)}"
    sampler = EVERY_SAMPLER[info.sampler]
    fits = sampler.steps_min <= info.steps <= sampler.steps_max
    yield "steps", fits, f"from {sampler.steps_min} to {sampler.steps_max}, as {sampler.name} wants"


_NUMBERS = (
    "width",
    "height",
    "steps",
    "guidance_scale",
    "side_min",
    "side_max",
    "side_multiple",
    "pixels_max",
    "steps_max",
)
_SAMPLE = ModelInfo(id="sample", title="sample")


def _accepted(example: object) -> tuple[type, ...]:
    return (int, float) if isinstance(example, float) else (type(example),)


def checked(info: ModelInfo, changes: Mapping[str, Any]) -> ModelInfo:
    """With these values, checked: a model's own defaults must be within its own bounds."""
    changed = replace(info, **changes)
    unknown = [name for name in changed.samplers if name not in {*SAMPLERS, OWN_SAMPLER.name}]
    try:
        if unknown:
            raise InvalidRequest(f"there is no sampler “{unknown[0][:40]}”")
        start = _ANY if changed.needs_mask else None
        references = (_ANY.image,) * changed.references_min
        changed.request(prompt="a check", seed=0, steps=changed.steps, start=start, references=references)
        if changed.quick is not None:  # which LoRAs there are is seen later
            recipe = replace(changed.quick, lora=None)
            changed.request(prompt="a check", seed=0, start=start, references=references, recipe=recipe)
    except InvalidRequest as error:
        raise BrokenModel(
            f"The defaults of the model “{info.title}” contradict themselves: {error}"
        ) from None
    return changed
