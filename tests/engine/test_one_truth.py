"""What is asked in two places has one answer: where the hub's cache is, what a file is, which profile will be chosen."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engine import report
from engine.checkpoints import folder as checkpoint
from engine.checkpoints import hub, single_file
from engine.checkpoints.single_file import SingleFile
from engine.checkpoints.source import Source
from engine.contract import EngineSettings, ModelInfo
from engine.device import layout
from engine.device.choice import Place
from engine.errors import BrokenModel
from engine.loading import load, opening, upscalers
from engine.loading.opening import Offered
from engine.openvino import files
from tests.engine.checkpoints.test_hub import COMMIT
from tests.engine.checkpoints.test_single_file import header_file, shapes
from tests.kit.engines import digest_of, settled
from tests.kit.tiny import build_xl
from tests.kit.tiny_upscalers import build as build_upscaler

# ------------------------------------------------------------------ the hub's cache

_CACHES = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME")
ENVIRONMENTS: tuple[Mapping[str, str], ...] = (
    {},
    {"HF_HUB_CACHE": "/a/hub"},
    {"HF_HUB_CACHE": "$DISK/hub", "DISK": "/big"},
    {"HF_HUB_CACHE": "~/${DISK}/hub", "DISK": "big"},
    {"HF_HUB_CACHE": "$NONE/hub"},
    {"HF_HUB_CACHE": "~nobodyatall/hub"},
    {"HUGGINGFACE_HUB_CACHE": "/older"},
    {"HUGGINGFACE_HUB_CACHE": "~/$DISK", "DISK": "older"},
    {"HUGGINGFACE_HUB_CACHE": "/older", "HF_HUB_CACHE": "/newer", "HF_HOME": "/home"},
    {"HUGGINGFACE_HUB_CACHE": "/older", "HF_HOME": "/home"},
    {"HF_HOME": "$DISK/home", "DISK": "/big"},
    {"HF_HOME": "~/home", "XDG_CACHE_HOME": "/xdg"},
    {"XDG_CACHE_HOME": "/xdg"},
    {"XDG_CACHE_HOME": "~/$DISK", "DISK": "xdg"},
    {"HF_HUB_CACHE": ""},
    {"HF_HOME": ""},
)


def test_the_cache_is_where_huggingface_hub_has_it() -> None:
    """In whatever way its place is told, in new variables or old ones."""
    code = (
        "import importlib, json, os, sys\nfrom pathlib import Path\nfrom huggingface_hub import constants\n"
        "from engine.checkpoints import hub\nkept = dict(os.environ)\nanswers = []\n"
        "for told in json.load(sys.stdin):\n"
        "    os.environ.clear(), os.environ.update(kept | told), importlib.reload(constants)\n"
        "    answers.append([str(Path(constants.HF_HUB_CACHE)), str(hub._cache())])\n"
        "print(json.dumps(answers))"
    )
    bare = {name: value for name, value in os.environ.items() if name not in _CACHES}
    told = json.dumps(ENVIRONMENTS)
    done = subprocess.run(
        [sys.executable, "-c", code], input=told, env=bare, capture_output=True, text=True, check=True
    )
    for told_it, (theirs, ours) in zip(ENVIRONMENTS, json.loads(done.stdout), strict=True):
        assert ours == theirs, told_it


@pytest.mark.parametrize("told", ["HUGGINGFACE_HUB_CACHE", "HF_HUB_CACHE"])
def test_what_lies_in_such_a_cache_is_found(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    """A model in it has the digest that its files have elsewhere, and is not asked for anew."""
    for name in _CACHES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISK", str(tmp_path))
    monkeypatch.setenv(told, "$DISK/hub")
    repository = tmp_path / "hub" / "models--org--tiny"
    shutil.copytree(tiny, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    assert digest_of(settings("org/tiny")) == digest_of(settings(tiny))
    assert hub.fetch("org/tiny", offline=True, prefer_fp16=False, progress=print).samefile(
        repository / "snapshots" / COMMIT
    )


# ------------------------------------------------------------------ digests


def settings(model: str | Path, **changes: Any) -> EngineSettings:
    return EngineSettings(model=str(model), spool="", hub_offline=True, device="cpu", **changes)


def test_what_is_missing_has_no_digest(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that is not here, a folder without its core's weights, a file that is gone: never the digest of nothing."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    file = header_file(tmp_path / "one.safetensors", shapes("1"))
    assert digest_of(settings(file))
    file.unlink()
    assert digest_of(settings(copy))
    for weights in (copy / "unet").glob("*.safetensors"):
        weights.unlink()
    for missing in ("nobody/nothing", "stabilityai/sd-turbo", tmp_path / "none", file, copy):
        with pytest.raises(BrokenModel, match=r"^The weights of the model .+: .+\.$"):
            digest_of(settings(missing))


@pytest.mark.parametrize("text", ["", "processor\t: 0\nisa\t\t: rv64imafdc\n", None])
def test_a_processor_that_tells_little_has_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    """Where Linux tells it in other words, or nothing at all, it is not the digest of nothing either."""
    monkeypatch.setattr(files, "CPUINFO", tmp_path / "cpuinfo")
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    assert not files.processor().startswith("e3b0c442")


# ------------------------------------------------------------------ what a file is


def test_a_file_is_what_its_header_says(tmp_path: Path) -> None:
    """Neither the name of its folder nor its own makes an upscaler of a checkpoint, or a checkpoint of an upscaler."""
    for folder in (upscalers.FOLDER, "checkpoints", "anywhere"):
        (tmp_path / folder).mkdir()
        checkpoint_file = header_file(tmp_path / folder / "model.safetensors", shapes("1"))
        upscaler_file = build_upscaler(tmp_path / folder / "4x.safetensors", scale=4)
        assert upscalers.describe(upscaler_file).scale == 4
        assert single_file.read(checkpoint_file).kind is single_file.SD1
        with pytest.raises(BrokenModel):
            upscalers.describe(checkpoint_file)
        with pytest.raises(BrokenModel):
            single_file.read(upscaler_file)


def test_a_checkpoint_among_upscalers_is_opened_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After it had to make room, too: as at the start, where its folder's name was not asked about."""
    seen: list[Path] = []
    (tmp_path / upscalers.FOLDER).mkdir()
    file = header_file(tmp_path / upscalers.FOLDER / "dream.safetensors", shapes("1"))

    def loading(found: SingleFile, *_: Any) -> Any:
        seen.append(found.path)
        raise BrokenModel("as a checkpoint")
        yield

    monkeypatch.setattr(load, "loading", loading)
    dream = Offered(source=Source.of(str(file)), info=ModelInfo(id="dream", title="Dream"))
    opener = opening.Opener(settings(file, models=str(tmp_path)), {"dream": dream})
    assert opener.size_of("dream") < upscalers.size_of(file)
    with pytest.raises(BrokenModel, match="as a checkpoint"):
        load.wholly(opener.open("dream"))
    assert seen == [file]


