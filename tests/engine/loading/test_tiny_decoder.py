"""Tiny decoders beside models: previews come from them, and pictures where easel.json says so, equal to `pipe()` with one."""

from __future__ import annotations

import copy as copying
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import ImageChops, ImageStat
from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]

from engine import report
from engine.checkpoints.source import Source
from engine.checkpoints.vae_approx import find
from engine.contract import EngineSettings, GenerationRequest, ModelInfo, Start
from engine.device import choice, fingerprint
from engine.errors import BrokenModel
from engine.families.preview import LinearSketcher, TinySketcher
from engine.families.sd import SdFamily
from engine.loading import load
from engine.loading.opening import Offered, Opened, opening
from tests.engine.checkpoints.test_single_file import SD15, cache
from tests.kit import tiny_any
from tests.kit.engines import Bench, a_photo, described, draw, kept, pixels, plain
from tests.kit.tiny import build_decoder
from workshop.bench.peers import original_format

__all__ = ["cache"]  # a fixture of theirs
SIZE = (72, 64)


def settings(model: Path, models: Path | None = None, **changes: Any) -> EngineSettings:
    values: dict[str, Any] = {"device": "cpu", "mode": "exact", "hub_offline": True}
    told = {**values, **changes}
    return EngineSettings(model=str(model), models=models and str(models), spool="/nowhere", **told)


def opened(told: EngineSettings) -> Opened:
    """As an engine opens it."""
    source, info = Source.of(told.model), described(told)
    place = choice.choose_place(told, info.family)
    return load.wholly(opening(told, Offered(source=source, info=info), place))


def family_of(told: EngineSettings) -> SdFamily:
    family = opened(told).loaded.family
    assert isinstance(family, SdFamily)
    return family


def wants_tiny(model: Path) -> None:
    path = model / "easel.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "decoder": "tiny"}))


def with_tiny(pipe: Any, decoder: Path) -> Any:
    """As diffusers' documentation tells people to do it."""
    import diffusers

    twin = copying.copy(pipe)
    twin.vae = diffusers.AutoencoderTiny.from_pretrained(decoder, dtype=torch.float32)
    return twin


def a_request(model: ModelInfo, **changes: Any) -> GenerationRequest:
    values: dict[str, Any] = {"prompt": "a red fox", "seed": 7, "size": SIZE, "steps": 3}
    return model.request(**{**values, **changes})


# ------------------------------------------------------------------ pictures


@pytest.mark.parametrize("scaling_factor", [1.0, 0.5])
def test_pictures_equal_a_pipe_whose_vae_it_is(
    pipe: Any, copy: Path, tmp_path: Path, scaling_factor: float
) -> None:
    """To the bit, in a crowd, by the decoder's own scale; and the file names its weights."""
    decoder = build_decoder(copy / "vae_tiny", scaling_factor=scaling_factor)
    wants_tiny(copy)
    told = settings(copy)
    loaded = opened(told).loaded
    bench = Bench(loaded.family, loaded.info, tmp_path)
    requests = {number: a_request(loaded.info, seed=number) for number in (1, 2)}
    for number, request in requests.items():
        bench.submit(number, request)
    expected = with_tiny(pipe, decoder)
    for number, request in requests.items():
        theirs = plain(expected, request, number, "pil").tobytes()
        assert pixels(bench.finished(number).images[0].path) == theirs
        assert theirs != plain(pipe, request, number, "pil").tobytes()
    assert loaded.fingerprint["decoder"].startswith("tiny ")
    wider = build_decoder(tmp_path / "other", seed=1)
    shutil.copytree(wider, decoder, dirs_exist_ok=True)
    assert opened(told).loaded.fingerprint["decoder"] != loaded.fingerprint["decoder"]


def test_seamless_pictures_too(pipe: Any, copy: Path) -> None:
    """Edges meet as in a pipe whose convolutions were made circular, the tiny decoder's among them."""
    decoder = build_decoder(copy / "vae_tiny")
    wants_tiny(copy)
    told = settings(copy)
    family, request = family_of(told), a_request(described(told), tile=True)
    twin = with_tiny(pipe, decoder)
    twin.unet = copying.deepcopy(pipe.unet)
    for layer in [*twin.unet.modules(), *twin.vae.modules()]:
        if isinstance(layer, torch.nn.Conv2d):
            layer.padding_mode = "circular"
    image = family.decode(draw(family, request))
    assert image is not None
    assert image.tobytes() == plain(twin, request, 7, "pil").tobytes()


