"""What makes a model quick: the recipe of its owner, a few-step LoRA beside it, or fewer steps of its own; knows no weights."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import replace

from engine.contract import Lora, ModelInfo, Recipe
from engine.contract.recipes import FEW, shortened
from engine.contract.samplers import SGM_UNIFORM

_log = logging.getLogger("easel.engine")
_STEPS = re.compile(r"(\d+)[-_ ]?steps?")
_GUIDED = re.compile(r"(?<![a-z])cfg(?![a-z])")
_MAKERS: tuple[tuple[re.Pattern[str], Recipe], ...] = (
    (re.compile(r"dmd2"), Recipe(steps=4, sampler="LCM")),
    (re.compile(r"hyper[-_ ]?sd(?![a-wyz])"), Recipe(steps=8, sampler="DDIM", schedule=SGM_UNIFORM)),
    (re.compile(r"lightning.*step"), Recipe(steps=4, sampler="Euler", schedule=SGM_UNIFORM)),
    (
        re.compile(r"(?<![a-z])tcd(?![a-z]).*(lora|sd)|lora.*(?<![a-z])tcd(?![a-z])"),
        Recipe(steps=4, sampler="TCD"),
    ),
    (re.compile(r"turbo.*(lora|step)|lora.*turbo"), Recipe(steps=4, sampler="Euler a", schedule=SGM_UNIFORM)),
    (re.compile(r"(?<![a-z])lcm(?![a-z])"), Recipe(steps=4, sampler="LCM")),
)
"""What published few-step LoRAs are called, and how the cards of the first of each kind say they are drawn with: DMD2 (tianweiy),
Hyper-SD (ByteDance), SDXL-Lightning (ByteDance), TCD (h1t), SDXL-Turbo (Stability AI), LCM-LoRA (latent-consistency). The
better ones come first."""
_GUIDANCE = 5.0
"""For those of Hyper-SD that keep guidance ("CFG" in their names), as their card says."""


def recipe_for(info: ModelInfo) -> Recipe | None:
    """For a model with its LoRAs known; None where it takes few steps anyway, or nothing is known that suits it."""
    told, usable = info.quick, {lora.name for lora in info.loras if not lora.problem}
    if told is not None:
        if told.lora is None or told.lora.name in usable:
            return told
        _log.warning(
            "the LoRA “%s” of the quick recipe of %s can't be used: another recipe is",
            told.lora.name,
            info.id,
        )
    if info.steps <= FEW:
        return None
    found = next(_published(info, usable), None)
    own = shortened(info.guidance_scale)
    return found or (own if own.sampler in info.samplers else None)


def _published(info: ModelInfo, usable: set[str]) -> Iterator[Recipe]:
    for name, recipe in _MAKERS:
        fitting = [
            replace(recipe, lora=Lora(name=lora), **_told(lora))
            for lora in sorted(usable)
            if name.search(lora.lower())
        ]
        few = [each for each in fitting if each.steps <= FEW and each.sampler in info.samplers]
        yield from sorted(few, key=lambda each: -each.steps)


def _told(lora: str) -> dict[str, float]:
    """What the name of the file says itself. One that is for a single step is drawn with more: that one looks poor."""
    found = _STEPS.search(lora.lower())
    told: dict[str, float] = {"steps": max(2, int(found[1]))} if found and len(found[1]) < 4 else {}
    return told | ({"guidance_scale": _GUIDANCE} if _GUIDED.search(lora.lower()) else {})
