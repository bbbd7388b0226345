"""What is made from a job: with all of its settings, and without what belongs to it alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bot.core.asking.derived import edited, exact, varied, wish_of
from bot.core.asking.wish import Picture, Wish, resolve
from engine.contract import GenerationRequest, ModelInfo
from tests.bot.chat.look.test_job_view import job

MODEL = ModelInfo(id="m", title="M", takes_images=True, takes_tiling=True, references_max=2)
KINDS: dict[str, dict[str, Any]] = {
    "words": {},
    "an image": {"image": "a" * 64, "mask": "b" * 64, "strength": 0.5},
    "an edit": {"references": ("a" * 64, "b" * 64)},
    "a tile": {"tile": True},
}


@pytest.fixture(params=KINDS)
def request_(request: pytest.FixtureRequest) -> GenerationRequest:
    return replace(MODEL.request(prompt="a fox", seed=5), **KINDS[request.param])


def test_nothing_is_left_out(request_: GenerationRequest) -> None:
    """The wish of a request is resolved to that request."""
    assert resolve(exact(request_), MODEL, seed=0) == request_


def test_what_was_typed_finds_its_files(request_: GenerationRequest) -> None:
    """A row names its files as they were called, and its request where they lie."""
    typed = Wish(
        prompt="a fox",
        image=Picture(name="fox.png") if request_.image else None,
        references=tuple(Picture(name=f"{number}.png") for number in range(len(request_.references))),
    )
    found = wish_of(replace(job(), request=request_, wish=typed.options()))
    assert (found.image and found.image.digest) == request_.image
    assert tuple(picture.digest for picture in found.references) == request_.references
    assert [picture.name for picture in found.references] == [each.name for each in typed.references]


def test_a_variation_starts_from_the_picture_alone(request_: GenerationRequest) -> None:
    """What the first one was made of is not looked at again; a tile's variation is one."""
    done = replace(job(), request=request_)
    request, wish = varied(done, digest="c" * 64, strength=0.4, seed=1)
    assert request.inputs == ("c" * 64,)
    assert request.tile == request_.tile
    request.check()
    again = resolve(edited(done, digest="c" * 64, words="a cat", editor=None), MODEL, seed=1)
    followed = resolve(edited(done, digest="c" * 64, words="make it night", editor=MODEL), MODEL, seed=1)
    assert (followed.image, followed.references) == (None, ("c" * 64,))
    assert again.inputs == ("c" * 64,)
    assert wish.references == ()
