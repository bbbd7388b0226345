"""What a model offers is read from its files without torch, and every way a folder can be wrong gives one sentence."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.checkpoints import source
from engine.contract import SAMPLERS, EngineSettings, Mode, ModelInfo
from engine.device import choice
from engine.errors import BrokenModel
from engine.loading.load import OnProgress, untold
from tests.kit.engines import described, settled

UNET = "unet/diffusion_pytorch_model.safetensors"
SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"


def settings(model: Path | str, **changes: Any) -> EngineSettings:
    return EngineSettings(model=str(model), spool="/nowhere", device="cpu", hub_offline=True, **changes)


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache with nothing in it."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def into_cache(cache: Path, folder: Path, model: str) -> Path:
    """Puts a folder where huggingface_hub keeps a downloaded model."""
    repository = cache / f"models--{model.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc123")
    return Path(shutil.copytree(folder, repository / "snapshots" / "abc123"))


# ------------------------------------------------------------------ which there are


def test_sources(tmp_path: Path) -> None:
    """The configured model comes first, then folders and files of `checkpoints` by name; nothing else counts."""
    lying = tmp_path / "checkpoints"
    for name in ("b-folder", "owner--name"):
        (lying / name).mkdir(parents=True)
        (lying / name / "model_index.json").write_text("{}")
    (lying / "no-model").mkdir()
    for name in ("a.safetensors", "c.safetensors", "c.json", ".d.safetensors", "e.ckpt"):
        (lying / name).write_bytes(b"")
    for name in ("loop.safetensors", "loop"):
        (lying / name).symlink_to(lying / name)
    found = source.sources(settings("someone/else", models=str(tmp_path)))
    expected = ("a.safetensors", "b-folder", "c.safetensors", "owner--name")
    assert [each.named for each in found] == ["someone/else", *(str(lying / name) for name in expected)]
    assert [each.id for each in found] == ["someone/else", "a", "b-folder", "c", "owner/name"]


def test_no_source_is_named_twice(tmp_path: Path) -> None:
    """What is configured as id or path, lies there under another name, or has another's name, is offered once."""
    lying = tmp_path / "checkpoints"
    for name in ("owner--name", "same"):
        (lying / name).mkdir(parents=True)
        (lying / name / "model_index.json").write_text("{}")
    (lying / "same.safetensors").write_bytes(b"")
    (lying / "same-again").symlink_to(lying / "same")
    owned, same = (str(lying / name) for name in ("owner--name", "same"))
    assert named("owner/name", tmp_path) == [owned, same]  # not fetched anew
    assert named("owner/name@v1", tmp_path) == ["owner/name@v1", same]
    assert named(same, tmp_path) == [same, owned]


def named(model: str, models: Path | None) -> list[str]:
    """What an engine may draw with, as the settings or the folder for models names it."""
    told = settings(model, models=None if models is None else str(models))
    return [each.named for each in source.sources(told)]


def test_without_a_folder_there_is_one_source(tmp_path: Path) -> None:
    """No folder for models, or none in it, leaves the configured one."""
    assert named("starter", None) == named("starter", tmp_path / "none") == ["starter"]


# ------------------------------------------------------------------ describing


def test_the_tiny_model(tiny: Path) -> None:
    """The demo's model says what it is, draws 128x128 in 8 steps, and offers every sampler."""
    info = described(settings(tiny))
    assert (info.id, info.title, info.width, info.height, info.steps) == (
        "tiny",
        "Tiny random model",
        128,
        128,
        8,
    )
    assert info.description == "random weights: draws colourful noise, obeys no prompt"
    assert (info.sampler, info.guidance_scale, info.samplers) == ("PNDM", 7.5, tuple(SAMPLERS))
    assert not info.safety_checker


def test_bounds_from_the_configuration(copy: Path) -> None:
    """Without easel.json, sizes follow from the UNet and the VAE, up to twice the native side."""
    (copy / "easel.json").unlink()
    edit(copy / "unet/config.json", sample_size=64)
    info = described(settings(copy))
    assert (info.title, info.width, info.height, info.steps) == ("tiny", 512, 512, 30)
    assert (info.side_min, info.side_max, info.side_multiple, info.pixels_max) == (128, 1024, 8, 1024 * 1024)
    edit(copy / "unet/config.json", sample_size=[192, 64])
    tall = described(settings(copy))
    assert (tall.width, tall.height, tall.side_max) == (512, 1536, 2048)


