"""Gets the real engine ready and lets it work: describe, load, announce, tick; runs in the engine's child only."""

from __future__ import annotations

import itertools
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from engine import errors
from engine.checkpoints import describe, new_loras
from engine.checkpoints.architectures import BY_FAMILY
from engine.checkpoints.source import Source, sources
from engine.child import Controls, Leave, heed, wait
from engine.contract import (
    EXIT_BROKEN,
    EXIT_DEVICE_LOST,
    EXIT_OK,
    Broken,
    EngineSettings,
    Event,
    HubTries,
    Loading,
    ModelInfo,
    Ready,
)
from engine.device import fingerprint
from engine.device.choice import choose
from engine.errors import BrokenModel, DeviceLost, Unreachable
from engine.loading import checkers, load, upscalers
from engine.loading.opening import Offered, Opened, Opener, opening
from engine.loop.shelf import Shelf
from engine.loop.worker import Worker
from engine.unet import costs

if TYPE_CHECKING:
    from engine.device.choice import Place

NAME_MAX = 100
"""Characters of a name that Discord lets people choose."""
_NAMED = 20
"""Files, at most, in one sentence."""
_Got = TypeVar("_Got")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Offer:
    """What the engine may draw with."""

    by_id: Mapping[str, Offered]
    """The configured one first."""
    warnings: tuple[str, ...]
    """What is left out, and why."""

    @property
    def models(self) -> tuple[ModelInfo, ...]:
        return tuple(offered.info for offered in self.by_id.values())

    @property
    def first(self) -> Offered:
        return next(iter(self.by_id.values()))

    @classmethod
    def of(cls, settings: EngineSettings, first: Offered) -> Self:
        """`first` and what lies in the folder for models, as far as it is sound."""
        by_id, warnings = {first.info.id: first}, list[str]()
        for source in sources(settings):
            if source == first.source or source.id in settings.set_aside:
                continue
            try:
                info = describe.describe(source, settings)
            except BrokenModel as error:
                warnings.append(f"A model is left out: {error}")
                continue
            except Exception as error:  # noqa: BLE001 - what nobody foresaw in a further model must not end the first one
                traceback.print_exc()
                warnings.append(
                    f"The model “{source.id}” is left out: it can't be read ({type(error).__name__})."
                )
                continue
            if len(info.id) > NAME_MAX:
                warnings.append(f"The model “{info.id[:40]}…” is left out: give it a shorter name.")
                continue
            by_id[info.id] = Offered(source=source, info=info)
        return cls(by_id=by_id, warnings=tuple(warnings))

    def with_upscalers(
        self, settings: EngineSettings, emit: Callable[[Event], None], go_on: Callable[[], None]
    ) -> Self:
        """Those too, which take torch to be described. `go_on` is called before each of them."""

        def tell(name: str) -> None:
            go_on()
            emit(Loading(stage="looking at the upscalers", models=self.models, reading=name))

        found = upscalers.find(settings.models, tell=tell, set_aside=settings.set_aside)
        twice = tuple(
            f"An upscaler is left out: there is another model “{info.id}”, so give its file another name."
            for info, _ in found.models
            if info.id in self.by_id
        )
        fresh = {
            info.id: Offered(source=source, info=describe.as_checked(info, settings))
            for info, source in found.models
            if info.id not in self.by_id
        }
        return replace(
            self, by_id={**self.by_id, **fresh}, warnings=(*self.warnings, *found.warnings, *twice)
        )


