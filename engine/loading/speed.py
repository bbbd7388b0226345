"""How quickly a model is drawn here: which switches are on, what forwards cost, what computes them; knows no model's files, no queue.

Each is decided first and done afterwards. What takes long to find out is kept for the next start.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.contract import WIDE_ROWS, EngineSettings, Lora, ModelInfo
from engine.device import fingerprint, memory
from engine.loop.job import Picture
from engine.loop.widths import Widths
from engine.openvino import files, networks
from engine.openvino.files import Wanted
from engine.unet import costs
from engine.unet.costs import Costs

if TYPE_CHECKING:
    from engine.device.choice import Place
    from engine.families.forwards import Forwards
    from engine.families.upscaler import UpscaleFamily

_log = logging.getLogger("easel.engine")
EXACT_ROWS = 2
"""That a forward has at most where a picture has one of its own."""
CONVERTING = "The model is converted for OpenVINO behind the first pictures; the next ones are drawn faster."
NO_PROCESSOR = 'OpenVINO is for processors, with a folder for data: set runtime to "auto" under [engine].'
CONVERTING_TIMES, COMPILING_TIMES = 4, 2
"""Weights' own size in float32 that OpenVINO takes beside them: traced, converted, written and compiled, or compiled alone."""


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

    def taught(self, lora: Lora, digests: Mapping[str, str]) -> Subject:
        """The same model as this LoRA, of these digests, makes it."""
        name, weights = files.taught(self.info.id, self.weights, lora, digests)
        return replace(self, info=replace(self.info, id=name), weights=weights)

    @property
    def facts(self) -> dict[str, str]:
        """What was found out holds as long as these are the same."""
        settings = self.settings
        return {
            **fingerprint.fingerprint(self.place),
            "model": self.info.id,
            "profile": self.profile,
            "size": _times(self.size),
            "mode": self.place.mode,
            "rows": str(settings.rows_by_torch),
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
        known = costs.read(folder, key)
        if known is not None and (costs.holds(folder, key) or not measures):
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

        rows = (
            EXACT_ROWS if subject.place.mode == "exact" else min(settings.rows_by_torch, 2 * settings.slots)
        )
        key, folder = costs.key_of(subject.facts), Path(settings.data)
        if costs.read(folder, key) is None:
            on = switches.choose(pipeline, settings, subject.place.mode, lambda: rehearse(rows))
        else:  # bits depend on them: what was turned on stays on
            on = costs.read_switches(folder, key)
            switches.turn_on(pipeline, on)
        found = costs.measure(rehearse)
        costs.keep(folder, key, found, subject.facts, on)
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


def widths_of(subject: Subject, costs: Costs | None) -> Widths[Picture]:
    """How images share torch's forwards; fast fills them up to where more rows no longer pay, if that was measured."""
    settings, mode = subject.settings, subject.place.mode
    rows = settings.rows_by_torch
    knee = min(costs.knee, 2 * settings.slots) if costs else rows
    return Widths(mode, knee if mode == "fast" else rows)


# ------------------------------------------------------------------ what OpenVINO computes


@dataclass(frozen=True, slots=True, kw_only=True)
class Hastened:
    """What is to be computed by OpenVINO, and what its owner is told of that."""

    wanted: Wanted | None = None
    notes: tuple[str, ...] = ()


def hastening(subject: Subject, core_bytes: int) -> Hastened:
    """Wide and fast on a processor, where OpenVINO is there and an earlier start did not find that it doesn't pay.

    "auto" says nothing where it has nothing to say; what somebody told is answered. `core_bytes` are those of the UNet's
    weights in float32.
    """
    settings, told = subject.settings, subject.settings.runtime == "openvino"
    if settings.runtime == "torch" or settings.mode == "exact":
        return Hastened()
    if subject.place.device.type != "cpu" or settings.data is None:
        return Hastened(notes=(NO_PROCESSOR,) if told else ())
    if problem := networks.problem():
        return Hastened(notes=(problem,))
    folder = _folder_of(subject, settings.data)
    known, worth = files.find(folder), None if told else 1.0
    if worth is not None and known is not None and known.holds and known.share > worth:
        return Hastened()
    if not told and (why := files.failure(folder)):
        return Hastened(
            notes=(f"OpenVINO could not compute {subject.info.title} when it was tried last: {why}.",)
        )
    times = COMPILING_TIMES if folder.exists() else CONVERTING_TIMES
    if (short := _lacks_memory(subject, times * core_bytes)) is not None:
        return Hastened(notes=(short,))
    rows = max(WIDE_ROWS) if settings.rows == "auto" else settings.rows
    rows_max, threads_max = min(rows, 2 * settings.slots), fingerprint.cores()
    wanted = Wanted(folder=folder, rows_max=rows_max, threads_max=threads_max, worth=worth)
    return Hastened(wanted=wanted, notes=(CONVERTING,) if known is None else ())


def _folder_of(subject: Subject, data: str) -> Path:
    facts = fingerprint.fingerprint(subject.place)
    return files.folder_of(Path(data), subject.info.id, facts, weights=subject.weights)


def _lacks_memory(subject: Subject, wanted: int) -> str | None:
    """A sentence where so many bytes of memory are others'."""
    free = memory.reclaim(subject.place.device)
    if free is None or free >= wanted:
        return None
    return (
        f"OpenVINO is left out: for {subject.info.title} it takes {wanted / 1e9:.1f} GB of memory, of which "
        f"{free / 1e9:.1f} GB are free."
    )


def hasten(subject: Subject, forwards: Forwards, pipeline: Any, wanted: Wanted | None) -> None:
    """Has it made ready behind the first pictures; what a quick recipe's LoRA makes of the model, behind the first with that."""
    if wanted is None:
        return
    from engine.families.forwards import Taught
    from engine.openvino.runtime import OpenVino

    core_bytes = 4 * _numbers(pipeline.unet)

    def made(wanted: Wanted, unet: Any) -> OpenVino:
        runtime = OpenVino(unet, pipeline.vae, forwards.blank(2, subject.size), wanted)
        runtime.begin()
        return runtime

    def with_lora(lora: Lora) -> OpenVino | None:
        hastened = hastening(subject.taught(lora, forwards.digests(lora)), core_bytes)
        if hastened.wanted is None:
            return None
        try:
            return made(hastened.wanted, forwards.unet_with(lora))
        except (MemoryError, RuntimeError) as error:  # torch's out of memory is one
            _log.warning("OpenVINO is left out with the LoRA “%s”, and torch draws on: %s", lora.name, error)
            return None

    forwards.runtime = made(wanted, pipeline.unet)
    quick = subject.info.quick
    if quick is not None and quick.lora is not None:
        forwards.taught = Taught(lora=quick.lora, make=partial(with_lora, quick.lora))


def hasten_upscaler(subject: Subject, family: UpscaleFamily, network: Any, file: Path) -> int:
    """The same for an upscaler's `network`, of this file; what its owner would be told is logged. Bytes that it takes."""
    from engine.families import tiles
    from engine.openvino.enlarging import OpenVinoUpscaler

    core_bytes = 4 * _numbers(network.model)
    hastened = hastening(subject, core_bytes)
    for note in hastened.notes:
        _log.info("%s: %s", subject.info.title, note)
    if hastened.wanted is None:
        return 0
    try:
        family.runtime = runtime = OpenVinoUpscaler(network, file, hastened.wanted, aligned=tiles.MARGIN)
    except Exception as error:  # noqa: BLE001 - a network that can't be copied can be enlarged with
        _log.warning("OpenVINO is left out with %s, and torch draws on: %s", subject.info.title, error)
        return 0
    runtime.begin()
    return core_bytes


# ------------------------------------------------------------------ all of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """How a model is drawn with here, as far as that is speed."""

    speed: Speed = field(default_factory=Speed)
    widths: Widths[Picture] = field(default_factory=Widths[Picture])
    notes: tuple[str, ...] = ()
    """What its owner is told."""
    held_bytes: int = 0
    """Of memory that OpenVINO's own weights take, once they are there."""


def tuned(
    subject: Subject, forwards: Forwards, pipeline: Any, go_on: Callable[[], None], *, measures: bool
) -> Tuned:
    """The model gets to know this machine, and what computes it in torch's stead is begun.

    What torch's forwards cost is not measured where OpenVINO is to compute them: it says nothing of those.
    """
    numbers = _numbers(pipeline.unet)
    hastened = hastening(subject, 4 * numbers)
    known = acquaint(subject, forwards, pipeline, go_on, measures=measures and hastened.wanted is None)
    hasten(subject, forwards, pipeline, hastened.wanted)
    held = 4 * numbers if hastened.wanted else 0
    return Tuned(speed=known, widths=widths_of(subject, known.costs), notes=hastened.notes, held_bytes=held)


def _numbers(module: Any) -> int:
    return sum(weight.numel() for weight in module.parameters())


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
