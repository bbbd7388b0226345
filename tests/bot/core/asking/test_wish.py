"""What was typed, how a row keeps it, and the request that it becomes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.asking.price import cost_of
from bot.core.asking.refused import Unmet
from bot.core.asking.wish import UNKNOWN, Picture, Quality, Wish, resolve
from engine.contract import AdapterInfo, InvalidRequest, Lora, ModelInfo, Recipe
from tests.kit import said

MODEL = ModelInfo(
    id="m",
    title="M",
    takes_images=True,
    takes_tiling=True,
    references_max=2,
    loras=(AdapterInfo(name="ink"),),
)
UPSCALER = replace(MODEL, id="4x", scale=4)
CAT = Picture(name="cat.png", size=(128, 96))
OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "negative_prompt": st.text(max_size=9),
    "image": st.text(max_size=9),
    "mask": st.text(max_size=9),
    "strength": st.floats(0.01, 1),
    "upscale": st.integers(2, 8),
    "aspect": st.sampled_from(["3:2", "1:1"]),
    "size": st.text(max_size=9),
    "steps": st.integers(1, 150),
    "guidance": st.floats(1, 30),
    "seed": st.integers(-1, 2**32 - 1),
    "sampler": st.text(max_size=9),
    "schedule": st.text(max_size=9),
    "guidance_until": st.floats(0, 1),
    "images": st.integers(1, 10),
    "model": st.text(max_size=9),
    "lora": st.text(max_size=9),
    "style": st.text(max_size=9),
    "quality": st.sampled_from(["quick", "standard", "high"]),
    "tile": st.booleans(),
    "references": st.lists(st.text(max_size=9), min_size=1, max_size=3),
}


@given(st.fixed_dictionaries({"prompt": st.text(max_size=20)}, optional=OPTIONS))
def test_a_row_gives_back_what_was_typed(options: dict[str, Any]) -> None:
    """Option for option, of files their names; what was left out stays out."""
    assert Wish.of(options).options() == options


def test_a_row_of_another_version_is_understood_as_far_as_it_can_be() -> None:
    """An option that this version does not know is left out, and so is one that was kept as nothing."""
    kept = {"prompt": "a fox", "mood": "calm", "mask": None, "steps": 5, "quality": "splendid"}

    assert Wish.of(kept) == Wish(prompt="a fox", steps=5)
    assert Wish.of({}) == Wish(prompt="")


def test_what_is_left_out_is_the_models_own() -> None:
    """A prompt alone takes every default of the model and the seed that was drawn for it."""
    request = resolve(Wish(prompt="a fox"), MODEL, seed=5)

    assert request == MODEL.request(prompt="a fox", seed=5)
    assert (request.width, request.height, request.images) == (MODEL.width, MODEL.height, 1)


@pytest.mark.parametrize(("typed", "seed"), [(None, 5), (-1, 5), (0, 0), (7, 7)])
def test_a_seed_that_was_given_counts(typed: int | None, seed: int) -> None:
    """-1 and nothing are random."""
    assert resolve(Wish(prompt="a fox", seed=typed), MODEL, seed=5).seed == seed


def test_everything_that_was_given_counts() -> None:
    """Each option lands in its field of the request."""
    wish = Wish(
        prompt="a fox",
        negative_prompt="blur",
        size="128x256",
        steps=9,
        guidance=3.5,
        sampler="Euler",
        schedule="sgm_uniform",
        guidance_until=0.5,
        images=2,
        lora="ink:0.5",
        image=CAT,
        mask=replace(CAT, name="mask.png", digest="ab" * 32),
        strength=0.3,
        tile=True,
    )
    request = resolve(wish, MODEL, seed=5)

    assert (request.prompt, request.negative_prompt, request.size) == ("a fox", "blur", "128x256")
    assert (request.steps, request.guidance_scale, request.sampler, request.images) == (9, 3.5, "Euler", 2)
    assert (request.schedule, request.guidance_until) == ("SGM Uniform", 0.5)
    assert (request.image, request.mask, request.strength) == (UNKNOWN, "ab" * 32, 0.3)
    assert request.loras == (Lora(name="ink", weight=0.5),)
    assert request.tile
    edited = resolve(
        Wish(prompt="make it night", references=(CAT, replace(CAT, digest="ab" * 32))), MODEL, seed=5
    )
    assert edited.references == (UNKNOWN, "ab" * 32)


def test_a_picture_has_the_shape_of_its_image_unless_another_was_asked_for() -> None:
    """Known from its size alone; where that is not known the model's own size holds."""

    def size_with(**options: Any) -> tuple[int, int]:
        request = resolve(Wish(prompt="a fox", **options), MODEL, seed=5)
        return request.width, request.height

    assert size_with(image=CAT) == MODEL.size_like(128, 96)
    assert size_with(references=(CAT, replace(CAT, size=(64, 640)))) == MODEL.size_like(128, 96)
    assert size_with(image=CAT, aspect="2:1") == MODEL.size_for("2:1")
    assert size_with(image=replace(CAT, size=None)) == (MODEL.width, MODEL.height)


def test_an_upscaler_enlarges_as_often_as_it_does() -> None:
    """Where nothing was said; else as often as was said."""
    plain, twice = (
        resolve(Wish(prompt="", image=CAT, upscale=times), UPSCALER, seed=5) for times in (None, 2)
    )

    assert (plain.upscale, plain.size) == (4, "512x384")
    assert (twice.upscale, twice.size) == (2, "256x192")


