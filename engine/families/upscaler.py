"""Enlarges images with an upscaler's network, tile by tile; knows no queue and no job.

A tile is what others call a step: in between others are served, a cancel ends it at its next tile, and progress and
previews come with them. Each tile is computed with a margin that is cut off again, so that no seam shows. Networks have a
scale of their own; a smaller one is had by shrinking each tile with Lanczos, which reaches less far than the margin.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import torch
from PIL import Image

from engine.contract import GenerationRequest
from engine.errors import NotFinite
from engine.families import preview, tiles
from engine.families.explaining import Explaining, check_finite
from engine.families.forwards import FAILED
from engine.families.lanczos import checked_size
from engine.families.tiles import Tile
from engine.pictures.decoding import Inputs

if TYPE_CHECKING:
    from torch import Tensor

SIDE_GPU, SIDE_ELSEWHERE = 256, 128
"""Pixels of an image that a tile holds, at most. A GPU is not filled by less; a processor would be at it for too long."""
SIDE_LEAST = 32
"""Where memory is short tiles are quartered down to this."""
Part = tuple[Tile, "Tensor"]
"""A tile and its enlarged pixels, margin included: (1, 3, height, width) of 0 … 1."""


class Runtime(Protocol):
    """Computes an upscaler's network in torch's stead."""

    @property
    def words(self) -> str:
        """What a fingerprint says of a picture that it computed."""
        ...

    @property
    def is_in_use(self) -> bool: ...

    def suits(self, sizes: Collection[tuple[int, int]]) -> bool:
        """Whether tiles of these sizes (width, height) are for it, once it is in use."""
        ...

    def __call__(self, pixels: Tensor) -> Tensor:
        """Enlarged pixels. Raises MemoryError for whatever goes wrong in it, and is used no more."""
        ...


@dataclass(slots=True, eq=False, kw_only=True)
class UpscaleCanvas:
    """One image under way."""

    source: Image.Image
    """RGB."""
    image: Image.Image
    """The picture as far as it is: enlarged without the network where that was not yet."""
    times: int
    tiles: list[Tile]
    notes: tuple[str, ...]
    runtime: Runtime | None
    """What it began with, and is enlarged with to the end unless that fails; None: torch."""
    made_with: dict[str, str] = field(default_factory=dict[str, str])
    done: int = 0

    @property
    def left(self) -> int:
        return len(self.tiles) - self.done

    @property
    def widest(self) -> None:
        return None

    @property
    def rows(self) -> int:
        return 1

    @property
    def shape(self) -> Hashable:
        """Tiles share no forward: nothing is saved by it, and turns would get longer."""
        return id(self)


class UpscaleFamily(Explaining):
    """One upscaler, as spandrel loads it."""

    forwards = None
    checker = None

    def __init__(self, network: Any) -> None:
        self._network = network
        self._device: torch.device = network.device
        self._side_min = 0
        self._scale: int = network.scale
        self._side = SIDE_GPU if self._device.type == "cuda" else SIDE_ELSEWHERE
        self.runtime: Runtime | None = None
        """For pictures that begin from now on, as soon as it is in use."""

    # -------------------------------------------------------------- a picture's life

    def prepare(self, request: GenerationRequest, seed: int, inputs: Inputs | None = None) -> UpscaleCanvas:
        """Raises InvalidRequest for an image of another size than was said of it."""
        del seed  # there is no noise in it
        assert inputs is not None  # an enlargement has an image
        source = inputs.image
        image = source.resize(checked_size(request, source.size), Image.Resampling.LANCZOS)
        cut = tiles.cut(source.size, self._side)
        return UpscaleCanvas(
            source=source,
            image=image,
            times=request.upscale,
            tiles=cut,
            notes=inputs.notes,
            runtime=self._runtime_for(cut),
        )

    def _runtime_for(self, cut: Sequence[Tile]) -> Runtime | None:
        runtime = self.runtime
        if runtime is None or not runtime.is_in_use:
            return None
        seen = {(right - left, bottom - top) for left, top, right, bottom in (tile.seen for tile in cut)}
        return runtime if runtime.suits(seen) else None

    @torch.inference_mode()
    def predict(self, canvases: Sequence[UpscaleCanvas], *, padded: int | None) -> list[list[Part]]:
        """The next tile of each, in parts where memory is too short for all of it."""
        del padded  # they share no forward
        return [self._next(canvas) for canvas in canvases]

    def _next(self, canvas: UpscaleCanvas) -> list[Part]:
        tile, runtime = canvas.tiles[canvas.done], canvas.runtime
        if runtime is not None and runtime.is_in_use:
            with suppress(MemoryError):  # it has said why
                made = self._forward(canvas.source.crop(tile.seen), runtime)
                canvas.made_with["runtime"] = runtime.words
                return [(tile, made)]
        if runtime is not None:
            canvas.made_with["runtime"] = FAILED
        return self._enlarged(canvas.source, tile)

    def advance(self, canvas: UpscaleCanvas, prediction: Sequence[Part], *, look: bool) -> None:
        del look
        for tile, pixels in prediction:
            check_finite(pixels)
            _paste(canvas, tile, _picture(pixels))
        canvas.done += 1

    def sketch(self, canvas: UpscaleCanvas) -> Callable[[], bytes]:
        factor = max(1, min(canvas.image.size) // preview.SIDE)
        return partial(preview.jpeg_of, canvas.image.reduce(factor))  # a copy: others are pasted meanwhile

    def decode(self, canvas: UpscaleCanvas, *, sparing: bool) -> Image.Image:
        del sparing
        return canvas.image

    @torch.inference_mode()
    def self_test(self, size: tuple[int, int]) -> None:
        """A grey tile of `size` (width, height). Raises NotFinite, or what the device raises.

        A network whose numbers are too large for float16 computes in float32 from then on.
        """
        grey = Image.new("RGB", size, "grey")
        try:
            check_finite(self._forward(grey, self._network))
        except NotFinite:
            if self._network.dtype is torch.float32:
                raise
            self._network.float()
            check_finite(self._forward(grey, self._network))

    @property
    def dtype(self) -> str:
        """What the network computes in, as fingerprints name it."""
        return str(self._network.dtype).removeprefix("torch.")

    # -------------------------------------------------------------- its parts

    def explain(self, error: Exception, request: GenerationRequest) -> str:
        if isinstance(error, NotFinite):
            return f"{request.model} makes no picture of this image in {self.dtype}: name another upscaler."
        if self.is_out_of_memory(error):
            return f"There is not enough memory to enlarge with {request.model}: try again when fewer people are drawing."
        return super().explain(error, request)

    def _enlarged(self, source: Image.Image, tile: Tile) -> list[Part]:
        try:
            return [(tile, self._forward(source.crop(tile.seen), self._network))]
        except Exception as error:
            if not self.is_out_of_memory(error) or tile.side <= SIDE_LEAST:
                raise
        # Only here, where nothing holds the failed forward's tensors any more.
        half = max(SIDE_LEAST, -(-tile.side // (2 * tiles.MARGIN)) * tiles.MARGIN)
        parts = tiles.cut(source.size, half, within=tile.core)
        return [done for part in parts for done in self._enlarged(source, part)]

    def _forward(self, image: Image.Image, compute: Callable[[Tensor], Tensor]) -> Tensor:
        values = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        pixels = values.view(1, image.height, image.width, 3).permute(0, 3, 1, 2)
        # Some networks draw noise of their own.
        randomness: Any = torch.random  # it has no types
        devices = [self._device] if self._device.type == "cuda" else []
        with randomness.fork_rng(devices):
            randomness.manual_seed(0)
            return compute(pixels.to(self._device, self._network.dtype) / 255).to("cpu", torch.float32)


def _picture(pixels: Tensor) -> Image.Image:
    values = (pixels[0].permute(1, 2, 0) * 255).round().to(torch.uint8)
    return Image.fromarray(values.contiguous().numpy())


def _paste(canvas: UpscaleCanvas, tile: Tile, enlarged: Image.Image) -> None:
    """Puts the core of an enlarged tile where it belongs."""
    times = canvas.times
    left, top, right, bottom = tile.seen
    size = (right - left) * times, (bottom - top) * times
    shrunk = enlarged if enlarged.size == size else enlarged.resize(size, Image.Resampling.LANCZOS)
    core_left, core_top, core_right, core_bottom = (edge * times for edge in tile.core)
    across, down = left * times, top * times
    core = core_left - across, core_top - down, core_right - across, core_bottom - down
    canvas.image.paste(shrunk.crop(core), (core_left, core_top))
