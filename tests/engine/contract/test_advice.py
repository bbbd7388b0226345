"""Whoever follows what a refusal advises is not refused for the same thing again, whatever the model and the limits."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bot.core.asking.catalogue import for_upscaling
from bot.core.asking.policy import Admitted, judge
from bot.core.asking.refused import Refused
from bot.limits import Limits
from engine.contract import (
    LANCZOS,
    OWN_SAMPLER,
    SAMPLERS,
    UPSCALED_SIDE_MAX,
    GenerationRequest,
    InvalidRequest,
    ModelInfo,
    Start,
)
from tests.kit import said

IMAGE = "0" * 64
LIMITS = Limits(
    credits_per_day=10**6,
    credits_per_night=10**6,
    pending=9,
    max_pixels=10**9,
    max_steps=10**6,
    max_images=10,
)


@st.composite
def models(draw: st.DrawFn) -> ModelInfo:
    """Any that draws, with bounds that need be no multiples of anything."""
    multiple = draw(st.sampled_from([8, 16, 32, 64]))
    least, most = draw(st.integers(64, 300)), draw(st.integers(320, 2048))
    native = draw(st.integers(-(-least // multiple), most // multiple)) * multiple
    return ModelInfo(
        id="m",
        title="Mine",
        width=native,
        height=native,
        side_min=least,
        side_max=most,
        side_multiple=multiple,
        pixels_max=draw(st.integers(max(native, -(-least // multiple) * multiple) ** 2, 2048**2)),
        steps_max=draw(st.integers(30, 150)),
        samplers=tuple(draw(st.sets(st.sampled_from(sorted(SAMPLERS)), min_size=1))) + ("PNDM",),
        takes_images=draw(st.booleans()),
    )


def upscalers() -> st.SearchStrategy[ModelInfo]:
    return st.integers(2, 8).map(
        lambda scale: ModelInfo(
            id=f"{scale}x",
            title=f"{scale}x",
            scale=scale,
            side_max=UPSCALED_SIDE_MAX,
            side_multiple=1,
            pixels_max=UPSCALED_SIDE_MAX**2,
            samplers=(OWN_SAMPLER.name,),
            sampler=OWN_SAMPLER.name,
            steps=1,
            takes_images=True,
        )
    )


def refusal(ask: Callable[[], object]) -> str:
    """What is said; empty where it is accepted."""
    try:
        ask()
    except InvalidRequest as refused:
        return str(refused)
    return ""


def followed(sentence: str, size: tuple[int, int]) -> tuple[int, int]:
    """The size that a sentence advises instead of this one."""
    found = re.search(r"use (\d+)(?:x(\d+))? instead of (\d+)(?:x(\d+))?\.$", sentence)
    assert found is not None, sentence
    if found[2]:
        assert (int(found[3]), int(found[4])) == size
        return int(found[1]), int(found[2])
    width, height = (int(found[1]) if side == int(found[3]) else side for side in size)
    return width, height


@given(models(), st.integers(1, 5000), st.integers(1, 5000))
def test_an_advised_size_is_drawn(model: ModelInfo, width: int, height: int) -> None:
    """One sentence names what to take for both sides, within this model's bounds as well as everybody's."""
    assume(width != height)

    def ask(size: tuple[int, int]) -> str:
        return refusal(lambda: model.request(prompt="x", seed=1, size=size))

    if sentence := ask((width, height)):
        assert ask(followed(sentence, (width, height))) == ""


@given(models(), st.integers(1, 2100), st.integers(1, 2100))
def test_so_is_one_that_is_advised_for_a_request_that_was_made_before(
    model: ModelInfo, width: int, height: int
) -> None:
    """A stored request, which meets another model's bounds, is checked by the same words."""
    assume(width != height)
    wide = replace(model, side_min=64, side_max=2048, side_multiple=8, pixels_max=2048**2, takes_images=True)
    request = wide.request(prompt="x", seed=1, size=wide.nearest(width, height), steps=20)
    if sentence := refusal(lambda: model.check(request)):
        size = followed(sentence, (request.width, request.height))
        assert refusal(lambda: model.check(replace(request, width=size[0], height=size[1]))) == ""


@pytest.mark.parametrize("steps", range(1, 151))
def test_every_number_of_steps_has_a_strength(steps: int) -> None:
    """What is advised is accepted, also where 1 / steps rounds down, and is what Discord's option takes: hundredths."""
    model = ModelInfo(id="m", title="Mine", takes_images=True)
    start = Start(image=IMAGE, strength=0.5 / steps)

    def ask(start: Start) -> str:
        return refusal(lambda: model.request(prompt="x", seed=1, steps=steps, sampler="Euler", start=start))

    advised = ask(start).rpartition("at least ")[2].rstrip(".")
    assert 0.01 <= float(advised) == round(float(advised), 2) <= 1
    assert ask(replace(start, strength=float(advised))) == ""


