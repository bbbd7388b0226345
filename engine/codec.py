"""Events as bytes between two processes that need not trust each other: plain data, never pickles; knows the contract alone.

An engine reads strangers' files with much code that is not ours. Should one of them take it over, what it sends must not
become code in the bot: a pickle is code.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass, replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, cast, get_args

from engine import contract
from engine.contract import (
    IMAGES_MAX,
    REFERENCES_MAX,
    SEEDS,
    UPSCALE_MAX,
    UPSCALED_SIDE_MAX,
    Cancelled,
    Event,
    Failed,
    Finished,
    Loading,
    ModelInfo,
    OfferChanged,
    Ready,
    Resident,
    SpooledImage,
    Started,
    Stepped,
)
from engine.pictures import spool

BYTES_MAX = 2**26
"""Of one message: a hundred models that each take a thousand LoRAs."""
PREVIEW_MAX = 2**20
TEXT_MAX = 2**16
JPEG = b"\xff\xd8"
MANY = 100_000
NUMBER_MAX = 2**53


def encode(event: Event) -> bytes:
    """Its name, its fields as JSON and its preview, a line each but for the last."""
    preview = event.preview if isinstance(event, Stepped) else None
    values = asdict(replace(event, preview=None) if preview is not None else event)  # type: ignore[type-var]
    text = json.dumps(values, ensure_ascii=False).encode("utf-8", "replace")
    return b"\n".join((_name_of(type(event)), text, preview or b""))


def _name_of(kind: type[Any]) -> bytes:
    return kind.__name__.encode()


_KINDS = {_name_of(kind): kind for kind in get_args(contract.Event)}


def decode(data: bytes, folder: Path) -> Event:
    """What was encoded, if it is an event whose every field is of its type and within bounds.

    Raises ValueError for anything else, such as finished pictures elsewhere than in `folder`.
    """
    name, text, preview = data.split(b"\n", 2)
    event: Event = _reader(name).validate_json(text, strict=True)
    if getattr(event, "preview", None) is not None or (preview and not isinstance(event, Stepped)):
        raise _out("preview")
    if preview and isinstance(event, Stepped):
        event = replace(event, preview=preview)
    _check_plain(event)
    _check(event, folder)
    return event


def _reader(name: bytes) -> Any:
    if name not in _KINDS:
        raise _out("name")
    return _adapter(name)


@cache
def _adapter(name: bytes) -> Any:
    from pydantic import TypeAdapter  # which the engine's own process has no use for

    return TypeAdapter(_KINDS[name])


def _out(what: str) -> ValueError:
    return ValueError(f"{what} out of bounds")


def _check_plain(value: Any) -> None:
    """Whatever it is, there is not too much of it."""
    match value:
        case str():
            good = len(value) <= TEXT_MAX
        case bytes():
            good = len(value) <= PREVIEW_MAX and value.startswith(JPEG)
        case int() | float():
            good = math.isfinite(value) and abs(value) <= NUMBER_MAX
        case _:
            parts = _parts_of(value)
            good = len(parts) <= MANY
            for part in parts:
                _check_plain(part)
    if not good:
        raise _out(type(value).__name__)


def _parts_of(value: Any) -> Sequence[Any]:
    if isinstance(value, tuple):
        return cast("tuple[Any, ...]", value)
    if isinstance(value, Mapping):
        return [*chain.from_iterable(cast("Mapping[Any, Any]", value).items())]
    return [getattr(value, field.name) for field in fields(value)] if is_dataclass(value) else ()


def _check(event: Event, folder: Path) -> None:
    """What the bot reckons with and goes by."""
    match event:
        case Loading():
            good = event.fraction is None or 0 <= event.fraction <= 1
        case OfferChanged():
            good = len(event.models) >= 1
        case Ready():
            good = event.slots >= 1 and len(event.models) >= 1
        case Stepped():
            good = min(event.step, event.steps) >= 0 and (event.seconds_left or 0) >= 0
        case Finished():
            names = (spool.file_name(event.job_id, event.attempt, index) for index in range(IMAGES_MAX))
            pairs = zip(event.images, names, strict=False)
            good = event.seconds >= 0 and 1 <= len(event.images) <= IMAGES_MAX
            good = good and all(_is_image(image, folder / name) for image, name in pairs)
            good = good and 0 <= event.forwards <= event.rows
        case Cancelled():
            good = 0 <= event.done <= 1
        case Resident():
            good = all(event.models)
        case _:
            good = True
    if isinstance(event, Started | Stepped | Finished | Failed | Cancelled):
        good = good and min(event.job_id, event.attempt) >= 0
    if isinstance(event, Loading | Ready | OfferChanged):
        good = good and all(map(_is_model, event.models))
    if not good:
        raise _out(type(event).__name__)


def _is_image(image: SpooledImage, place: Path) -> bool:
    """Whether it lies where it has to, itself and not by a link, and is of a size that is drawn here."""
    if not 0 <= image.seed < SEEDS:
        return False
    lies = image.aside if image.path is None else image.path
    if lies is None:
        return True
    if image.path is not None and image.aside is not None:
        return False
    good = lies == str(place) and not place.is_symlink() and re.fullmatch(r"[0-9a-f]{64}", image.sha256)
    drawn = all(0 < side <= UPSCALED_SIDE_MAX for side in (image.width, image.height))
    return bool(good) and drawn and image.size_bytes > 0


def _is_model(model: ModelInfo) -> bool:
    sides = (model.width, model.height, model.side_min, model.side_max, model.side_multiple, model.pixels_max)
    references = 0 <= model.references_min <= model.references_max <= REFERENCES_MAX
    good = bool(model.id) and min(*sides, model.steps, model.steps_max) >= 1
    return good and references and 1 <= model.scale <= UPSCALE_MAX