def test_images_are_encoded_by_the_models_own_vae(pipe: Any, copy: Path, tmp_path: Path) -> None:
    """What a picture starts from loses nothing: only what is drawn is decoded by the tiny one."""
    decoder = build_decoder(copy / "vae_tiny")
    wants_tiny(copy)
    told = settings(copy)
    photo = a_photo(SIZE)
    start = Start(image=kept(tmp_path, photo), strength=0.7)
    family, request = family_of(told), a_request(described(told), start=start)
    canvas = draw(family, request, tmp_path)
    assert torch.equal(canvas.latents[0], plain(pipe, request, 7, "latent", image=photo))
    vae = with_tiny(pipe, decoder).vae
    with torch.inference_mode():
        theirs = pipe.image_processor.postprocess(vae.decode(canvas.latents).sample)[0]
    image = family.decode(canvas)
    assert image is not None
    assert image.tobytes() == theirs.tobytes()


def test_sdxl_by_the_folder_for_models(pipe_xl: Any, tiny_xl: Path, tmp_path: Path) -> None:
    """One decoder there serves all models of its kind, and none of the other kind."""
    model = Path(shutil.copytree(tiny_xl, tmp_path / "xl"))
    wants_tiny(model)
    models = tmp_path / "models"
    build_decoder(models / "vae_approx" / "taesd", seed=1)
    with pytest.raises(
        BrokenModel, match=r"no tiny decoder fits it: put one into vae_tiny .* vae_approx/taesdxl"
    ):
        described(settings(model, models))
    decoder = build_decoder(models / "vae_approx" / "taesdxl")
    told = settings(model, models)
    family, request = family_of(told), a_request(described(told), steps=2)
    image = family.decode(draw(family, request))
    assert image is not None
    assert image.tobytes() == plain(with_tiny(pipe_xl, decoder), request, 7, "pil").tobytes()


def test_a_runtime_decodes_nothing_of_it(pipe: Any, tmp_path: Path) -> None:
    """OpenVINO knows the model's own decoder alone."""

    class Runtime:
        words, rows, is_in_use = "a runtime", 4, True

    network = with_tiny(pipe, build_decoder(tmp_path / "taesd")).vae
    family = SdFamily(pipe, tiny=network)
    canvas = draw(family, a_request(ModelInfo(id="tiny", title="tiny")))
    alone = family.decode(canvas)
    canvas.runtime, canvas.made_with["runtime"] = Runtime(), "a runtime"  # pyright: ignore[reportAttributeAccessIssue]
    beside = family.decode(canvas)
    assert alone is not None
    assert beside is not None
    assert (beside.tobytes(), canvas.made_with["runtime"]) == (alone.tobytes(), "a runtime")


def test_where_memory_is_short_it_decodes_in_tiles(pipe: Any, copy: Path) -> None:
    """The picture is of the same size, and nearly the same."""
    build_decoder(copy / "vae_tiny")
    wants_tiny(copy)
    family, request = family_of(told := settings(copy)), a_request(described(settings(copy)), size=(192, 128))
    canvas = draw(family, request)
    whole, parts = family.decode(canvas), family.decode(canvas, sparing=True)
    assert whole is not None
    assert parts is not None
    assert (parts.size, told.preview_every) == (whole.size, 0)
    assert whole.tobytes() != parts.tobytes()
    assert max(ImageStat.Stat(ImageChops.difference(whole, parts)).mean) < 12


# ------------------------------------------------------------------ previews


def sketched(family: SdFamily, model: ModelInfo) -> tuple[bytes, torch.Tensor]:
    """A preview, and the latents that it shows."""
    canvas = family.prepare(a_request(model), 7)
    (prediction,) = family.predict([canvas], padded=None)
    family.advance(canvas, prediction, look=True)
    assert canvas.guess is not None
    guess = canvas.guess.clone()
    sketch = family.sketch(canvas)
    assert sketch is not None
    return sketch(), guess


def test_previews_come_from_it_whatever_decodes_the_pictures(pipe: Any, copy: Path) -> None:
    """Where it lies beside the model, previews are its own; pictures stay the VAE's."""
    decoder = build_decoder(copy / "vae_tiny")
    told = settings(copy, preview_every=1)
    found = opened(told)
    family = found.loaded.family
    assert isinstance(family, SdFamily)
    jpeg, guess = sketched(family, found.loaded.info)
    assert jpeg == TinySketcher.of(str(decoder), 4).jpeg(guess)
    assert "decoder" not in found.loaded.fingerprint
    request = a_request(found.loaded.info)
    image = family.decode(draw(family, request))
    assert image is not None
    assert image.tobytes() == plain(pipe, request, 7, "pil").tobytes()


