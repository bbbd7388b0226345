"""Reads the names of a LoRA file's tensors, whichever trainer wrote it; knows neither tensors nor models.

Trainers agree on what a LoRA is and on no name. All of theirs are brought to one form: the part of the model, and the
layer's name in it with `_` for `.`, so that kohya's names and those with dots are read alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Role = Literal["down", "up", "mid", "alpha"]
UNET, TEXT, TEXT_2 = "unet", "text_encoder", "text_encoder_2"
"""Parts of a pipeline, as diffusers calls them."""
_PREFIXES: Mapping[str, re.Pattern[str]] = {
    UNET: re.compile(r"lora_unet[._]|unet\.|(model\.)?diffusion_model\.|lycoris_"),
    TEXT: re.compile(r"lora_te1?[._]|text_encoder(_1)?\.|(text_encoders\.)?clip_l\.(transformer\.)?"),
    TEXT_2: re.compile(r"lora_te2[._]|text_encoder_2\.|(text_encoders\.)?clip_g\.(transformer\.)?"),
}
_PEFT = "base_model.model."
"""peft writes it before the names of the model that it wraps, be that the pipeline's part or what it lies in."""
_TENSOR = re.compile(
    r"(?P<layer>.+?)"
    r"(\.lora_(?P<half>down|up|mid|A|B)(\.[^.]+)?\.weight"  # kohya; peft, which may add the adapter's name
    r"|[._]lora(_linear_layer)?\.(?P<old>down|up)\.weight"  # diffusers before peft
    r"|\.(?P<alpha>alpha))"
)
_ROLES: Mapping[str, Role] = {
    "A": "down",
    "B": "up",
    "down": "down",
    "up": "up",
    "mid": "mid",
    "alpha": "alpha",
}
_OF_UNET = re.compile(
    r"(down|up)_blocks_\d+_(attentions|resnets|downsamplers|upsamplers)_\d|mid_block_(attentions|resnets)_\d"
    r"|(input|output)_blocks_\d+_\d_|middle_block_\d_"
    r"|conv_(in|out)$|out_2$|(time_embed|time_embedding|add_embedding|label_emb)_"
)
_OF_TEXT = re.compile(r"encoder_layers_\d+_(self_attn|mlp)_|text_projection$")
_IN_BLOCK = re.compile(r"(block|blocks|layers)_\d")
_ORIGINAL = re.compile(r"(input|output)_blocks|middle_block")
"""Names by Stability's code."""
_BUNDLED = "bundle_emb."
"""OneTrainer puts embeddings that it trained along into the same file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """What a file holds for one layer of a model."""

    part: str
    """UNET, TEXT or TEXT_2; empty where it belongs to a part that is not known here."""
    name: str
    tensors: Mapping[Role, str]
    """What each of its tensors is -> how the file calls it."""

    @property
    def is_whole(self) -> bool:
        return {"down", "up"} <= {*self.tensors}

    @property
    def is_known(self) -> bool:
        """Whether there are such layers in a model with a UNet."""
        pattern = _OF_UNET if self.part == UNET else _OF_TEXT
        return bool(self.part and pattern.match(self.name))

    @property
    def is_foreign(self) -> bool:
        """Whether it is surely a layer of another kind of model: in a part or a block that is not known here."""
        return not self.part or (not self.is_known and _IN_BLOCK.search(self.name) is not None)


def layers_of(keys: Iterable[str]) -> tuple[Layer, ...]:
    """The layers that a file with tensors of these names is for, those with diffusers' names first."""
    found: dict[str, dict[Role, str]] = {}
    for key in sorted(keys):
        if (match := _tensor(key)) is not None:
            role = _ROLES[match["half"] or match["old"] or match["alpha"]]
            found.setdefault(match["layer"], {})[role] = key
    layers = [
        Layer(part=part, name=name, tensors=tensors)
        for (part, name), tensors in ((_place(layer), tensors) for layer, tensors in found.items())
        if {*tensors} != {"alpha"}
    ]
    return tuple(sorted(layers, key=lambda layer: bool(_ORIGINAL.match(layer.name))))


