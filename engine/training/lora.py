"""The layers that learn, beside those of a model, and the file that they become: kohya's names, the same bytes every time.

Knows peft and safetensors, no pictures.
"""

# torch, peft and safetensors describe their types in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import save
from torch import Tensor

from engine.checkpoints.lora_names import TEXT, TEXT_2, UNET
from engine.training.settings import Layers

ADAPTER = "taught"
_AROUND_ATTENTION = re.compile(
    r".*attentions\.\d+\.(proj_in|proj_out|transformer_blocks\.\d+\.(attn\d\.to_(q|k|v|out\.0)|ff\.net\.(0\.proj|2)))"
)
_OF_TEXT = re.compile(r".*(self_attn\.(q|k|v|out)_proj|mlp\.fc[12])")
"""As kohya's trainers have it, and diffusers for the UNet's attention."""


def put_beside(part: Any, rank: int, layers: Layers | None) -> list[torch.nn.Parameter]:
    """Small layers beside those of a network, which stays as it is; what learns, in float32. `layers` None: of a text encoder."""
    part.requires_grad_(requires_grad=False)
    kinds: tuple[type, ...] = (torch.nn.Linear, torch.nn.Conv2d)
    pattern = {"attention": _AROUND_ATTENTION, "all": re.compile(".*"), None: _OF_TEXT}[layers]
    names = [
        name
        for name, layer in part.named_modules()
        if isinstance(layer, kinds) and pattern.fullmatch(name) is not None
    ]
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=names), part, ADAPTER)
    learning = [weight for weight in part.parameters() if weight.requires_grad]
    for weight in learning:
        weight.data = weight.data.float()
    return learning


def switch(part: Any, *, on: bool) -> None:
    """Whether the network draws with what it learned."""
    for layer in part.modules():
        if isinstance(layer, BaseTunerLayer):
            layer.enable_adapters(enabled=on)


def tensors(parts: Mapping[str, Any]) -> dict[str, Tensor]:
    """All that was learned, in float16 by kohya's names; `parts` of a pipeline, by its names for them."""
    prefixes = {
        UNET: "lora_unet",
        TEXT: "lora_te1_text_model" if TEXT_2 in parts else "lora_te_text_model",
        TEXT_2: "lora_te2_text_model",
    }
    found: dict[str, Tensor] = {}
    for name, part in parts.items():
        for place, module in part.named_modules():
            if not isinstance(module, BaseTunerLayer):
                continue
            layer = cast("Any", module)
            key = f"{prefixes[name]}_{place.removeprefix('text_model.').replace('.', '_')}"
            found[f"{key}.lora_down.weight"] = _half(layer.lora_A[ADAPTER].weight)
            found[f"{key}.lora_up.weight"] = _half(layer.lora_B[ADAPTER].weight)
            found[f"{key}.alpha"] = torch.tensor(float(layer.lora_alpha[ADAPTER]), dtype=torch.float16)
    return found


def _half(weight: Tensor) -> Tensor:
    return weight.detach().to("cpu", torch.float16).contiguous()


def as_file(found: Mapping[str, Tensor], texts: Mapping[str, str]) -> bytes:
    """A safetensors file whose header tells these texts. safetensors itself writes them in another order every time."""
    data = save(dict(found))
    begin = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps({"__metadata__": dict(sorted(texts.items())), **json.loads(data[8:begin])}).encode()
    header += b" " * (-len(header) % 8)  # numbers begin at a multiple of eight bytes
    return len(header).to_bytes(8, "little") + header + data[begin:]
