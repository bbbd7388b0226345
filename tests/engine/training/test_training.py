"""LoRAs taught from pictures: what is refused, what is learned and kept, and who can read what comes of it."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from engine.checkpoints.header import read_header
from engine.contract import EngineSettings, Lora
from engine.contract.training import Checkpointed, Noted, Sampled, Stepped, Taught
from engine.errors import InvalidTraining
from engine.pictures import spool
from engine.training import course
from engine.training.course import Course
from engine.training.pictures import batch, collect, shape_of
from engine.training.settings import TrainingSettings
from tests.kit.engines import described

SIDES = ((96, 64), (64, 96), (90, 60))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures of two shapes, one with a caption."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number, size in enumerate(SIDES):
        image = Image.new("RGB", size, "white")
        ImageDraw.Draw(image).ellipse((5, 5, 40, 30 + number), fill=("red", "green", "blue")[number])
        image.save(pictures / f"{number}.png")
    (pictures / "1.txt").write_text("\ufeffa green blob", encoding="utf-8")
    return pictures


@pytest.fixture
def settings(folder: Path) -> TrainingSettings:
    return TrainingSettings(
        name="blob", trigger="blob toy", folder=str(folder), resolution=64, steps=6, rank=2, batch=2, rate=1e-2,
        layers="attention", save_every=2, sample_every=0,
    )  # fmt: skip


@pytest.fixture
def engine(tiny: Path, tmp_path: Path) -> EngineSettings:
    return EngineSettings(
        model=str(quick(tiny, tmp_path)),
        spool="/nowhere",
        device="cpu",
        models=str(tmp_path / "models"),
        hub_offline=True,
    )


def quick(model: Path, tmp_path: Path) -> Path:
    """A copy that draws in two steps."""
    copied = Path(shutil.copytree(model, tmp_path / f"quick-{model.name}"))
    told = json.loads((copied / "easel.json").read_text()) | {"steps": 2, "width": 64, "height": 64}
    (copied / "easel.json").write_text(json.dumps(told))
    return copied


def taught(engine: EngineSettings, settings: TrainingSettings) -> Path:
    """The file that comes of it."""
    (done,) = [event for event in Course.new(engine, settings).run() if isinstance(event, Taught)]
    return Path(done.file)


# ------------------------------------------------------------------ what comes of it


@pytest.mark.parametrize("kind", ["sd", "sdxl"])
def test_diffusers_and_easel_read_what_was_taught(
    kind: str,
    tiny_xl: Path,
    engine: EngineSettings,
    settings: TrainingSettings,
    tmp_path: Path,
    load_pipe: Callable[[Path], Any],
) -> None:
    """Ten steps, text encoders too: `load_lora_weights` and our own loader draw the same with the file, and not what the
    model drew before; its words, its picture and what it was made from are told."""
    import torch
    from safetensors.torch import load_file

    from engine.families.loras import Loras

    model = Path(engine.model) if kind == "sd" else quick(tiny_xl, tmp_path)
    if kind == "sd":
        scheduler = model / "scheduler" / "scheduler_config.json"
        changed = json.loads(scheduler.read_text()) | {"prediction_type": "v_prediction"}
        scheduler.write_text(json.dumps(changed))
    more = {"keep": ("a house",), "layers": "all", "checkpointing": True, "warmup": 2}
    asked = replace(settings, steps=10, text_rate=1e-2, **(more if kind == "sd" else {}))
    file = taught(replace(engine, model=str(model)), asked)
    ours, theirs = load_pipe(model), load_pipe(model)
    plain = drawn(ours)
    loras = Loras(ours, Path(str(engine.models)))
    loras.want((Lora(name="blob"),))
    loras.hear()
    loras.see((Lora(name="blob"),))
    assert not loras.notes((Lora(name="blob"),))
    theirs.load_lora_weights(file.parent, weight_name=file.name)
    learned = load_file(file)
    ups = {name: bool(up.any()) for name, up in learned.items() if name.endswith("lora_up.weight")}
    assert all(ups[name] for name in ups if name.startswith("lora_unet"))
    texts = {name.split("_text_model")[0] for name in ups if ups[name] and name.startswith("lora_te")}
    assert texts == ({"lora_te"} if kind == "sd" else {"lora_te1", "lora_te2"})
    assert torch.allclose(drawn(ours), drawn(theirs), atol=1e-4)
    assert not torch.allclose(drawn(ours), plain, atol=1e-2)
    (info,) = [each for each in described(replace(engine, model=str(model))).loras if each.name == "blob"]
    assert (info.words, info.problem) == (("blob toy",), "")
    assert Path(info.preview).is_file()
    told = read_header(file, file.name).texts
    assert len(json.loads(told["easel.pictures"])) == len(SIDES)
    assert told["easel.base"]
    assert told["ss_network_dim"] == "2"


def drawn(pipe: Any) -> Any:
    """Latents after two steps."""
    import torch

    return pipe(
        "a blob toy",
        num_inference_steps=2,
        width=64,
        height=64,
        generator=torch.Generator("cpu").manual_seed(3),
        output_type="latent",
    ).images


def test_killed_and_resumed_it_is_the_same_to_the_byte(
    engine: EngineSettings, settings: TrainingSettings
) -> None:
    """A training that is gone in the middle of its fifth step goes on from its fourth, and its file is that of one
    that was never disturbed; a name that exists is refused by then."""
    asked = replace(settings, accumulation=2, sample_every=3)
    whole = taught(engine, asked).read_bytes()
    shutil.rmtree(str(engine.models))
    events = Course.new(engine, asked).run()
    before = [*takewhile(lambda event: not (isinstance(event, Stepped) and event.done == 4), events)]
    next(events)  # kept
    next(events)  # half of the fifth
    del events
    assert any(isinstance(event, Checkpointed) for event in before)
    with pytest.raises(InvalidTraining, match=r"is at step 4 of 6: go on with --resume"):
        Course.new(engine, asked)
    after = [*Course.resumed(engine, {"name": "blob", "folder": asked.folder}).run()]
    steps = [event.done for event in after if isinstance(event, Stepped) and event.loss is not None]
    assert steps == [5, 6]
    (done,) = [event for event in after if isinstance(event, Taught)]
    assert Path(done.file).read_bytes() == whole
    (sheet,) = {event.sheet for event in after if isinstance(event, Sampled)}
    with Image.open(sheet) as rows:
        assert rows.height > 2 * 64  # a row of before it was killed, and one of the end
    with pytest.raises(InvalidTraining, match="There is a LoRA “blob” already"):
        Course.new(engine, asked)


# ------------------------------------------------------------------ what goes wrong


def _through(events: Iterator[course.Event]) -> None:
    for _ in events:
        pass


def _begun(engine: EngineSettings, settings: TrainingSettings) -> None:
    """Until its first checkpoint."""
    for event in Course.new(engine, settings).run():
        if isinstance(event, Checkpointed):
            return


def test_another_model_other_pictures_or_other_settings_are_no_resuming(
    engine: EngineSettings, settings: TrainingSettings, folder: Path, tmp_path: Path
) -> None:
    """What a checkpoint is of is known: whatever changed since is named in a sentence, a torn one too."""
    from tests.kit.tiny import build

    _begun(engine, settings)
    named = {"name": "blob", "folder": settings.folder}
    with pytest.raises(InvalidTraining, match=r"--steps: this training goes on as it was begun"):
        Course.resumed(engine, {**named, "steps": 7})
    with pytest.raises(InvalidTraining, match="no training “other” to go on with"):
        Course.resumed(engine, {**named, "name": "other"})
    other = replace(engine, model=str(build(tmp_path / "other", seed=7)))
    with pytest.raises(InvalidTraining, match="begun with another model"):
        _through(Course.resumed(other, named).run())
    (folder / "0.png").unlink()
    with pytest.raises(InvalidTraining, match="not those that this training was begun with"):
        _through(Course.resumed(engine, named).run())
    (tmp_path / "models" / "training" / "blob" / "checkpoint.safetensors").write_bytes(b"torn")
    with pytest.raises(InvalidTraining, match="can't be read: delete that folder"):
        Course.resumed(engine, named)


def test_no_number_and_no_room_keep_the_last_checkpoint(
    engine: EngineSettings, settings: TrainingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loss that is no number any more stops it and says which rate to try; so does a full disk, and room lets it go on."""
    from engine.training.trainer import Trainer

    def broken(trainer: Trainer, *given: Any) -> Any:
        said = predict(trainer, *given)
        return said * float("nan") if trainer.done == 3 else said

    predict = Trainer._predict  # pyright: ignore[reportPrivateUsage]
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_predict", broken)
        with pytest.raises(InvalidTraining, match=r"no number any more in step 4: .* --rate 0.0025"):
            _through(Course.new(engine, settings).run())
    named = {"name": "blob", "folder": settings.folder}

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(spool, "write", full)
        with pytest.raises(InvalidTraining, match=r"could not be saved \(No space left on device\)"):
            _through(Course.resumed(engine, named).run())
    done = [event.done for event in Course.resumed(engine, named).run() if isinstance(event, Stepped)]
    assert done[0] == 3
    assert done[-1] == 6


