"""Trainings beside an engine that draws: pictures are looked at, memory is asked for, and what was begun goes on. No process here."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from engine.contract import EngineSettings
from engine.contract.training import (
    Checkpointed,
    Event,
    Failed,
    Flagged,
    Needs,
    Noted,
    Preparing,
    Sampled,
    Stage,
    Stepped,
    Taught,
    decode,
    encode,
)
from engine.errors import InvalidTraining, NoRoom
from engine.training import guests
from engine.training.course import Course, Guest
from engine.training.settings import TrainingSettings
from tests.kit.tiny import build

GUEST = Guest(folder="chat-7")


@pytest.fixture
def settings(tmp_path: Path) -> TrainingSettings:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number, colour in enumerate(("red", "blue")):
        Image.new("RGB", (64, 64), colour).save(pictures / f"{number}.png")
    return TrainingSettings(
        name="blob", trigger="blob toy", folder=str(pictures), resolution=64, steps=4, rank=2, batch=1,
        layers="attention", save_every=2, sample_every=0,
    )  # fmt: skip


def engine_of(model: Path, tmp_path: Path) -> EngineSettings:
    described = model / "easel.json"
    described.write_text(
        json.dumps(json.loads(described.read_text()) | {"steps": 1, "width": 64, "height": 64})
    )
    models = str(tmp_path / "models")
    return EngineSettings(model=str(model), spool="/nowhere", device="cpu", models=models, hub_offline=True)


@pytest.fixture
def engine(tmp_path: Path) -> EngineSettings:
    return engine_of(build(tmp_path / "tiny"), tmp_path)


def test_flagged_pictures_are_not_learned_from(tmp_path: Path, settings: TrainingSettings) -> None:
    """The model's own checker flags them: they are named, and the training is over before anything was learned or written."""
    engine = engine_of(build(tmp_path / "tiny", safety="flags"), tmp_path)
    events = [*Course.of_guest(engine, settings, GUEST).run()]
    assert events[-1] == Flagged(files=("0.png", "1.png"))
    assert not any(isinstance(event, Stepped | Needs) for event in events)
    assert not (tmp_path / "models").exists()


def test_samples_that_are_flagged_are_grey(engine: EngineSettings) -> None:
    """What people are shown of a training is looked at, too."""
    del engine

    class Flags:
        def score(self, image: Image.Image) -> float:
            return float(image.getpixel((0, 0)) == (255, 0, 0))

        def flags(self, score: float) -> bool:
            return score > 0.5

        def is_like(self, other: object) -> bool:
            return self is other

    red, blue = (Image.new("RGB", (4, 4), colour) for colour in ("red", "blue"))
    assert guests.shown([Flags()], red).getpixel((0, 0)) == (128, 128, 128)
    assert guests.shown([Flags()], blue) is blue


def test_it_goes_on_by_itself_and_is_made_once(
    engine: EngineSettings, settings: TrainingSettings, tmp_path: Path
) -> None:
    """Begun again after it was killed it goes on from its checkpoint; asked once more when the LoRA lies there it tells that.
    Another training of the same name is refused, and that one's LoRA stays."""
    for event in Course.of_guest(engine, settings, GUEST).run():
        if isinstance(event, Checkpointed):
            break
    after = [*Course.of_guest(engine, settings, GUEST).run()]
    assert [event.done for event in after if isinstance(event, Stepped)] == [3, 4]
    taught = after[-1]
    file = tmp_path / "models" / "loras" / "blob.safetensors"
    assert taught == Taught(file=str(file))
    before = file.read_bytes()
    assert [*Course.of_guest(engine, settings, GUEST).run()] == [taught]
    with pytest.raises(InvalidTraining, match="There is another LoRA “blob” by now"):
        _ = [*Course.of_guest(engine, settings, Guest(folder="chat-8")).run()]
    assert file.read_bytes() == before


def test_it_says_what_memory_it_takes(
    engine: EngineSettings, settings: TrainingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its first step, more for larger pictures and batches; where that is not free it ends at once, to come back."""
    needed: list[int] = []
    for asked in (settings, replace(settings, batch=4), replace(settings, resolution=128)):
        (told,) = [event for event in Course.of_guest(engine, asked, GUEST).run() if isinstance(event, Needs)]
        needed.append(told.needed)
        (Path(str(engine.models)) / "loras" / "blob.safetensors").unlink()
    assert needed[0] < min(needed[1:])
    monkeypatch.setattr("engine.device.memory.reclaim", lambda _device: 1000)
    with pytest.raises(NoRoom, match=r"it takes 0\.\d GB, and 0\.0 GB are free"):
        _ = [*Course.of_guest(engine, settings, GUEST).run()]


def test_lines_say_what_was_told() -> None:
    """Every event there is crosses as one line; what is none is refused."""
    told: tuple[Event, ...] = (
        Noted(text="größer\nals"),
        Preparing(stage=Stage.ENCODING, share=0.5),
        Needs(needed=5, free=6, on_card=True),
        Stepped(done=1, steps=2, loss=None, left_s=3.5),
        Checkpointed(done=2),
        Sampled(sheet="a.png"),
        Taught(file="a.safetensors"),
        Flagged(files=("a", "b")),
        Failed(text="no"),
    )
    for event in told:
        line = encode(event)
        assert "\n" not in line
        assert decode(line.encode()) == event
    for line in (
        "",
        "[]",
        '{"told": "Nobody"}',
        '{"told": "Failed"}',
        '{"told": "Preparing", "stage": "x", "share": 1}',
    ):
        with pytest.raises(ValueError, match=r"."):
            decode(line)
