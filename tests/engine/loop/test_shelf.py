"""Several models in one engine: loaded on demand, kept by least recent use, in the same line and with the same pixels."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from engine.contract import (
    EngineSettings,
    Failed,
    FakeSettings,
    Finished,
    GenerationRequest,
    InvalidRequest,
    Lora,
    ModelInfo,
    OfferChanged,
    Stepped,
)
from engine.device import fingerprint
from engine.errors import BrokenModel
from engine.fake import MODEL, FakeFamily
from engine.loading import load, opening
from engine.loop import shelf as shelf_module
from engine.loop.job import Loaded
from engine.loop.shelf import Shelf
from tests.kit.engines import SIZE_BYTES, Bench, House, described, offered, pixels, plain, recv_until

FIRST, SECOND, THIRD = (replace(MODEL, id=name, title=name.title()) for name in ("first", "second", "third"))
PARTS = 3
"""Pauses while a model is opened."""


def loaded(info: ModelInfo, entered: Callable[[], None] = lambda: None) -> Loaded:
    family = FakeFamily(FakeSettings(step_s=0))
    return Loaded(
        info=info,
        family=family,
        fingerprint={"model": info.id},
        size_bytes=SIZE_BYTES,
        enter=entered,
    )


@dataclass(kw_only=True)
class Models:
    """A source whose models take SIZE_BYTES each, of `room` bytes that there are."""

    room: int | None = None
    fails: Mapping[str, Exception] = field(default_factory=dict[str, Exception])
    opened: list[str] = field(default_factory=list[str])
    closed: list[str] = field(default_factory=list[str])
    entered: list[str] = field(default_factory=list[str])
    shelf: Callable[[], tuple[str, ...]] = lambda: ()
    held: int = 0
    """Bytes of models that left and that somebody still holds."""
    looks: int = 0

    def open(self, model_id: str) -> Generator[None, None, Loaded]:
        try:
            for _ in range(PARTS):
                yield
        except GeneratorExit:
            self.closed.append(model_id)
            raise
        if model_id in self.fails:
            raise self.fails[model_id]
        self.opened.append(model_id)
        return loaded(replace(MODEL, id=model_id), lambda: self.entered.append(model_id))

    def size_of(self, model_id: str) -> int:
        del model_id
        return SIZE_BYTES

    def least_of(self, model_id: str) -> int:
        return self.size_of(model_id)

    def reclaim(self) -> int | None:
        self.looks += 1
        return None if self.room is None else self.room - SIZE_BYTES * len(self.shelf()) - self.held


def a_shelf(source: Models, **options: Any) -> Shelf:
    shelf = Shelf(loaded(FIRST), (SECOND, THIRD), source, **options)
    source.shelf = lambda: shelf.loaded
    return shelf


def fetched(shelf: Shelf, model_id: str, in_use: frozenset[str] = frozenset()) -> Loaded:
    for _ in range(2 * PARTS):
        if (found := shelf.fetch(model_id, in_use=in_use)) is not None:
            return found
    raise AssertionError(f"{model_id} was never loaded")


# ------------------------------------------------------------------ the shelf


def test_models_are_loaded_once_and_part_by_part() -> None:
    """Each call loads one part; afterwards the same model is given, never a second copy of it."""
    source = Models()
    shelf = a_shelf(source)
    assert [model.id for model in shelf.models] == ["first", "second", "third"]
    tries = [shelf.fetch("second", in_use=frozenset()) for _ in range(PARTS)]
    assert tries == [None] * PARTS
    assert shelf.is_opening
    second = fetched(shelf, "second")
    assert not shelf.is_opening
    assert shelf.fetch("second", in_use=frozenset()) is second
    assert source.opened == ["second"]


def test_the_least_recently_used_leaves_first() -> None:
    """Where there is room for two, the one asked for longest ago makes room for a third."""
    source = Models(room=2 * SIZE_BYTES)
    shelf = a_shelf(source)
    fetched(shelf, "second")
    fetched(shelf, "first")
    fetched(shelf, "third")
    assert shelf.loaded == ("first", "third")
    fetched(shelf, "second")
    assert shelf.loaded == ("third", "second")


def test_a_limit_counts_like_memory() -> None:
    """`limit` bounds what all of them take, however much is free."""
    shelf = a_shelf(Models(), limit=2 * SIZE_BYTES)
    fetched(shelf, "second")
    fetched(shelf, "third")
    assert shelf.loaded == ("second", "third")


def test_who_is_in_use_is_waited_for() -> None:
    """A model that somebody draws with stays; the one that wants its room is not even begun."""
    source = Models(room=SIZE_BYTES)
    shelf = a_shelf(source)
    for _ in range(2 * PARTS):
        assert shelf.fetch("second", in_use=frozenset({"first"})) is None
    assert shelf.loaded == ("first",)
    assert not shelf.is_opening
    assert fetched(shelf, "second").info.id == "second"
    assert shelf.loaded == ("second",)


def test_waiting_costs_no_look_at_each_tick() -> None:
    """Looking for room collects garbage: as long as nothing changes it is done once a second."""
    source = Models(room=SIZE_BYTES)
    shelf = a_shelf(source)
    shelf.fetch("second", in_use=frozenset({"first"}))
    looks = source.looks
    for _ in range(50):
        assert shelf.fetch("second", in_use=frozenset({"first"})) is None
    assert source.looks <= 2 * looks
    assert fetched(shelf, "second").info.id == "second"


def test_memory_is_reclaimed_once_for_each_that_leaves() -> None:
    """Reclaiming takes as long as a step: once before anybody has to leave, and after each one that did."""
    source = Models(room=SIZE_BYTES)
    shelf = a_shelf(source)
    shelf.fetch("second", in_use=frozenset({"first"}))
    assert source.looks == 1
    fetched(shelf, "second")
    assert source.looks == 3


def test_memory_that_comes_back_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """What left may still be held for a moment: only after some seconds there is said to be no room."""
    now = [0.0]
    monkeypatch.setattr(shelf_module.time, "monotonic", lambda: now[0])
    source = Models(room=SIZE_BYTES, held=SIZE_BYTES)
    shelf = a_shelf(source)
    source.held = 0
    source.shelf = lambda: ("first",)  # as if it were still there after it left
    assert shelf.fetch("second", in_use=frozenset()) is None
    assert shelf.loaded == ()
    now[0] = 2.0
    assert shelf.fetch("second", in_use=frozenset()) is None
    source.shelf = lambda: shelf.loaded
    now[0] = 4.0
    assert fetched(shelf, "second").info.id == "second"

    source.shelf = lambda: ("second",)
    assert shelf.fetch("third", in_use=frozenset()) is None
    now[0] = 20.0
    with pytest.raises(BrokenModel, match="no room in this machine's memory for the model Third"):
        shelf.fetch("third", in_use=frozenset())


def test_a_limit_is_told_apart() -> None:
    """What the owner's limit forbids is called that."""
    with pytest.raises(BrokenModel, match=r"takes more than memory_gb under \[models\] allows"):
        a_shelf(Models(), limit=SIZE_BYTES - 1).fetch("second", in_use=frozenset())


