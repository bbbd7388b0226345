"""Models that take images and an instruction: what they make of them is what diffusers' own call makes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from engine import codec
from engine.contract import (
    REFERENCES_MAX,
    Failed,
    GenerationRequest,
    InvalidRequest,
    ModelInfo,
    Ready,
    Start,
)
from engine.pictures import inputs, metadata
from tests.kit.called import Called
from tests.kit.engines import NO_IMAGES, Bench, a_photo, kept, pixels
from tests.kit.tiny_any import EDITORS

PHOTOS = [a_photo((100, 80)), a_photo((80, 96), seed=1), a_photo((96, 96), seed=2)]


@pytest.fixture(scope="module", autouse=True)
def small_looks() -> Any:
    """Pipelines make a million pixels of each image that they look at: here they make a few thousand."""
    patch = pytest.MonkeyPatch()
    folder = "diffusers.pipelines"
    edit = import_module(f"{folder}.qwenimage.pipeline_qwenimage_edit")
    plus = import_module(f"{folder}.qwenimage.pipeline_qwenimage_edit_plus")
    kontext = import_module(f"{folder}.flux.pipeline_flux_kontext")
    patch.setattr(
        edit, "calculate_dimensions", lambda _, ratio: (96, 64, None) if ratio > 1 else (64, 96, None)
    )
    patch.setattr(plus, "calculate_dimensions", lambda _, ratio: (96, 64) if ratio > 1 else (64, 96))
    patch.setattr(kontext, "PREFERRED_KONTEXT_RESOLUTIONS", [(64, 64), (64, 96), (96, 64)])
    yield
    patch.undo()


@pytest.fixture(scope="module")
def editor_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Called]:
    made: dict[str, Called] = {}

    def editor(name: str) -> Called:
        if name not in made:
            made[name] = Called(EDITORS[name](tmp_path_factory.mktemp("models") / name))
        return made[name]

    return editor


@pytest.fixture(params=EDITORS)
def editor(request: pytest.FixtureRequest, editor_of: Callable[[str], Called]) -> Called:
    return editor_of(request.param)


def lying(folder: Path, count: int) -> tuple[str, ...]:
    """The digests of so many photos, kept where a worker with this folder looks."""
    return tuple(kept(folder / inputs.FOLDER, photo) for photo in PHOTOS[:count])


def test_edits_equal_the_plain_calls(editor: Called, tmp_path: Path) -> None:
    """Edits that take turns, of one image and of as many as it takes, have the pixels of one call each."""
    most = min(editor.model.references_max, len(PHOTOS))
    requests = {
        1: editor.request(
            prompt="make it night", references=lying(tmp_path, 1), seed=2**32 - 1, images=2, steps=2
        ),
        2: editor.request(
            prompt="put both side by side", references=lying(tmp_path, most), size=(96, 64), steps=3
        ),
        3: editor.request(
            prompt="remove the hat", references=lying(tmp_path, 1), guidance_scale=1.0, steps=1
        ),
    }
    bench = Bench(editor.family(), editor.model, tmp_path, slots=3)
    for number, request in requests.items():
        bench.submit(number, request)
        bench.tick(number % 2)
    bench.finish(*requests)
    for number, request in requests.items():
        for spooled in bench.finished(number).images:
            expected = editor.plain(request, spooled.seed, PHOTOS[: len(request.references)])
            assert pixels(spooled.path) == expected, number
    told = metadata.read(Path(str(bench.finished(2).images[0].path)))
    assert told is not None
    assert told.request == requests[2]
    assert told.fields["Reference images"] == str(most)


def test_images_make_a_difference(editor: Called) -> None:
    """Another image, or another instruction, gives another picture from the same seed."""
    request = editor.request(prompt="make it night", steps=1, references=("0" * 64,))
    others = [editor.plain(request, 7, [photo]) for photo in PHOTOS[:2]]
    others.append(editor.plain(replace(request, prompt="make it day"), 7, PHOTOS[:1]))
    assert len(set(others)) == 3


@pytest.mark.parametrize("name", ["kontext", "klein"])
def test_words_alone(editor_of: Callable[[str], Called], name: str, tmp_path: Path) -> None:
    """Who needs no image draws without one, in the size that was asked for."""
    editor = editor_of(name)
    request = editor.request(size=(96, 64), steps=2)
    bench = Bench(editor.family(preview_every=1), editor.model, tmp_path, preview_every=1)
    bench.submit(1, request)
    (image,) = bench.finished(1).images
    assert (image.width, image.height) == (96, 64)
    assert pixels(image.path) == editor.plain(request, 7)


def test_described(editor_of: Callable[[str], Called]) -> None:
    """Each says how many images it takes, and whether it does anything without; a self-test passes."""
    told = {
        name: (model.edits_by_instruction, model.references_min, model.references_max, model.takes_images)
        for name in EDITORS
        if (model := editor_of(name).model)
    }
    assert told == {
        "kontext": (True, 0, 1, False),
        "qwen_edit": (True, 1, 1, False),
        "qwen_edit_plus": (True, 1, 3, False),
        "klein": (True, 0, 4, False),
    }
    editor_of("qwen_edit").family().self_test((64, 64))


# ------------------------------------------------------------------ what goes wrong


REFUSED: dict[str, tuple[str, int, dict[str, Any], str]] = {
    "none": ("qwen_edit", 0, {}, "qwen_edit only edits images: attach one, and say what to change."),
    "too many": ("kontext", 2, {}, "kontext edits at most one image at a time, not 2."),
    "more than it takes": ("klein", 5, {}, "klein edits at most 4 images at a time, not 5."),
    "far too many": (
        "klein",
        REFERENCES_MAX + 1,
        {},
        f"One edit takes at most {REFERENCES_MAX} images, not {REFERENCES_MAX + 1}.",
    ),
    "no words": ("kontext", 1, {"prompt": " "}, "The prompt is empty: describe the picture you want."),
    "both": (
        "kontext",
        1,
        {"start": Start(image="1" * 64)},
        "A picture starts from an image or is edited by words: leave out one of the two.",
    ),
    "tiled": (
        "kontext",
        1,
        {"tile": True},
        "kontext can't draw seamless tiles: leave out tile, or choose another model.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_anything_is_drawn(editor_of: Callable[[str], Called], case: str) -> None:
    """One sentence that says what to do."""
    name, count, changes, sentence = REFUSED[case]
    with pytest.raises(InvalidRequest) as refused:
        editor_of(name).request(references=("0" * 64,) * count, **changes)
    assert str(refused.value) == sentence


def test_other_models_refuse(model: ModelInfo) -> None:
    """Stable Diffusion starts from images and edits none; a digest is never a path."""
    with pytest.raises(InvalidRequest, match="can't edit images by words: choose a model that does"):
        model.request(prompt="x", seed=1, references=("0" * 64,))
    with pytest.raises(InvalidRequest, match="not named by its SHA-256"):
        model.request(prompt="x", seed=1, references=("../../etc/passwd",))


def test_who_edits_starts_from_none(editor_of: Callable[[str], Called]) -> None:
    """Image to image is another thing, and the sentence says which one this model does."""
    with pytest.raises(
        InvalidRequest, match="klein edits images by words and starts from none: have it edited"
    ):
        editor_of("klein").request(start=Start(image="0" * 64))


@pytest.mark.parametrize(("size", "sentence"), [((1000, 100), "cut it"), ((32, 32), "at least 64 a side")])
def test_images_of_no_use(
    editor_of: Callable[[str], Called], tmp_path: Path, size: tuple[int, int], sentence: str
) -> None:
    """An image that no pipeline takes ends its own request with a sentence; of several the sentence says which."""
    editor = editor_of("klein")
    good, bad = kept(tmp_path / inputs.FOLDER, PHOTOS[0]), kept(tmp_path / inputs.FOLDER, a_photo(size))
    bench = Bench(editor.family(), editor.model, tmp_path)
    bench.submit(1, editor.request(references=(good, bad)))
    bench.submit(
        2, editor.request(references=(good, inputs.keep(tmp_path / inputs.FOLDER, NO_IMAGES["GIF"][0])))
    )
    bench.submit(3, editor.request(references=(good, "f" * 64)))
    bench.finish(1, 2, 3)
    reasons = [ending.reason for number in (1, 2, 3) if isinstance(ending := bench.ending(number), Failed)]
    assert sentence in reasons[0]
    assert reasons[1].startswith("The second image can't be read as PNG")
    assert reasons[2] == "The second image is not kept any more: attach it again."


# ------------------------------------------------------------------ what is written down


def test_written_down_and_read(editor_of: Callable[[str], Called]) -> None:
    """A request with references survives its row and its file; rows of old, and damaged ones, are read without."""
    request = editor_of("klein").request(references=("a" * 64, "b" * 64))
    assert request.inputs == ("a" * 64, "b" * 64)
    told = json.loads(json.dumps(request.to_dict()))
    assert GenerationRequest.from_dict(told) == GenerationRequest.stored(told) == request
    assert GenerationRequest.stored({**told, "references": "no"}).references == ()
    del told["references"]
    assert GenerationRequest.from_dict(told).references == ()
    started = editor_of("klein").request().to_dict() | {"image": "a" * 64, "mask": "b" * 64, "strength": 0.5}
    assert GenerationRequest.from_dict(started).inputs == ("a" * 64, "b" * 64)


def test_an_engine_tells_it(editor_of: Callable[[str], Called], tmp_path: Path) -> None:
    """What the bot is told of a model holds how many images it takes; counts that make no sense are no event."""
    model = editor_of("klein").model
    ready = Ready(device="", dtype="", models=(model,), slots=1, fingerprint={})
    assert codec.decode(codec.encode(ready), tmp_path) == ready
    for wrong in (replace(model, references_max=REFERENCES_MAX + 1), replace(model, references_min=5)):
        with pytest.raises(ValueError, match="out of bounds"):
            codec.decode(codec.encode(replace(ready, models=(wrong,))), tmp_path)
