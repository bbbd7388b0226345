"""Notices LoRA files that came, changed or went while an engine runs, and says what its models offer then. Knows no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from engine.checkpoints import adapters, few_steps
from engine.checkpoints.architectures import BY_FAMILY
from engine.checkpoints.source import Source
from engine.contract import ModelInfo

Stamps = Mapping[Path, tuple[int, int]]
"""(bytes, time of the last change) of each file."""


class Watched:
    """The folders with LoRAs of all models of an engine."""

    def __init__(self, models: str | None, sources: Mapping[str, Source]) -> None:
        """`models`: the folder with `loras` in it; None: there is none. `sources`: of each model, by its id."""
        self._models, self._sources = models, sources
        self._seen = self._stamps()

    def again(self, offered: tuple[ModelInfo, ...]) -> tuple[ModelInfo, ...] | None:
        """What these models offer now, None where nothing changed since it was last asked."""
        stamps = self._stamps()
        if stamps == self._seen:
            return None
        self._seen = stamps
        return tuple(self._with_loras(info) for info in offered)

    def _with_loras(self, info: ModelInfo) -> ModelInfo:
        if info.id not in self._sources or not BY_FAMILY[info.family].takes_adapters:
            return info
        source = self._sources[info.id]
        fit = adapters.fit_of(source.on_disk, info.family)
        fresh = replace(info, loras=adapters.loras(self._models, fit, source.folder))
        return replace(fresh, quick=few_steps.recipe_for(fresh))

    def _stamps(self) -> Stamps:
        owns = dict.fromkeys(source.folder for source in self._sources.values())
        files = {
            path
            for own in (None, *owns)
            for path in adapters.paths(self._models, adapters.LORAS, own).values()
        }
        return {path: adapters.stamp(path) for path in files}
