"""The folder that OpenVINO GenAI reads, of networks that Easel has converted: the same computation, in optimum's layout.

Knows names and files. GenAI hands its UNet one whole timestep for all rows, where Easel's takes one a row.
"""

from __future__ import annotations

import json
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

FILE = "openvino_model.xml"
PARTS = {
    "scheduler": ("diffusers", "EulerDiscreteScheduler"),
    "text_encoder": ("transformers", "CLIPTextModel"),
    "tokenizer": ("transformers", "CLIPTokenizer"),
    "unet": ("diffusers", "UNet2DConditionModel"),
    "vae_decoder": ("diffusers", "AutoencoderKL"),
}


def write(pipeline: Any, converted: Path, folder: Path) -> Path:
    """`converted`: Easel's own folder, with unet.xml and decoder.xml. Not written again where it is there."""
    if folder.exists():
        return folder
    partial = folder.with_suffix(".part")
    shutil.rmtree(partial, ignore_errors=True)
    for name in PARTS:
        (partial / name).mkdir(parents=True)
    index = {"_class_name": "StableDiffusionPipeline", **PARTS, "vae": PARTS["vae_decoder"]}
    _write_json(partial / "model_index.json", index)
    pipeline.scheduler.save_config(partial / "scheduler")
    for name, config in (
        ("unet", pipeline.unet.config),
        ("vae_decoder", pipeline.vae.config),
        ("text_encoder", pipeline.text_encoder.config.to_dict()),
    ):
        told = {
            key: value for key, value in config.items() if value is not None
        }  # GenAI wants words or nothing
        _write_json(partial / name / "config.json", told)
    _save(_unet(converted / "unet.xml"), partial / "unet")
    _save(_decoder(converted / "decoder.xml"), partial / "vae_decoder")
    _save(_text_encoder(pipeline.text_encoder), partial / "text_encoder")
    tokenizers: Any = import_module("openvino_tokenizers")
    tokenizer = tokenizers.convert_tokenizer(pipeline.tokenizer, with_detokenizer=False)
    _openvino().save_model(tokenizer, str(partial / "tokenizer" / "openvino_tokenizer.xml"))
    return partial.replace(folder)


def _openvino() -> Any:
    return import_module("openvino")


def _write_json(file: Path, values: Any) -> None:
    file.write_text(json.dumps(values, indent=1, default=str), encoding="utf-8")


def _save(model: Any, folder: Path) -> None:
    _openvino().save_model(model, str(folder / FILE), compress_to_fp16=False)


def _unet(file: Path) -> Any:
    """With one timestep, which every row is told."""
    ov, ops = _openvino(), import_module("openvino.opset13")
    model = ov.Core().read_model(str(file))
    sample, timesteps, embeddings = (place.get_node() for place in model.inputs)
    one = ops.parameter([1], ov.Type.i64, name="timestep")
    rows = ops.gather(
        ops.shape_of(sample, "i64"), ops.constant([0], ov.Type.i64), ops.constant(0, ov.Type.i64)
    )
    told = ops.broadcast(ops.convert(one, "f32"), rows)
    for target in timesteps.output(0).get_target_inputs():
        target.replace_source_output(told.output(0))
    for name, node in (("sample", sample), ("timestep", one), ("encoder_hidden_states", embeddings)):
        node.output(0).get_tensor().set_names({name})
    model.outputs[0].get_tensor().set_names({"out_sample"})
    return ov.Model(model.get_results(), [sample, one, embeddings], "unet")


def _decoder(file: Path) -> Any:
    model = _openvino().Core().read_model(str(file))
    model.inputs[0].get_tensor().set_names({"latent_sample"})
    model.outputs[0].get_tensor().set_names({"sample"})
    return model


class _Encoder(torch.nn.Module):
    """Without the names of its outputs."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = self.encoder(input_ids, return_dict=True)
        return found.last_hidden_state, found.pooler_output


def _text_encoder(encoder: Any) -> Any:
    """Token numbers to embeddings and what they are pooled to."""
    ov = _openvino()
    tokens = torch.ones(1, encoder.config.max_position_embeddings, dtype=torch.int64)

    with torch.no_grad():
        model = ov.convert_model(_Encoder(encoder).float().eval(), example_input=tokens)
    model.inputs[0].get_tensor().set_names({"input_ids"})
    model.reshape([-1, tokens.shape[1]])
    for place, name in zip(model.outputs, ("last_hidden_state", "pooler_output"), strict=True):
        place.get_tensor().set_names({name})
    return model
