"""What teaching a LoRA takes at once, computed on a UNet without numbers; measures nothing, and knows no files.

Counts what lies on the device in the worst moment of a step: the UNet, the LoRA with its gradients and AdamW's two averages in 32
bits, what the forward keeps for the way back, and what the largest part that is computed twice keeps meanwhile. Attention counts
as memory-efficient kernels have it.
"""

# torch and diffusers describe their types in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from engine.training import lora
from engine.training.settings import Layers

_PER_NUMBER = 16
"""Bytes: of each that learns there are itself, its gradient and two averages, in 32 bits."""
_TOKENS = 77


@dataclass(frozen=True, slots=True, kw_only=True)
class Takes:
    """Bytes, in the worst moment of a step."""

    weights: int
    """Of the UNet itself."""
    learning: int
    activations: int


class _Attention(torch.autograd.Function):
    """Keeps what flash attention keeps: its inputs and output."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        made = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, made)
        return made

    @staticmethod
    def backward(ctx: Any, *_grads: Any) -> Any:
        return ctx.saved_tensors[:3]


def _attend(query: Tensor, key: Tensor, value: Tensor, **_: object) -> Tensor:
    return _Attention.apply(query, key, value)  # pyright: ignore[reportReturnType]


class _Kept:
    """Bytes that a forward keeps for the way back, each storage once, by the innermost part that is computed twice."""

    def __init__(self, unet: Any) -> None:
        self.bytes = Counter[str]()
        self._seen: set[int] = set()
        self._held: list[Tensor] = []
        self._at = [""]
        for name, part in unet.named_modules():
            if type(part).__name__ in {"ResnetBlock2D", "BasicTransformerBlock"}:
                part.register_forward_pre_hook(partial(self._enter, name))
                part.register_forward_hook(self._leave)

    def _enter(self, name: str, *_: object) -> None:
        self._at.append(name)

    def _leave(self, *_: object) -> None:
        self._at.pop()

    def keep(self, tensor: Tensor) -> Tensor:
        storage: Any = tensor.untyped_storage()
        if isinstance(tensor, torch.nn.Parameter) or storage._cdata in self._seen:
            return tensor
        self._held.append(tensor)  # so that no other takes its place
        self._seen.add(storage._cdata)
        self.bytes[self._at[-1]] += tensor.untyped_storage().nbytes()
        return tensor


def takes(unet: Any, *, side: int, batch: int, rank: int, layers: Layers, twice: bool) -> Takes:
    """`unet` lies on the meta device, in the dtype that it is taught in, and is no good for anything else afterwards.

    `side`: of latents. `twice`: with gradient checkpointing.
    """
    weights = sum(each.numel() * each.element_size() for each in unet.parameters())
    size = unet.dtype.itemsize
    dtype = unet.dtype
    learning = sum(each.numel() for each in lora.put_beside(unet, rank, layers))
    kept = _Kept(unet.to(dtype).train())
    before: Callable[..., Tensor] = functional.scaled_dot_product_attention
    functional.scaled_dot_product_attention = _attend
    try:
        with torch.autograd.graph.saved_tensors_hooks(kept.keep, lambda tensor: tensor):
            said = unet(**_shown(unet, side, batch, dtype), return_dict=False)[0]
    finally:
        functional.scaled_dot_product_attention = before
    del said
    inner = [count for part, count in kept.bytes.items() if part]
    most = max(inner, default=0) + batch * size * _inputs(unet, side)
    activations = kept.bytes[""] + (most if twice else sum(inner))
    return Takes(weights=weights, learning=_PER_NUMBER * learning, activations=activations)


def _shown(unet: Any, side: int, batch: int, dtype: torch.dtype) -> dict[str, Any]:
    config = unet.config
    made: dict[str, Any] = {
        "sample": torch.empty(batch, config.in_channels, side, side, device="meta", dtype=dtype),
        "timestep": torch.empty(batch, device="meta"),
        "encoder_hidden_states": torch.empty(
            batch, _TOKENS, config.cross_attention_dim, device="meta", dtype=dtype
        ),
    }
    if config.addition_embed_type == "text_time":
        pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        made["added_cond_kwargs"] = {
            "text_embeds": torch.empty(batch, pooled, device="meta", dtype=dtype),
            "time_ids": torch.empty(batch, 6, device="meta", dtype=dtype),
        }
    return made


def _inputs(unet: Any, side: int) -> int:
    """Numbers of what each part that is computed twice is given, which stays: at most its level's channels at its level's size."""
    total = 0
    channels = unet.config.block_out_channels
    for name, part in unet.named_modules():
        if type(part).__name__ not in {"ResnetBlock2D", "BasicTransformerBlock"}:
            continue
        level = _level(name, len(channels))
        wide = part.norm1.num_channels if hasattr(part, "conv1") else channels[level]
        total += wide * (side >> level) ** 2
    return total


def _level(name: str, levels: int) -> int:
    way, _, rest = name.partition("_blocks.")
    if way == "down":
        return int(rest.split(".")[0])
    return levels - 1 - int(rest.split(".")[0]) if way == "up" else levels - 1
