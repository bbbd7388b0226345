"""The forwards of a pipeline's UNet, which pictures share: who computes them, in which widths bits are equal, what one is like.

Knows what rows hold, and no request and no job.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import torch

from engine import errors
from engine.contract import Lora
from engine.device.offload import Offloads
from engine.families.explaining import is_out_of_memory
from engine.families.loras import Loras
from engine.families.prompts import Prompts
from engine.families.seamless import circular
from engine.unet.batch import Rows, forward, join, noise, told_sizes

if TYPE_CHECKING:
    from torch import Tensor

FAILED = "OpenVINO, then torch"
"""What a fingerprint says of a picture whose runtime failed while it was drawn: nobody can draw that again to the bit."""
WIDTHS_S = 5.0
"""More widths are tried only on machines on which that takes no longer, slots and all: an engine that is silent looks hung."""


class Runtime(Protocol):
    """Computes a pipeline's UNet and decoder in torch's stead, as they are, or were once taught. It knows no edges that meet."""

    @property
    def words(self) -> str:
        """What a fingerprint says of a picture that it computed."""
        ...

    @property
    def rows(self) -> int:
        """That a forward may have, as many as pay."""
        ...

    @property
    def is_in_use(self) -> bool: ...

    @property
    def is_pending(self) -> bool:
        """Whether it may turn out to be used, though it is not yet."""
        ...

    def suits(self, like: Rows) -> bool:
        """Whether rows that look like these are for it, ready or not."""
        ...

    def __call__(self, batch: Rows) -> Tensor:
        """The prediction for each row. Raises MemoryError for whatever goes wrong in it, and is used no more."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Pixels of latents, as the VAE takes and gives them. Raises as calling it does."""
        ...


@dataclass(slots=True, kw_only=True)
class Taught:
    """A runtime for pictures that are drawn with one LoRA alone, made when the first of them is asked for."""

    lora: Lora
    make: Callable[[], Runtime | None]
    """None where it can't be."""
    is_made: bool = False
    made: Runtime | None = None

    @property
    def runtime(self) -> Runtime | None:
        if not self.is_made:
            self.is_made = True  # whatever becomes of it: a second try would end as the first
            self.made = self.make()
        return self.made


class Shown(Protocol):
    """A picture, as far as forwards know it."""

    loras: tuple[Lora, ...]
    made_with: dict[str, str]
    tile: bool
    """Whether its edges are to meet."""
    runtime: Runtime | None
    """What it began with, and is drawn with to the end unless that fails; None: torch."""

    @property
    def batch(self) -> Rows:
        """Its rows of the next forward."""
        ...


