"""The forwards of a pipeline's UNet, which pictures share: who computes them, in which widths bits are equal, what one is like.

Knows what rows hold, and no request and no job.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch

from engine import errors
from engine.contract import Lora
from engine.families.explaining import is_out_of_memory
from engine.families.loras import Loras
from engine.families.prompts import Prompts
from engine.families.seamless import circular
from engine.unet.batch import Rows, forward, join, noise, told_sizes
from engine.unet.compiled import CompiledUnet

if TYPE_CHECKING:
    from torch import Tensor

WIDTHS_S = 5.0
"""More widths are tried only on machines on which that takes no longer, slots and all: an engine that is silent looks hung."""


class Shown(Protocol):
    """A picture, as far as forwards know it."""

    loras: tuple[Lora, ...]
    made_with: dict[str, str]
    tile: bool
    """Whether its edges are to meet."""

    @property
    def batch(self) -> Rows:
        """Its rows of the next forward."""
        ...


class Runtime(Protocol):
    """Computes some forwards in the UNet's stead. It knows no LoRA, and no edges that meet."""

    words: str
    """What a fingerprint says of a picture that it was used for."""

    def takes(self, batch: Rows) -> bool:
        """Whether these rows can be given to it now."""
        ...

    def may_take(self, like: Rows, count: int) -> bool:
        """Whether it may turn out to take so many rows that look like these later, though it does not yet."""
        ...

    def __call__(self, batch: Rows) -> Tensor:
        """The prediction for each row. Raises MemoryError for whatever goes wrong in it, and takes none from then on."""
        ...


class Forwards:
    """Those of one pipeline, by the plain UNet or by a runtime beside it."""

    def __init__(self, pipeline: Any, device: torch.device, prompts: Prompts, loras: Loras) -> None:
        self._pipe, self._prompts, self._loras = pipeline, prompts, loras
        self._device = device
        self._compiled: CompiledUnet | None = None
        self._is_tiled = False
        """While pictures are drawn whose edges are to meet."""

    @torch.inference_mode()
    def predict(self, canvases: Sequence[Shown], *, padded: int | None) -> list[Tensor]:
        """One for several pictures, filled up to `padded` rows: (its rows, …) for each of them."""
        self._loras.see(canvases[0].loras)
        pictures = [canvas.batch for canvas in canvases]
        batch = join(pictures, padded=padded)
        with self._drawing(canvases[0]):
            if (runtime := self.runtime_for(batch)) is not None:
                for canvas in canvases:
                    canvas.made_with["unet"] = runtime.words
            predictions = self.run(batch, runtime)
        ends = itertools.accumulate(map(len, pictures))
        return [predictions[end - len(picture) : end] for end, picture in zip(ends, pictures, strict=True)]

    @torch.inference_mode()
    def __call__(self, batch: Rows) -> Tensor:
        """The prediction for each row."""
        return self.run(batch, self.runtime_for(batch))

    def runtime_for(self, batch: Rows) -> Runtime | None:
        """What these rows are given to now; None: the UNet itself."""
        runtime: Runtime | None = self._compiled
        return runtime if runtime and self._is_plain and runtime.takes(batch) else None

    def run(self, batch: Rows, runtime: Runtime | None) -> Tensor:
        return forward(self._pipe.unet, batch) if runtime is None else runtime(batch)

    @property
    def _is_plain(self) -> bool:
        """Whether the UNet draws as it was loaded, which is what runtimes know."""
        return not self._loras.is_seen and not self._is_tiled

    @contextmanager
    def _drawing(self, like: Shown) -> Generator[None]:
        """Within it, forwards are those of pictures like this one."""
        self._is_tiled = like.tile
        try:
            with circular(self._pipe.unet, on=like.tile):
                yield
        finally:
            self._is_tiled = False

    # -------------------------------------------------------------- equal widths

    @torch.inference_mode()
    def equal_widths(self, canvas: Shown, rows: int) -> Sequence[int] | None:
        """Some rows of noise, the same ones moved on by one and by half of the slots, and the first and the last of them
        in forwards of 2, 4, 6 … rows: equal bits everywhere? Half of `rows` is tried first, as long as there is time.

        LoRAs have their whole weight in it: with little of it a difference might be too small to be seen. None while the
        forward that it would be about is still being compiled.
        """
        self._loras.see([replace(lora, weight=1.0) for lora in canvas.loras])
        with self._drawing(canvas):
            return self._equal_widths(canvas.batch, rows)

    def _equal_widths(self, like: Rows, rows: int) -> Sequence[int] | None:
        if self._compiled is not None and self._is_plain and self._compiled.may_take(like, rows):
            return None
        trial = _Trial.of(self, noise(like, rows))
        if not all(trial.slots_agree(shift) for shift in {1, rows // 2}):
            return ()
        equal = [rows]
        for width in sorted(range(2, rows, 2), key=lambda width: width != rows // 2):
            if time.monotonic() - trial.begin > WIDTHS_S:
                break
            try:
                if trial.ends_agree(width):
                    equal.append(width)
            except Exception as error:  # noqa: BLE001 - all slots together went well, and they will do
                is_out_of_memory(error, self._device)
                break
        return equal if self.runtime_for(trial.batch) is trial.runtime else ()

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

    # -------------------------------------------------------------- what is compiled

    def compile_behind(
        self,
        counts: tuple[int, int],
        size: tuple[int, int],
        *,
        file: Path,
        switches: Mapping[str, str],
        worth: float | None = None,
    ) -> None:
        """Begins to compile forwards of (at least, at most) so many rows at `size`, which are used once they are ready.

        `file` is where they are kept. If they take more than `worth` of the plain ones' time they are not used.
        """
        self._compiled = CompiledUnet(
            self._pipe.unet, self.blank(2, size), counts=counts, file=file, switches=switches
        )
        self._compiled.begin(worth=worth)

    @property
    def is_compiled(self) -> bool:
        """Whether something was compiled and is in use."""
        return self._compiled is not None and self._compiled.is_in_use

    def wait_for_compiler(self) -> None:
        """Returns when nothing is being compiled any more."""
        if self._compiled is not None:
            self._compiled.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """Rows of noise, and what they get in one forward; others are compared with that."""

    forwards: Forwards
    batch: Rows
    runtime: Runtime | None
    begin: float
    straight: Tensor

    @classmethod
    def of(cls, forwards: Forwards, batch: Rows) -> _Trial:
        runtime, begin = forwards.runtime_for(batch), time.monotonic()
        straight = forwards.run(batch, runtime)
        return cls(forwards=forwards, batch=batch, runtime=runtime, begin=begin, straight=straight)

    def slots_agree(self, shift: int) -> bool:
        """Whether every row gets its bits in the slot that lies so many further on, too."""
        moved = self.forwards.run(self.batch.each(lambda part: part.roll(shift, 0)), self.runtime)
        return torch.equal(self.straight, moved.roll(-shift, 0))

    def ends_agree(self, width: int) -> bool:
        """Whether the first rows and the last ones get their bits in forwards of so many, too, by the same runtime."""
        count = len(self.batch)
        ends = slice(width), slice(count - width, count)
        if self.forwards.runtime_for(self.batch.cut(ends[0])) is not self.runtime:
            return False
        return all(
            torch.equal(self.forwards.run(self.batch.cut(end), self.runtime), self.straight[end])
            for end in ends
        )
