"""LoRA files among the settings that other programs write, each of which has a way of its own; knows JSON values, no files."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice, zip_longest
from typing import Any, cast

from engine.contract.loras import Lora

LORAS_MAX = 20
"""Of one picture that are told."""
NAME_CHARS_MAX = 200
Values = Mapping[str, Any]
_OFF = {"", "none"}
_COMBINED = re.compile(r"(?P<name>.+?) ?: ?(?P<weight>-?[0-9.]{1,10})")


def of_settings(values: Values) -> tuple[Lora, ...]:
    """Those that one program's settings name: InvokeAI's, SwarmUI's, Fooocus', Draw Things'."""
    return _few((*_listed(values), *_numbered(values)))


def of_nodes(nodes: Iterable[Values]) -> tuple[Lora, ...]:
    """Those that the inputs of ComfyUI's nodes name, the nearest to the node that draws first."""
    return _few(found for inputs in nodes for found in _of_node(inputs))


def of_text(text: str) -> tuple[Lora, ...]:
    """Those of "detail: 0.8, pixel: 1", as Fooocus writes them into AUTOMATIC1111's line."""
    return _few(_combined(part) for part in islice(text.split(","), LORAS_MAX))


def _few(found: Iterable[Lora | None]) -> tuple[Lora, ...]:
    kept: dict[str, Lora] = {}
    for lora in found:
        if lora is not None and len(kept) < LORAS_MAX:
            kept.setdefault(lora.name, lora)
    return tuple(kept.values())


def _lora(name: object, weight: object) -> Lora | None:
    """None where it is none, or switched off."""
    if not isinstance(name, str) or name.strip().lower() in _OFF or len(name) > NAME_CHARS_MAX:
        return None
    try:
        number = 1.0 if weight is None else float(cast("Any", weight))
    except (TypeError, ValueError, OverflowError):
        number = 1.0
    return Lora(name=name.strip(), weight=round(number, 3) if math.isfinite(number) else 1.0)


def _combined(text: str) -> Lora | None:
    match = _COMBINED.fullmatch(text.strip()) if len(text) <= NAME_CHARS_MAX + 20 else None
    return _lora(text, None) if match is None else _lora(match["name"], match["weight"])


def _listed(values: Values) -> Iterator[Lora | None]:
    listed, weights = values.get("loras", values.get("lora")), values.get("loraweights")
    if not isinstance(listed, list):
        return
    beside = cast("list[object]", weights) if isinstance(weights, list) else []
    for entry, weight in islice(zip_longest(cast("list[object]", listed), beside), LORAS_MAX):
        if isinstance(entry, str):  # SwarmUI
            yield _lora(entry, weight)
        elif isinstance(entry, list):  # Fooocus
            name, number, *_ = [*cast("list[object]", entry), None, None]
            yield _lora(name, number)
        elif isinstance(entry, dict):  # InvokeAI, in two ways, and Draw Things
            told = cast("Values", entry)
            file = told.get("model", told.get("lora"))
            named = cast("Values", file) if isinstance(file, dict) else {"name": file}
            yield _lora(named.get("name", named.get("model_name")), told.get("weight"))


def _numbered(values: Values) -> Iterator[Lora | None]:
    """Fooocus: `lora_combined_1`."""
    for number in range(1, LORAS_MAX + 1):
        told = values.get(f"lora_combined_{number}")
        if isinstance(told, str):
            yield _combined(told)


def _of_node(inputs: Values) -> Iterator[Lora | None]:
    if "lora_name" in inputs:
        yield _lora(inputs["lora_name"], inputs.get("strength_model"))
    for name, value in inputs.items():  # rgthree's loader of several
        if name.startswith("lora_") and isinstance(value, dict):
            entry = cast("Values", value)
            if entry.get("on") is not False:
                yield _lora(entry.get("lora"), entry.get("strength"))