class Forwards:
    """Those of one pipeline, by torch or by a runtime beside it."""

    def __init__(self, pipeline: Any, device: torch.device, prompts: Prompts, loras: Loras) -> None:
        self._pipe, self._prompts, self._loras = pipeline, prompts, loras
        self._device = device
        self.runtime: Runtime | None = None
        """For pictures that begin from now on, as soon as it is in use."""
        self.taught: Taught | None = None
        """The same for those with a recipe's LoRA."""
        self.offloads: Offloads | None = None
        """Torch's networks, where they may leave the memory."""
        loras.need_unet = self._need_unet

    def runtime_for(self, canvas: Shown) -> Runtime | None:
        """What a picture that begins now is drawn with."""
        runtime = self._wanted(canvas)
        return runtime if runtime and runtime.is_in_use else None

    def _wanted(self, canvas: Shown) -> Runtime | None:
        """What pictures like this one are drawn with once it is in use."""
        runtime = None
        if not canvas.loras:
            runtime = self.runtime
        elif self.taught is not None and canvas.loras == (self.taught.lora,):
            runtime = self.taught.runtime
        return runtime if runtime and not canvas.tile and runtime.suits(canvas.batch) else None

    def unet_with(self, lora: Lora) -> Any:
        """As `Loras.taught`."""
        self._need_unet()
        return self._loras.taught(lora)

    def digests(self, lora: Lora) -> Mapping[str, str]:
        """As `Loras.digests`, of one that a picture was prepared with."""
        return self._loras.digests((lora,))

    @torch.inference_mode()
    def predict(self, canvases: Sequence[Shown], *, padded: int | None) -> list[Tensor]:
        """One for several pictures, filled up to `padded` rows: (its rows, …) for each of them."""
        pictures = [canvas.batch for canvas in canvases]
        batch = join(pictures, padded=padded)
        predictions = self.run(batch, canvases[0])
        if (runtime := canvases[0].runtime) is not None:
            for canvas in canvases:
                canvas.made_with["runtime"] = runtime.words if runtime.is_in_use else FAILED
        ends = itertools.accumulate(map(len, pictures))
        return [predictions[end - len(picture) : end] for end, picture in zip(ends, pictures, strict=True)]

    @torch.inference_mode()
    def __call__(self, batch: Rows) -> Tensor:
        """The prediction for each row, by torch."""
        self._need_unet()
        return forward(self._pipe.unet, batch)

    def run(self, batch: Rows, like: Shown) -> Tensor:
        """The prediction for rows of pictures like this one."""
        if like.runtime is not None and like.runtime.is_in_use:
            return like.runtime(batch)
        self._need_unet()
        self._loras.see(like.loras)
        with circular(self._pipe.unet, on=like.tile):
            return forward(self._pipe.unet, batch)

    # -------------------------------------------------------------- torch's own networks

    def spare(self, canvases: Sequence[Shown]) -> None:
        """Torch's networks leave the memory, if neither these pictures, all that are under way, need them, nor a runtime that is
        being made: until somebody does again."""
        if self.offloads is None or self.runtime is None or not self.runtime.is_in_use:
            return
        taught = self.taught.made if self.taught is not None else None
        if self.runtime.is_pending or (taught is not None and taught.is_pending):
            return
        if all(canvas.runtime is not None and canvas.runtime.is_in_use for canvas in canvases):
            self.offloads.rest()

    def need_decoder(self) -> None:
        """Torch's is there. Raises BrokenModel or MemoryError."""
        if self.offloads is not None:
            self.offloads.decoder.need()

    def _need_unet(self) -> None:
        if self.offloads is not None:
            self.offloads.unet.need()

    # -------------------------------------------------------------- equal widths

    @torch.inference_mode()
    def equal_widths(self, canvas: Shown, rows: int) -> Sequence[int] | None:
        """Some rows of noise, the same ones moved on by one and by half of the slots, and the first and the last of them
        in forwards of fewer rows: equal bits everywhere? Half of `rows` is tried first, then even numbers, since most
        pictures have two rows, then odd ones, as long as there is time.

        LoRAs have their whole weight in it: with little of it a difference might be too small to be seen. None while the
        runtime that such pictures will be drawn with is not ready.
        """
        if canvas.runtime is None and (coming := self._wanted(canvas)) is not None and coming.is_pending:
            return None
        if canvas.runtime is not None and not canvas.runtime.is_in_use:
            return ()  # it goes on alone
        like = _Weighty(canvas)
        trial = _Trial.of(lambda batch: self.run(batch, like), noise(canvas.batch, rows))
        if not all(trial.slots_agree(shift) for shift in {1, rows // 2}):
            return ()
        equal = [rows]
        for width in sorted(range(1, rows), key=lambda width: (width != rows // 2, width % 2, width)):
            if time.monotonic() - trial.begin > WIDTHS_S:
                break
            try:
                if trial.ends_agree(width):
                    equal.append(width)
            except Exception as error:  # noqa: BLE001 - all slots together went well, and they will do
                is_out_of_memory(error, self._device)
                break
        failed = canvas.runtime is not None and not canvas.runtime.is_in_use
        return () if failed else equal

    # -------------------------------------------------------------- what is measured

    @torch.inference_mode()
    def blank(self, count: int, size: tuple[int, int]) -> Rows:
        """Rows of zeros for pictures of `size` (width, height) in pixels, with an empty prompt."""
        unet, scale = self._pipe.unet, self._pipe.vae_scale_factor
        text = self._prompts.encode("")
        encoded = text.embeddings.repeat(count, 1, 1)
        like: dict[str, Any] = {"device": self._device, "dtype": encoded.dtype}
        condition = unet.config.time_cond_proj_dim
        return Rows(
            latents=torch.zeros((count, unet.config.in_channels, size[1] // scale, size[0] // scale), **like),
            timesteps=torch.full((count,), 500.0, device=self._device),
            embeddings=encoded,
            guidance=None if condition is None else torch.zeros((count, condition), **like),
            pooled=None if text.pooled is None else text.pooled.repeat(count, 1),
            sizes=None if text.pooled is None else told_sizes(encoded, size),
        )

    def rehearse(self, rows: int, size: tuple[int, int]) -> None:
        """One forward of so many rows at `size` (width, height) in pixels; returns when it is done."""
        try:
            self(self.blank(rows, size))
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)
        except RuntimeError as error:  # who measures takes it for a lack of memory
            errors.check_device(error)
            raise


class _Weighty:
    """A picture like another one, its LoRAs with their whole weight."""

    def __init__(self, canvas: Shown) -> None:
        self.loras = tuple(replace(lora, weight=1.0) for lora in canvas.loras)
        self.tile, self.runtime, self.batch = canvas.tile, canvas.runtime, canvas.batch
        self.made_with: dict[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """Rows of noise, and what they get in one forward; others are compared with that."""

    run: Callable[[Rows], Tensor]
    batch: Rows
    begin: float
    straight: Tensor

    @classmethod
    def of(cls, run: Callable[[Rows], Tensor], batch: Rows) -> _Trial:
        begin = time.monotonic()
        return cls(run=run, batch=batch, begin=begin, straight=run(batch))

    def slots_agree(self, shift: int) -> bool:
        """Whether every row gets its bits in the slot that lies so many further on, too."""
        moved = self.run(self.batch.each(lambda part: part.roll(shift, 0)))
        return torch.equal(self.straight, moved.roll(-shift, 0))

    def ends_agree(self, width: int) -> bool:
        """Whether the first rows and the last ones get their bits in forwards of so many, too."""
        count = len(self.batch)
        return all(
            torch.equal(self.run(self.batch.cut(end)), self.straight[end])
            for end in (slice(width), slice(count - width, count))
        )