def test_what_memory_bounded_once_is_asked_anew() -> None:
    """A model that was opened beside others offers what it did before, for when there is more room."""
    source = Models()
    shelf = a_shelf(source)
    fetched(shelf, "second").info = replace(SECOND, pixels_max=64)
    assert shelf.info("second") == SECOND


def test_what_never_fits_costs_nobody_its_place() -> None:
    """A model too large even for an empty device is refused with a sentence, and all others stay loaded."""
    shelf = a_shelf(Models(room=SIZE_BYTES - 1))
    with pytest.raises(BrokenModel, match="no room in this machine's memory for the model Second"):
        shelf.fetch("second", in_use=frozenset())
    assert shelf.loaded == ("first",)


def test_a_broken_one_can_be_asked_for_again() -> None:
    """What can't be loaded says why, each time it is asked for."""
    shelf = a_shelf(Models(fails={"second": BrokenModel("Its files are damaged.")}))
    for _ in range(2):
        with pytest.raises(BrokenModel, match="damaged"):
            fetched(shelf, "second")
        assert not shelf.is_opening


def test_nobody_wants_it_any_more() -> None:
    """Half loaded, it is let go when another is asked for, or nobody."""
    source = Models()
    shelf = a_shelf(source)
    shelf.fetch("second", in_use=frozenset())
    fetched(shelf, "third")
    shelf.fetch("second", in_use=frozenset())
    shelf.give_up()
    shelf.give_up()
    assert source.closed == ["second", "second"]
    with pytest.raises(InvalidRequest, match="There is no model “fourth” here"):
        shelf.info("fourth")


