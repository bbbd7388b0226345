"""The owner's folder of models: what is listed, how models come into it, and what reading all of it finds."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from engine.checkpoints import source
from engine.collection import adding, listing, sums, verifying
from engine.contract import EngineSettings
from engine.errors import BrokenModel
from tests.engine.checkpoints.test_describe import into_cache
from tests.engine.checkpoints.test_hub import in_new_process, serving
from tests.engine.checkpoints.test_single_file import cache, header_file, shapes
from tests.kit.engines import described
from tests.kit.tiny import build_decoder

__all__ = ["cache"]  # a fixture of theirs


@pytest.fixture
def settings(tmp_path: Path, cache: Path) -> EngineSettings:
    """An engine's settings whose folder of models does not exist yet."""
    folder = str(tmp_path / "models")
    return EngineSettings(model="starter", spool="/nowhere", device="cpu", models=folder, hub_offline=True)


def add(source: Path | str, settings: EngineSettings) -> Path:
    return adding.add(str(source), settings, lambda _stage, _share: None)


def listed(settings: EngineSettings) -> dict[str, listing.Entry]:
    return {entry.path.name if entry.path else entry.name: entry for entry in listing.entries(settings)}


def verdicts(settings: EngineSettings, name: str) -> dict[str, tuple[bool, str]]:
    (entry,) = [entry for entry in listing.entries(settings) if entry.name == name]
    found = verifying.verify(entry, lambda _count: None)
    return {verdict.name: (verdict.is_good, verdict.text) for verdict in found}


# ------------------------------------------------------------------ list


def test_the_list(tiny: Path, settings: EngineSettings, tmp_path: Path) -> None:
    """Every model and every other file is there with family, size and bytes, and what is wrong with it."""
    folder = tmp_path / "models"
    for name in ("checkpoints", "loras", "upscalers"):
        (folder / name).mkdir(parents=True)
    checkpoints = folder / "checkpoints"
    shutil.copytree(tiny, checkpoints / "owner--tiny")
    header_file(checkpoints / "xl.safetensors", shapes("xl"))
    header_file(checkpoints / "owner--tiny.safetensors", {"lora_unet_x.lora_down.weight": (1,)})
    (checkpoints / "tiny").mkdir()
    header_file(checkpoints / "twice.safetensors", shapes("1"))
    shutil.copytree(tiny, checkpoints / "twice")
    (checkpoints / "old.ckpt").write_bytes(b"")
    (checkpoints / "notes.txt").write_text("")
    header_file(folder / "loras" / "style.safetensors", {"lora_unet_x.lora_down.weight": (1,)})
    (folder / "upscalers" / "esrgan.pth").write_bytes(b"")
    found = listed(settings)
    assert list(found) == [
        "weights",  # the starter's folder
        "old.ckpt",
        "owner--tiny",
        "owner--tiny.safetensors",
        "tiny",
        "twice",
        "twice.safetensors",
        "xl.safetensors",
        "style.safetensors",
        "esrgan.pth",
    ]
    tiny_entry = found["owner--tiny"]
    size = sum(file.stat().st_size for file in tiny.rglob("*") if file.is_file())
    assert (tiny_entry.name, tiny_entry.kind, tiny_entry.problem) == ("owner/tiny", "checkpoint", "")
    assert (tiny_entry.family, tiny_entry.size, tiny_entry.bytes) == ("sd", "128x128", size)
    assert (found["xl.safetensors"].family, found["xl.safetensors"].size) == ("sdxl", "1024x1024")
    assert (found["weights"].name, found["weights"].kind) == ("starter", "configured")
    assert (found["style.safetensors"].kind, found["style.safetensors"].problem) == ("LoRA", "")
    for name, words in (
        ("old.ckpt", "is a pickle"),
        ("esrgan.pth", "is a pickle"),
        ("owner--tiny.safetensors", "is a LoRA: it belongs into the folder “loras”"),
        ("tiny", "has no model_index.json"),
        ("twice.safetensors", "Another model is called twice, too"),
    ):
        assert words in found[name].problem, name


def test_a_configured_model_that_is_not_here(settings: EngineSettings) -> None:
    """An id of the hub that was never fetched is listed as such, and is nothing broken."""
    pinned = replace(settings, model="someone/something@v1")
    (entry,) = listing.entries(pinned)
    assert (entry.name, entry.path) == ("someone/something", None)
    assert entry.problem == "It is not on this disk yet: offline = true forbids that."
    assert verdicts(pinned, "someone/something") == {"someone/something": (True, entry.problem)}


# ------------------------------------------------------------------ add


