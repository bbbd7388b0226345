"""A LoRA for a UNet: small matrices that learn, by the names that diffusers and peft read; knows no data."""

# torch describes its types in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call


class Lora(torch.nn.Module):
    """What is learned: for every layer with weights, up · down is added to them, which begins as nothing."""

    def __init__(self, unet: Any, rank: int) -> None:
        super().__init__()
        self._unet = [unet]  # in a list: its weights are none of ours
        self._names = [
            name
            for name, layer in unet.named_modules()
            if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d)
        ]
        layers = [unet.get_submodule(name).weight for name in self._names]
        self.downs = torch.nn.ParameterList(_spread(rank, weight) for weight in layers)
        self.ups = torch.nn.ParameterList(weight.new_zeros(weight.shape[0], rank) for weight in layers)

    def forward(self, noisy: Tensor, times: Tensor, states: Tensor) -> Tensor:
        """v, of the UNet with these weights added to its own."""
        (unet,) = self._unet
        weights: dict[str, Tensor] = {}
        for name, down, up in zip(self._names, self.downs, self.ups, strict=True):
            own = unet.get_submodule(name).weight
            weights[f"{name}.weight"] = own + (up @ down.flatten(1)).view(own.shape)
        return functional_call(unet, weights, (noisy, times, states), {"return_dict": False})[0]

    def tensors(self) -> dict[str, Tensor]:
        """fp16, named as diffusers and peft do."""
        found: dict[str, Tensor] = {}
        for name, down, up in zip(self._names, self.downs, self.ups, strict=True):
            sides = (1,) * (down.ndim - 2)
            found[f"unet.{name}.lora_A.weight"] = down.detach().to(torch.float16).contiguous()
            found[f"unet.{name}.lora_B.weight"] = up.detach().to(torch.float16).view(*up.shape, *sides)
        return found


def _spread(rank: int, weight: Tensor) -> Tensor:
    """(rank, in, …): random, and about as large as peft's."""
    down = torch.empty(rank, *weight.shape[1:])
    torch.nn.init.kaiming_uniform_(down, a=math.sqrt(5))
    return down
