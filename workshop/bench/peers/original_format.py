"""Writes a folder's model as the one file that the original programs use: the inverse of diffusers' conversion.

Names are those of CompVis's and Stability's code. Knows state dictionaries and files, no model by name.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]

Encoder = Literal["clip", "old_clip", "open_clip"]


def write(
    folder: Path,
    file: Path,
    *,
    encoder: Encoder = "clip",
    texts: Mapping[str, str] | None = None,
    marks: tuple[str, ...] = (),
) -> Path:
    """The model of a folder in one file. `encoder`: whose names its (one) text encoder has. `marks`: empty tensors."""
    weights = dict(tensors(folder, encoder)) | {name: torch.zeros(0) for name in marks}
    return save(weights, file, texts)


def save(weights: Mapping[str, Any], file: Path, texts: Mapping[str, str] | None = None) -> Path:
    save_file(
        {name: tensor.contiguous().clone() for name, tensor in weights.items()}, file, dict(texts or {})
    )
    return file


def tensors(folder: Path, encoder: Encoder) -> Iterator[tuple[str, Any]]:
    yield "alphas_cumprod", torch.zeros(1000)  # such remains of training are in most files, and mean nothing
    yield "model_ema.decay", torch.tensor(0.9999)
    yield from of_unet(dict(_weights(folder, "unet")))
    yield from of_vae(dict(_weights(folder, "vae")))
    first = dict(_weights(folder, "text_encoder"))
    if (folder / "text_encoder_2").is_dir():
        yield from _clip("conditioner.embedders.0.transformer.text_model.", first)
        second = dict(_weights(folder, "text_encoder_2"))
        yield from _open_clip("conditioner.embedders.1.model.", second)
    elif encoder == "clip":
        yield from of_clip(first)
    elif encoder == "old_clip":  # before transformers had the `text_model.` that it took away again
        yield from _clip("cond_stage_model.transformer.", first)
    else:
        yield from _open_clip("cond_stage_model.model.", first)


def _weights(folder: Path, part: str) -> Iterator[tuple[str, Any]]:
    (file,) = (folder / part).glob("*.safetensors")
    yield from load_file(file).items()


def of_unet(weights: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """A UNet's state dictionary by the original names."""
    layers = sum(
        name.startswith("down_blocks.0.resnets.") and name.endswith(".conv1.bias") for name in weights
    )
    for name, tensor in weights.items():
        block = ".".join(name.split(".")[:2])
        behind = 2 if any(other.startswith(f"{block}.attentions.") for other in weights) else 1
        yield f"model.diffusion_model.{unet_name(name, behind, layers)}", tensor


def of_vae(weights: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """An autoencoder's."""
    blocks = sum(
        bool(re.fullmatch(r"decoder\.up_blocks\.\d\.resnets\.0\.conv1\.bias", name)) for name in weights
    )
    for name, tensor in weights.items():
        is_projection = re.search(r"attentions\.0\.to_.*weight$", name)  # a 1x1 convolution there
        yield f"first_stage_model.{_vae(name, blocks)}", tensor[:, :, None, None] if is_projection else tensor


def of_clip(weights: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """That of Stable Diffusion 1's text encoder."""
    yield from _clip("cond_stage_model.transformer.text_model.", weights)


_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_TOP = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def unet_name(name: str, behind: int, layers: int) -> str:
    """`behind`: the place of an upsampler in its block, which an attention may precede. `layers`: a block's, each way."""
    for ours, theirs in _TOP.items():
        if name.startswith(f"{ours}."):
            return name.replace(ours, theirs, 1)
    way, block, part, layer, rest = _parts(name)
    if part == "resnets":
        rest = re.sub(r"^\w+", lambda match: _RESNET[match[0]], rest)
    match way, part:
        case "mid", "resnets":
            return f"middle_block.{2 * layer}.{rest}"
        case "mid", _:
            return f"middle_block.1.{rest}"
        case "down", "downsamplers":
            return f"input_blocks.{(block + 1) * (layers + 1)}.0.op.{rest.removeprefix('conv.')}"
        case "down", _:
            at = 1 + block * (layers + 1) + layer
            return f"input_blocks.{at}.{0 if part == 'resnets' else 1}.{rest}"
        case _, "upsamplers":
            return f"output_blocks.{block * (layers + 1) + layers}.{behind}.{rest}"
        case _:
            at = block * (layers + 1) + layer
            return f"output_blocks.{at}.{0 if part == 'resnets' else 1}.{rest}"


def _parts(name: str) -> tuple[str, int, str, int, str]:
    """("down", block, "resnets", layer, the rest) of the name of a weight in a block."""
    if found := re.fullmatch(r"mid_block\.(\w+)\.(\d)\.(.*)", name):
        return "mid", 0, found[1], int(found[2]), found[3]
    found = re.fullmatch(r"(down|up)_blocks\.(\d)\.(\w+)\.(\d)\.(.*)", name)
    assert found is not None, name
    return found[1], int(found[2]), found[3], int(found[4]), found[5]


def _vae(name: str, blocks: int) -> str:
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    name = re.sub(r"down_blocks\.(\d)\.resnets\.", r"down.\1.block.", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(
        r"up_blocks\.(\d)\.resnets\.", lambda found: f"up.{blocks - 1 - int(found[1])}.block.", name
    )
    name = re.sub(
        r"up_blocks\.(\d)\.upsamplers\.0", lambda found: f"up.{blocks - 1 - int(found[1])}.upsample", name
    )
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", name)
    if "mid_block.attentions.0" not in name:
        return name
    name = name.replace("mid_block.attentions.0", "mid.attn_1").replace("group_norm", "norm")
    return re.sub(r"to_([qkv])", r"\1", name.replace("to_out.0", "proj_out"))


def _clip(prefix: str, weights: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield f"{prefix}embeddings.position_ids", torch.arange(77)[None]
    for name, tensor in weights.items():
        yield prefix + name.removeprefix("text_model."), tensor


_OPEN = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}
_OPEN_LAYER = {"layer_norm": "ln_", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj", "self_attn": "attn"}


def _open_clip(prefix: str, weights: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    bare = {name.removeprefix("text_model."): tensor for name, tensor in weights.items()}
    for name, tensor in bare.items():
        if name == "text_projection.weight":
            yield f"{prefix}text_projection", tensor.T
        elif name in _OPEN:
            yield prefix + _OPEN[name], tensor
        elif found := re.fullmatch(r"encoder\.layers\.(\d+)\.self_attn\.q_proj\.(weight|bias)", name):
            three = [bare[name.replace("q_proj", f"{which}_proj")] for which in "qkv"]
            yield f"{prefix}transformer.resblocks.{found[1]}.attn.in_proj_{found[2]}", torch.cat(three)
        elif not re.search(r"\.[kv]_proj\.", name):
            inner = name.replace("encoder.layers.", "resblocks.")
            for ours, theirs in _OPEN_LAYER.items():
                inner = inner.replace(ours, theirs)
            yield f"{prefix}transformer.{inner}", tensor


def into_cache(cache: Path, folder: Path, model: str) -> Path:
    """A hub cache that holds a folder's configurations and tokenizers as those of `model`, and none of its weights."""
    repository = cache / f"models--{model.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc123")
    ignored = shutil.ignore_patterns("*.safetensors", "easel.json")
    return Path(shutil.copytree(folder, repository / "snapshots" / "abc123", ignore=ignored))
