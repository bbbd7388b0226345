"""Recipes: options that belong together and make pictures in less time; knows no model. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from engine.contract.loras import Lora
from engine.contract.samplers import AYS, AYS_STEPS

FEW = 8
"""A model that takes at most so many steps is as quick as it can be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What takes the place of a model's own defaults; the fields are those of a request."""

    steps: int
    guidance_scale: float = 1.0
    sampler: str
    schedule: str = ""
    guidance_until: float = 1.0
    lora: Lora | None = None
    """A few-step LoRA that it takes."""

    def with_own(self, loras: tuple[Lora, ...]) -> tuple[Lora, ...]:
        """These, and its own behind them unless it is among them, with whatever weight."""
        own = self.lora
        return loras if own is None or own.name in {lora.name for lora in loras} else (*loras, own)


def shortened(guidance_scale: float) -> Recipe:
    """For models that nothing else makes quick: ten steps where they matter most, the last of them without guidance."""
    return Recipe(
        steps=AYS_STEPS, guidance_scale=guidance_scale, sampler="DPM++ 2M", schedule=AYS, guidance_until=0.6
    )
