"""A pipeline's UNet and decoder on OpenVINO, made ready behind the first pictures; knows rows and latents, no request.

What is not ready, not for it, or failed, torch computes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]

from engine.openvino import networks
from engine.openvino.behind import Behind, compare
from engine.openvino.convert import DECODER, UNET, Part
from engine.openvino.files import Findings, Wanted
from engine.openvino.networks import Network
from engine.unet.batch import Rows, forward, noise
from engine.unet.costs import Costs, measure

if TYPE_CHECKING:
    from torch import Tensor

SIDES_AT_LEAST = 2
"""Latents a side, after all halvings: what is smaller is traced as a special case."""
_OF_DECODER = ("decoder.", "post_quant_conv.")


class OpenVino(Behind):
    """The networks of one pipeline, for pictures of any size that they can be halved to."""

    names = (UNET, DECODER)

    def __init__(self, unet: Any, vae: Any, like: Rows, wanted: Wanted) -> None:
        """For rows that look `like` these, whatever their sides and tokens."""
        super().__init__(wanted)
        # LoRAs change the layers of a UNet, even when they are switched off; and tiles those of a VAE.
        self._unet, self._vae = _twin(unet), _twin(vae)
        self._vae.use_tiling = False
        self._like = like
        self._look = _look(like)
        self._halvings = 2 ** (len(unet.config.block_out_channels) - 1)

    # -------------------------------------------------------------- asked while pictures are drawn

    @property
    def words(self) -> str:
        assert self._found is not None  # nobody asks before it is in use
        return networks.words(self._found.threads, self.rows)

    @property
    def rows(self) -> int:
        """Of a forward, as many as pay."""
        assert self._found is not None
        return min(self._found.rows, self._wanted.rows_max)

    def suits(self, like: Rows) -> bool:
        """Whether rows that look like these are for it, ready or not."""
        height, width = like.latents.shape[-2:]
        whole = not height % self._halvings and not width % self._halvings
        return whole and min(height, width) >= SIDES_AT_LEAST * self._halvings and _look(like) == self._look

    def __call__(self, batch: Rows) -> Tensor:
        """The prediction for each row. Raises MemoryError for whatever goes wrong in it, and is used no more."""
        return self._computed(UNET, *batch.given)

    def decode(self, latents: Tensor) -> Tensor:
        """(1, 3, height, width) from -1 to 1, of latents as the VAE takes them. Raises as calling it does."""
        return self._computed(DECODER, latents)

    # -------------------------------------------------------------- made ready

    @property
    def _is_half(self) -> bool:
        return self._like.latents.dtype is torch.bfloat16

    @property
    def _numbers(self) -> int:
        return sum(weight.numel() for weight in self._unet.parameters())

    def _write(self, folder: Path) -> None:
        """The weights."""
        decoder = {
            name: weight for name, weight in self._vae.state_dict().items() if name.startswith(_OF_DECODER)
        }
        for name, weights in ((UNET, self._unet.state_dict()), (DECODER, decoder)):
            contiguous = {key: weight.contiguous() for key, weight in weights.items()}
            save_file(contiguous, folder / f"{name}.safetensors")

    def _parts(self) -> dict[str, Part]:
        side = 2 * SIDES_AT_LEAST * self._halvings
        rows = [None if part is None else [int(size) for size in part.shape[1:]] for part in self._like.parts]
        assert rows[0] is not None
        rows[0][1:] = [side, side]
        latents = [int(self._vae.config.latent_channels), side, side]
        return {
            UNET: Part(kind=type(self._unet).__name__, config=_config(self._unet), given=rows),
            DECODER: Part(kind=type(self._vae).__name__, config=_config(self._vae), given=[latents]),
        }

    def _told(self, found: Findings) -> str:
        return found.sentence

    def let_go(self) -> None:
        """What a LoRA made of one takes memory of its own."""
        del self._unet, self._vae

    # -------------------------------------------------------------- tried out

    @torch.inference_mode()
    def _check(self, made: Mapping[str, Network]) -> None:
        batch = noise(self._like, 2)
        compare(made[UNET](*batch.given), forward(self._unet, batch))
        side = 2 * SIDES_AT_LEAST * self._halvings
        channels, generator = self._vae.config.latent_channels, torch.Generator("cpu").manual_seed(0)
        latents = torch.randn((1, channels, side, side), generator=generator).to(self._vae.dtype)
        compare(made[DECODER](latents), self._vae.decode(latents, return_dict=False)[0])

    def _trial(self, first: Network | None) -> Callable[[], object]:
        pair = noise(self._like, 2)
        return partial(first, *pair.given) if first is not None else partial(forward, self._unet, pair)

    def _costs(self, first: Network) -> Costs | None:
        return measure(lambda rows: first(*noise(self._like, rows).given))


def _twin(module: Any) -> Any:
    """Layers of its own around the very same weights."""
    module.requires_grad_(False)  # as LoRAs leave it, which share these weights
    kept = {id(tensor): tensor for tensor in chain(module.parameters(), module.buffers())}
    return copy.deepcopy(module, kept)


def _config(module: Any) -> dict[str, Any]:
    return {name: value for name, value in module.config.items() if name != "_name_or_path"}


def _look(rows: Rows) -> tuple[Any, ...]:
    """What is the same for all rows of a model: all but sides and tokens."""
    sizes = (
        (rows.latents.shape[1],),
        (),
        (rows.embeddings.shape[-1],),
        *(None if part is None else tuple(part.shape[1:]) for part in rows.parts[3:]),
    )
    return *sizes, rows.latents.dtype
