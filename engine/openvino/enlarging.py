"""An upscaler's network on OpenVINO, made ready behind the first pictures; knows tiles, no picture and no request."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from engine import upscaler_file
from engine.openvino.behind import Behind, compare
from engine.openvino.convert import UPSCALER, Part
from engine.openvino.files import Findings, Wanted
from engine.openvino.networks import Network

if TYPE_CHECKING:
    from torch import Tensor

Size = tuple[int, int]
"""Width and height in pixels."""


class OpenVinoUpscaler(Behind):
    """One upscaler, for tiles of any size, or of whole windows where its network has some."""

    names = (UPSCALER,)

    def __init__(self, network: Any, file: Path, wanted: Wanted, *, aligned: int) -> None:
        """For this `network`, as spandrel loads it, of this file; `aligned`: what the sides of most tiles are multiples of."""
        super().__init__(wanted, f"the upscaler “{file.stem}”")
        self._file, self._aligned = file, aligned
        self._torchs = copy.deepcopy(network)  # some change their own weights while they compute
        self._multiple = aligned
        self._requirements, self._scale = network.size_requirements, network.scale

    # -------------------------------------------------------------- asked while pictures are enlarged

    def suits(self, sizes: Collection[Size]) -> bool:
        """Whether all tiles of a picture are for it."""
        return not any(side % self._multiple for size in sizes for side in size)

    def __call__(self, pixels: Tensor) -> Tensor:
        """As calling the network does. Raises MemoryError for whatever goes wrong in it, and is used no more."""
        return self._enlarged(pixels, partial(self._computed, UPSCALER))

    def _enlarged(self, pixels: Tensor, network: Callable[[Tensor], Tensor]) -> Tensor:
        height, width = pixels.shape[-2:]
        made = network(upscaler_file.filled(pixels, self._requirements))
        return made[..., : height * self._scale, : width * self._scale]

    # -------------------------------------------------------------- made ready

    @property
    def _numbers(self) -> int:
        return sum(weight.numel() for weight in self._torchs.model.parameters())

    def _write(self, folder: Path) -> None:
        """Nothing: the upscaler's own file is read."""

    def _parts(self) -> dict[str, Part]:
        unit = self._aligned
        # Not as high as wide, nor of a size that networks are made for: what a trace holds on to is found out then.
        height, width = upscaler_file.filled(_noise((3 * unit, 5 * unit)), self._requirements).shape[-2:]
        name = str(self._torchs.architecture.name)
        return {UPSCALER: Part(kind=name, config={"file": str(self._file)}, given=[[3, height, width]])}

    def _told(self, found: Findings) -> str:
        return f"OpenVINO computes {self._model} here: a tile takes {found.share:.2f} of torch's time."

    def let_go(self) -> None:
        """The copy takes memory of its own."""
        del self._torchs

    # -------------------------------------------------------------- tried out

    def _check(self, made: Mapping[str, Network]) -> None:
        """Windows of pixels are often traced for sizes alone that hold whole ones: then tiles of others are torch's."""
        unit, network = self._aligned, made[UPSCALER]
        for size in ((10 * unit, unit), (2 * unit, 3 * unit)):
            self._check_at(size, network)
        self._multiple = 1
        try:
            for size in ((2 * unit + 1, 3 * unit - 1), (unit + 1, 8 * unit + 2)):
                self._check_at(size, network)
        except Exception:  # noqa: BLE001 - whatever it is, such tiles are not for it
            self._multiple = unit

    def _check_at(self, size: Size, network: Network) -> None:
        pixels = _noise(size)
        compare(self._enlarged(pixels, network), self._torchs(pixels))

    def _trial(self, first: Network | None) -> Callable[[], object]:
        pixels = _noise((4 * self._aligned, 4 * self._aligned))
        return partial(self._enlarged, pixels, first) if first is not None else partial(self._torchs, pixels)


def _noise(size: Size) -> Tensor:
    """An image of `size` (width, height), always the same."""
    width, height = size
    return torch.rand((1, 3, height, width), generator=torch.Generator("cpu").manual_seed(0))
