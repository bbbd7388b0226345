"""Where OpenVINO computes all pictures, torch's UNet and decoder leave the memory, and come back to the bit for who needs them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.checkpoints.source import Source
from engine.contract import EngineSettings, Failed, GenerationRequest, Lora, ModelInfo
from engine.device import choice, memory
from engine.device.fingerprint import digest
from engine.device.offload import Offloads
from engine.families.sd import SdFamily
from engine.loading import load, offloads
from engine.loading.speed import Subject
from engine.openvino.runtime import OpenVino
from tests.engine.openvino.test_runtime import FOUND, SIZE, bits, hastened, made_with, runtime_in
from tests.kit.adapters import lora_tensors, write
from tests.kit.engines import Bench, described, settled
from workshop.bench.peers import original_format

pytestmark = [pytest.mark.xdist_group("openvino"), pytest.mark.timeout(300)]
LORA = Lora(name="strong")
ODD = (88, 64)
"""Its latents can't be halved."""


@dataclass
class Studio:
    """A model of its own in a worker, whose torch weights leave as soon as nobody needs them."""

    model: Path
    pipe: Any
    info: ModelInfo
    family: SdFamily
    bench: Bench
    jobs: int = 0

    @property
    def held(self) -> int:
        """Numbers of torch's UNet and decoder that are in memory."""
        parts = (self.pipe.unet, self.pipe.vae.decoder, self.pipe.vae.post_quant_conv)
        weights = (dict(part.named_parameters()) for part in parts)
        return sum(each.numel() for found in weights for name, each in found.items() if ".lora_" not in name)

    def request(self, **changes: Any) -> GenerationRequest:
        usual: dict[str, Any] = {"prompt": "x", "seed": 1, "steps": 2, "size": SIZE}
        return self.info.request(**{**usual, **changes})

    def draw(self, **changes: Any) -> tuple[bytes, dict[str, str]]:
        """(pixels, what its file says) of a picture."""
        self.jobs += 1
        self.bench.submit(self.jobs, self.request(**changes))
        done = self.bench.finished(self.jobs)
        return bits(done), made_with(done)

    def refused(self, **changes: Any) -> str:
        self.jobs += 1
        self.bench.submit(self.jobs, self.request(**changes))
        self.bench.finish(self.jobs)
        ending = self.bench.ending(self.jobs)
        assert isinstance(ending, Failed), ending
        return ending.reason


def offloads_of(pipe: Any, settings: EngineSettings, *switches: str) -> Offloads | None:
    """As the engine makes them for the model of these settings, but without a minute's wait."""
    source, place = Source.of(settings.model), choice.choose_place(settings)
    subject = Subject(
        settings=settings, info=described(settings), place=place, profile="full", weights=digest(source)
    )
    found = load.find(source, settings, place)
    return offloads.of(pipe, subject, source, found, dict.fromkeys(switches, "on"), rest_s=0.0)


