"""Opens models: loads one, tries it out, learns what its forwards cost; knows no queue and no job.

Opening is a generator that pauses between parts, so that whoever is drawing meanwhile waits for one part at a time. It
is never a thread of its own: while diffusers and transformers build a model they change torch's defaults for everybody.
"""

from __future__ import annotations

import copy
import gc
import logging
import threading
from collections.abc import Callable, Generator, Mapping, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from engine import errors, upscaler_file
from engine.checkpoints import describe, header
from engine.checkpoints.architectures import BY_FAMILY, CALLS, SD, SDXL
from engine.checkpoints.source import Source, SourceKind
from engine.contract import TINY, EngineSettings, Mode, ModelInfo
from engine.device import fingerprint, memory, profiles
from engine.device.choice import Choice, choose
from engine.device.fingerprint import digest
from engine.errors import BrokenModel, DeviceLost
from engine.families.base import Family
from engine.loading import load, speed, tiny_decoder, upscalers
from engine.loading.load import Found, OnProgress
from engine.loading.speed import EXACT_ROWS, Subject
from engine.loop.job import Loaded, Picture
from engine.loop.widths import Widths
from engine.unet.costs import Costs

if TYPE_CHECKING:
    from engine.device.choice import Place
    from engine.device.layout import Settled
    from engine.device.offload import Offloads
    from engine.families.forwards import Forwards
    from engine.families.preview import Sketcher

_log = logging.getLogger("easel.engine")
WARMED_BYTES = 2**24
WARMING_S = 0.02
ACQUAINTING = "getting to know this machine"


class Tested(Family, Protocol):
    """A family that can be tried out before anybody draws with it."""

    def self_test(self, size: tuple[int, int]) -> None:
        """Draws a little at `size` (width, height), for nobody. Raises NotFinite, or what the device raises."""
        ...


class Drawing(Tested, Protocol):
    """A family that draws from words."""

    @property
    def forwards(self) -> Forwards | None: ...

    @property
    def words(self) -> Set[str]:
        """Those of embedding files that it was taught."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """A model that people may draw with: where it lies, and what it offers. Read once, at the engine's start."""

    source: Source
    info: ModelInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A model that is ready to draw, and what is known of its forwards."""

    loaded: Loaded
    costs: Costs | None
    notes: tuple[str, ...]
    """What its owner is told of where it lies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """A model's files, looked at once."""

    found: Found
    size: int
    """Bytes that it takes on its device while it draws one picture of its own size."""
    least: int
    """The same where a profile brings it to the device in parts: one layer, and one tile of the picture."""


class Opener:
    """Opens models that lie on this disk when somebody wants them; each of `offered` by its id."""

    def __init__(
        self, settings: EngineSettings, offered: Mapping[str, Offered], choice: Choice | None = None
    ) -> None:
        """`choice` is what the engine chose at its start. Raises BrokenModel where it has to be chosen here and can't be."""
        self._settings, self._offered = settings, offered
        self._choice = choice or choose(settings)
        self._known: dict[str, _Known] = {}

    def open(self, model_id: str) -> Generator[None, None, Loaded]:
        """Raises BrokenModel whatever is wrong with it, after some pauses, too; DeviceLost where the device is."""
        source, info = self._offered[model_id].source, self._offered[model_id].info
        place = self._choice.place(info.family)
        with _broken_alone(model_id):
            if source.kind is SourceKind.UPSCALER:
                return (yield from _open_upscaler(source, info, place, self._settings))
            found = self._look(model_id).found
            del self._known[model_id]  # when it is wanted again, its files may be others
            yield from _warmed(found, self._settings)
            opened = yield from opening(self._settings, self._offered[model_id], place, found=found)
            return opened.loaded

    def size_of(self, model_id: str) -> int:
        """Bytes that it takes on its device while it draws one picture of its own size. Raises BrokenModel."""
        source = self._offered[model_id].source
        if source.kind is SourceKind.UPSCALER and source.path is not None:
            return upscalers.size_of(source.path)
        return self._look(model_id).size

    def least_of(self, model_id: str) -> int:
        """The same where a profile brings it to the device in parts: one layer, and one tile of the picture."""
        is_upscaler = self._offered[model_id].source.kind is SourceKind.UPSCALER
        return self.size_of(model_id) if is_upscaler else self._look(model_id).least

    def _look(self, model_id: str) -> _Known:
        if model_id not in self._known:
            offered = self._offered[model_id]
            place = self._choice.place(offered.info.family)
            with _broken_alone(model_id):
                self._known[model_id] = _looked_at(offered, self._settings, place)
        return self._known[model_id]

    def reclaim(self) -> int | None:
        """Gives back what is left over. Bytes that are then free on the device, None where nobody can tell."""
        gc.collect()
        free = memory.reclaim(self._choice.device)
        return None if free is None else round(memory.SPARE * free)


