"""Which models are offered, and which of them is meant. Knows of the engine what it says of itself, and no person."""

from __future__ import annotations

import asyncio
import contextlib

from bot.core.asking.offer import Offer, for_upscaling, offers
from bot.core.asking.refused import NoSuchModel, Unmet
from bot.core.engines.fleet import Fleet
from bot.core.engines.status import Phase
from bot.core.held_up import NotOffered, why_nothing_is_offered
from engine.contract import ModelInfo

DEFAULT_MODEL = "default model"
"""The note that keeps which one the operator wants to be used where none is named."""
DESCRIBED_WITHIN_S = 1.5
"""An engine says what it offers well within this; an answer to Discord is due after 3 s."""


class Catalogue:
    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._default: str | None = None
        self._told: tuple[ModelInfo, ...] = ()
        """As the engine told of them when they were put in order last."""
        self._models: tuple[ModelInfo, ...] = ()
        self._offered: tuple[tuple[ModelInfo, ...], tuple[Offer, ...]] = ((), ())

    async def described(self) -> None:
        """Waits a moment for an engine that was started just now to say what it offers."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DESCRIBED_WITHIN_S):
                await self._fleet.described.wait()

    def prefer(self, model_id: str | None) -> None:
        """This one is used where none is named, as long as it is offered; None: the one that is configured."""
        self._default, self._told = model_id, ()

    @property
    def models(self) -> tuple[ModelInfo, ...]:
        """The first is used where none is named; empty while nobody knows what is offered."""
        told = self._fleet.status.models
        if self._told is not told:
            self._told = told
            self._models = tuple(sorted(told, key=lambda model: model.id != self._default))
        return self._models

    @property
    def offers(self) -> tuple[Offer, ...]:
        """These models, and all LoRAs and embeddings for them."""
        models = self.models
        if self._offered[0] is not models:  # people are answered from it with every letter they type
            self._offered = models, offers(models)
        return self._offered[1]

    def model(self, name: str | None = None, *, upscale: int = 1) -> ModelInfo:
        """The named model, or the one used when none is named, to upscale or not; raises Unmet."""
        models = self.models
        if not models:
            raise Unmet(why_nothing_is_offered(self._fleet.status))
        if not name:
            return models[0] if upscale == 1 else for_upscaling(models, upscale)
        # Folders of the hub's models are called owner--name.
        wanted = {name.casefold(), name.replace("--", "/", 1).casefold()}
        for model in models:
            if wanted & {model.id.casefold(), model.title.casefold()}:
                return model
        raise Unmet(NoSuchModel(name=name, offered=tuple(model.id for model in models)))

    def editor(self) -> ModelInfo | None:
        """The first that edits by instruction, if there is one."""
        return next((model for model in self.models if model.edits_by_instruction), None)

    def for_editing(self) -> ModelInfo:
        """What changes a picture where no model is named: one that follows instructions, else one that starts from pictures.

        Raises Unmet.
        """
        first = self.editor() or self.model()
        if first.edits_by_instruction:
            return first
        able = (
            model for model in self.models if model.takes_images and not model.needs_mask and model.scale == 1
        )
        return next(able, first)

    def for_enlarging(self, name: str, times: int) -> ModelInfo:
        """What enlarges a picture that the named model drew: an upscaler if there is one, else that model. Raises Unmet."""
        able = (model for model in self.models if model.scale >= times)
        return next(able, None) or self.model(name)

    def why_nothing_is_drawn(self) -> NotOffered | None:
        """Where the engine does not work, and nobody knows when it will; None while it does, or starts."""
        if self._fleet.status.phase in (Phase.BROKEN, Phase.PAUSED):
            return why_nothing_is_offered(self._fleet.status)
        return None