@pytest.fixture
def studio(
    copy: Path,
    converted: Path,
    load_pipe: Callable[[Path], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Studio:
    monkeypatch.setattr(OpenVino, "_measured", lambda _self, _unets, _known: FOUND)
    pipe = load_pipe(copy)
    write(copy / "loras", LORA.name, lora_tensors(pipe, seed=3))
    settings = EngineSettings(model=str(copy), spool=str(tmp_path), mode="wide", device="cpu")
    folder = Path(shutil.copytree(converted, tmp_path / "openvino" / converted.name))
    family = hastened(pipe, folder, own=copy)
    family.forwards.offloads = offloads_of(pipe, settings)
    info = described(settings)
    return Studio(copy, pipe, info, family, Bench(family, info, tmp_path, mode="wide", rows=4))


def test_torchs_weights_leave_and_come_back_to_the_bit(studio: Studio) -> None:
    """For a LoRA, an odd size, edges that meet; and leave again behind each. OpenVINO's pictures need none of them."""
    whole = studio.held
    kinds: list[dict[str, Any]] = [{"loras": (LORA,)}, {"size": ODD}, {"tile": True}]
    offloaded, studio.family.forwards.offloads = studio.family.forwards.offloads, None
    before = [studio.draw(**kind) for kind in kinds]
    plain = studio.draw()
    assert studio.held == whole
    studio.family.forwards.offloads = offloaded
    studio.bench.tick()
    assert studio.held == 0
    assert studio.draw() == plain
    assert studio.held == 0
    for kind, (pixels, made) in zip(kinds, before, strict=True):
        assert "runtime" not in made
        assert studio.draw(**kind) == (pixels, made)
        studio.bench.tick()
        assert studio.held == 0
    assert "runtime" in plain[1]
    assert studio.draw() == plain


def test_a_lora_that_nobody_used_before(
    studio: Studio, tmp_path: Path, load_pipe: Callable[[Path], Any]
) -> None:
    """Its layers come beside those whose weights are away, and draw what they draw beside weights that never left."""
    studio.bench.tick()
    assert studio.held == 0
    pixels, made = studio.draw(loras=(LORA,))
    family = SdFamily(load_pipe(studio.model), own=studio.model)
    plain = Bench(family, studio.info, tmp_path, mode="wide", rows=4)
    plain.submit(1, studio.request(loras=(LORA,)))
    assert bits(plain.finished(1)) == pixels
    assert "runtime" not in made


def test_nobody_who_is_drawn_by_torch_loses_it(studio: Studio) -> None:
    """They stay until its last picture is done, and a while: a second picture soon after must not read them again."""
    studio.bench.submit(50, studio.request(size=ODD, steps=4))
    while not studio.bench.worker._batcher.active or studio.bench.worker._batcher.active[0].left == 4:
        studio.bench.tick()
    studio.draw()
    assert studio.held > 0
    found = studio.family.forwards.offloads
    assert found is not None
    found.unet._rest_s = 3600.0
    studio.bench.finished(50)
    studio.bench.tick(2)
    assert not found.unet.is_away
    assert found.decoder.is_away


def test_where_openvino_fails_torchs_come_back(studio: Studio) -> None:
    """In the middle of a picture: the UNet; for a decode: the decoder. They stay, for nothing else computes any more."""
    studio.bench.tick()
    assert studio.held == 0

    def failing(*_: Any) -> Any:
        raise RuntimeError("bad allocation")

    runtime_in(studio.family)._networks["unet"] = failing  # type: ignore[assignment]
    _, made = studio.draw()
    assert made["runtime"] == "OpenVINO, then torch"
    studio.bench.tick(2)
    assert studio.held > 0


def test_a_decode_that_fails_brings_no_unet_back(studio: Studio) -> None:
    """Where memory is short for it, the rest of torch's would make it worse."""
    studio.bench.tick()

    def failing(*_: Any) -> Any:
        raise RuntimeError("bad allocation")

    runtime_in(studio.family)._networks["decoder"] = failing  # type: ignore[assignment]
    _, made = studio.draw()
    assert made["runtime"] == "OpenVINO, then torch"
    found = studio.family.forwards.offloads
    assert found is not None
    assert (found.unet.is_away, found.decoder.is_away) == (True, False)


@pytest.mark.parametrize("what", ["other weights", "no files"])
def test_files_that_changed_meanwhile_are_not_drawn_with(studio: Studio, what: str, tmp_path: Path) -> None:
    """One sentence for who asked; whom OpenVINO draws for goes on."""
    studio.bench.tick()
    (file,) = (studio.model / "unet").glob("*.safetensors")
    if what == "no files":
        file.unlink()
    else:
        from safetensors.torch import load_file, save_file

        save_file({name: tensor + 1 for name, tensor in load_file(file).items()}, tmp_path / "other")
        shutil.copy(tmp_path / "other", file)
    words = "restart the bot" if what == "other weights" else "are not on this machine"
    assert words in studio.refused(size=ODD)
    assert studio.held == 0
    assert "runtime" in studio.draw()[1]


def test_where_memory_is_short_they_stay_away(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system would end an engine that takes more than there is."""
    studio.bench.tick()
    with monkeypatch.context() as patch:
        patch.setattr(memory, "reclaim", lambda _device: 1)
        assert "There is not enough memory" in studio.refused(size=ODD)
    assert studio.held == 0
    assert "runtime" not in studio.draw(size=ODD)[1]


def test_what_is_laid_otherwise_comes_back_so(
    tiny: Path, tmp_path: Path, load_pipe: Callable[[Path], Any]
) -> None:
    """Channels last, and in the numbers that it had; fused projections are in no file, so that all stays."""
    own = load_pipe(tiny)
    own.unet.to(torch.bfloat16).to(memory_format=torch.channels_last)
    settings = EngineSettings(model=str(tiny), spool=str(tmp_path), device="cpu")
    before = {name: (each.clone(), each.stride()) for name, each in own.unet.named_parameters()}
    made = offloads_of(own, settings, "channels_last")
    assert made is not None
    made.rest()
    assert all(not each.numel() for each in own.unet.parameters())
    assert own.vae.encoder.conv_in.weight.numel()
    made.unet.need()
    for name, each in own.unet.named_parameters():
        tensor, stride = before[name]
        assert torch.equal(each, tensor)
        assert each.stride() == stride
    assert offloads_of(own, settings, "fused_qkv") is None


def test_from_one_file(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its UNet and its VAE alone are read as with the whole pipeline."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    original_format.into_cache(tmp_path / "hub", tiny, "stable-diffusion-v1-5/stable-diffusion-v1-5")
    file = original_format.write(tiny, tmp_path / "mine.safetensors")
    settings = EngineSettings(model=str(file), spool=str(tmp_path), device="cpu", hub_offline=True)
    pipe = settled(settings, choice.choose_place(settings)).pipeline
    made = offloads_of(pipe, settings)
    assert made is not None
    before = {
        name: each.clone()
        for part in ("unet", "vae")
        for name, each in getattr(pipe, part).named_parameters()
    }
    made.rest()
    made.unet.need()
    made.decoder.need()
    for part in ("unet", "vae"):
        assert all(torch.equal(each, before[name]) for name, each in getattr(pipe, part).named_parameters())