@contextmanager
def _broken_alone(model_id: str) -> Generator[None]:
    """Whatever is wrong with a further model is that model's, in a sentence; the log has the rest."""
    try:
        yield
    except (BrokenModel, DeviceLost):
        raise
    except Exception as error:
        errors.check_device(error)
        _log.error("a model could not be loaded", exc_info=error)
        raise BrokenModel(
            f"The model {model_id} can't be loaded ({type(error).__name__}): "
            "the bot's owner needs to look at its files and the engine's log."
        ) from error


def _looked_at(offered: Offered, settings: EngineSettings, place: Place) -> _Known:
    """Raises BrokenModel."""
    found = load.find(offered.source, settings, place)
    numbers = sum(map(header.count_numbers, load.weight_files(found)))
    pixels = offered.info.width * offered.info.height
    size = least = numbers * place.dtype.itemsize + memory.WORKING * pixels
    if place.device.type == "cuda" and settings.profile != "full":
        least = min(size, profiles.LEAVES_BYTES + memory.WORKING * min(pixels, profiles.TILE**2))
    return _Known(found=found, size=size, least=least)


def _warmed(found: Found, settings: EngineSettings) -> Generator[None, None, None]:
    """The system reads the files from the disk while others draw, so that each part then loads quickly.

    What the hub has to give comes the same way: a file without configurations of its own needs its base's.
    """

    def read() -> None:
        with suppress(BrokenModel):  # loading will say so again
            load.bring_base(found, offline=settings.hub_offline)
        for file in load.weight_files(found):
            with suppress(OSError), file.open("rb") as opened:  # loading will say what is wrong
                while opened.read(WARMED_BYTES):
                    pass

    reader = threading.Thread(target=read, name="easel-warm", daemon=True)
    reader.start()
    while reader.is_alive():
        reader.join(WARMING_S)
        yield


def opening(
    settings: EngineSettings,
    offered: Offered,
    place: Place,
    tell: OnProgress = load.untold,
    *,
    found: Found | None = None,
    measures: bool = False,
    go_on: Callable[[], None] = lambda: None,
) -> Generator[None, None, Opened]:
    """A model, ready to draw. `found`: its files, where they were looked at already.

    Unless it `measures`, only what an earlier start found out is known of it. Measuring has no pauses; `go_on` is called
    after each of its forwards instead, and may raise. Raises BrokenModel, Unreachable, or what the device raises.
    """
    from engine.device import layout

    source, info = offered.source, offered.info
    fingerprint.pin(info)
    found = found or load.find(source, settings, place, tell)
    yield from _pause(info)
    settled = yield from load.loading(found, settings, place, tell)
    yield from _pause(info)

    def going_on() -> None:
        tell(ACQUAINTING, None)
        go_on()

    lies = settled.layout
    settings = layout.allowed(settings, lies)
    if source.kind is SourceKind.HUB:
        info = describe.describe(source, settings)  # now by the files themselves
    info = _fitted(info, settled, settings, place.mode)
    tell(ACQUAINTING, None)
    tiny = tiny_decoder.beside(source, info, settings, settled.pipeline.vae)
    family = family_of(settled, settings, info, tiny.network, source.folder)
    info = replace(info, embeddings=tuple(each for each in info.embeddings if each.name in family.words))
    yield from _pause(info)
    _examine(family, info, place)
    yield from _pause(info)
    subject = Subject(
        settings=settings, info=info, place=place, profile=lies.plan.profile, weights=digest(source)
    )
    tuned = speed.Tuned()
    if (forwards := family.forwards) is not None:
        tuned = speed.tuned(subject, forwards, settled.pipeline, going_on, measures=measures)
        forwards.offloads = _offloads(settled.pipeline, subject, source, found, tuned.speed.switches)
        yield from _pause(info)
    known, widths = tuned.speed, tuned.widths
    decoder = fingerprint.decoder(source, info, settings.models)
    loaded = Loaded(
        info=info,
        family=family,
        widths=widths,
        fingerprint=_fingerprint(place, subject.weights, widths, decoder, lies.changes, known.switches),
        size_bytes=lies.held_bytes + tuned.held_bytes,
        enter=lambda: fingerprint.pin(info),
    )
    return Opened(loaded=loaded, costs=known.costs, notes=(*lies.notes, *tiny.notes, *tuned.notes))


def _fingerprint(
    place: Place, weights: str, widths: Widths[Picture], *special: Mapping[str, str]
) -> dict[str, str]:
    """Of a model with weights of this digest that shares forwards so, and what is `special` about it here."""
    return {
        **fingerprint.fingerprint(place),
        "weights": weights,
        "mode": widths.mode,
        "width": widths.words,
        **{key: value for each in special for key, value in each.items()},
    }


