"""What LoRA files are is read from their header: for which models, with which words, and what is no LoRA at all."""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest

from engine import adapter_files
from engine.adapter_files import DAMAGED, Fit
from tests.engine.adapters import kohya, lora_tensors, write

SD1 = Fit(family="sd", width=768)


def problem(folder: Path, name: str, *, width: int = 768, family: str = "sd") -> str:
    fit = Fit(family=family, width=width)
    found = {info.name: info for info in adapter_files.loras(str(folder), fit)}
    return found[name].problem


def a_lora(width: int, prefix: str = "unet.") -> dict[str, Any]:
    import torch

    layer = f"{prefix}down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
    return {f"{layer}.lora_A.weight": torch.zeros(4, width), f"{layer}.lora_B.weight": torch.zeros(8, 4)}


@pytest.mark.parametrize("made", [768, 1024, 2048])
@pytest.mark.parametrize("form", ["diffusers", "kohya", "sgm"])
def test_a_file_fits_the_models_it_was_made_for(tmp_path: Path, made: int, form: str) -> None:
    """In each format, by the width of the prompts that it expects."""
    tensors = a_lora(made)
    if form != "diffusers":
        tensors = kohya(tensors)
    if form == "sgm":
        tensors = {
            key.replace("down_blocks_0_attentions_0", "input_blocks_4_1"): t for key, t in tensors.items()
        }
    write(tmp_path / "loras", "x", tensors)
    kinds = {768: "Stable Diffusion 1", 1024: "Stable Diffusion 2", 2048: "Stable Diffusion XL"}
    for width in kinds:
        told = problem(tmp_path, "x", width=width, family="sdxl" if width == 2048 else "sd")
        assert told == ("" if width == made else f"it was made for {kinds[made]}")