def test_torch_is_not_loaded(tiny: Path) -> None:
    """Describing a model leaves torch, diffusers and the hub's library unimported."""
    code = (
        "import sys; from engine.checkpoints.describe import describe; from engine.contract import EngineSettings;"
        "from engine.checkpoints.source import Source;"
        f"describe(Source.of({str(tiny)!r}), EngineSettings(model='x', spool='x'));"
        "print([name for name in ('torch', 'diffusers', 'transformers', 'huggingface_hub') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("scheduler", "unet", "expected"),
    [
        ({"_class_name": "LCMScheduler"}, {"time_cond_proj_dim": 256}, ("LCM", 4, 8.5)),
        ({"_class_name": "LCMScheduler"}, {}, ("LCM", 4, 1.0)),
        ({"_class_name": "DPMSolverMultistepScheduler"}, {}, ("DPM++ 2M", 30, 7.5)),
        (
            {
                "_class_name": "DPMSolverMultistepScheduler",
                "use_karras_sigmas": True,
                "algorithm_type": "sde-dpmsolver++",
            },
            {},
            ("DPM++ 2M SDE Karras", 30, 7.5),
        ),
        ({"_class_name": "EulerDiscreteScheduler"}, {}, ("Euler", 30, 7.5)),
        ({"_class_name": "TCDScheduler"}, {}, ("TCD", 4, 1.0)),
        ({"_class_name": "LMSDiscreteScheduler"}, {}, ("DPM++ 2M Karras", 30, 7.5)),
    ],
)
def test_defaults_follow_the_scheduler(copy: Path, scheduler: Any, unet: Any, expected: Any) -> None:
    """Sampler, steps and guidance come from the scheduler that the checkpoint brings."""
    (copy / "easel.json").unlink()
    edit(copy / "scheduler/scheduler_config.json", **scheduler)
    edit(copy / "model_index.json", scheduler=["diffusers", scheduler["_class_name"]])
    edit(copy / "unet/config.json", **unet)
    info = described(settings(copy))
    assert (info.sampler, info.steps, info.guidance_scale) == expected


def test_models_that_only_fill_masks_are_told_by_their_unet(copy: Path) -> None:
    """A UNet of nine channels is shown mask and image: its model is described, and asks for both."""
    assert not described(settings(copy)).needs_mask
    edit(copy / "unet/config.json", in_channels=9)
    info = described(settings(copy))
    assert info.takes_images
    assert info.needs_mask


def test_known_models_need_no_files(empty_cache: Path) -> None:
    """Stable Diffusion 1.5 is described before anything is downloaded, also by the id that no longer exists."""
    info = described(settings(SD15))
    assert (info.id, info.title, info.width, info.height) == (SD15, "Stable Diffusion 1.5", 512, 512)
    assert (info.steps, info.guidance_scale, info.sampler, info.safety_checker) == (30, 7.5, "PNDM", True)
    assert described(settings("runwayml/stable-diffusion-v1-5")) == info
    turbo = described(settings("stabilityai/sd-turbo"))
    assert (turbo.steps, turbo.guidance_scale, turbo.sampler) == (1, 1.0, "Euler")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("stabilityai/stable-diffusion-xl-base-1.0", ("sdxl", 1024, 1024, 30, 5.0, "Euler")),
        ("stabilityai/sdxl-turbo", ("sdxl", 512, 512, 1, 1.0, "Euler a")),
    ],
)
def test_known_sdxl_models(empty_cache: Path, model: str, expected: tuple[Any, ...]) -> None:
    """SDXL and its Turbo are described before anything is downloaded, each with what it was made for."""
    info = described(settings(model))
    assert (info.family, info.width, info.height, info.steps, info.guidance_scale, info.sampler) == expected
    assert (info.safety_checker, info.takes_images, info.needs_mask) == (False, True, False)
    assert info.side_max == 2 * info.width


