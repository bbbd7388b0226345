"""Packs what a few pictures need into one UNet batch, runs it, and mixes the answer; knows tensors, no requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Some rows of a UNet batch. With guidance a picture has two, the one without the prompt first."""

    latents: Tensor
    """(rows, channels, height / 8, width / 8)"""
    timesteps: Tensor
    """(rows,), float32: holds whole and fractional timesteps exactly, so that any samplers can share a batch."""
    embeddings: Tensor
    """(rows, tokens, width of the text encoder)"""
    guidance: Tensor | None
    """(rows, n) for models that take the guidance scale as an input."""
    pooled: Tensor | None = None
    """(rows, width of the second text encoder): the whole prompt in one vector, for SDXL."""
    sizes: Tensor | None = None
    """(rows, 6): height and width, crop and again height and width in pixels, for SDXL ("time ids")."""

    def __len__(self) -> int:
        return self.latents.shape[0]

    @property
    def parts(self) -> tuple[Tensor | None, ...]:
        """In the order in which they stand here."""
        return tuple(getattr(self, entry.name) for entry in fields(self))

    @property
    def given(self) -> tuple[Tensor, ...]:
        """Those parts that there are, in the same order."""
        return tuple(part for part in self.parts if part is not None)

    @classmethod
    def of(cls, parts: Iterable[Tensor | None]) -> Rows:
        """The rows of these `parts`."""
        return cls(**dict(zip((entry.name for entry in fields(cls)), parts, strict=True)))  # pyright: ignore[reportArgumentType]

    def each(self, act: Callable[[Tensor], Tensor]) -> Rows:
        """The same rows, changed part by part."""
        return Rows.of(None if part is None else act(part) for part in self.parts)

    def cut(self, some: slice) -> Rows:
        """Some of these rows."""
        return self.each(lambda part: part[some])


def of_picture(
    *,
    latents: Tensor,
    timestep: Tensor,
    embeddings: Tensor,
    guidance: Tensor | None = None,
    pooled: Tensor | None = None,
    sizes: Tensor | None = None,
) -> Rows:
    """The rows of one picture: as many as it has embeddings, all of the same latents and timestep."""
    import torch

    rows = embeddings.shape[0]
    times = torch.full((rows,), float(timestep), dtype=torch.float32, device=latents.device)
    repeated = torch.cat([latents] * rows) if rows > 1 else latents
    return Rows(
        latents=repeated,
        timesteps=times,
        embeddings=embeddings,
        guidance=guidance,
        pooled=pooled,
        sizes=sizes,
    )


def told_sizes(embeddings: Tensor, size: tuple[int, int]) -> Tensor:
    """(rows, 6): what SDXL's rows of these embeddings are told of a picture of `size` (width, height)."""
    width, height = size
    told = [height, width, 0, 0, height, width]
    return embeddings.new_tensor([told] * len(embeddings))


def noise(like: Rows, count: int) -> Rows:
    """So many rows of noise that look like these, at timesteps of all sizes; always the same."""
    import torch

    generator = torch.Generator("cpu").manual_seed(0)

    def drawn(part: Tensor) -> Tensor:
        numbers = torch.randn((count, *part.shape[1:]), generator=generator, dtype=torch.float32)
        return numbers.to(part.device, part.dtype)

    times = torch.linspace(1, 999, count).round().to(like.timesteps.device)
    return replace(like.each(drawn), timesteps=times)


def join(pictures: Sequence[Rows], *, padded: int | None = None) -> Rows:
    """One batch of all their rows, one picture after the other, filled up with rows of zeros to `padded`.

    Only a picture alone in a forward of its own keeps its layout in memory, as in `pipe()`: of those that share one
    the neighbours must not be able to tell.
    """
    if len(pictures) == 1 and padded is None:
        return pictures[0]
    missing = (padded or 0) - sum(len(rows) for rows in pictures)

    parts = {entry.name: [getattr(rows, entry.name) for rows in pictures] for entry in fields(Rows)}
    joined: dict[str, Any] = {
        name: None if tensors[0] is None else _stacked(tensors, missing) for name, tensors in parts.items()
    }
    return Rows(**joined)


def _stacked(parts: list[Tensor], missing: int) -> Tensor:
    import torch

    first = parts[0]
    filler = [first.new_zeros((missing, *first.shape[1:]))] if missing > 0 else []
    return torch.cat([*(part.contiguous() for part in parts), *filler])


def forward(unet: Any, rows: Rows) -> Tensor:
    """The prediction for each row; what only SDXL's UNet takes is left out for others."""
    added = {"text_embeds": rows.pooled, "time_ids": rows.sizes}
    return unet(
        rows.latents,
        rows.timesteps,
        encoder_hidden_states=rows.embeddings,
        timestep_cond=rows.guidance,
        added_cond_kwargs=None if rows.pooled is None else added,
        return_dict=False,
    )[0]


def mix(prediction: Tensor, scale: float) -> Tensor:
    """What the sampler is given: away from the row without the prompt, towards the one with it."""
    if prediction.shape[0] == 1:
        return prediction
    without, with_prompt = prediction.chunk(2)
    return without + scale * (with_prompt - without)