@pytest.mark.parametrize(
    ("metadata", "made"),
    [
        ({"ss_base_model_version": "sdxl_base_v1-0"}, "Stable Diffusion XL"),
        ({"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}, "Stable Diffusion XL"),
        ({"modelspec.architecture": "flux-1-dev/lora"}, "another kind of model"),
        ({"ss_base_model_version": "sd_v1"}, ""),
        ({"modelspec.architecture": "stable-diffusion-v1/lora"}, ""),
        ({}, ""),
    ],
)
def test_where_layers_tell_nothing_the_trainer_does(
    tmp_path: Path, metadata: dict[str, str], made: str
) -> None:
    """A file of layers that several kinds of models have is judged by what was written into it."""
    tensors = {key.replace("attn2", "attn1"): tensor for key, tensor in a_lora(64).items()}
    write(tmp_path / "loras", "x", tensors, metadata)
    assert problem(tmp_path, "x") == (made and f"it was made for {made}")


def test_both_formats_of_real_layers(tmp_path: Path, pipe: Any, pipe_xl: Any) -> None:
    """Whole files as large as a model's own layers are told apart, text encoders alone too."""
    for name, made in (("small", pipe), ("large", pipe_xl)):
        tensors = lora_tensors(made, seed=1)
        write(tmp_path / "loras", f"{name}-d", tensors)
        write(tmp_path / "loras", f"{name}-k", kohya(tensors))
    write(tmp_path / "loras", "large-t", lora_tensors(pipe_xl, seed=1, unet=False))
    for form in "dk":
        assert problem(tmp_path, f"small-{form}", width=32) == ""
        assert problem(tmp_path, f"large-{form}", width=32) == "it was made for another kind of model"
        assert problem(tmp_path, f"large-{form}", width=80, family="sdxl") == ""
    assert problem(tmp_path, "large-t", width=32) == "it was made for Stable Diffusion XL"
    assert problem(tmp_path, "large-t", width=80, family="sdxl") == ""


def test_what_is_no_lora(tmp_path: Path) -> None:
    """Checkpoints, LyCORIS, FLUX, pickles, cut and hostile files: each gets its reason, and no other file suffers."""
    import torch

    folder, one = tmp_path / "loras", torch.zeros(1, 1)
    write(folder, "checkpoint", {"model.diffusion_model.input_blocks.0.0.weight": one})
    write(folder, "vae", {"decoder.conv_in.weight": one})
    write(folder, "loha", {"lora_unet_down_blocks_0.hada_w1_a": one})
    write(folder, "dora", {**a_lora(768), "unet.x.dora_scale": one})
    write(folder, "flux", {"lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": one})
    write(folder, "flux2", {"transformer.x.lora_A.weight": one})
    good = write(folder, "good", a_lora(768))
    (folder / "cut.safetensors").write_bytes(good.read_bytes()[:-1])
    (folder / "pickle.safetensors").write_bytes(pickle.dumps({"a": [1] * 100}))
    (folder / "empty.safetensors").write_bytes(b"")
    (folder / "bomb.safetensors").write_bytes(struct.pack("<Q", 2**63) + b"{}")
    (folder / "list.safetensors").write_bytes(struct.pack("<Q", 2) + b"[]")
    odd = json.dumps(
        {"__metadata__": [1], "unet.attn2.to_k.lora_A.weight": {"data_offsets": [0, 0], "shape": ["x"]}}
    )
    (folder / "odd.safetensors").write_bytes(struct.pack("<Q", len(odd)) + odd.encode())
    (folder / "a:b.safetensors").write_bytes(good.read_bytes())
    (folder / "pickle.pt").write_bytes(b"x")
    found = {info.name: info.problem for info in adapter_files.loras(str(tmp_path), SD1)}
    other = "it was made for another kind of model"
    odd_is = found.pop("odd")
    assert odd_is in ("", DAMAGED)  # loading will tell
    assert found == {
        "checkpoint": "it is a whole checkpoint: move it to the folder “checkpoints”",
        "vae": "it is no LoRA file",
        "loha": "it is a LyCORIS or DoRA file, a kind that Easel can't load",
        "dora": "it is a LyCORIS or DoRA file, a kind that Easel can't load",
        "flux": other,
        "flux2": other,
        "good": "",
        **dict.fromkeys(("cut", "pickle", "empty", "bomb", "list"), DAMAGED),
    }
    assert adapter_files.loras(str(tmp_path / "nowhere"), SD1) == ()
    assert adapter_files.loras(None, SD1) == ()


TAGS = json.dumps({"10_fox": {"fox": 9, "tree": 2, "snow": 5}, "5_cat": {"cat": 7, "snow": 4}, "bad": 3})


@pytest.mark.parametrize(
    ("metadata", "beside", "words"),
    [
        ({"ss_tag_frequency": TAGS}, {}, ("fox", "snow", "cat")),
        ({"ss_tag_frequency": "{"}, {}, ()),
        (
            {"modelspec.trigger_phrase": "pixel art, 16 bit", "ss_tag_frequency": TAGS},
            {},
            ("pixel art", "16 bit"),
        ),
        ({"modelspec.trigger_phrase": "x"}, {".json": '{"activation text": "my\\u202eword"}'}, ("my word",)),
        ({}, {".json": '{"trainedWords": ["one", "two"]}'}, ("one", "two")),
        ({"modelspec.trigger_phrase": "x"}, {".json": "[1]"}, ("x",)),
        ({}, {".txt": "first, second\nnotes"}, ("first", "second")),
        ({"modelspec.trigger_phrase": ",".join(map(str, range(99)))}, {}, ("0", "1", "2", "3", "4", "5")),
    ],
)
def test_trigger_words(
    tmp_path: Path, metadata: dict[str, str], beside: dict[str, str], words: tuple[str, ...]
) -> None:
    """What lies beside a file counts before what its maker wrote into it, and that before what it was trained with."""
    path = write(tmp_path / "loras", "x", a_lora(768), metadata)
    for ending, text in beside.items():
        path.with_suffix(ending).write_text(text, encoding="utf-8")
    (info,) = adapter_files.loras(str(tmp_path), SD1)
    assert info.words == words


def test_a_changed_file_is_looked_at_again(tmp_path: Path) -> None:
    """What was found out about a file holds for as long as the file stays the same."""
    import os

    path = write(tmp_path / "loras", "x", a_lora(768))
    assert problem(tmp_path, "x") == ""
    write(tmp_path / "loras", "x", a_lora(1024))
    os.utime(path, (1, 1))
    assert problem(tmp_path, "x") == "it was made for Stable Diffusion 2"