def test_a_models_own_comes_before_that_of_its_kind_and_the_configured_one(
    copy: Path, tmp_path: Path
) -> None:
    """Its own folder, the folder for models, the setting: the nearest counts."""
    models, other = tmp_path / "models", build_decoder(tmp_path / "other", seed=3)
    told = settings(copy, models, preview_every=1, preview_model=str(other))
    places = [copy / "vae_tiny", models / "vae_approx" / "taesd"]
    for number, place in enumerate(places):
        build_decoder(place, seed=number)
    for place in [*places, other]:
        jpeg, guess = sketched(family_of(told), described(told))
        assert jpeg == TinySketcher.of(str(place), 4).jpeg(guess)
        shutil.rmtree(place)


def test_one_for_other_latents_of_the_kind_is_let_be(pipe: Any, copy: Path, tmp_path: Path) -> None:
    """The folder for models serves models of many latents: who can't be served has the usual previews, and no complaint."""
    models = tmp_path / "models"
    build_decoder(models / "vae_approx" / "taesd", latent_channels=3)
    told = settings(copy, models, preview_every=1)
    found = opened(told)
    assert isinstance(found.loaded.family, SdFamily)
    jpeg, guess = sketched(found.loaded.family, found.loaded.info)
    assert jpeg == LinearSketcher(pipe.vae).jpeg(guess)
    assert not any("decoder" in note for note in found.notes)
    wants_tiny(copy)
    with pytest.raises(BrokenModel, match="no tiny decoder fits it"):
        opened(told)


def test_flux_has_previews_from_its_own(tmp_path: Path) -> None:
    """A pipeline that is called decodes by itself; asking for more is a mistake in easel.json, told at once."""
    model = tiny_any.build_flux(tmp_path / "flux")
    (model / "easel.json").write_text('{"decoder": "tiny"}')
    with pytest.raises(
        BrokenModel, match='“decoder”: "tiny" is not full, by which alone models of this kind'
    ):
        described(settings(model))
    (model / "easel.json").unlink()
    vae = json.loads((model / "vae" / "config.json").read_text())
    levels = len(vae["block_out_channels"])
    ways = ("encoder", "decoder")
    shape: dict[str, Any] = {f"{way}_block_out_channels": (8,) * levels for way in ways}
    shape |= {f"num_{way}_blocks": (1,) * levels for way in ways}
    build_decoder(model / "vae_tiny", latent_channels=vae["latent_channels"], **shape)
    family = opened(settings(model, preview_every=1)).loaded.family
    assert isinstance(family._sketcher, TinySketcher)  # type: ignore[attr-defined]


# ------------------------------------------------------------------ what is wrong with it


def only_pickle(place: Path) -> None:
    (place / "diffusion_pytorch_model.safetensors").rename(place / "diffusion_pytorch_model.bin")


def truncate(place: Path) -> None:
    weights = place / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])


def edited(**changes: Any) -> Callable[[Path], None]:
    def edit(place: Path) -> None:
        path = place / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return edit


def rebuilt(**options: Any) -> Callable[[Path], None]:
    def build(place: Path) -> None:
        build_decoder(place, **options)

    return build