@pytest.mark.parametrize(
    ("model", "native"),
    [(SD15, 512), ("stabilityai/sd-turbo", 512), ("SimianLuo/LCM_Dreamshaper_v7", 768)],
)
def test_known_models_have_their_bounds_before_their_files(
    empty_cache: Path, model: str, native: int
) -> None:
    """The bounds follow from the native size by the rule for folders, also while nothing is downloaded."""
    info = described(settings(model))
    sides = (info.side_min, info.side_max, info.side_multiple)
    assert (info.width, info.height, *sides) == (512, 512, native // 4, 2 * native, 8)
    assert info.pixels_max == info.side_max**2


def test_a_cached_model_is_read_from_the_cache(tiny: Path, empty_cache: Path) -> None:
    """A model of the hub that is in the cache is described and loaded from there, without a network."""
    into_cache(empty_cache, tiny, SD15)
    info = described(settings("runwayml/stable-diffusion-v1-5"))
    assert (info.id, info.title, info.width) == (SD15, "Tiny random model", 128)
    assert load(SD15).unet.config.sample_size == 16


def test_overrides(copy: Path) -> None:
    """easel.json may give title, description, defaults, bounds and samplers."""
    edit(
        copy / "easel.json",
        title="Mine",
        guidance_scale=3,
        samplers=["PNDM", "Euler"],
        side_max=200,
        steps_max=40,
        words=["my\nstyle", "x" * 99],
    )
    copy.with_name(f"{copy.name}.preview.webp").write_bytes(b"x")
    info = described(settings(copy))
    assert info.words == ("my style", "x" * 60)
    assert info.preview == str(copy.with_name(f"{copy.name}.preview.webp"))
    assert (info.title, info.guidance_scale, info.samplers) == ("Mine", 3, ("PNDM", "Euler"))
    assert (info.side_max, info.steps_max) == (200, 40)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"colour": "red"}, "easel.json knows no “colour”"),
        ({"id": "other"}, "easel.json knows no “id”"),
        ({"steps": "many"}, "easel.json has a wrong value for “steps”"),
        ({"steps": True}, "easel.json has a wrong value for “steps”"),
        ({"steps": 500}, "wrong value for “steps”: 500 is not from 1 to 150"),
        ({"sampler": "LCM", "steps": 51}, "wrong value for “steps”: 51 is not from 1 to 50, as LCM wants"),
        ({"steps": 0}, "wrong value for “steps”: 0 is not a positive number"),
        ({"sampler": "Nope"}, 'wrong value for “sampler”: "Nope" is not one of Euler'),
        ({"samplers": ["Nope"]}, "wrong value for “samplers”"),
        ({"decoder": "small"}, 'wrong value for “decoder”: "small" is not full or tiny'),
        ({"decoder": True}, "wrong value for “decoder”: true"),
        ({"side_multiple": 0}, "wrong value for “side_multiple”: 0 is not a positive number"),
        ({"side_multiple": -8}, "wrong value for “side_multiple”"),
        ({"side_multiple": 12}, "wrong value for “side_multiple”: 12 is not a multiple of 8"),
        ({"side_min": 4096}, "wrong value for “side_min”: 4096 is not at most side_max"),
        ({"side_max": 8}, "wrong value for “side_max”: 8 is not at least side_min"),
        ({"pixels_max": 0}, "wrong value for “pixels_max”"),
        ({"guidance_scale": -1.5}, "wrong value for “guidance_scale”"),
        ({"width": 1024}, "contradict themselves"),
    ],
)
def test_wrong_overrides(copy: Path, changes: dict[str, Any], words: str) -> None:
    """A mistake in easel.json is named instead of showing up later at somebody's request."""
    edit(copy / "easel.json", **changes)
    with pytest.raises(BrokenModel, match=words):
        described(settings(copy))


def test_paths_do_not_leak(tiny: Path) -> None:
    """A local folder's id is its name alone."""
    info = described(settings(tiny))
    assert str(tiny.parent) not in repr(info)


# ------------------------------------------------------------------ loading


def load(model: Path | str, on_progress: OnProgress = untold) -> Any:
    place = choice.choose_place(settings(model))
    return settled(settings(model), place, on_progress).pipeline


def test_loading_tells_its_stages(tiny: Path) -> None:
    """Each component is announced as it loads, and the numbers are fp32 on the CPU, with one warning."""
    told: list[tuple[str, float | None]] = []
    pipe = load(tiny, lambda stage, share: told.append((stage, share)))
    assert [stage for stage, _ in told] == ["loading text encoder", "loading unet", "loading vae", "starting"]
    assert str(pipe.unet.dtype) == str(pipe.text_encoder.dtype) == "torch.float32"
    assert pipe.safety_checker is None
    place = choice.choose_place(settings(tiny))
    assert place.warnings == ("No graphics card is in use: drawing on the CPU is slow.",)


def test_half_precision_files_load_where_there_are_no_others(copy: Path) -> None:
    """A folder that only has fp16 variants loads on the CPU, as fp32."""
    for name in ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"):
        (copy / f"{name}.safetensors").rename(copy / f"{name}.fp16.safetensors")
    assert str(load(copy).unet.dtype) == "torch.float32"


