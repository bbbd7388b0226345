"""What of a request matters to its picture, for the chat and for the shell alike. Pure; knows no words of theirs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from engine.contract import GenerationRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFacts:
    """What was asked for, and None or empty for what makes no difference to the picture."""

    prompt: str
    negative_prompt: str
    size: str
    """Of the finished picture."""
    steps: int | None
    guidance: float | None
    seed: int | None
    last_seed: int | None
    """Of the last image where there are several."""
    sampler: str | None
    schedule: str
    """Empty where it is the sampler's own."""
    guidance_until: float | None
    """Share of the steps after which it is left out."""
    images: int
    model: str
    loras: str
    """As an option takes them; empty where there are none."""
    has_image: bool
    has_mask: bool
    references: int
    """How many images are edited."""
    strength: float | None
    """How much of the image is redrawn."""
    upscale: int | None
    """How many times as large it is made; its size follows from that."""
    is_plain: bool
    """Enlarged by arithmetic alone."""
    is_tiled: bool
    """Its edges meet."""

    @classmethod
    def of(cls, request: GenerationRequest) -> Self:
        is_drawn = not request.is_seedless
        several = request.images > 1
        return cls(
            prompt=request.prompt,
            negative_prompt=request.negative_prompt if is_drawn else "",
            size=request.size,
            steps=request.steps if is_drawn else None,
            guidance=request.guidance_scale if is_drawn else None,
            seed=request.seed if is_drawn else None,
            last_seed=request.seed_of(request.images - 1) if is_drawn and several else None,
            sampler=request.sampler if is_drawn or request.is_plain else None,
            schedule=request.schedule if is_drawn else "",
            guidance_until=request.guidance_until if is_drawn and _is_cut_off(request) else None,
            images=request.images if is_drawn else 1,
            model=request.model,
            loras=", ".join(map(str, request.loras)),
            has_image=request.image is not None,
            has_mask=request.mask is not None,
            references=len(request.references),
            strength=request.strength if is_drawn else None,
            upscale=request.upscale if request.upscale > 1 else None,
            is_plain=request.is_plain,
            is_tiled=request.tile and is_drawn,
        )


def _is_cut_off(request: GenerationRequest) -> bool:
    return request.guidance_until < 1 and request.guidance_scale > 1
