"""How quickly a model is drawn here: which switches are on, what forwards cost, what is compiled; knows no model's files, no queue.

Each is decided first and done afterwards. What takes long to find out is kept for the next start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.contract import EngineSettings, Mode, ModelInfo
from engine.device import fingerprint
from engine.loop.job import Picture
from engine.loop.widths import Widths
from engine.unet import compiled_files, costs
from engine.unet.costs import Costs

if TYPE_CHECKING:
    from engine.device.choice import Place
    from engine.families.forwards import Forwards

EXACT_ROWS = 2
"""That a forward has at most where a picture has one of its own."""
COMPILING = "The model is being compiled for this machine, which takes minutes; images are drawn meanwhile."
NO_COMPILER = "There is no C++ compiler here: with one (g++) pictures are drawn faster."


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A model where it lies, as far as its speed depends on it."""

    settings: EngineSettings
    info: ModelInfo
    place: Place
    profile: str
    weights: str
    """Their digest."""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels of the pictures that are measured."""
        return self.info.width, self.info.height

    @property
    def facts(self) -> dict[str, str]:
        """What was found out holds as long as these are the same."""
        settings = self.settings
        return {
            **fingerprint.fingerprint(self.place),
            "model": self.info.id,
            "profile": self.profile,
            "size": _times(self.size),
            "mode": settings.mode,
            "rows": str(settings.rows),
            "channels_last": settings.channels_last,
            "fused_qkv": settings.fused_qkv,
        }


# ------------------------------------------------------------------ switches and costs


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What is known of a model's forwards."""

    switches: Mapping[str, str] = field(default_factory=dict[str, str])
    """Those that are on."""
    costs: Costs | None = None

    @classmethod
    def decide(cls, subject: Subject, *, measures: bool) -> Speed | None:
        """What an earlier start found out with the same facts; None where it is to be measured now.

        Unless it `measures`, it leaves that to an earlier or later start, and goes by what somebody said.
        """
        from engine.unet import switches

        told = cls(switches=switches.told(subject.settings))
        if subject.settings.data is None:
            return told
        folder, key = Path(subject.settings.data), costs.key_of(subject.facts)
        if (known := costs.read(folder, key)) is not None:
            return cls(switches=costs.read_switches(folder, key), costs=known)
        return None if measures else told

    @classmethod
    def measured(
        cls, subject: Subject, forwards: Forwards, pipeline: Any, go_on: Callable[[], None]
    ) -> Speed:
        """Turns on what pays, and keeps what was found. `go_on` is called after each forward: it may take minutes."""
        from engine.unet import switches

        settings = subject.settings
        assert settings.data is not None  # who has nowhere to keep it does not measure

        def rehearse(count: int) -> None:
            forwards.rehearse(count, subject.size)
            go_on()

        rows = EXACT_ROWS if settings.mode == "exact" else min(settings.rows, 2 * settings.slots)
        on = switches.choose(pipeline, settings, lambda: rehearse(rows))
        found = costs.measure(rehearse)
        facts = subject.facts
        costs.keep(Path(settings.data), costs.key_of(facts), found, facts, on)
        return cls(switches=on, costs=found)


def acquaint(
    subject: Subject, forwards: Forwards, pipeline: Any, go_on: Callable[[], None], *, measures: bool
) -> Speed:
    """The model gets to know this machine: what pays is on, by what is known of it or by measuring."""
    from engine.unet import switches

    if (speed := Speed.decide(subject, measures=measures)) is None:
        return Speed.measured(subject, forwards, pipeline, go_on)
    switches.turn_on(pipeline, dict(speed.switches))
    return speed


def widths_of(settings: EngineSettings, costs: Costs | None) -> Widths[Picture]:
    """How images share forwards; fast fills them up to where more rows no longer pay, if that was measured."""
    knee = min(costs.knee, 2 * settings.slots) if costs else settings.rows
    return Widths(settings.mode, knee if settings.mode == "fast" else settings.rows)


# ------------------------------------------------------------------ what is compiled


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiling:
    """Forwards that are compiled behind the first images."""

    counts: tuple[int, int]
    """Of at least and at most so many rows."""
    size: tuple[int, int]
    """(width, height) in pixels."""
    file: Path
    """Where they are kept."""
    switches: Mapping[str, str]
    worth: float | None
    """They are used if they take at most this share of the plain ones' time; None: in any case."""


def compiling(subject: Subject, speed: Speed, widths: Widths[Any]) -> Compiling | str | None:
    """What is to be compiled; None where nothing is, and a sentence where something would be, if only it could.

    "auto" means processors only, where it was tried, and not where an earlier start found that it doesn't pay.
    """
    from engine.unet import compiled

    settings, told = subject.settings, subject.settings.compile == "on"
    if settings.mode == "exact" or settings.data is None or settings.compile == "off":
        return None
    if settings.mode == "wide" and widths.rows <= EXACT_ROWS:
        return None  # those that are served in exact must be told from the others
    if not told and subject.place.device.type != "cpu":
        return None
    if (compiler := compiled.compiler()) is None:
        return NO_COMPILER
    facts = {**fingerprint.fingerprint(subject.place), **speed.switches, "weights": subject.weights}
    facts |= {"size": _times(subject.size), "rows": str(widths.rows)}
    facts |= {"compiler": compiler, "processor": compiled_files.processor()}
    file = compiled_files.file_of(Path(settings.data), subject.info.id, costs.key_of(facts))
    worth = None if told else 1.0
    if worth is not None and compiled_files.was_slow(file, worth):
        return None
    counts = compiled_counts(widths.mode, widths.rows)
    return Compiling(counts=counts, size=subject.size, file=file, switches=speed.switches, worth=worth)


def hasten(forwards: Forwards, wanted: Compiling | str | None) -> tuple[str, ...]:
    """Begins it, and what its owner is told of it."""
    if wanted is None:
        return ()
    if isinstance(wanted, str):
        return (wanted,)
    forwards.compile_behind(
        wanted.counts, wanted.size, file=wanted.file, switches=wanted.switches, worth=wanted.worth
    )
    if not forwards.is_compiled:
        return (COMPILING,)
    share = compiled_files.share_of(wanted.file)
    return () if share is None else (compiled_files.sentence(share),)


def compiled_counts(mode: Mode, rows: int) -> tuple[int, int]:
    """At least and at most so many rows of a forward are for a compiled model; in wide none that are served in exact."""
    return (2 if mode == "fast" else EXACT_ROWS + 1), rows


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
