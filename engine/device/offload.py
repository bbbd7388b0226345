"""A network's weights: out of the memory while nobody computes with them, and back from its files; knows tensors, no files."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from engine.device import memory
from engine.errors import BrokenModel

if TYPE_CHECKING:
    from torch import Tensor

_log = logging.getLogger("easel.engine")
REST_S = 60.0
"""So long after they were needed last they stay: reading them again takes seconds."""
PROCESSOR = torch.device("cpu")


class Offload:
    """Some of the weights of one network in the processor's memory. Its layers stay, and LoRAs' beside them."""

    def __init__(
        self,
        network: Any,
        read: Callable[[], Any],
        *,
        begins: tuple[str, ...] = ("",),
        rest_s: float = REST_S,
    ) -> None:
        """Those whose names begin so. `read` makes the network anew from its files; it may raise BrokenModel."""
        self._network, self._read, self._begins, self._rest_s = network, read, begins, rest_s
        self._away: dict[str, Tensor] = {}
        """What they were like: shape, strides and kind of numbers, on torch's meta device."""
        self._needed_at = time.monotonic()

    @property
    def is_away(self) -> bool:
        return bool(self._away)

    @torch.inference_mode(False)
    def need(self) -> None:
        """They are there, the same to the bit. Raises BrokenModel where their files changed, MemoryError where memory is short."""
        if self._away:
            wanted = sum(like.numel() * like.element_size() for like in self._away.values())
            free = memory.reclaim(PROCESSOR)
            if free is not None and free < wanted:
                raise MemoryError(
                    f"{wanted / 1e9:.1f} GB for torch's weights, of which {free / 1e9:.1f} GB are free"
                )
            found: Mapping[str, Tensor] = self._read().state_dict()
            if any(name not in found or found[name].shape != like.shape for name, like in self._away.items()):
                raise BrokenModel("The model's weights are others than when it was loaded: restart the bot.")
            for name, weight in self._weights().items():
                weight.data = _laid(found[name], self._away[name])
            self._away = {}
            _log.info("torch's weights are back (%.2f GB)", wanted / 1e9)
        self._needed_at = time.monotonic()

    def rest(self) -> None:
        """They leave the memory, unless somebody needed them just now."""
        if self._away or time.monotonic() < self._needed_at + self._rest_s:
            return
        size = 0
        for name, weight in self._weights().items():
            self._away[name] = torch.empty_like(weight, device="meta")
            size += weight.numel() * weight.element_size()
            weight.data = weight.data.new_empty(0)
        memory.reclaim(PROCESSOR)
        _log.info("torch's weights left the memory (%.2f GB): OpenVINO computes all pictures", size / 1e9)

    def _weights(self) -> dict[str, Any]:
        """By the names that they have without LoRAs' layers beside them."""
        named = ((name.replace(".base_layer.", "."), each) for name, each in self._network.named_parameters())
        return {name: each for name, each in named if name.startswith(self._begins) and ".lora_" not in name}


@dataclass(frozen=True, slots=True, kw_only=True)
class Offloads:
    """Those of one pipeline, each of which is needed apart from the other."""

    unet: Offload
    decoder: Offload

    def rest(self) -> None:
        """As those of each."""
        self.unet.rest()
        self.decoder.rest()


def _laid(weight: Tensor, like: Tensor) -> Tensor:
    """In memory as it was before."""
    weight = weight.detach().to(like.dtype)
    if weight.stride() == like.stride():
        return weight
    return torch.empty_strided(like.shape, like.stride(), dtype=like.dtype).copy_(weight)
