"""Small cards: which profile holds and why, that places change no bit, that tiles are told, and what it all takes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engine import report
from engine.checkpoints import folder as checkpoint
from engine.contract import EngineSettings, InvalidRequest, Lora, ModelInfo, Ready
from engine.device import choice, fingerprint, layout, memory, profiles
from engine.device.layout import Settled
from engine.device.memory import Cut, Needs
from engine.device.profiles import Plan, Profile, Weights
from engine.families import vae as tiles
from engine.families.sd import SdFamily
from engine.families.sdxl import SdxlFamily
from engine.loading import opening
from engine.pictures import inputs, metadata
from engine.pictures.decoding import Inputs
from tests.kit import forked
from tests.kit.engines import Bench, a_mask, a_photo, announced, described, draw, kept, pixels, settled
from tests.kit.tiny_any import BUILDERS

GB = 10**9
XL = Weights(core=5_134_927_368, vae=334_615_452, aside=1_635_440_640)
NEEDS_XL = Needs(row=26 * 320 * 2 / 64, decode=6 * 128 * 4)


# ------------------------------------------------------------------ which, and why


@pytest.mark.parametrize(
    ("free_gb", "profile", "leaves"),
    [(24.0, "full", False), (12.0, "full", False), (11.0, "balanced", False), (7.5, "balanced", False)]
    + [(7.0, "low", False), (6.4, "low", False), (6.2, "low", True), (3.0, "low", True)],
)
def test_auto_takes_the_first_that_fits(free_gb: float, profile: str, leaves: bool) -> None:
    """SDXL on cards of all sizes: everything there, texts aside, by turns, and where nothing helps layer by layer."""
    plan = profiles.plan("auto", XL, NEEDS_XL, size=(1024, 1024), free_bytes=int(free_gb * GB))
    assert (plan.profile, plan.leaves) == (profile, leaves)
    assert plan.cut == profiles.CUTS[plan.profile]
    assert f"of {free_gb:.1f} GB free for 1024x1024" in plan.why


def test_a_plan_says_why() -> None:
    """One sentence with the profile, what it takes, what was free, and what full would have taken."""

    def why(wish: Any, free_bytes: int | None) -> str:
        return profiles.plan(wish, XL, NEEDS_XL, size=(1024, 1024), free_bytes=free_bytes).why

    assert why("auto", 8 * GB) == (
        "Profile balanced: 6.3 GB of 8.0 GB free for 1024x1024; full would take 10.3 GB."
    )
    assert why("auto", 24 * GB) == "Profile full: 10.3 GB of 24.0 GB free for 1024x1024."
    assert why("low", 24 * GB) == "Profile low: as the configuration says."
    assert why("low", 4 * GB) == "Profile low, layer by layer, which is slow: as the configuration says."
    assert why("auto", None) == "Profile full: this device has no memory of its own."


def test_called_pipelines_know_two_profiles() -> None:
    """FLUX on 24 GB: its transformer fits, its text encoder beside it does not. Balanced means low to it."""
    flux = Weights(core=23_800_000_000, vae=168_000_000, aside=9_800_000_000, called=True)
    size = (1024, 1024)

    def chosen(wish: Any, free_gb: int) -> tuple[str, bool, Cut | None]:
        plan = profiles.plan(wish, flux, profiles.called_needs(), size=size, free_bytes=free_gb * GB)
        return plan.profile, plan.leaves, plan.cut

    assert chosen("auto", 48) == ("full", False, None)
    assert chosen("auto", 32) == ("low", False, None)
    assert chosen("auto", 24) == ("low", True, None)
    assert chosen("balanced", 32) == ("low", False, None)


# ------------------------------------------------------------------ what it takes


def assembled(name: str) -> Any:
    """A real architecture as a GPU would have it, without numbers."""
    from workshop.bench import sd15, sdxl

    pipeline = {"sd15": sd15, "sdxl": sdxl}[name].assemble(torch.device("meta"))
    for part in layout._parts(pipeline).values():
        part.half()
    if name == "sdxl":
        pipeline.vae.float()
    return pipeline


def test_the_goals_for_small_cards() -> None:
    """Computed from the real architectures: low draws SD 1.5 at 512x512 in 2.6 GB, SDXL at 1024x1024 in 6 GB."""
    goals: dict[tuple[str, int], dict[Profile, float]] = {
        ("sd15", 512): {"full": 2.6, "balanced": 2.4, "low": 1.9},
        ("sdxl", 1024): {"full": 10.4, "balanced": 6.5, "low": 5.8},
    }
    for (name, side), by_profile in goals.items():
        pipeline = assembled(name)
        weights = layout._weights(layout._parts(pipeline), called=False)
        needs = layout._needs(pipeline, weights)
        assert layout._size(pipeline) == (side, side)
        for profile, most_gb in by_profile.items():
            took = profiles.peak_bytes(profile, weights, needs, side * side)
            assert 0.9 * most_gb * GB < took <= most_gb * GB, (name, profile, took)
        if name == "sdxl":
            assert (weights, needs) == (XL, NEEDS_XL)


def test_sizes_know_the_profile() -> None:
    """By turns there is room for larger pictures, and tiles make decoding a matter of the tile alone."""
    needs = Needs(row=260.0, decode=3072.0)
    assert needs.largest(4 * GB, 2) == int(0.9 * 4 * GB / 3072)
    cut = replace(needs, cut=Cut(whole=512 * 512, tile=512))
    assert cut.largest(4 * GB, 2) == int(0.9 * 4 * GB / 520)
    assert cut.largest(GB // 2, 2) == int(0.9 * GB / 2 / 3072)  # not even one tile: smaller ones, whole
    low = replace(cut, before_forward=2 * GB, before_decode=GB)
    edge = replace(cut, cut=Cut(whole=512 * 512, tile=512))
    assert (
        edge.largest(int((512 * 512 + 500) * 3072 / 0.9), 2) >= 512 * 512
    )  # a whole one fits, tiles would not
    assert low.largest(4 * GB, 2) == int((0.9 * 4 * GB - 2 * GB) / 520)
    assert low.largest(GB, 2) == 0
    for free_bytes in (3 * GB, 4 * GB):
        assert low.bytes_for(low.largest(free_bytes, 2), 2) <= 0.9 * free_bytes


def test_on_a_card_that_does_not_exist() -> None:
    """With low, UNet and VAE are on the card by turns, texts never, every tensor is where it is wanted, and the engine's
    own sums hold: its code runs on tensors without numbers whose device is a made-up card."""
    done = forked.module("tests.kit.card", "tiny-xl", "low")
    assert done.returncode == 0, done.stderr[-3000:]
    for told in json.loads(done.stdout):
        unet, vae = told["weights"]["unet"], told["weights"]["vae"]
        assert told["rest"] == 0
        assert told["text"] == "cpu"
        assert unet < told["forward"] <= told["computed"]
        assert vae < told["decode"]
        # What is above the weights is activations: the decode's are counted beside a VAE alone.
        assert told["decode"] - vae < unet + vae


# ------------------------------------------------------------------ the same pixels


def loaded(folder: Path, profile: Any) -> Settled:
    settings = EngineSettings(
        model=str(folder), spool="/nowhere", device="cpu", hub_offline=True, profile=profile
    )
    info = described(settings)
    fingerprint.pin(info)
    return settled(settings, choice.choose_place(settings, info.family))


def family(found: Settled, models: Path | None = None) -> SdFamily:
    return SdFamily(found.pipeline, models=models, lies=found.layout)


def layer_by_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(profile="low", leaves=True, why="Profile low, layer by layer.")
    monkeypatch.setattr(profiles, "plan", lambda *_args, **_options: plan)


@pytest.mark.parametrize(
    ("family", "profile"),
    [(SdFamily, "balanced"), (SdFamily, "low"), (SdxlFamily, "low"), (SdxlFamily, "leaves")],
)
def test_places_change_no_bit(
    tiny: Path,
    tiny_xl: Path,
    model: ModelInfo,
    model_xl: ModelInfo,
    family: type[SdFamily],
    profile: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Forced on the processor, every profile draws a crowd with the bits of full, weighted prompts included."""
    folder, info = (tiny_xl, model_xl) if family is SdxlFamily else (tiny, model)
    plain = loaded(folder, "full")
    if profile == "leaves":
        layer_by_layer(monkeypatch)
    other = loaded(folder, "low" if profile == "leaves" else profile)
    assert other.layout.plan.profile == profile.replace("leaves", "low")
    requests = {
        1: info.request(prompt="a red (fox:1.3)", seed=1, steps=3, size=(64, 64)),
        2: info.request(prompt="a ship", seed=2, steps=2, size=(72, 64), sampler="Euler a"),
    }
    drawn: list[list[bytes]] = []
    for name, pipeline in (("full", plain), (profile, other)):
        (tmp_path / name).mkdir()
        bench = Bench(family(pipeline.pipeline, lies=pipeline.layout), info, tmp_path / name)
        for number, request in requests.items():
            bench.submit(number, request)
        bench.finish(*requests)
        drawn.append([pixels(bench.finished(number).images[0].path) for number in requests])
        found = metadata.read(str(bench.finished(1).images[0].path))
        assert found is not None
        assert found.fingerprint == {"engine": "test"}
    assert drawn[0] == drawn[1]