SHORT = {f"num_{way}_blocks": (1, 1, 1) for way in ("encoder", "decoder")} | {
    f"{way}_block_out_channels": (8, 8, 8) for way in ("encoder", "decoder")
}
WRONG: dict[str, tuple[Callable[[Path], None], str]] = {
    "no config": (
        lambda place: (place / "config.json").unlink(),
        "vae_tiny/config.json is missing from the model “tiny”",
    ),
    "no weights": (
        lambda place: (place / "diffusion_pytorch_model.safetensors").unlink(),
        "vae_tiny/diffusion_pytorch_model.safetensors is missing from the model “tiny”",
    ),
    "a pickle": (only_pickle, "vae_tiny of the model “tiny” comes only as a pickle file"),
    "damaged": (truncate, "bytes but should have"),
    "foreign": (
        edited(_class_name="AutoencoderKL"),
        "vae_tiny/config.json of the model “tiny” describes a AutoencoderKL, but a tiny decoder is an AutoencoderTiny",
    ),
    "other weights": (
        edited(decoder_block_out_channels=[16] * 4),
        "The tiny decoder tiny/vae_tiny can't be loaded",
    ),
    "nonsense": (edited(num_decoder_blocks="many"), "The tiny decoder tiny/vae_tiny can't be loaded"),
    "other channels": (
        rebuilt(latent_channels=16),
        (
            "The tiny decoder tiny/vae_tiny is for latents of 16 channels that stand for 8 pixels a side, but the model has "
            "latents of 4 channels that stand for 8 pixels a side"
        ),
    ),
    "another scale": (rebuilt(**SHORT), "is for latents of 4 channels that stand for 4 pixels a side"),
    "grey": (rebuilt(out_channels=1), "and pictures of 1 colours, but"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_it_is_one_sentence(copy: Path, name: str) -> None:
    """A model that only previews with it draws on, and its owner is told; one that decodes with it is broken."""
    spoil, words = WRONG[name]
    spoil(build_decoder(copy / "vae_tiny"))
    told = settings(copy, preview_every=1)
    found = opened(told)
    (note,) = (note for note in found.notes if "vae_tiny" in note)
    assert words in note
    assert note.endswith("Without it previews of Tiny random model are rougher.")
    assert isinstance(found.loaded.family, SdFamily)
    sketched(found.loaded.family, found.loaded.info)
    wants_tiny(copy)
    with pytest.raises(BrokenModel) as caught:
        opened(told)
    assert words in str(caught.value)
    assert str(copy.parent) not in str(caught.value)


def test_none_is_there(copy: Path) -> None:
    """A model that is to be decoded by one is told so before anything is loaded."""
    wants_tiny(copy)
    with pytest.raises(BrokenModel) as caught:
        described(settings(copy))
    assert str(caught.value) == (
        "“decoder” of the model Tiny random model is “tiny”, but no tiny decoder fits it: put one into vae_tiny in its "
        "folder or into vae_approx/taesd in the folder for models, or leave “decoder” out."
    )


# ------------------------------------------------------------------ what is told of it


def test_whether_it_would_be_drawn_again_is_known(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine that is asked for this machine's fingerprint names the decoder as pictures do."""
    build_decoder(copy / "vae_tiny")
    wants_tiny(copy)
    made = opened(settings(copy)).loaded.fingerprint
    monkeypatch.setattr(fingerprint, "prepare_environment", lambda _: None)  # that of all tests to come
    asked = {"model": str(copy), "device": "cpu", "mode": "exact"}
    assert report.here(settings=asked, wanted="tiny", made=made)["decoder"] == made["decoder"]


def test_a_model_in_one_file_has_that_of_its_kind(tiny: Path, tmp_path: Path, cache: Path) -> None:
    """No folder is its own: the folder for models is where to look, and the JSON beside it says what for."""
    original_format.into_cache(cache, tiny, SD15)
    file = original_format.write(tiny, tmp_path / "mine.safetensors")
    file.with_suffix(".json").write_text('{"decoder": "tiny"}')
    told = settings(file, tmp_path / "models")
    with pytest.raises(
        BrokenModel, match="“decoder” of the model mine is “tiny”, but no tiny decoder fits it"
    ):
        described(told)
    place = build_decoder(tmp_path / "models" / "vae_approx" / "taesd")
    assert described(told).decoder == "tiny"
    found = find(Source.of(told.model), "sd", told.models)
    assert found is not None
    assert (found.path, found.is_own, found.name) == (place, False, "vae_approx/taesd")


# ------------------------------------------------------------------ the file that ComfyUI reads


def as_published(folder: Path, file: Path) -> None:
    """The decoder alone, its layers numbered as in the original code, where the clamping is the first of them."""
    weights = load_file(folder / "diffusion_pytorch_model.safetensors")
    layers = {name.removeprefix("decoder.layers."): tensor for name, tensor in weights.items()}
    alone = {name: tensor for name, tensor in layers.items() if not name.startswith("encoder.")}
    numbered = {f"{int(name.partition('.')[0]) + 1}.{name.partition('.')[2]}": alone[name] for name in alone}
    assert {"1.weight", "3.conv.4.bias", "8.conv.0.weight", "19.bias"} <= numbered.keys()
    save_file(numbered, file)


def test_the_file_of_comfyui_is_the_folders_equal(pipe: Any, copy: Path, tmp_path: Path) -> None:
    """`taesd_decoder.safetensors`, as it is published beside the folder's files, decodes to the same bits."""
    wide = dict.fromkeys(("encoder_block_out_channels", "decoder_block_out_channels"), (64,) * 4)
    decoder = build_decoder(tmp_path / "taesd", **wide)
    models = tmp_path / "models"
    (models / "vae_approx").mkdir(parents=True)
    file = models / "vae_approx" / "taesd_decoder.safetensors"
    as_published(decoder, file)
    wants_tiny(copy)
    told = settings(copy, models)
    family, request = family_of(told), a_request(described(told))
    image = family.decode(draw(family, request))
    assert image is not None
    assert image.tobytes() == plain(with_tiny(pipe, decoder), request, 7, "pil").tobytes()
    save_file({"nothing": torch.zeros(1)}, file)
    with pytest.raises(
        BrokenModel, match=r"vae_approx/taesd_decoder\.safetensors can't be loaded \(KeyError\)"
    ):
        opened(told)
    file.write_bytes(b"PK\x03\x04 and so on")
    with pytest.raises(BrokenModel, match=r"taesd_decoder\.safetensors is a pickle under another name"):
        described(told)
