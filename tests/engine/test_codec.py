"""Events as bytes: each comes out as it went in, and nothing else comes out of anything else."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import typing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import codec, contract
from engine.contract import (
    Cancelled,
    Event,
    Failed,
    Finished,
    Loading,
    ModelInfo,
    Ready,
    SpooledImage,
    Started,
    Stepped,
)
from engine.fake import MODEL
from engine.pictures import spool

FOLDER = Path("/nowhere/spool")
JPEG = b"\xff\xd8\n and more\n"

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
count = st.integers(0, 2**53)
positive = st.integers(1, 2**53)
share = st.floats(0, 1)
seconds = st.floats(0, 1e9)
texts = st.lists(text, max_size=3).map(tuple)


def models() -> st.SearchStrategy[ModelInfo]:
    known: dict[Any, st.SearchStrategy[Any]] = {"id": text.filter(bool), "scale": st.integers(1, 8)}
    adapters = st.builds(contract.AdapterInfo, name=text, words=texts, problem=text)
    known |= {"loras": st.lists(adapters, max_size=2).map(tuple), "embeddings": st.just(())}
    numbers = ("width", "height", "steps", "side_min", "side_max", "side_multiple", "pixels_max", "steps_max")
    guidance = st.floats(1, 30)
    return st.builds(ModelInfo, title=text, guidance_scale=guidance, samplers=texts, **dict.fromkeys(numbers, positive), **known)  # fmt: skip


def finished() -> st.SearchStrategy[Finished]:
    def image(job: int, attempt: int, index: int, seed: int, withheld: bool) -> SpooledImage:
        path = str(FOLDER / spool.file_name(job, attempt, index))
        shown, aside = (None, path) if withheld else (path, None)
        return SpooledImage(
            seed=seed, path=shown, aside=aside, unsafe=0.5, flagged=withheld, sha256="a" * 64, size_bytes=9,
            width=64, height=64,
        )  # fmt: skip

    def build(job: int, attempt: int, seeds: list[tuple[int, bool]], spent: float, notes: Any) -> Finished:
        images = tuple(image(job, attempt, index, *each) for index, each in enumerate(seeds))
        return Finished(job_id=job, attempt=attempt, images=images, seconds=spent, notes=notes)

    seeds = st.lists(st.tuples(st.integers(0, 2**32 - 1), st.booleans()), min_size=1, max_size=10)
    return st.builds(build, count, count, seeds, seconds, texts)


def stepped() -> st.SearchStrategy[Stepped]:
    stages = st.sampled_from(typing.get_args(contract.Stage))
    left = st.none() | seconds
    preview = st.none() | st.binary(max_size=50).map(lambda data: JPEG + data)
    return st.builds(
        Stepped, job_id=count, attempt=count, stage=stages, step=count, steps=count, seconds_left=left, preview=preview
    )  # fmt: skip


fingerprint = st.dictionaries(text, text, max_size=3)
many = st.lists(models(), min_size=1, max_size=2).map(tuple)
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(Loading, stage=text, fraction=st.none() | share, models=many, reading=st.none() | text),
    st.builds(
        Ready,
        device=text,
        dtype=text,
        models=many,
        slots=positive,
        fingerprint=fingerprint,
        warnings=texts,
        notes=texts,
    ),
    st.builds(contract.Resident, models=st.lists(text.filter(bool), max_size=3).map(tuple)),
    st.builds(contract.NotLoaded, model=text, reason=text),
    st.builds(contract.Broken, reason=text),
    st.builds(Started, job_id=count, attempt=count),
    stepped(),
    finished(),
    st.builds(Failed, job_id=count, attempt=count, reason=text),
    st.builds(Cancelled, job_id=count, attempt=count, done=share),
)
ONE_OF_EACH: tuple[Event, ...] = (
    Loading(stage="loading UNet", fraction=0.5, models=(MODEL,), reading="fake"),
    Ready(device="CPU", dtype="float32", models=(MODEL,), slots=4, fingerprint={"torch": "2"}, notes=("a",)),
    contract.Resident(models=("fake", "other")),
    contract.OfferChanged(models=(MODEL,)),
    contract.NotLoaded(model="other", reason="It is broken."),
    contract.Broken(reason="It is broken: mend it."),
    Started(job_id=1, attempt=1),
    Stepped(job_id=1, attempt=1, stage="denoising", step=1, steps=8, seconds_left=2.5, preview=JPEG),
    Finished(
        job_id=1,
        attempt=2,
        images=(
            SpooledImage(
                seed=7,
                path=str(FOLDER / "1-2-0.png"),
                sha256="a" * 64,
                size_bytes=9,
                width=64,
                height=64,
            ),
        ),
        seconds=1.5,
    ),
    Failed(job_id=1, attempt=1, reason="No."),
    Cancelled(job_id=1, attempt=1, done=0.5),
)


def test_every_event_is_told_here() -> None:
    """A new kind of event is tested with the others."""
    assert {type(event) for event in ONE_OF_EACH} == set(typing.get_args(contract.Event))


@given(events)
def test_what_goes_in_comes_out(event: Event) -> None:
    """Whatever texts, numbers and bytes it holds, an event is equal to what was sent, and of the same types."""
    found = codec.decode(codec.encode(event), FOLDER)
    assert found == event
    assert repr(found) == repr(event)


def test_names_of_files_that_are_no_text() -> None:
    """A file may have any bytes for a name: its event is told, without what no text can hold."""
    info = dataclasses.replace(MODEL, title="a\udcffb")
    found = codec.decode(codec.encode(Loading(stage="x", models=(info,))), FOLDER)
    assert isinstance(found, Loading)
    assert found.models[0].title == "a?b"


class Code:
    """What a pickle may do."""

    def __reduce__(self) -> Any:
        return os._exit, (1,)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"Started",
        b"Started\n{}",
        b"Started\n{}\n",
        b"Started\n[]\n",
        b"Started\nnull\n",
        b"Shutdown\n{}\n",
        b"EngineSettings\n{}\n",
        b"\xff\n{}\n",
        b'Started\n{"job_id": 1, "attempt": 1}\n' + JPEG,
        b'Started\n{"job_id": 1, "attempt": 1\n}\n',
        b"Started\n" + b"[" * 10**6 + b"\n",
        pickle.dumps(Started(job_id=1, attempt=1)),
        pickle.dumps(Code()),
    ],
)  # fmt: skip
def test_what_is_no_event(data: bytes) -> None:
    """Other bytes are refused, pickles above all."""
    with pytest.raises((ValueError, RecursionError)):
        codec.decode(data, FOLDER)


@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda data: b"Stepped\n" + data + b"\n"))
def test_any_bytes(data: bytes) -> None:
    """Whatever an engine sends, nothing but a ValueError comes of it."""
    with pytest.raises(ValueError):  # noqa: PT011
        codec.decode(data, FOLDER)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where in decoded JSON a value stands."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, part in parts for place in places(part, (*path, key)))]


def changed(value: Any, path: tuple[Any, ...], to: Any) -> Any:
    if not path:
        return to
    key, *rest = path
    parts = dict(value) if isinstance(value, dict) else list(value)
    parts[key] = changed(value[key], tuple(rest), to)
    return parts


WRONG: tuple[Any, ...] = ({"a": [1]}, [[None]], True, "x" * (codec.TEXT_MAX + 1), -1, 2**60, 0.5, None)


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: type(event).__name__)
def test_a_field_of_another_type(event: Event) -> None:
    """In every place of every event, a value of another type or beyond all bounds is refused; the rest is read as such."""
    name, told, preview = codec.encode(event).split(b"\n", 2)
    values = json.loads(told)
    refused = 0
    for place in places(values):
        for wrong in WRONG:
            data = b"\n".join((name, json.dumps(changed(values, place, wrong)).encode(), preview))
            try:
                found = codec.decode(data, FOLDER)
            except ValueError:
                refused += 1
                continue
            again = json.loads(codec.encode(found).split(b"\n", 2)[1])
            assert again == changed(values, place, wrong), "it is taken as it is or not at all"
    assert refused > 3 * len(values)


OUT_OF_BOUNDS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "no number": (Cancelled, {"done": float("nan")}),
    "without end": (Stepped, {"seconds_left": float("inf")}),
    "time runs back": (Finished, {"seconds": -1.0}),
    "more than all": (Cancelled, {"done": 1.5}),
    "a share": (Loading, {"fraction": -0.1}),
    "a step": (Stepped, {"step": -1}),
    "a stage": (Stepped, {"stage": "dreaming"}),
    "no JPEG": (Stepped, {"preview": b"GIF89a"}),
    "a large preview": (Stepped, {"preview": JPEG + bytes(codec.PREVIEW_MAX)}),
    "no pictures": (Finished, {"images": ()}),
    "no slots": (Ready, {"slots": 0}),
    "no models": (Ready, {"models": ()}),
    "a multiple of nothing": (Ready, {"models": (dataclasses.replace(MODEL, side_multiple=0),)}),
    "a scale of nothing": (Loading, {"models": (dataclasses.replace(MODEL, scale=0),)}),
    "no name": (Loading, {"models": (dataclasses.replace(MODEL, id=""),)}),
    "a model without a name": (contract.Resident, {"models": ("",)}),
    "a job": (Failed, {"job_id": -1}),
}


@pytest.mark.parametrize("what", OUT_OF_BOUNDS)
def test_numbers_that_the_bot_reckons_with(what: str) -> None:
    """Of the right type, but nothing that an engine says."""
    kind, changes = OUT_OF_BOUNDS[what]
    (event,) = (each for each in ONE_OF_EACH if type(each) is kind)
    with pytest.raises(ValueError):  # noqa: PT011
        codec.decode(codec.encode(dataclasses.replace(event, **changes)), FOLDER)


def told(folder: Path, **changes: Any) -> bytes:
    """A finished picture of job 1, attempt 2."""
    usual: dict[str, Any] = {"seed": 7, "sha256": "a" * 64, "size_bytes": 9, "width": 64, "height": 64}
    usual["path"] = str(folder / "1-2-0.png")
    images = (SpooledImage(**(usual | changes)),)
    return codec.encode(Finished(job_id=1, attempt=2, images=images, seconds=1.0))


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "{}/../1-2-0.png", "{}/2-2-0.png", "{}/1-2-1.png", "{}//1-2-0.png", "1-2-0.png", "", "{}/x\0"]
)  # fmt: skip
def test_pictures_lie_where_they_have_to(tmp_path: Path, path: str) -> None:
    """A finished picture is its job's own file in the spool, by its very name."""
    assert isinstance(codec.decode(told(tmp_path), tmp_path), Finished)
    for place in ({"path": path.format(tmp_path)}, {"path": None, "aside": path.format(tmp_path)}):
        with pytest.raises(ValueError, match="Finished"):
            codec.decode(told(tmp_path, **place), tmp_path)


def test_a_flagged_picture_is_not_also_one_to_show(tmp_path: Path) -> None:
    """It lies aside, or where it may be shown."""
    place = str(tmp_path / "1-2-0.png")
    assert isinstance(codec.decode(told(tmp_path, path=None, aside=place), tmp_path), Finished)
    with pytest.raises(ValueError, match="Finished"):
        codec.decode(told(tmp_path, path=place, aside=place), tmp_path)


def test_a_picture_is_no_link(tmp_path: Path) -> None:
    """Nor does its name lead elsewhere."""
    (tmp_path / "1-2-0.png").symlink_to("/etc/passwd")
    with pytest.raises(ValueError, match="Finished"):
        codec.decode(told(tmp_path), tmp_path)


@pytest.mark.parametrize(
    "changes", [{"sha256": ""}, {"sha256": "A" * 64}, {"width": 0}, {"height": 5000}, {"size_bytes": 0}, {"seed": 2**32}]
)  # fmt: skip
def test_what_is_said_of_pictures(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Digest, size and seed are such as pictures have here."""
    with pytest.raises(ValueError, match="Finished"):
        codec.decode(told(tmp_path, **changes), tmp_path)
