"""What LoRA files are is read from their header: for which models, with which words, and what is no LoRA at all."""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest

from engine.checkpoints import adapters
from engine.checkpoints.adapters import DAMAGED, Fit
from engine.checkpoints.beside import preview
from tests.kit.adapters import kohya, lora_tensors, write

SD1 = Fit(family="sd", width=768)


def problem(folder: Path, name: str, *, width: int = 768, family: str = "sd") -> str:
    fit = Fit(family=family, width=width)
    found = {info.name: info for info in adapters.loras(str(folder), fit)}
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
        ({"modelspec.architecture": "stable-diffusion-3-medium/lora"}, "another kind of model"),
        ({"ss_base_model_version": "sd3_m"}, "another kind of model"),
        ({"ss_base_model_version": "SDXL 1.0"}, "Stable Diffusion XL"),
        ({"ss_base_model_version": "sd_v2_v"}, "Stable Diffusion 2"),
        ({"ss_base_model_version": "SD 1.5"}, ""),
        ({"ss_base_model_version": "stable-diffusion-v1-5"}, ""),
        ({"ss_base_model_version": "Illustrious"}, ""),
        ({"ss_base_model_version": "ssd-1b"}, ""),
        ({"ss_base_model_version": "influx dream"}, ""),
        ({"modelspec.architecture": "unknown"}, ""),
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
    found = {info.name: info.problem for info in adapters.loras(str(tmp_path), SD1)}
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
    assert adapters.loras(str(tmp_path / "nowhere"), SD1) == ()
    assert adapters.loras(None, SD1) == ()


def halves(
    layer: str, *, rank: int = 4, width: int = 768, down: str = "lora_down", up: str = "lora_up"
) -> dict[str, Any]:
    import torch

    return {f"{layer}.{down}.weight": torch.zeros(rank, width), f"{layer}.{up}.weight": torch.zeros(8, rank)}


KOHYA = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
WORDS = "lora_te_text_model_encoder_layers_0_self_attn_q_proj"


@pytest.mark.parametrize(
    "layer",
    [
        KOHYA,
        "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k",
        "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k",
        "lora_unet_middle_block_1_transformer_blocks_0_attn2_to_k",
        "unet.input_blocks.4.1.transformer_blocks.0.attn2.to_k",
        "diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k",
        "unet.base_model.model.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k",
        "base_model.model.unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k",
        "base_model.model.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k",
        "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k",
        "lycoris_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k",
    ],
)
def test_layouts_that_are_drawn_are_offered(tmp_path: Path, layer: str) -> None:
    """Of each it is read, too, for which width of prompts it was made."""
    write(tmp_path / "loras", "x", halves(layer))
    assert problem(tmp_path, "x") == ""
    assert problem(tmp_path, "x", width=1024) == "it was made for Stable Diffusion 1"