@pytest.mark.parametrize(
    ("mode", "pays", "dtype"),
    [("exact", True, "float32"), ("fast", True, "bfloat16"), ("wide", False, "float32")],
)
def test_bf16_is_for_processors_built_for_it(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, mode: Mode, pays: bool, dtype: str
) -> None:
    """Left open, the CPU's numbers are bf16 where that is much faster, but never in exact, which equals `pipe()`."""
    monkeypatch.setattr("engine.unet.switches.bfloat16_pays", lambda: pays)
    place = choice.choose_place(replace(settings(tiny), mode=mode))
    assert str(place.dtype) == f"torch.{dtype}"


def test_a_missing_device_is_named(tiny: Path) -> None:
    """A configured device that isn't there gives a sentence, not CUDA's traceback."""
    with pytest.raises(BrokenModel, match="The device “nonsense” can't be used here"):
        choice.choose_place(replace(settings(tiny), device="nonsense"))


def test_cuda_without_cuda_is_named(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch finds no CUDA device the sentence says so, without the name of an exception."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(BrokenModel, match="There is no CUDA device here") as caught:
        choice.choose_place(replace(settings(tiny), device="cuda"))
    assert "Error" not in str(caught.value)


def test_a_gpu_that_does_not_answer_is_named(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A card that fell off the bus fails at the first touch: a sentence says what to do."""

    def lost(*_: object, **__: object) -> None:
        raise torch.AcceleratorError("CUDA error: no CUDA-capable device is detected", 100)

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.empty", lost)
    with pytest.raises(BrokenModel, match=r"The device “cuda” can't be used here .* install its driver"):
        choice.choose_place(replace(settings(tiny), device="auto"))


def truncate(folder: Path, name: str, keep: int) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[:keep])


def only_pickle(folder: Path) -> None:
    (folder / UNET).rename(folder / "unet/diffusion_pytorch_model.bin")


def wrong_shapes(folder: Path) -> None:
    edit(folder / "unet/config.json", block_out_channels=[16, 32])


def shards_missing(folder: Path) -> None:
    (folder / UNET).unlink()
    index = {"weight_map": {"conv_in.weight": "diffusion_pytorch_model-00001-of-00002.safetensors"}}
    (folder / f"{UNET}.index.json").write_text(json.dumps(index))


BREAKAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no folder": (lambda f: shutil.rmtree(f), "There is no model folder “tiny”"),
    "no index": (lambda f: (f / "model_index.json").unlink(), "has no model_index.json"),
    "index is no JSON": (
        lambda f: (f / "model_index.json").write_text("{"),
        "model_index.json .* not valid JSON",
    ),
    "index is a list": (
        lambda f: (f / "model_index.json").write_text("[]"),
        "model_index.json .* not a JSON object",
    ),
    "index is binary": (lambda f: (f / "model_index.json").write_bytes(b"\xff\xfe\x00"), "model_index.json"),
    "another pipeline": (lambda f: edit(f / "model_index.json", _class_name="WanPipeline"), "WanPipeline"),
    "unknown scheduler": (
        lambda f: edit(f / "model_index.json", scheduler=["diffusers", "NoScheduler"]),
        "model_index.json .*NoScheduler",
    ),
    "no unet named": (lambda f: edit(f / "model_index.json", unet=[None, None]), "names no unet"),
    "no scheduler file": (
        lambda f: (f / "scheduler/scheduler_config.json").unlink(),
        "scheduler/scheduler_config.json is missing",
    ),
    "no unet folder": (lambda f: shutil.rmtree(f / "unet"), "unet/config.json is missing"),
    "no unet config": (lambda f: (f / "unet/config.json").unlink(), "unet/config.json is missing"),
    "vae config is no JSON": (
        lambda f: (f / "vae/config.json").write_text("x"),
        "vae/config.json .* valid JSON",
    ),
    "unet config without size": (
        lambda f: edit(f / "unet/config.json", sample_size=None),
        "unet/config.json",
    ),
    "no weights": (lambda f: (f / UNET).unlink(), f"{UNET} is missing"),
    "no text encoder weights": (
        lambda f: (f / "text_encoder/model.safetensors").unlink(),
        "text_encoder/model.safetensors is missing",
    ),
    "only pickles": (only_pickle, f"only as a pickle file.*{UNET}"),
    "truncated": (lambda f: truncate(f, UNET, 100_000), f"{UNET} .* has 100,000 bytes but should have"),
    "truncated header": (lambda f: truncate(f, UNET, 50), f"{UNET} .* damaged at its start"),
    "empty file": (lambda f: truncate(f, UNET, 0), f"{UNET} .* damaged at its start"),
    "git-lfs pointer": (
        lambda f: (f / UNET).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        f"{UNET} .*git lfs pull",
    ),
    "missing shard": (shards_missing, "diffusion_pytorch_model-00001-of-00002.safetensors"),
    "no tokenizer": (lambda f: shutil.rmtree(f / "tokenizer"), "tokenizer/vocab.json is missing"),
    "tokenizer is no JSON": (
        lambda f: (f / "tokenizer/tokenizer.json").write_text("}"),
        "tokenizer/tokenizer.json",
    ),
    "wrong shapes": (wrong_shapes, "files in unet/ of the model “tiny” can't be loaded"),
    "unknown block": (
        lambda f: edit(f / "unet/config.json", down_block_types=["NoBlock", "NoBlock"]),
        "files in unet/ of the model “tiny” can't be loaded",
    ),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_broken_folders(copy: Path, name: str) -> None:
    """However a folder is broken, describing or loading it gives one sentence that names the file and what to do."""
    break_it, words = BREAKAGES[name]
    break_it(copy)
    with pytest.raises(BrokenModel, match=words) as caught:
        load(described(settings(copy)) and copy)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert str(copy.parent) not in sentence


def test_sdxl_by_its_files(tiny_xl: Path, tmp_path: Path) -> None:
    """Without easel.json, size and guidance are those of pipe() itself, and the sampler is the folder's own."""
    folder = Path(shutil.copytree(tiny_xl, tmp_path / "xl"))
    (folder / "easel.json").unlink()
    edit(folder / "unet/config.json", sample_size=128)
    info = described(settings(folder))
    assert (info.family, info.width, info.height, info.side_min) == ("sdxl", 1024, 1024, 256)
    assert (info.sampler, info.steps, info.guidance_scale) == ("Euler", 30, 5.0)
    assert info.samplers == tuple(SAMPLERS)


XL_BREAKAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no second encoder named": (
        lambda f: edit(f / "model_index.json", text_encoder_2=[None, None]),
        "names no text_encoder_2",
    ),
    "no weights of the second encoder": (
        lambda f: (f / "text_encoder_2/model.safetensors").unlink(),
        "text_encoder_2/model.safetensors is missing",
    ),
    "second encoder truncated": (
        lambda f: truncate(f, "text_encoder_2/model.safetensors", 9000),
        "text_encoder_2/model.safetensors .* has 9,000 bytes but should have",
    ),
    "no second tokenizer": (
        lambda f: shutil.rmtree(f / "tokenizer_2"),
        "tokenizer_2/vocab.json is missing",
    ),
    "a UNet of another family": (
        lambda f: edit(f / "unet/config.json", addition_embed_type=None),
        "unet/config.json .* describes a UNet of Stable Diffusion, but model_index.json a pipeline of SDXL",
    ),
    "a refiner": (
        lambda f: edit(f / "model_index.json", _class_name="StableDiffusionXLImg2ImgPipeline"),
        "describes a StableDiffusionXLImg2ImgPipeline, but this version of Easel draws with .*StableDiffusionXLPipeline",
    ),
}