def run(settings: EngineSettings, controls: Controls, emit: Callable[[Event], None]) -> int:
    """The engine's life in its process; returns the exit code."""
    try:
        worker, ready = _get_ready(settings, controls, emit)
        emit(ready)
        worker.run()
    except Leave:
        return EXIT_OK
    except BrokenModel as error:
        emit(Broken(reason=str(error)))
        return EXIT_BROKEN
    except DeviceLost as error:
        print(f"easel engine: the device is lost: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_DEVICE_LOST
    return EXIT_OK


def _first_source(settings: EngineSettings) -> Source:
    """The configured model, but what was added is not fetched anew; the next one where it was set aside."""
    found = sources(settings)
    return next((source for source in found if source.id not in settings.set_aside), found[0])


def _get_ready(
    settings: EngineSettings, controls: Controls, emit: Callable[[Event], None]
) -> tuple[Worker, Ready]:
    """Whatever goes wrong here would go wrong again: no new engine is to be started for it."""
    try:
        fingerprint.prepare_environment(settings)
        source = _first_source(settings)
        info = _patiently(lambda: describe.describe(source, settings), controls, emit, hub=settings.hub)
        offer = _Offer.of(settings, Offered(source=source, info=info))
        emit(Loading(stage="starting torch", models=offer.models))
        load.import_packages(BY_FAMILY[info.family])
        return _start(settings, offer, controls, emit)
    except (BrokenModel, DeviceLost, ImportError, Leave):
        raise
    except Exception as error:
        errors.check_device(error)
        traceback.print_exc()
        raise BrokenModel(
            f"The model can't be loaded ({type(error).__name__}): check the model's files; "
            "the engine's log says where it failed."
        ) from error


def _patiently(
    act: Callable[[], _Got],
    controls: Controls,
    emit: Callable[[Event], None],
    described: tuple[ModelInfo, ...] = (),
    *,
    hub: HubTries,
) -> _Got:
    """Tries again for as long as the hub can't be reached, or `hub` allows. Raises Leave when told to go meanwhile."""
    begin, limit_s = time.monotonic(), hub.limit_s
    for pause in itertools.chain(hub.pauses_s, itertools.repeat(hub.pauses_s[-1])):
        try:
            return act()
        except Unreachable as error:
            if limit_s is not None and time.monotonic() - begin + pause > limit_s:
                raise BrokenModel(f"{error} It was tried for {time.monotonic() - begin:.0f} s.") from error
            print(f"easel engine: {error}", file=sys.stderr)  # noqa: T201
        until = "" if limit_s is None else f", for {limit_s:.0f} s in all"
        stage = f"the model hub can't be reached; trying again in {pause:.0f} s{until}"
        emit(Loading(stage=stage, models=described))
        wait(pause, controls)
    raise AssertionError  # the pauses never end


def _start(
    settings: EngineSettings, offer: _Offer, controls: Controls, emit: Callable[[Event], None]
) -> tuple[Worker, Ready]:
    _make_folder(settings)

    def go_on() -> None:
        heed(controls)

    go_on()
    offer = offer.with_upscalers(settings, emit, go_on)
    go_on()
    choice = choose(settings)

    def tell_checker(stage: str, share: float | None) -> None:
        emit(Loading(stage=stage, fraction=share, models=offer.models))

    checker = _patiently(
        lambda: checkers.load(settings, choice, tell_checker), controls, emit, offer.models, hub=settings.hub
    )
    go_on()
    place = choice.place(offer.first.info.family)

    def tell(stage: str, share: float | None = None) -> None:
        emit(Loading(stage=stage, fraction=share, models=offer.models, reading=offer.first.info.id))

    def open_first() -> Opened:
        parts = opening(settings, offer.first, place, tell, measures=True, go_on=go_on)
        return load.wholly(parts, go_on)

    opened = _patiently(open_first, controls, emit, offer.models, hub=settings.hub)
    shelf = Shelf(
        opened.loaded,
        offer.models[1:],
        Opener(settings, offer.by_id, choice),
        limit=settings.models_bytes,
        unload_after_s=settings.unload_after_s,
    )
    look_around = new_loras.Watched(
        settings.models, {model: offered.source for model, offered in offer.by_id.items()}
    )
    worker = Worker.of(shelf, settings, controls, emit, checker, look_around.again)
    return worker, _announcement(settings, shelf, opened, place, offer.warnings)


def _announcement(
    settings: EngineSettings, shelf: Shelf, opened: Opened, place: Place, left_out: tuple[str, ...]
) -> Ready:
    return Ready(
        device=fingerprint.device_name(place),
        dtype=str(place.dtype).removeprefix("torch."),
        models=shelf.models,
        slots=settings.slots,
        fingerprint=opened.loaded.fingerprint,
        together=opened.loaded.widths.together,
        warnings=(*place.warnings, *_idle_rows(settings), *left_out),
        notes=(
            *opened.notes,
            *(
                costs.sentences(opened.costs, place.mode, settings.rows_by_torch, settings.slots)
                if opened.costs
                else ()
            ),
            *_adapters(opened.loaded.info),
        ),
    )


def _adapters(info: ModelInfo) -> Iterator[str]:
    """What lies in the folders for LoRAs and embeddings, as far as it is of use."""
    fitting = [lora.name for lora in info.loras if not lora.problem]
    if info.loras:
        yield f"Of {len(info.loras)} LoRA files {len(fitting)} fit {info.title}: {_few(fitting)}."
    if info.embeddings:
        words = _few([each.name for each in info.embeddings])
        yield f"Prompts for {info.title} may hold words of {len(info.embeddings)} embeddings: {words}."


def _few(names: Sequence[str]) -> str:
    return ", ".join([*names[:_NAMED], *(["…"] if len(names) > _NAMED else [])]) or "none"


def _idle_rows(settings: EngineSettings) -> Iterator[str]:
    if settings.mode == "wide" and settings.rows != "auto" and settings.rows > 2 * settings.slots:
        yield (
            f"With {settings.slots} slots at most {2 * settings.slots} of the {settings.rows} rows are ever used: "
            "raise slots or lower rows under [engine]."
        )


def _make_folder(settings: EngineSettings) -> None:
    try:
        Path(settings.spool).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BrokenModel(
            f"The folder for finished pictures can't be made ({error.strerror}): check its path and permissions."
        ) from None