def test_low_starts_from_images_too(tiny: Path, model: ModelInfo, tmp_path: Path) -> None:
    """The image and the mask are encoded with the VAE's turn, to the same bits."""
    folder = tmp_path / inputs.FOLDER
    image, mask = kept(folder, a_photo()), kept(folder, a_mask())
    request = replace(
        model.request(prompt="a fox", seed=3, steps=4, size=(64, 64)), image=image, mask=mask, strength=0.6
    )
    full, low = (draw(family(loaded(tiny, name)), request, folder).latents for name in ("full", "low"))
    assert torch.equal(full, low)


def test_loras_are_switched_in_low(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hooks outlive the loading of a LoRA, whose pixels are those of full; layer by layer a sentence says no."""
    from tests.kit.adapters import lora_tensors, write

    full, low = loaded(tiny, "full"), loaded(tiny, "low")
    write(tmp_path / "loras", "detail", lora_tensors(full.pipeline, seed=1))
    info = described(EngineSettings(model=str(tiny), spool="/nowhere", models=str(tmp_path)))
    plain = info.request(prompt="a fox", seed=3, steps=2, size=(64, 64))
    request = replace(plain, loras=(Lora(name="detail", weight=1.0),))
    drawn = [draw(family(pipeline, models=tmp_path), request).latents for pipeline in (full, low)]
    assert torch.equal(*drawn)
    assert not torch.equal(drawn[0], draw(family(full, models=tmp_path), plain).latents)
    for part in (low.pipeline.unet, low.pipeline.vae):
        assert isinstance(part._hf_hook, layout._Turn)

    layer_by_layer(monkeypatch)
    with pytest.raises(InvalidRequest, match="can't be used: this model is drawn layer by layer here"):
        draw(family(loaded(tiny, "low"), models=tmp_path), request)


def test_a_safety_checker_keeps_its_say(tmp_path: Path) -> None:
    """Put aside, it flags what it flags."""
    from tests.kit.tiny import build

    pipeline = loaded(build(tmp_path / "flags", safety="flags"), "low")
    drawing, info = family(pipeline), ModelInfo(id="flags", title="Flags", side_min=64)
    canvas = draw(drawing, info.request(prompt="x", seed=1, steps=1, size=(64, 64), sampler="Euler"))
    assert drawing.checker is not None
    assert drawing.checker.flags(drawing.checker.score(drawing.decode(canvas)))


@pytest.mark.parametrize("leaves", [False, True])
def test_called_pipelines_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leaves: bool) -> None:
    """Two pictures at different steps of a pipeline that is called, in low: the pixels of full."""
    folder = BUILDERS["sd3"](tmp_path / "sd3")
    plain = loaded(folder, "full")
    if leaves:
        layer_by_layer(monkeypatch)
    settings = EngineSettings(model=str(folder), spool="/nowhere", device="cpu")
    info = described(settings)
    drawn: list[list[bytes]] = []
    for name, pipeline in (("full", plain), ("low", loaded(folder, "balanced"))):
        assert pipeline.layout.plan.profile == name
        (tmp_path / name).mkdir()
        bench = Bench(opening.family_of(pipeline, settings, info), info, tmp_path / name)
        bench.submit(1, info.request(prompt="a fox", seed=1, steps=3, size=(64, 64)))
        bench.tick(2)
        bench.submit(2, info.request(prompt="a ship", seed=2, steps=2, size=(64, 64)))
        bench.finish(1, 2)
        drawn.append([pixels(bench.finished(number).images[0].path) for number in (1, 2)])
    assert drawn[0] == drawn[1]


def test_whoever_comes_sends_the_others_away() -> None:
    """Of the parts that share a device only the one that computes is there; the next one finds its room."""

    class Part(torch.nn.Linear):
        def __init__(self, device: str) -> None:
            super().__init__(2, 2)
            self.device, self.sent = torch.device(device), list[Any]()

        def to(self, *args: Any, **kwargs: Any) -> Any:
            self.sent.append(args[0])
            return super().to(*args, **kwargs)

    comes, there = Part("cpu"), Part("cuda:0")
    for part in (comes, there):
        layout.add_hook_to_module(part, layout._Turn(torch.device("cpu")))
        part.sent.clear()
    comes(torch.zeros(1, 2))
    assert (comes.sent, there.sent) == ([], [layout.PROCESSOR])
    for part in (comes, there):
        layout._Turn.parts.discard(part)


# ------------------------------------------------------------------ tiles


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(profiles.CUTS, "low", Cut(whole=64 * 64, tile=64))


@pytest.mark.usefixtures("small_tiles")
def test_tiles_are_told_and_repeat(tiny: Path, model: ModelInfo, tmp_path: Path) -> None:
    """Above the size the pixels differ from a whole decode, the file says how, and drawn again they are equal."""
    drawn: list[bytes] = []
    told: list[dict[str, str]] = []
    for number, profile in enumerate(("full", "low", "low")):
        (folder := tmp_path / str(number)).mkdir()
        bench = Bench(family(loaded(tiny, profile)), model, folder)
        for job, size in enumerate(((64, 64), (128, 96))):
            bench.submit(job, model.request(prompt="x", seed=1, steps=2, size=size))
            path = str(bench.finished(job).images[0].path)
            drawn.append(pixels(path))
            found = metadata.read(path)
            assert found is not None
            told.append(dict(found.fingerprint))
    small, large = drawn[::2], drawn[1::2]
    assert small[0] == small[1] == small[2]
    assert large[1] == large[2] != large[0]
    usual = {"engine": "test"}
    assert told == [usual] * 3 + [{**usual, "decode": "tiles of 64 pixels", "profile": "low"}, usual] + [
        told[3]
    ]


@pytest.mark.usefixtures("small_tiles")
def test_images_are_encoded_in_tiles_where_pictures_are_decoded_so(tiny: Path) -> None:
    """Encoding takes as much memory as decoding: above the size it goes in tiles as well."""
    full, low = (family(loaded(tiny, name))._starting for name in ("full", "low"))

    def encoded(starting: Any, side: int) -> torch.Tensor:
        photo = a_photo((side, side))
        found = Inputs(files=(str(side), None), size=photo.size, image=photo, mask=None, notes=())
        with torch.inference_mode():
            return starting._seen(found, torch.float32, False).image.mean

    assert torch.equal(encoded(full, 64), encoded(low, 64))
    assert not torch.equal(encoded(full, 128), encoded(low, 128))
    assert encoded(low, 128).shape == (1, 4, 16, 16)


def test_a_tile_that_does_not_fit_is_halved(pipe: Any) -> None:
    """After running out of memory a picture that was to be cut anyway is cut smaller; another one in four."""
    vae, size = pipe.vae, (96, 128)
    before = vae.use_tiling, vae.tile_latent_min_size
    with tiles.smaller(vae, Cut(whole=512 * 512, tile=512), *size):
        assert (vae.use_tiling, vae.tile_latent_min_size, vae.tile_sample_min_size) == (True, 32, 256)
    with tiles.smaller(vae, Cut(whole=1024 * 1024, tile=512), *size):
        assert vae.tile_latent_min_size == 88
    with tiles.as_planned(vae, Cut(whole=1024 * 1024, tile=512), 1024 * 768):
        assert not vae.use_tiling
    assert (vae.use_tiling, vae.tile_latent_min_size) == before


# ------------------------------------------------------------------ from outside


def test_a_life_in_low(tiny: Path, tmp_path: Path) -> None:
    """The start says which profile holds; on the processor no picture's fingerprint is changed by that."""

    def ready(profile: Any) -> Ready:
        settings = EngineSettings(
            model=str(tiny),
            spool=str(tmp_path / "spool"),
            device="cpu",
            profile=profile,
            mode="fast",
            fused_qkv="on",
        )
        told = announced(settings)[-1]
        assert isinstance(told, Ready)
        return told

    low, full = ready("low"), ready("auto")
    assert "Profile low: as the configuration says." in low.notes
    assert not [note for note in full.notes if note.startswith("Profile")]
    assert full.fingerprint["fused_qkv"] == "on"
    switches = {"fused_qkv", "channels_last"}  # what comes and goes is not rearranged
    assert not switches & set(low.fingerprint)
    leave = {*switches, "width"}
    assert {key: value for key, value in low.fingerprint.items() if key not in leave} == {
        key: value for key, value in full.fingerprint.items() if key not in leave
    }


def test_a_text_encoder_elsewhere_is_part_of_the_fingerprint() -> None:
    """Another device encodes with other last bits, so a card's pictures name the profile."""
    plan, weights = Plan(profile="balanced", why=""), Weights(core=1, vae=1, aside=1)
    card, cpu = torch.device("cuda:0"), torch.device("cpu")
    lies = layout.Layout(device=card, dtype=torch.float16, aside=cpu, plan=plan, weights=weights)
    assert lies.changes == {"profile": "balanced"}
    assert replace(lies, aside=card).changes == replace(lies, device=cpu).changes == {}


@pytest.mark.parametrize("name", ["tiny", "tiny_xl", "sd3"])
def test_the_profile_is_foreseen(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """By its files alone the same bytes are counted as when the model is loaded."""
    folder = BUILDERS["sd3"](tmp_path / "sd3") if name == "sd3" else request.getfixturevalue(name)
    settings = EngineSettings(model=str(folder), spool="", device="cpu", hub_offline=True)
    place = choice.choose_place(settings)
    weights, needs = report._of(checkpoint.check(folder, prefer_fp16=False), place)
    pipeline = loaded(folder, "full")
    assert weights == pipeline.layout.weights
    assert needs.row == layout._needs(pipeline.pipeline, weights).row
    assert report.foreseen(settings) == "Profile full: this device has no memory of its own."
    told = report.foreseen(replace(settings, profile="low"))
    assert told == "Profile low: as the configuration says."


def test_an_unknown_model_is_chosen_for_later() -> None:
    """What is not on this disk yet is not guessed."""
    settings = EngineSettings(model="nobody/nothing", spool="", hub_offline=True)
    assert report.foreseen(settings) == "Chosen at the start, when the model's weights are known."


def test_apples_gpu_counts_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """With Metal and without CUDA that is the device; float16 has drawn black pictures there, so it is only by hand."""
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch, "empty", lambda *_args, **_options: None)
    settings = EngineSettings(model="m", spool="")
    for family in ("sd", "sdxl", "any"):
        place = choice.choose_place(settings, family)
        assert (place.device.type, place.dtype, place.warnings) == ("mps", torch.float32, ())
    assert choice.choose_place(replace(settings, dtype="float16")).dtype is torch.float16
    assert memory.reclaim(torch.device("mps")) is None