def test_one_picture(folder: Path, settings: TrainingSettings, engine: EngineSettings) -> None:
    """One picture, however often it is there, would be learned by heart: it is refused."""
    for file in (folder / "1.png", folder / "2.png"):
        file.unlink()
    shutil.copy(folder / "0.png", folder / "again.png")
    with pytest.raises(InvalidTraining, match="holds one picture only"):
        collect(settings, described(engine))


def _utf_16(folder: Path) -> None:
    (folder / "1.txt").write_text("ein Fleck", encoding="utf-16")


def _broken(folder: Path) -> None:
    (folder / "0.png").write_bytes(b"GIF89a")
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:60])


def _none(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def _huge(folder: Path) -> None:
    with (folder / "1.png").open("wb") as file:
        file.truncate(33 * 2**20)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_utf_16, r"^1\.txt is not in UTF-8: save it so\.$"),
        (_broken, r"^0\.png can't be read as PNG.*\n2\.png can't be read as PNG"),
        (_none, r"There are no pictures in "),
        (_huge, r"^1\.png is larger than 32 MiB"),
        (shutil.rmtree, r"^The folder .* can't be read: No such file"),
    ],
    ids=["caption in UTF-16", "broken", "none", "huge", "no folder"],
)
def test_pictures_that_are_no_good(
    spoil: Callable[[Path], None],
    sentence: str,
    folder: Path,
    settings: TrainingSettings,
    engine: EngineSettings,
) -> None:
    """A sentence each, with the file's name."""
    spoil(folder)
    with pytest.raises(InvalidTraining, match=sentence):
        collect(settings, described(engine))


