"""What a process that teaches tells whoever started it, a line of JSON each, and its exit codes. Standard library only."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, cast

EXIT_TAUGHT = 0
EXIT_FAILED = 1
"""`Failed` or `Flagged` was told: beginning it again would not help."""
EXIT_NO_ROOM = 75
"""There is not enough memory now: begun again later it goes on from its last checkpoint."""
EXIT_STOPPED = 130
"""It was asked to; the last checkpoint is of the step before."""
SHEET = "samples.png"
"""The contact sheet, in the folder of a training."""
UNFINISHED = "training"
"""Of the folder of models: what is under way lies there, each by its name."""


class Stage(StrEnum):
    """What is done before the first step, in a terminal's words."""

    PICTURES = "reading the pictures"
    CHECKING = "looking at the pictures"
    MODEL = "loading the model"
    ENCODING = "encoding the pictures"
    KEPT = "drawing what is to be kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """A sentence for whoever teaches."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparing:
    """What is done before the first step, and how much of it, 0 to 1."""

    stage: Stage
    share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """The most memory that it will hold at once, in bytes, and what is free of it now."""

    needed: int
    free: int
    on_card: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepped:
    """One micro-step more; `loss` is of the step that it ended, None where it ended none."""

    done: int
    steps: int
    loss: float | None
    left_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpointed:
    """All until here is kept, whatever happens."""

    done: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """The contact sheet has another row."""

    sheet: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Taught:
    """The LoRA is there, and can be drawn with."""

    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Flagged:
    """The safety checker flagged these pictures: nothing is learned from any."""

    files: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """It can't be taught so, or not any further."""

    text: str


Event = Noted | Preparing | Needs | Stepped | Checkpointed | Sampled | Taught | Flagged | Failed
_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (Noted, Preparing, Needs, Stepped, Checkpointed, Sampled, Taught, Flagged, Failed)
}


def encode(event: Event) -> str:
    """One line, without its end."""
    return json.dumps({"told": type(event).__name__, **asdict(event)}, ensure_ascii=False)


def decode(line: str | bytes) -> Event:
    """Raises ValueError for what is no such line."""
    told = json.loads(line)
    if not isinstance(told, dict):
        raise ValueError("no event")  # noqa: TRY004 - whoever reads meets one kind of error
    values = cast("dict[str, Any]", told)
    kind = _KINDS.get(str(values.pop("told", "")))
    if kind is None or values.keys() != {each.name for each in fields(kind)}:
        raise ValueError("no event")
    if kind is Preparing:
        values["stage"] = Stage(values["stage"])
    if kind is Flagged:
        values["files"] = tuple(map(str, values["files"]))
    return kind(**values)