@pytest.mark.parametrize("name", XL_BREAKAGES)
def test_broken_sdxl_folders(tiny_xl: Path, tmp_path: Path, name: str) -> None:
    """What an SDXL folder has besides is looked at, too, before anything is loaded."""
    folder = Path(shutil.copytree(tiny_xl, tmp_path / "xl"))
    break_it, words = XL_BREAKAGES[name]
    break_it(folder)
    with pytest.raises(BrokenModel, match=words):
        load(described(settings(folder)) and folder)


def test_a_hub_id_that_is_nowhere(empty_cache: Path) -> None:
    """An unknown id without a network is answered with a sentence, not with the library's exception."""
    with pytest.raises(BrokenModel, match="someone/something is not on this machine"):
        described(settings("someone/something"))
    with pytest.raises(BrokenModel, match="is not on this machine"):
        load(SD15)


def test_an_interrupted_download_is_not_loaded(tiny: Path, empty_cache: Path) -> None:
    """A snapshot in the cache that lacks its weights is not mistaken for the model."""
    (into_cache(empty_cache, tiny, SD15) / UNET).unlink()
    with pytest.raises(BrokenModel, match="is not on this machine"):
        load(SD15)


def test_sizes_fit_the_contract(model: ModelInfo) -> None:
    """Every aspect gives a size that the model itself accepts."""
    from engine.contract import ASPECTS

    for aspect in ASPECTS:
        assert model.request(prompt="x", seed=0, size=model.size_for(aspect))