SHAPES = "its layers have no rank, or shapes that don't fit each other: get the LoRA in another version"
MORE = "it holds more than the layers of a LoRA, which Easel can't draw with"
OTHER = "it was made for another kind of model"
LYCORIS = "it is a LyCORIS or DoRA file, a kind that Easel can't load"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (halves(KOHYA, rank=0), SHAPES),
        (halves(WORDS, rank=0), SHAPES),
        ({f"{KOHYA}.lora_up.weight": (8, 5)}, SHAPES),
        ({f"{KOHYA}.lora_down.weight": (4,)}, SHAPES),
        ({f"{KOHYA}.lora_down.weight": (4, 0)}, SHAPES),
        ({f"{KOHYA}.lora_down.weight": (4, 768, 3)}, SHAPES),
        ({f"{KOHYA}.bias": (8,)}, MORE),
        ({f"{KOHYA}.lora_B.bias": (8,)}, MORE),
        ({f"{KOHYA}.scale": ()}, MORE),
        ({"lora_te_text_model_embeddings_token_embedding.weight": (9, 768)}, MORE),
        ({f"{KOHYA}.lora_magnitude_vector.weight": (8,)}, LYCORIS),
        ({f"{KOHYA}.dora_scale": (8, 1)}, LYCORIS),
        ({"lora_unet_x.lokr_w1": (8, 1)}, LYCORIS),
        ({"bundle_emb.oft_style.string_to_param.*": (2, 768)}, ""),
        ({"bundle_emb.style.clip_l": (2, 768), "bundle_emb.style.clip_g": (2, 1280)}, ""),
        ({f"{KOHYA}.alpha": ()}, ""),
        ({"lora_unet_down_blocks_0_attentions_0_proj_in.alpha": ()}, ""),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_its_header(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    """Whatever stands beside sound layers is either meant to be there or a reason to refuse the file as a whole."""
    import torch

    made = {key: torch.zeros(value) if isinstance(value, tuple) else value for key, value in changes.items()}
    write(tmp_path / "loras", "x", halves(KOHYA) | made)
    assert problem(tmp_path, "x") == told


@pytest.mark.parametrize(
    "layers",
    [
        ("lora_unet_double_blocks_0_img_attn_qkv", WORDS),
        ("lora_unet_joint_blocks_0_x_block_attn_qkv", WORDS, WORDS.replace("te", "te2", 1)),
        ("transformer.transformer_blocks.0.attn.to_q", WORDS),
        ("diffusion_model.blocks.0.self_attn.q",),
        ("lora_prior_unet_down_blocks_0_1",),
        ("lora_te3_encoder_block_0_layer_0_SelfAttention_q", "lora_unet_joint_blocks_0_x"),
        ("down_blocks.0.motion_modules.0.transformer_blocks.0.attention_blocks.0.to_q",),
        ("lllite_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_k",),
        ("x",),
    ],
)
def test_layers_of_other_kinds_of_models(tmp_path: Path, layers: tuple[str, ...]) -> None:
    """Files for models without such a UNet are not offered, though their text encoders may be the same."""
    write(tmp_path / "loras", "x", {key: tensor for layer in layers for key, tensor in halves(layer).items()})
    assert problem(tmp_path, "x") == OTHER


def test_text_encoders_tell_models_apart(tmp_path: Path) -> None:
    """A file for texts alone is for models whose text encoders are as wide as its layers."""
    write(tmp_path / "loras", "x", halves(WORDS))
    for widths, told in (((768,), ""), ((1024,), OTHER), ((), "")):
        (info,) = adapters.loras(str(tmp_path), Fit(family="sd", text_widths=widths))
        assert info.problem == told


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
        ({}, {".json": "{}", ".civitai.info": '{"trainedWords": ["one, two"]}'}, ("one", "two")),
        ({}, {".metadata.json": '{"civitai": {"trainedWords": ["one"]}}'}, ("one",)),
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
    (info,) = adapters.loras(str(tmp_path), SD1)
    assert info.words == words


@pytest.mark.parametrize(
    ("metadata", "beside", "told"),
    [
        ({"modelspec.description": "by its maker"}, {}, "by its maker"),
        ({"modelspec.description": "x"}, {".json": '{"description": "by its\\nowner"}'}, "by its owner"),
        (
            {},
            {".json": '{"description": ""}', ".civitai.info": '{"description": "<p>a &amp; b</p>"}'},
            "a & b",
        ),
        ({}, {".description.txt": " a\u202eb\tc "}, "a b c"),
        ({}, {".json": '{"description": null}'}, ""),
        ({"modelspec.description": "x" * 9000}, {}, "x" * 499 + "…"),
    ],
)
@pytest.mark.parametrize("kind", ["loras", "embeddings"])
def test_descriptions(
    tmp_path: Path, metadata: dict[str, str], beside: dict[str, str], told: str, kind: str
) -> None:
    """The same order, on one line without markup; of an embedding its name alone is the word."""
    import torch

    tensors = a_lora(768) if kind == "loras" else {"emb_params": torch.zeros(2, 768)}
    path = write(tmp_path / kind, "x", tensors, {**metadata, "modelspec.trigger_phrase": "word"})
    for ending, text in beside.items():
        path.with_suffix(ending).write_text(text, encoding="utf-8")
    (info,) = getattr(adapters, kind)(str(tmp_path), Fit(family="sd", width=768, text_widths=(768,)))
    assert (info.description, info.problem) == (told, "")
    assert info.words == (("word",) if kind == "loras" else ())


def test_pictures_beside_files(tmp_path: Path) -> None:
    """Called as the file or folder, with or without `.preview`; nobody looks into them."""
    paths = {name: write(tmp_path / "loras", name, a_lora(768)) for name in ("a", "b", "c.v2")}
    for name in ("a.preview.png", "a.webp", "b.gif", "c.v2.jpeg", "v1.5.preview.jpg"):
        (tmp_path / "loras" / name).write_bytes(b"x")
    (folder := tmp_path / "loras" / "v1.5").mkdir()
    seen = {name: Path(preview(path)).name for name, path in (*paths.items(), ("v1.5", folder))}
    assert seen == {"a": "a.webp", "b": "", "c.v2": "c.v2.jpeg", "v1.5": "v1.5.preview.jpg"}
    offered = {info.name: info.preview for info in adapters.loras(str(tmp_path), SD1)}
    assert offered["a"] == str(tmp_path / "loras" / "a.webp")


def test_a_changed_file_is_looked_at_again(tmp_path: Path) -> None:
    """What was found out about a file holds for as long as the file stays the same."""
    import os

    path = write(tmp_path / "loras", "x", a_lora(768))
    assert problem(tmp_path, "x") == ""
    write(tmp_path / "loras", "x", a_lora(1024))
    os.utime(path, (1, 1))
    assert problem(tmp_path, "x") == "it was made for Stable Diffusion 2"
