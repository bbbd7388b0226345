"""What a card needs to teach a LoRA, computed on the real architectures without numbers. `python -m workshop.teaching.memory`.

Counts what lies on the device in the worst moment of a step: the UNet in 16 bits, the LoRA with its gradients and AdamW's two
averages in 32, what the forward keeps for the way back, and what the largest part that is computed twice keeps meanwhile.
Attention counts as memory-efficient kernels have it. Nothing here was measured on a card.
"""

# torch and diffusers describe their types in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from engine.training import lora
from workshop.bench import sd15, sdxl

RANK = 16
SPARE_BYTES = 2**30
"""For CUDA's own context and libraries, and what the allocator leaves between."""


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


class Kept:
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


def gigabytes(name: str, side: int, *, twice: bool) -> float:
    """GB at one picture of that many pixels a side. `twice`: with gradient checkpointing."""
    unet = {"sd15": sd15, "sdxl": sdxl}[name].assemble(torch.device("meta")).unet
    unet.to(torch.bfloat16)
    weights = sum(each.numel() * each.element_size() for each in unet.parameters())
    learning = sum(each.numel() for each in lora.put_beside(unet, RANK, "attention"))
    kept = Kept(unet.to(torch.bfloat16).train())
    before: Callable[..., Tensor] = functional.scaled_dot_product_attention
    functional.scaled_dot_product_attention = _attend
    try:
        with torch.autograd.graph.saved_tensors_hooks(kept.keep, lambda tensor: tensor):
            said = unet(**_shown(unet, side), return_dict=False)[0]
    finally:
        functional.scaled_dot_product_attention = before
    del said
    inner = [count for part, count in kept.bytes.items() if part]
    activations = kept.bytes[""] + (max(inner) + _inputs(unet, side) if twice else sum(inner))
    return (weights + 16 * learning + activations + SPARE_BYTES) / 1e9


def _shown(unet: Any, side: int) -> dict[str, Any]:
    width = unet.config.cross_attention_dim
    made: dict[str, Any] = {
        "sample": torch.empty(1, 4, side // 8, side // 8, device="meta", dtype=torch.bfloat16),
        "timestep": torch.empty(1, device="meta"),
        "encoder_hidden_states": torch.empty(1, 77, width, device="meta", dtype=torch.bfloat16),
    }
    if unet.config.addition_embed_type == "text_time":
        made["added_cond_kwargs"] = {
            "text_embeds": torch.empty(1, 1280, device="meta", dtype=torch.bfloat16),
            "time_ids": torch.empty(1, 6, device="meta", dtype=torch.bfloat16),
        }
    return made


def _inputs(unet: Any, side: int) -> int:
    """Bytes of what each part that is computed twice is given, which stays: at most its level's channels at its level's size."""
    total = 0
    channels = unet.config.block_out_channels
    for name, part in unet.named_modules():
        if type(part).__name__ not in {"ResnetBlock2D", "BasicTransformerBlock"}:
            continue
        level = _level(name, len(channels))
        wide = part.conv1.in_channels if hasattr(part, "conv1") else channels[level]
        total += 2 * wide * (side // 8 >> level) ** 2
    return total


def _level(name: str, levels: int) -> int:
    way, _, rest = name.partition("_blocks.")
    if way == "down":
        return int(rest.split(".")[0])
    return levels - 1 - int(rest.split(".")[0]) if way == "up" else levels - 1


def main() -> None:
    print("| model | side | with checkpointing | without |\n|---|---|---|---|")
    for name, side in (("sd15", 512), ("sdxl", 1024)):
        once, twice = (gigabytes(name, side, twice=each) for each in (False, True))
        print(f"| {name} | {side} | {twice:.1f} GB | {once:.1f} GB |", flush=True)


if __name__ == "__main__":
    main()