def test_adding_a_file(settings: EngineSettings, tmp_path: Path) -> None:
    """A file is copied with the JSON beside it, its sum is noted, and nothing else is left behind."""
    file = header_file(tmp_path / "dream.safetensors", shapes("1"))
    (tmp_path / "dream.json").write_text('{"title": "Dream"}')
    place = add(file, settings)
    folder = tmp_path / "models" / "checkpoints"
    assert place == folder / "dream.safetensors"
    assert {path.name for path in folder.iterdir()} == {
        "dream.safetensors",
        "dream.safetensors.sha256",
        "dream.json",
    }
    assert place.read_bytes() == file.read_bytes()
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert sums.place(place).read_text() == f"{digest}  dream.safetensors\n"
    assert [each.named for each in source.sources(settings)] == ["starter", str(place)]
    with pytest.raises(BrokenModel, match="There can't be another model called dream: rename"):
        add(file, settings)


def test_adding_a_folder(tiny: Path, copy: Path, settings: EngineSettings, tmp_path: Path) -> None:
    """Of a folder comes what drawing needs: one variant of the weights, no pickles, nothing hidden."""
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    shutil.copy(weights, weights.with_name("diffusion_pytorch_model.fp16.safetensors"))
    (copy / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"pickle")
    build_decoder(copy / "vae_tiny")
    (copy / "vae_tiny" / "diffusion_pytorch_model.bin").write_bytes(b"pickle")
    (copy / ".git").mkdir()
    (copy / "all.safetensors").write_bytes(b"")
    place = add(copy, settings)
    names = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}
    expected = {str(path.relative_to(tiny)) for path in tiny.rglob("*") if path.is_file()}
    decoder = {"vae_tiny/config.json", "vae_tiny/diffusion_pytorch_model.safetensors"}
    assert names == expected | decoder | {"SHA256SUMS"}
    assert described(EngineSettings(model=str(place), spool="x")).title == "Tiny random model"
    assert not (tmp_path / "models" / "checkpoints" / ".partial").exists()


def test_a_copy_is_looked_at_as_the_engine_will(
    copy: Path, settings: EngineSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a folder whose other half of weights is damaged, and of one whose easel.json is wrong, nothing stays."""
    (copy / "easel.json").write_text('{"steps": 0}')
    with pytest.raises(BrokenModel, match="wrong value for “steps”"):
        add(copy, settings)
    (copy / "easel.json").unlink()
    half = copy / "unet" / "diffusion_pytorch_model.fp16.safetensors"
    half.write_bytes((copy / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()[:-1])
    monkeypatch.setattr(adding, "_prefers_fp16", lambda *_: True)
    with pytest.raises(BrokenModel, match="bytes but should have"):
        add(copy, settings)
    assert not (Path(str(settings.models)) / "checkpoints" / copy.name).exists()
    assert not list(Path(str(settings.models)).rglob("*.safetensors"))


def test_what_lies_deeper_is_listed_with_what_is_wrong(settings: EngineSettings) -> None:
    """LoRAs may lie in folders of their own; what no model can use, and what is no upscaler, is said."""
    folder = Path(str(settings.models))
    for name in ("loras/style", "upscalers"):
        (folder / name).mkdir(parents=True)
    header_file(folder / "loras" / "style" / "odd.safetensors", {"lora_unet_x.hada_w1_a": (1,)})
    header_file(folder / "upscalers" / "none.safetensors", {"a.weight": (1,)})
    found = listed(settings)
    assert "LyCORIS" in found["odd.safetensors"].problem
    assert "no upscaler" in found["none.safetensors"].problem


def refuses(source: Path | str, settings: EngineSettings, words: str) -> None:
    with pytest.raises(BrokenModel, match=words) as caught:
        add(source, settings)
    assert str(caught.value).endswith(".")
    folder = Path(settings.models or "")
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_what_is_not_taken(copy: Path, settings: EngineSettings, tmp_path: Path) -> None:
    """What is broken, no model or no name gets a sentence, and nothing appears in the folder."""
    lora = header_file(tmp_path / "lora.safetensors", {"lora_unet_x.lora_down.weight": (1,)})
    (tmp_path / "x.ckpt").write_bytes(b"")
    starter = header_file(tmp_path / "starter.safetensors", shapes("1"))
    (copy / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"PK\x03\x04")
    refuses(lora, settings, "is a LoRA: it belongs into the folder “loras”")
    refuses(tmp_path / "x.ckpt", settings, "is a pickle")
    refuses(starter, settings, "There can't be another model called starter")
    refuses(copy, settings, "is a pickle under another name")
    refuses(tmp_path / "gone", settings, "There is no model folder “gone”")
    refuses("gone.safetensors", settings, "There is no model file “gone.safetensors”")
    refuses("nothing", settings, "There is no “nothing” here, and it is no hub id")


def test_a_full_disk(settings: EngineSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little room is told before anything is copied; a folder that can't be made is told, too."""
    file = header_file(tmp_path / "dream.safetensors", shapes("1"))
    usage = shutil.disk_usage(tmp_path)._replace(free=10)
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda _: usage)
        refuses(file, settings, "has no room for 0.0 GB: make some, or set another dir under")
    (tmp_path / "other").write_text("a file")
    with pytest.raises(BrokenModel, match=r"“dream.safetensors” could not be saved"):
        add(file, replace(settings, models=str(tmp_path / "other")))