@pytest.mark.parametrize(
    ("usual", "sampler", "quality", "steps"),
    [
        (30, None, Quality.QUICK, 15),
        (30, None, Quality.HIGH, 45),
        (25, None, Quality.QUICK, 13),
        (25, None, Quality.HIGH, 38),
        (1, None, Quality.QUICK, 1),
        (40, "lcm", Quality.HIGH, 50),
        (120, None, Quality.HIGH, 150),
        (30, None, Quality.STANDARD, 30),
    ],
)
def test_a_quality_goes_by_what_is_usual_for_the_model(
    usual: int, sampler: str | None, quality: Quality, steps: int
) -> None:
    """Half of its steps or half as many more, rounded up, within what sampler and model take."""
    model = replace(MODEL, steps=usual)

    assert resolve(Wish(prompt="a fox", quality=quality, sampler=sampler), model, seed=5).steps == steps


def test_the_standard_quality_leaves_the_steps_alone() -> None:
    """As if nothing had been said; a sampler that nobody knows is refused as ever."""
    assert resolve(Wish(prompt="x", quality=Quality.STANDARD, steps=9), MODEL, seed=5).steps == 9
    with pytest.raises(InvalidRequest, match="no sampler “magic”"):
        resolve(Wish(prompt="x", quality=Quality.QUICK, sampler="magic"), MODEL, seed=5)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"size": "64x64", "aspect": "1:1"}, "either a size or an aspect"),
        ({"image": CAT, "upscale": 2, "aspect": "1:1"}, "leave out size and aspect"),
        ({"image": Picture(name="x"), "upscale": 2}, "how large this image is"),
        ({"lora": ":"}, "name:weight"),
        ({"size": "huge"}, "huge"),
        (
            {"quality": Quality.HIGH, "steps": 9},
            "“high” chooses the steps itself: leave out either that or the 9 steps",
        ),
    ],
)
def test_what_contradicts_itself_is_a_sentence(options: dict[str, Any], sentence: str) -> None:
    """Before anything is fetched or stored."""
    with pytest.raises((InvalidRequest, Unmet)) as caught:
        resolve(Wish(prompt="a fox", **options), MODEL, seed=5)
    error = caught.value
    assert sentence in (said.refusal(error.refused) if isinstance(error, Unmet) else str(error))


QUICK = Recipe(
    steps=10,
    guidance_scale=6.0,
    sampler="DPM++ 2M",
    schedule="AYS",
    guidance_until=0.6,
    lora=Lora(name="ink"),
)


def test_quick_is_the_models_recipe() -> None:
    """Whole where nothing else is said; what is said counts, and a schedule that does not fit the sampler is left out."""
    model = replace(MODEL, quick=QUICK)
    request = resolve(Wish(prompt="x", quality=Quality.QUICK), model, seed=5)
    assert (request.steps, request.guidance_scale, request.sampler) == (10, 6.0, "DPM++ 2M")
    assert (request.schedule, request.guidance_until, request.loras) == ("AYS", 0.6, (Lora(name="ink"),))
    said = Wish(
        prompt="x <lora:ink:0.5>", quality=Quality.QUICK, sampler="DDIM", guidance=3, guidance_until=1
    )
    request = resolve(said, model, seed=5)
    assert (request.steps, request.guidance_scale, request.sampler) == (10, 3, "DDIM")
    assert (request.schedule, request.guidance_until, request.loras) == (
        "",
        1,
        (Lora(name="ink", weight=0.5),),
    )
    few = replace(MODEL, steps=4)
    assert resolve(Wish(prompt="x", quality=Quality.QUICK), few, seed=5).steps == 4


def test_quick_enlarges_as_before() -> None:
    """An upscaler's network has no steps to leave out."""
    wish = Wish(prompt="", image=CAT, quality=Quality.QUICK)
    assert resolve(wish, UPSCALER, seed=5) == resolve(replace(wish, quality=None), UPSCALER, seed=5)


def test_a_schedule_finds_its_sampler_and_its_steps() -> None:
    """Align Your Steps alone takes ten steps of the first sampler that knows them; what contradicts it is refused."""
    request = resolve(Wish(prompt="x", schedule="align your steps"), MODEL, seed=5)
    assert (request.sampler, request.schedule, request.steps) == ("Euler", "AYS", 10)
    for wish, words in (
        (Wish(prompt="x", schedule="AYS", steps=20), "has 10 steps, not 20"),
        (
            Wish(prompt="x", schedule="AYS", sampler="PNDM"),
            "PNDM does not work with the schedule AYS: use one of Euler",
        ),
        (Wish(prompt="x", schedule="polar"), "no schedule “polar”: use one of AYS, SGM Uniform"),
        (Wish(prompt="x", guidance_until=1.5), "from 0 to 1, not 1.5"),
    ):
        with pytest.raises(InvalidRequest, match=words):
            resolve(wish, MODEL, seed=5)
    called = replace(MODEL, sampler="Model's own", samplers=("Model's own",))
    for wish in (Wish(prompt="x", schedule="AYS"), Wish(prompt="x", guidance_until=0.5)):
        with pytest.raises(InvalidRequest, match="leave out"):
            resolve(wish, called, seed=5)


def test_price_follows_the_rows_that_are_evaluated() -> None:
    """Without guidance a picture costs half; with guidance that ends, so much less."""
    large = replace(MODEL, width=1024, height=1024, sampler="Euler")

    def price(**options: Any) -> int:
        return cost_of(resolve(Wish(prompt="x", steps=31, images=10, **options), large, seed=5))

    assert (price(), price(guidance=1), price(guidance_until=0.45)) == (40, 20, 30)
