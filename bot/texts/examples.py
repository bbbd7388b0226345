"""Prompts to try, by what a model can draw: words for models, which read English, so that nobody translates them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from engine.contract import STARTER, ModelInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    prompt: str
    is_of_starter: bool
    """Of the model that knows plain coloured shapes alone; all others are told what any model draws."""

    def suits(self, model_id: str) -> bool:
        return self.is_of_starter == (model_id == STARTER)


_OF_STARTER = (
    "a yellow heart left of a purple star on a white background",
    "a small red circle on a blue background --seed 7",
    "a large green boat on a yellow background --ar 3:2",
)
_OF_OTHERS = (
    "a lighthouse at dawn, oil painting",
    "a red fox in the snow, soft morning light --seed 7",
    "a cosy bookshop in a rainy street, watercolour --ar 3:2",
)
EXAMPLES = (
    *(Example(prompt=prompt, is_of_starter=True) for prompt in _OF_STARTER),
    *(Example(prompt=prompt, is_of_starter=False) for prompt in _OF_OTHERS),
)
"""Buttons know them by their places, so that none is ever moved: further ones go to the end."""


def numbers_for(model_id: str) -> list[int]:
    """Which of them suit the model, as the buttons number them."""
    return [number for number, example in enumerate(EXAMPLES) if example.suits(model_id)]


def draws_it(example: Example, models: Iterable[ModelInfo]) -> ModelInfo | None:
    """The first model that draws from words alone and that the example suits."""
    return next((model for model in drawing(models) if example.suits(model.id)), None)


def drawing(models: Iterable[ModelInfo]) -> list[ModelInfo]:
    """Those that need nothing but words."""
    return [m for m in models if m.scale == 1 and not m.needs_mask and not m.references_min]