# ------------------------------------------------------------------ in the worker


def a_bench(folder: Path, source: Models, **options: Any) -> Bench:
    bench = Bench(
        FakeFamily(FakeSettings(step_s=0)), FIRST, folder, others=(SECOND, THIRD), source=source, **options
    )
    source.shelf = lambda: bench.worker._shelf.loaded  # pyright: ignore[reportPrivateUsage]
    return bench


def ask(model: ModelInfo, prompt: str = "a boat", **options: Any) -> GenerationRequest:
    return model.request(prompt=prompt, seed=1, **options)


def drawn_by(event: Finished) -> str | None:
    from engine.pictures import metadata

    found = metadata.read(Path(str(event.images[0].path)))
    return found.fingerprint.get("model") if found else None


def test_others_draw_while_a_model_loads(tmp_path: Path) -> None:
    """Each part that is loaded leaves the others a step; the one who waits is told why."""
    source = Models()
    bench = a_bench(tmp_path, source)
    bench.submit(1, ask(FIRST, steps=2 * PARTS))
    bench.tick()
    bench.submit(2, ask(SECOND))
    bench.tick(PARTS)
    assert not source.opened
    told = [event.stage for event in bench.of(2) if isinstance(event, Stepped)]
    assert set(told) == {"loading"}
    [last] = [event for event in bench.of(1) if isinstance(event, Stepped)][-1:]
    assert last.step >= 1
    assert drawn_by(bench.finished(2)) == "second"
    bench.finish(1)


def test_models_share_no_forward(tmp_path: Path) -> None:
    """In fast pictures of one model share forwards, those of two never; each model is entered when its turn comes."""
    source = Models()
    bench = a_bench(tmp_path, source, mode="fast", rows=8)
    for job_id, model in enumerate((FIRST, SECOND, FIRST, SECOND), 1):
        bench.submit(job_id, ask(model, steps=4))
    bench.finish(1, 2, 3, 4)
    assert {drawn_by(bench.finished(job)) for job in (2, 4)} == {"second"}
    assert source.entered
    assert source.opened == ["second"]


def test_room_is_made_when_its_users_are_done(tmp_path: Path) -> None:
    """With room for one model its pictures are finished, then it leaves; whoever comes later waits behind."""
    source = Models(room=SIZE_BYTES)
    bench = a_bench(tmp_path, source)
    for job_id, model in enumerate((FIRST, SECOND, FIRST), 1):
        bench.submit(job_id, ask(model, steps=3))
    bench.finish(1, 2, 3)
    endings = [event.job_id for event in bench.events if isinstance(event, Finished)]
    assert endings == [1, 2, 3]
    assert source.opened == ["second", "first"]


def test_a_model_that_cannot_be_loaded_fails_its_own(tmp_path: Path) -> None:
    """Its request ends with the sentence; the engine and the others go on."""
    bench = a_bench(tmp_path, Models(fails={"second": BrokenModel("Its files are damaged.")}))
    bench.submit(1, ask(FIRST))
    bench.submit(2, ask(SECOND))
    bench.submit(3, ask(THIRD))
    bench.finish(1, 2, 3)
    failed = bench.ending(2)
    assert isinstance(failed, Failed)
    assert failed.reason == "Its files are damaged."
    assert isinstance(bench.ending(1), Finished)
    assert isinstance(bench.ending(3), Finished)


def test_a_cancel_while_it_loads(tmp_path: Path) -> None:
    """It ends at once, and what was half loaded is let go."""
    source = Models()
    bench = a_bench(tmp_path, source)
    bench.submit(1, ask(SECOND))
    bench.tick(2)
    bench.cancel(1)
    bench.tick()
    assert bench.ending(1) is not None
    assert source.closed == ["second"]
    bench.submit(2, ask(FIRST))
    bench.finished(2)