def _pause(info: ModelInfo) -> Generator[None, None, None]:
    """Others may draw meanwhile, with other threads: what this model needs is pinned anew."""
    yield
    fingerprint.pin(info)


def _open_upscaler(
    source: Source, info: ModelInfo, place: Place, settings: EngineSettings
) -> Generator[None, None, Loaded]:
    """A network, ready to enlarge."""
    from engine.families.upscaler import UpscaleFamily

    assert source.path is not None  # all of them are files
    fingerprint.pin(info)
    yield from _pause(info)
    network = upscalers.load(source.path, place)
    family = UpscaleFamily(network)
    yield from _pause(info)
    _examine(family, info, place)
    yield from _pause(info)
    subject = Subject(settings=settings, info=info, place=place, profile="full", weights=digest(source))
    held = speed.hasten_upscaler(subject, family, network, source.path)
    widths = Widths[Picture]()
    return Loaded(
        info=info,
        family=family,
        widths=widths,
        fingerprint={
            **_fingerprint(place, subject.weights, widths),
            "dtype": family.dtype,
            "spandrel": upscaler_file.version(),
        },
        size_bytes=upscalers.size_of(source.path) + held,
        enter=lambda: fingerprint.pin(info),
    )


def family_of(
    settled: Settled, settings: EngineSettings, info: ModelInfo, tiny: Any = None, own: Path | None = None
) -> Drawing:
    """`tiny` is the AutoencoderTiny that lies beside it, `own` its folder, where it has one that its owner may have put more into."""
    from engine.families.called import AnyFamily
    from engine.families.sd import SdFamily
    from engine.families.sdxl import SdxlFamily

    pipeline, lies = settled.pipeline, settled.layout
    sketcher = _sketcher(settled, settings, tiny)
    if (call := CALLS.get(type(pipeline).__name__)) is not None:
        return AnyFamily(pipeline, sketcher, side_min=info.side_min, call=call, lies=lies)
    family = {SD.family: SdFamily, SDXL.family: SdxlFamily}[info.family]
    adapters = None if settings.models is None else Path(settings.models)
    decoder = copy.deepcopy(tiny).to(lies.device, lies.dtype) if info.decoder == TINY else None
    return family(
        pipeline, sketcher, side_min=info.side_min, models=adapters, own=own, lies=lies, tiny=decoder
    )


def _sketcher(settled: Settled, settings: EngineSettings, tiny: Any) -> Sketcher | None:
    """None where no previews are wanted, or the latents are of another kind than pictures in small."""
    from engine.families import preview

    vae = settled.pipeline.vae
    if not settings.preview_every or type(vae).__name__ != "AutoencoderKL":
        return None
    if tiny is not None:
        return preview.TinySketcher(tiny)
    if settings.preview_model:
        return preview.TinySketcher.of(settings.preview_model, vae.config.latent_channels)
    return preview.LinearSketcher(vae, settled.layout.device)


def _offloads(
    pipeline: Any, subject: Subject, source: Source, found: Found, switches: Mapping[str, str]
) -> Offloads | None:
    """What may leave its memory once OpenVINO draws."""
    from engine.loading import offloads

    return offloads.of(pipeline, subject, source, found, switches)


def _fitted(info: ModelInfo, settled: Settled, settings: EngineSettings, mode: Mode) -> ModelInfo:
    """With the largest size that the free memory has room for."""
    from engine.device import layout

    free = memory.reclaim(settled.layout.device)
    if free is None or BY_FAMILY[info.family].is_called:  # how much those take nobody knows beforehand
        return info
    rows = settings.rows_by_torch if mode == "wide" else EXACT_ROWS
    return memory.fitted(info, layout.needs(settled).largest(free, rows))


def _examine(family: Tested, info: ModelInfo, place: Place) -> None:
    """The self-test before Ready: a small picture is drawn and thrown away."""
    from engine.errors import NotFinite

    side = -(-info.side_min // info.side_multiple) * info.side_multiple
    try:
        family.self_test((side, side))
    except NotFinite as error:
        dtype = str(place.dtype).removeprefix("torch.")
        raise BrokenModel(
            f"The model {info.title} draws no numbers in {dtype} on this device: set dtype to "
            f"“{'float32' if dtype != 'float32' else 'auto'}” under [engine], or download the model again."
        ) from error
    except Exception as error:
        if family.is_out_of_memory(error):
            raise BrokenModel(
                f"There is no memory left to draw with {info.title}, not even {side}x{side}: "
                "end what else uses the device, or choose a smaller model."
            ) from error
        raise