def others_in(keys: Iterable[str]) -> tuple[str, ...]:
    """Names of tensors that are no part of a LoRA. Embeddings that came along are none of them, and are not used."""
    return tuple(key for key in keys if not key.startswith(_BUNDLED) and _tensor(key) is None)


def _tensor(key: str) -> re.Match[str] | None:
    return None if key.startswith(_BUNDLED) else _TENSOR.fullmatch(key)


def _place(layer: str) -> tuple[str, str]:
    """(part, name) of a layer."""
    layer = layer.removeprefix(_PEFT)
    for part, prefix in _PREFIXES.items():
        if found := prefix.match(layer):
            return part, _flat(layer[found.end() :].removeprefix(_PEFT))
    name = _flat(layer)
    if _OF_UNET.match(name):
        return UNET, name
    return (TEXT if _OF_TEXT.match(name) else ""), name


def _flat(name: str) -> str:
    """With the names that layers have today; only some of the older ones are called after what computed with them."""
    name = name.replace(".", "_").removeprefix("text_model_").replace("_processor_to_", "_to_")
    name = re.sub(r"self_attn_to_(q|k|v|out)$", r"self_attn_\1_proj", name)
    return re.sub(r"(attn\d_to_out)$", r"\1_0", name)


# ------------------------------------------------------------------ the model's side

_RESNET: Mapping[str, str] = {
    "conv1": "in_layers_2",
    "conv2": "out_layers_3",
    "time_emb_proj": "emb_layers_1",
    "conv_shortcut": "skip_connection",
}
_ENDS: Mapping[str, str] = {
    "time_embedding_linear_1": "time_embed_0",
    "time_embedding_linear_2": "time_embed_2",
    "add_embedding_linear_1": "label_emb_0_0",
    "add_embedding_linear_2": "label_emb_0_2",
    "conv_in": "input_blocks_0_0",
    "conv_out": "out_2",
}
_BLOCK = re.compile(
    r"(?P<way>down|up)_blocks_(?P<block>\d+)_(?P<kind>[a-z]+)_(?P<at>\d+)_(?P<rest>.+)"
    r"|mid_block_(?P<middle>[a-z]+)_(?P<at_middle>\d+)_(?P<inner>.+)"
)


def known_by(modules: Iterable[str], layers_per_block: int | None = None) -> dict[str, str]:
    """Names that files use -> the module that is meant, for the modules of a text encoder or, with `layers_per_block`,
    those of a UNet: by diffusers' names, and by those of Stability's code, which count blocks in another way."""
    flat = {_flat(module): module for module in modules}
    if layers_per_block is None:
        return flat
    after_attention = {name.split("_attentions_")[0] for name in flat if "_attentions_" in name}
    return {**dict(_original(flat, layers_per_block, after_attention)), **flat}


def _original(
    flat: Mapping[str, str], per_block: int, after_attention: set[str]
) -> Iterator[tuple[str, str]]:
    for name, module in flat.items():
        if name in _ENDS:
            yield _ENDS[name], module
        elif (found := _BLOCK.fullmatch(name)) is None:
            continue
        elif found["middle"]:
            at = 2 * int(found["at_middle"]) + (found["middle"] == "attentions")
            yield f"middle_block_{at}_{_RESNET.get(found['inner'], found['inner'])}", module
        else:
            block, at, rest = int(found["block"]), int(found["at"]), found["rest"]
            first = block * (per_block + 1)
            match found["kind"]:
                case "downsamplers":
                    yield f"input_blocks_{first + per_block + 1}_0_{rest.replace('conv', 'op')}", module
                case "upsamplers":
                    behind = 1 + (f"up_blocks_{block}" in after_attention)
                    yield f"output_blocks_{first + per_block}_{behind}_{rest}", module
                case kind:
                    blocks = (
                        f"input_blocks_{1 + first + at}"
                        if found["way"] == "down"
                        else f"output_blocks_{first + at}"
                    )
                    yield f"{blocks}_{int(kind == 'attentions')}_{_RESNET.get(rest, rest)}", module
