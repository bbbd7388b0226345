"""Which models there are, and which of them are loaded: on demand, and out again by least recent use.

Knows neither torch nor requests: opening a model, and what it takes, is its `ModelOpener`'s business.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Generator, Iterable, Sequence, Set
from dataclasses import replace
from typing import Protocol

from engine.contract import InvalidRequest, ModelInfo, choice_of
from engine.errors import BrokenModel
from engine.loop.job import Loaded

_log = logging.getLogger("easel.engine")


LOOK_EVERY_S = 1.0
PATIENCE_S = 10.0
"""What was let go may still be held for a moment, by a preview, or while OpenVINO is made ready for it."""


class ModelOpener(Protocol):
    """Where models come from."""

    def open(self, model_id: str) -> Generator[None, None, Loaded]:
        """Loads one part between two pauses; raises BrokenModel, or what the device raises."""
        ...

    def size_of(self, model_id: str) -> int:
        """Bytes that it takes where there is room. Raises BrokenModel."""
        ...

    def least_of(self, model_id: str) -> int:
        """Bytes without which it can't be drawn with at all. Raises BrokenModel."""
        ...

    def reclaim(self) -> int | None:
        """Gives back what nobody uses any more. Bytes that are then free where models go, None where nobody can tell."""
        ...


class Shelf:
    """The models of one engine. `first` is loaded from the beginning; the others are when somebody wants them."""

    def __init__(
        self,
        first: Loaded,
        others: Sequence[ModelInfo] = (),
        source: ModelOpener | None = None,
        *,
        limit: int | None = None,
        unload_after_s: float = 0.0,
    ) -> None:
        """`limit`: bytes that all loaded models may take together; without it, what is free.

        `unload_after_s`: after so long with nothing to do all of them are to leave; 0: never.
        """
        self._models = {info.id: info for info in (first.info, *others)}
        self._source, self._limit = source, limit
        self._loaded = OrderedDict({first.info.id: first})
        """The least recently used first."""
        self._opening: tuple[str, Generator[None, None, Loaded]] | None = None
        self._blocked: tuple[str, Set[str], tuple[str, ...]] | None = None
        """What had no room when it was last looked at: the model, those in use and those loaded."""
        self._unload_after_s, self._busy_at = unload_after_s, time.monotonic()
        self._look_at = self._refuse_at = 0.0
        """When it is looked at again; when it is given up although nothing else is loaded."""

    @property
    def models(self) -> tuple[ModelInfo, ...]:
        """What is offered, the first one by default."""
        return tuple(self._models.values())

    @property
    def loaded(self) -> tuple[str, ...]:
        """The ids of those that are loaded, the least recently used first."""
        return tuple(self._loaded)

    @property
    def resident(self) -> tuple[Loaded, ...]:
        """Those that are loaded."""
        return tuple(self._loaded.values())

    @property
    def is_opening(self) -> bool:
        return self._opening is not None

    def offer(self, models: Sequence[ModelInfo]) -> None:
        """The same models, with what lies beside them now."""
        self._models = {info.id: info for info in models}
        for loaded in self._loaded.values():
            self._tell_loras(loaded)

    def _tell_loras(self, loaded: Loaded) -> None:
        """What lies beside a model may have changed since it was loaded, or began to be."""
        now = self._models[loaded.info.id]
        loaded.info = replace(loaded.info, loras=now.loras, quick=now.quick)

    def info(self, model_id: str) -> ModelInfo:
        """Raises InvalidRequest where there is no such model."""
        if model_id not in self._models:
            raise InvalidRequest(
                f"There is no model “{model_id[:60]}” here: use {choice_of(model_id, [*self._models])}."
            )
        return self._models[model_id]

    def fetch(self, model_id: str, *, in_use: Set[str]) -> Loaded | None:
        """The model; None while it is not loaded yet, and then another part of it is: ask again, in the next tick.

        What is `in_use` stays. Raises BrokenModel where it can't be loaded, or what the device raises.
        """
        if model_id in self._loaded:
            self._loaded.move_to_end(model_id)
            return self._loaded[model_id]
        if self._opening is None or self._opening[0] != model_id:
            self.give_up()
            if not self._has_room(model_id, in_use):
                return None
            assert self._source is not None  # without one every model is loaded
            self._opening = model_id, self._source.open(model_id)
        return self._open_further(*self._opening)

    def is_left_alone(self, *, is_busy: bool) -> bool:
        """Whether nobody has drawn for so long that all are to leave. To be asked in every tick."""
        now = time.monotonic()
        if is_busy or not self._loaded:
            self._busy_at = now
        return 0 < self._unload_after_s <= now - self._busy_at

    def drop(self, model_ids: Iterable[str]) -> None:
        """These leave, if they are there; whoever wants one again has it loaded again."""
        assert self._source is not None  # which brings them back
        for leaving in model_ids:
            if self._loaded.pop(leaving, None) is not None:
                _log.info("the model %s left", leaving)
        self._source.reclaim()

    def give_up(self) -> None:
        """What is half loaded is wanted no more."""
        if self._opening is not None:
            self._opening[1].close()
            self._opening = None

    def _open_further(self, model_id: str, parts: Generator[None, None, Loaded]) -> Loaded | None:
        try:
            next(parts)
        except StopIteration as done:
            self._opening = None
            loaded: Loaded = done.value
            self._tell_loras(loaded)
            self._loaded[model_id] = loaded
            return loaded
        except BaseException:
            self._opening = None
            raise
        return None

    def _has_room(self, model_id: str, in_use: Set[str]) -> bool:
        """As `_make_room`, asked anew only where something changed, or now and then: looking takes as long as a step."""
        now = time.monotonic()
        asked = model_id, frozenset(in_use), self.loaded
        if asked == self._blocked and now < self._look_at:
            return False
        if self._blocked is None or self._blocked[0] != model_id:
            self._refuse_at = now + PATIENCE_S
        if self._make_room(model_id, in_use):
            self._blocked = None
            return True
        self._blocked, self._look_at = (model_id, asked[1], self.loaded), now + LOOK_EVERY_S
        return False

    def _make_room(self, model_id: str, in_use: Set[str]) -> bool:
        """False where it has to wait for those in use, or for memory that comes back late.

        Raises BrokenModel where it would fit not even alone.
        """
        assert self._source is not None
        wanted, least = self._source.size_of(model_id), self._source.least_of(model_id)
        title = self._models[model_id].title
        if self._limit is not None and wanted > self._limit:
            raise BrokenModel(
                f"The model {title} takes more than memory_gb under [models] allows: the bot's owner can raise that."
            )
        sizes, free = (
            {name: loaded.size_bytes for name, loaded in self._loaded.items()},
            self._source.reclaim(),
        )
        if self._loaded and free is not None and least > free + sum(sizes.values()):
            raise _no_room(title)
        for leaving in [loaded for loaded in self._loaded if loaded not in in_use]:
            if self._fits(wanted, sizes.values(), free):
                return True
            del self._loaded[leaving], sizes[leaving]
            free = self._source.reclaim()
            _log.info("the model %s left for %s", leaving, model_id)
        if self._fits(least if not self._loaded else wanted, sizes.values(), free):
            return True
        if not self._loaded and time.monotonic() >= self._refuse_at:
            raise _no_room(title)
        return False

    def _fits(self, wanted: int, beside: Iterable[int], free: int | None) -> bool:
        """Whether so many bytes have room beside models of these sizes, with so many free."""
        if self._limit is not None and sum(beside) + wanted > self._limit:
            return False
        return free is None or wanted <= free


def _no_room(title: str) -> BrokenModel:
    return BrokenModel(f"There is no room in this machine's memory for the model {title}: use a smaller one.")
