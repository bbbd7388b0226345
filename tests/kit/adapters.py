"""Random LoRA and embedding files for tiny models, made by peft and diffusers themselves, in both formats people have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

UNET = ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "conv1")
TEXT = ("q_proj", "v_proj", "out_proj", "fc1")


def lora_tensors(
    pipe: Any, *, seed: int, text: bool = True, unet: bool = True, rank: int = 4
) -> dict[str, Any]:
    """Tensors by diffusers' names, as large as the layers of this pipeline; it stays as it is."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    parts = {"unet": UNET} if unet else {}
    if text:
        parts |= {
            name: TEXT for name in ("text_encoder", "text_encoder_2") if getattr(pipe, name, None) is not None
        }
    found: dict[str, Any] = {}
    for part, endings in parts.items():
        for name, module in getattr(pipe, part).named_modules():
            if not name.endswith(endings):
                continue
            out, into, *kernel = module.weight.shape
            down = torch.randn((rank, into, *kernel), generator=generator) * 0.2
            up = torch.randn((out, rank, *(1 for _ in kernel)), generator=generator) * 0.2
            found[f"{part}.{name}.lora_A.weight"], found[f"{part}.{name}.lora_B.weight"] = down, up
    return found


def kohya(tensors: Mapping[str, Any], *, alpha: float = 2.0) -> dict[str, Any]:
    """The same as kohya's trainers write it, with an alpha for each layer."""
    import torch

    several = any(key.startswith("text_encoder_2.") for key in tensors)
    begins = {
        "unet": "lora_unet",
        "text_encoder": "lora_te1" if several else "lora_te",
        "text_encoder_2": "lora_te2",
    }
    found: dict[str, Any] = {}
    for key, tensor in tensors.items():
        part, _, rest = key.partition(".")
        layer, _, which = rest.removesuffix(".weight").rpartition(".")
        if part != "unet" and not layer.startswith("text_model."):
            layer = f"text_model.{layer}"
        name = f"{begins[part]}_{layer.replace('.', '_')}"
        found[f"{name}.{'lora_down' if which == 'lora_A' else 'lora_up'}.weight"] = tensor
        found[f"{name}.alpha"] = torch.tensor(alpha)
    return found


def write(
    folder: Path, name: str, tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None
) -> Path:
    """`<folder>/<name>.safetensors`."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.safetensors"
    save_file(dict(tensors), path, metadata=None if metadata is None else dict(metadata))
    return path


WIDTH, WIDTH_2 = 32, 48
"""Of the tiny models' text encoders."""


def numbers(seed: int, *shape: int) -> Any:
    import torch

    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 0.3


def write_many(folder: Path, pipe: Any) -> Path:
    """Embeddings in each format, a LoRA for `pipe`, and files that fit nothing; returns the folder."""
    own = folder / "embeddings"
    write(own, "EasyFox", {"emb_params": numbers(1, 3, WIDTH)})
    write(own, "<cat-toy>", {"<cat-toy>": numbers(2, WIDTH)})  # not to be named: "<" means something else
    write(own, "cat-toy", {"<cat-toy>": numbers(2, WIDTH)})
    write(own, "twoheads", {"clip_l": numbers(3, 2, WIDTH), "clip_g": numbers(4, 2, WIDTH_2)})
    write(own, "wide", {"emb_params": numbers(5, 2, 768)})
    write(own, "the", {"emb_params": numbers(6, 1, WIDTH)})
    write(own, "cube", {"emb_params": numbers(7, 2, 2, WIDTH)})
    write(own, "unlike", {"clip_l": numbers(3, 2, WIDTH), "clip_g": numbers(4, 1, WIDTH_2)})
    (own / "cut.safetensors").write_bytes((own / "cat-toy.safetensors").read_bytes()[:-4])
    write(folder / "loras", "detail", lora_tensors(pipe, seed=1))
    return folder