def test_adding_from_the_hub(copy: Path, tmp_path: Path) -> None:
    """A model comes under its owner's name, with the hub's sums; one that arrives otherwise does not appear."""
    (copy / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"pickle")
    code = f"""
from engine.collection import adding
from engine.checkpoints.folder import BrokenModel
from engine.contract import EngineSettings
settings = EngineSettings(model="starter", spool="x", device="cpu", models={str(tmp_path / "models")!r})
told = []
try:
    adding.add("org/tiny@v1.0", settings, print)
except BrokenModel as error:
    message = str(error)
print([path.name for path in adding.Path(settings.models, "checkpoints").iterdir()], message)
print(adding.add("org/tiny@v1.0", settings, lambda stage, share: told.append(stage)).name)
assert "downloading org/tiny" in told, told
"""
    checkpoints = tmp_path / "models" / "checkpoints"
    with serving(copy, {"model.safetensors": "0" * 64}) as (address, asked):
        answer = in_new_process(code, tmp_path / "hub", address).splitlines()[-2:]
    sentence = "text_encoder/model.safetensors of org/tiny@v1.0 did not arrive as the hub has it: try again."
    assert answer == [f"['.partial'] {sentence}", "org--tiny"]
    assert asked.count("text_encoder/model.safetensors") == 2
    assert asked.count("unet/diffusion_pytorch_model.safetensors") == 1  # it had come before
    assert [path.name for path in checkpoints.iterdir()] == ["org--tiny"]
    place = checkpoints / "org--tiny"
    assert len(sums.noted(place)) == 3
    assert not [path for path in place.rglob("*") if path.suffix == ".bin" or path.name == ".cache"]
    assert source.Source.of(str(place)).id == "org/tiny"


# ------------------------------------------------------------------ verify


def test_verifying(copy: Path, settings: EngineSettings, tmp_path: Path) -> None:
    """A changed byte, a file cut off and one that is gone are found; without a noted sum a file is only read."""
    folder, file = add(copy, settings), header_file(tmp_path / "dream.safetensors", shapes("1"))
    dream = add(file, settings)
    assert all(is_good and "the known one" in text for is_good, text in verdicts(settings, "tiny").values())
    unet = folder / "unet" / "diffusion_pytorch_model.safetensors"
    content = bytearray(unet.read_bytes())
    content[-1] ^= 1
    unet.write_bytes(content)
    found = verdicts(settings, "tiny")
    assert len(found) == 3
    is_good, text = found["tiny/unet/diffusion_pytorch_model.safetensors"]
    assert not is_good
    assert "Its SHA-256 is " in text
    unet.write_bytes(content[:-10])
    assert "bytes but should have" in verdicts(settings, "tiny")["tiny"][1]
    dream.write_bytes(dream.read_bytes()[:-4])
    assert not verdicts(settings, "dream")["dream"][0]
    shutil.copy(file, dream.with_name("other.safetensors"))
    is_good, text = verdicts(settings, "other")["other.safetensors"]
    assert is_good
    assert "none is known to compare" in text


def test_a_noted_file_that_is_gone(copy: Path, settings: EngineSettings) -> None:
    """A shard whose model still looks complete is missed by the sums."""
    folder = add(copy, settings)
    sums.note(folder, {**sums.noted(folder), "unet/more.safetensors": "0" * 64})
    assert verdicts(settings, "tiny")["tiny/unet/more.safetensors"] == (
        False,
        "It is gone: download the model again.",
    )


def test_verifying_the_hubs_cache(tiny: Path, settings: EngineSettings, cache: Path) -> None:
    """There files are links to ones that are called by their SHA-256, so that a changed one is found without a note."""
    snapshot = into_cache(cache, tiny, "owner/tiny")
    blobs = snapshot.parents[1] / "blobs"
    blobs.mkdir()
    files = sorted(snapshot.glob("*/*.safetensors"))
    for file in files:
        blob = blobs / hashlib.sha256(file.read_bytes()).hexdigest()
        file.rename(blob)
        file.symlink_to(Path("../../../blobs") / blob.name)
    owned = replace(settings, model="owner/tiny")
    assert all(
        is_good and "the known one" in text for is_good, text in verdicts(owned, "owner/tiny").values()
    )
    content = bytearray(files[0].read_bytes())
    content[-1] ^= 1
    files[0].write_bytes(content)
    assert [is_good for is_good, _ in verdicts(owned, "owner/tiny").values()].count(False) == 1