def test_pictures_with_their_captions(
    folder: Path, settings: TrainingSettings, engine: EngineSettings
) -> None:
    """Every picture comes in a shape of its own, once, and with the trigger; what is there twice is left out."""
    shutil.copy(folder / "0.png", folder / "copy.png")
    found = collect(settings, described(engine))
    assert [each.caption for each in found.examples] == ["blob toy", "blob toy, a green blob", "blob toy"]
    assert [each.image.width > each.image.height for each in found.examples] == [True, False, True]
    assert found.notes == ("copy.png is the same picture as another one: it was left out.",)
    assert shape_of((4000, 100), 512, 8) == shape_of((2000, 1000), 512, 8) == (704, 384)


def test_batches_are_of_one_shape_and_leave_nobody_out() -> None:
    """Pictures of one shape are learned together, each in every round, in an order that the seed tells."""
    shapes = [(64, 64)] * 5 + [(64, 96)] * 2
    turn = [batch(shapes, 2, 0, number) for number in range(4)]
    assert {each for together in turn for each in together} == set(range(7))
    assert all(len(together) == 2 and len({shapes[n] for n in together}) == 1 for together in turn)
    assert turn == [batch(shapes, 2, 0, number) for number in range(4)]
    assert turn != [batch(shapes, 2, 0, number) for number in range(4, 8)]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"name": "a/b"}, "--name: “a/b” is no name for a LoRA"),
        ({"trigger": " "}, "--trigger: give a few words"),
        ({"steps": 0}, "--steps: take 1 to 100000, not 0"),
        ({"rate": 3.0}, "--rate: take 1e-07 to 0.1, not 3"),
        ({"schedule": "linear"}, "--schedule: take constant or cosine, not “linear”"),
    ],
)
def test_settings_that_are_no_good(
    wrong: dict[str, Any], sentence: str, engine: EngineSettings, settings: TrainingSettings
) -> None:
    """A sentence with the option that is to blame, before anything is read."""
    with pytest.raises(InvalidTraining, match=sentence):
        Course.new(engine, replace(settings, **wrong))


def test_models_that_can_not_be_taught(
    engine: EngineSettings, settings: TrainingSettings, tmp_path: Path
) -> None:
    """One of another kind, and one that fills masks."""
    from tests.kit.tiny import build
    from tests.kit.tiny_any import build_flux

    for model, sentence in (
        (build_flux(tmp_path / "flux"), "can't be taught a LoRA here: take a Stable Diffusion or SDXL model"),
        (build(tmp_path / "fills", fills_masks=True), "for few steps or for filling masks"),
    ):
        with pytest.raises(InvalidTraining, match=sentence):
            _through(Course.new(replace(engine, model=str(model)), settings).run())
    with pytest.raises(InvalidTraining, match="no folder of models"):
        Course.new(replace(engine, models=None), settings)


def test_an_everyday_word_is_warned_of(engine: EngineSettings, settings: TrainingSettings) -> None:
    """Of the starter's words one is no good trigger; training goes on all the same."""
    starter = replace(engine, model="starter")
    notes = [
        event.text
        for event in _until_stepped(starter, replace(settings, trigger="circle"))
        if isinstance(event, Noted)
    ]
    assert any(note.startswith("“circle” is a word that the model knows already") for note in notes)


def _until_stepped(engine: EngineSettings, settings: TrainingSettings) -> Iterator[course.Event]:
    return takewhile(lambda event: not isinstance(event, Stepped), Course.new(engine, settings).run())