def test_sizes_that_no_longer_fit_are_refused_after_loading(tmp_path: Path) -> None:
    """A model's memory is known once it is loaded: what is too large for it then ends with a sentence."""

    class Smaller(Models):
        def open(self, model_id: str) -> Generator[None, None, Loaded]:
            found = yield from super().open(model_id)
            found.info = replace(found.info, title="Second", pixels_max=128 * 128)
            return found

    bench = a_bench(tmp_path, Smaller())
    bench.submit(1, ask(SECOND, size=(256, 256)))
    bench.finish(1)
    failed = bench.ending(1)
    assert isinstance(failed, Failed)
    assert "256x256 is too large for Second" in failed.reason


# ------------------------------------------------------------------ real ones


@pytest.mark.xdist_group("house")
def test_two_real_models_in_one_engine(tiny: Path, house: House, load_pipe: Callable[[Path], Any]) -> None:
    """Both are offered, a broken one is named and left out, and each draws what its own pipe() does, to the bit."""
    offered = [model.id for model in house.ready.models]
    assert offered[0] == "tiny"
    assert "other" in offered
    assert "broken" not in offered
    told = [warning for warning in house.ready.warnings if "A model is left out" in warning]
    assert len(told) == 1
    assert "broken" in told[0]
    requests = [house.model(name).request(prompt="a boat", seed=5, steps=4) for name in ("tiny", "other")]
    endings, events = house.finish(*requests, *requests)
    assert any(isinstance(event, Stepped) and event.stage == "loading" for event in events)
    drawn = [pixels(ending.images[0].path) for ending in endings]
    assert drawn[0] == drawn[2] != drawn[1] == drawn[3]
    for number, source in enumerate((tiny, house.folder / "checkpoints" / "other")):
        assert drawn[number] == plain(load_pipe(source), requests[number], 5, "pil").tobytes()


@pytest.mark.xdist_group("house")
def test_a_lora_that_comes_while_it_runs_is_offered_and_drawn_with(house: House) -> None:
    """Its file is put into the folder, as a training does: it is told of, drawn with, and told of again when it is gone."""
    loras = house.folder / "loras"
    (model,) = (each for each in house.ready.models if each.id == "tiny")
    known = next(each.name for each in model.loras if not each.problem)
    (found,) = loras.rglob(f"{known}.safetensors")
    fresh = Path(shutil.copy(found, loras / "fresh.safetensors"))
    try:
        (info,) = (each for each in changed(house) if each.id == "tiny")
        assert {each.name for each in info.loras} == {each.name for each in model.loras} | {"fresh"}
        request = info.request(prompt="a boat", seed=5, steps=2, loras=(Lora(name="fresh"),))
        house.finish(request)
    finally:
        fresh.unlink()
    (info,) = (each for each in changed(house) if each.id == "tiny")
    assert info.loras == model.loras


def changed(house: House) -> tuple[ModelInfo, ...]:
    event = recv_until(house.process, lambda event: isinstance(event, OfferChanged))[-1]
    assert isinstance(event, OfferChanged)
    return event.models


def test_what_a_model_takes(tiny: Path, tmp_path: Path) -> None:
    """By its files it takes what it takes when it is loaded, and a picture's worth more."""
    settings = EngineSettings(model=str(tiny), spool=str(tmp_path), device="cpu")
    info = described(settings)
    fingerprint.pin(info)
    opener = opening.Opener(settings, offered(**{info.id: settings}))
    found = load.wholly(opener.open(info.id))
    picture = info.width * info.height * 6 * 128 * 4
    assert opener.size_of(info.id) - picture == pytest.approx(found.size_bytes, rel=0.01)
    free = opener.reclaim()
    assert free is not None
    assert free > found.size_bytes


def test_whatever_is_wrong_is_a_sentence(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error nobody foresaw while a further model loads is that model's, in a sentence; the log has the rest."""

    def fail(*_: object) -> None:
        raise ValueError("nobody foresaw this")

    monkeypatch.setattr(load, "loading", fail)
    settings = EngineSettings(model=str(tiny), spool=str(tmp_path), device="cpu")
    opener = opening.Opener(settings, offered(tiny=settings))
    with pytest.raises(BrokenModel, match=r"The model tiny can't be loaded \(ValueError\)"):
        load.wholly(opener.open("tiny"))
    assert "nobody foresaw this" in caplog.text