# ------------------------------------------------------------------ the profile


@pytest.mark.parametrize("force_upcast", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_an_xl_vae_is_foreseen(tmp_path: Path, dtype: torch.dtype, force_upcast: bool) -> None:
    """Doctor counts SDXL's VAE in the numbers in which the engine has it: float32 beside float16, else as all the rest."""
    folder = build_xl(tmp_path / "xl", force_upcast=force_upcast)
    place = Place(device=torch.device("cpu"), dtype=dtype)
    found = settled(settings(folder), place)
    weights, needs = report._of(checkpoint.check(folder, prefer_fp16=dtype is torch.float16), place)
    assert weights == found.layout.weights
    assert needs == layout._needs(found.pipeline, weights)


@pytest.mark.parametrize("sizes", [{}, {"width": 64, "height": 64}])
@pytest.mark.parametrize("sample_size", [16, [24, 12]])
def test_the_same_size_has_to_fit(copy: Path, sizes: Mapping[str, int], sample_size: Any) -> None:
    """Both go by the size that the model was trained on, whatever easel.json says of the usual one."""
    config = json.loads((copy / "unet" / "config.json").read_text())
    (copy / "unet" / "config.json").write_text(json.dumps({**config, "sample_size": sample_size}))
    (copy / "easel.json").write_text(json.dumps(sizes))
    place = Place(device=torch.device("cpu"), dtype=torch.float32)
    pipeline = settled(settings(copy), place).pipeline
    assert report._size(checkpoint.check(copy, prefer_fp16=False)) == layout._size(pipeline)


def test_the_model_that_an_engine_would_take_is_foreseen(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An id of the hub whose folder lies among the engine's models is that folder, for doctor, too."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "owner--tiny").symlink_to(tiny)
    told = settings("owner/tiny", models=str(tmp_path))
    assert report.foreseen(told) == "Profile full: this device has no memory of its own."
    assert report.foreseen(replace(told, models=None)).startswith("Chosen at the start")