@given(models(), st.sampled_from([*SAMPLERS, OWN_SAMPLER.name, LANCZOS.name, "magic"]), st.integers(-2, 2000))
def test_advised_samplers_and_steps_are_drawn_with(model: ModelInfo, sampler: str, steps: int) -> None:
    """The samplers that are listed are this model's, and the steps those that both take."""

    def ask(sampler: str, steps: int) -> str:
        return refusal(lambda: model.request(prompt="x", seed=1, sampler=sampler, steps=steps))

    sentence = ask(sampler, steps)
    if "use one of" in sentence:
        for offered in sentence.removesuffix(".").rpartition("use one of ")[2].split(", "):
            assert "use one of" not in ask(offered, steps)
        sampler = model.samplers[0]
        sentence = ask(sampler, steps)
    if sentence:
        least, most = map(int, re.findall(r"takes (\d+) to (\d+) steps", sentence)[0])
        assert [ask(sampler, least), ask(sampler, most)] == ["", ""]
        assert ask(sampler, most + 1)


def enlarged(
    offered: list[ModelInfo], size: tuple[int, int], times: int, named: ModelInfo | None
) -> GenerationRequest:
    """As /imagine and `easel imagine` ask for it."""
    chosen = named or for_upscaling(offered, times)
    start = Start(image=IMAGE, upscale=times)
    return chosen.request(prompt="", seed=1, size=chosen.upscaled(*size, times), start=start)


@given(
    models(),
    st.lists(upscalers(), max_size=2),
    st.integers(64, 5000),
    st.integers(64, 5000),
    st.integers(2, 8),
    st.booleans(),
)
def test_an_advised_scale_is_made(
    model: ModelInfo, others: list[ModelInfo], width: int, height: int, times: int, is_named: bool
) -> None:
    """The scale or the image that a sentence names is enlarged, by whichever model does that then."""
    offered = [model, *others]
    named = offered[-1] if is_named else None

    def ask(size: tuple[int, int], times: int) -> str:
        return refusal(lambda: enlarged(offered, size, times, named))

    sentence = ask((width, height), times)
    if found := re.search(r"ask for (\d) times\.$", sentence):
        times = int(found[1])
    if found := re.search(r"at most (\d+) pixels a side", sentence):
        width, height = min(width, int(found[1])), min(height, int(found[1]))
    if sentence:
        assert ask((width, height), times) == ""


@given(models(), st.integers(64, 2048), st.integers(64, 2048), st.integers(2, 8))
def test_whatever_twice_can_be_made_is(model: ModelInfo, width: int, height: int, times: int) -> None:
    """Every image of up to half the bound is made twice as large by any model that draws: anew, or with Lanczos."""
    request = enlarged([model], (width, height), 2, None)
    assert max(request.width, request.height) <= UPSCALED_SIDE_MAX
    assert request.is_plain or model.enlarges(request.width, request.height)
    model.check(request)
    assert GenerationRequest.from_dict(request.to_dict()) == request


@given(models(), st.integers(64 * 64, 2048**2), st.integers(64, 2048), st.integers(64, 2048))
def test_a_size_that_a_limit_advises_is_drawn(
    model: ModelInfo, max_pixels: int, width: int, height: int
) -> None:
    """It is within the limit and the model's bounds, or the sentence says that there is none."""
    limits = replace(LIMITS, max_pixels=max_pixels)
    request = model.request(prompt="x", seed=1, size=model.nearest(width, height))
    verdict = judge(request, limits, model=model)
    if isinstance(verdict, Admitted):
        return
    if found := re.search(r"ask for (\d+)x(\d+) or smaller\.$", said.refusal(verdict)):
        size = int(found[1]), int(found[2])
        smaller = model.request(prompt="x", seed=1, size=size)
        assert isinstance(judge(smaller, limits, model=model), Admitted)
    else:
        assert "name another model" in said.refusal(verdict)


@given(
    models(), st.integers(64 * 64, 2048**2), st.integers(64, 1000), st.integers(64, 1000), st.integers(2, 8)
)
def test_a_scale_that_a_limit_advises_is_allowed(
    model: ModelInfo, max_pixels: int, width: int, height: int, times: int
) -> None:
    """However the sides were rounded, and are rounded anew."""
    limits = replace(LIMITS, max_pixels=max_pixels)
    exact = replace(model, side_multiple=8)
    assume(not refusal(lambda: enlarged([exact], (width, height), times, None)))
    verdict = judge(enlarged([exact], (width, height), times, None), limits)
    if isinstance(verdict, Refused) and (found := re.search(r"upscale (\d) times\.$", said.refusal(verdict))):
        fewer = enlarged([exact], (width, height), int(found[1]), None)
        assert isinstance(judge(fewer, limits), Admitted)
