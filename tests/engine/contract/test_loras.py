"""What people write for LoRAs is understood or refused in one sentence, travels, and is told wherever a request is."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contract import (
    AdapterInfo,
    GenerationRequest,
    InvalidRequest,
    Lora,
    ModelInfo,
    from_prompt,
    parse_loras,
)
from engine.contract.loras import is_name
from engine.pictures import metadata

MODEL = ModelInfo(
    id="m",
    title="Mine",
    loras=(
        AdapterInfo(name="detail", words=("sharp",)),
        AdapterInfo(name="Pixel.v2"),
        AdapterInfo(name="huge", problem="it was made for Stable Diffusion XL"),
    ),
)
loras = st.builds(
    Lora,
    name=st.text(min_size=1, max_size=20).filter(is_name),
    weight=st.integers(-2000, 2000).map(lambda thousandths: thousandths / 1000),
)


def a_request(**options: object) -> GenerationRequest:
    return MODEL.request(prompt="a fox", seed=1, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ()),
        ("detail", (("detail", 1.0),)),
        (" detail : .8 ,pixel:-2,, ", (("detail", 0.8), ("pixel", -2.0))),
        ("my file (1):0.12345", (("my file (1)", 0.123),)),
    ],
)
def test_names_and_weights(text: str, told: tuple[tuple[str, float], ...]) -> None:
    """Commas between files, a colon before the weight, spaces as one likes."""
    assert parse_loras(text) == tuple(Lora(name=name, weight=weight) for name, weight in told)


@pytest.mark.parametrize(
    ("prompt", "left", "told"),
    [
        ("a fox", "a fox", ()),
        ("a fox <lora:detail:0.8>, blue", "a fox, blue", ("detail:0.8",)),
        ("<LORA:detail> a <lora:pixel:-1>fox", "a fox", ("detail:1", "pixel:-1")),
        ("a <lora> <lora:x", "a <lora> <lora:x", ()),
        (" two  spaces ", " two  spaces ", ()),
    ],
)
def test_tags_are_taken_out_of_the_prompt(prompt: str, left: str, told: tuple[str, ...]) -> None:
    """As in AUTOMATIC1111; a prompt without any stays as it is, to the last space."""
    text, found = from_prompt(prompt)
    assert (text, tuple(map(str, found))) == (left, told)


@given(st.lists(loras, max_size=4, unique_by=lambda lora: lora.name).map(tuple))
def test_they_travel(told: tuple[Lora, ...]) -> None:
    """Written as an option, as tags, as JSON and into a picture's text, they come back equal."""
    request = replace(a_request(), loras=told)
    assert parse_loras(", ".join(map(str, told))) == told
    assert from_prompt("a fox" + "".join(f" {lora.tag}" for lora in told)) == ("a fox", told)
    assert GenerationRequest.from_dict(json.loads(json.dumps(request.to_dict()))) == request
    assert from_prompt(metadata.parameters(request).partition("\n")[0]) == ("a fox", told)


def test_older_rows_have_none() -> None:
    """A request that was stored before there were LoRAs is one without."""
    values = a_request().to_dict()
    del values["loras"]
    assert GenerationRequest.from_dict(values).loras == ()


def test_files_are_spelled_as_they_are_called() -> None:
    """Capitals don't matter, and the option and the prompt's tags add up."""
    request = MODEL.request(prompt="a fox <lora:DETAIL:0.5>", seed=1, loras=parse_loras("pixel.V2"))
    assert request.prompt == "a fox"
    assert request.loras == (Lora(name="Pixel.v2"), Lora(name="detail", weight=0.5))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("detail:much", "“much” is no weight: a LoRA is asked for as name:weight, such as detail:0.8."),
        ("detail:", "“” is no weight"),
        (":0.5", "A LoRA is asked for as name:weight, such as detail:0.8."),
        ("detail:2.5", "The weight of a LoRA goes from -2 to 2, not 2.5."),
        ("detail:nan", "The weight of a LoRA goes from -2 to 2, not nan."),
        ("detail:1:2", "“1:2” is no weight"),
        ("detail, DETAIL:0.2", "The LoRA “detail” is named twice: name it once, with one weight."),
        ("a,b,c,d,e", "One request takes at most 4 LoRAs, not 5."),
        ("../detail", "“../detail” can't be the name of a LoRA."),
        ("detial", "There is no LoRA “detial” for Mine here: use detail."),
        ("xyz", "There is no LoRA “xyz” for Mine here: use detail, Pixel.v2."),
        ("huge", "The LoRA “huge” can't be used with Mine: it was made for Stable Diffusion XL."),
    ],
)
def test_refused_in_one_sentence(text: str, sentence: str) -> None:
    """Each says what is wrong and what to write instead."""
    with pytest.raises(InvalidRequest) as refused:
        a_request(loras=parse_loras(text))
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_model_without_any_says_so() -> None:
    """Also where the tag stands in the prompt."""
    with pytest.raises(InvalidRequest, match="There is no LoRA for Other here: leave out “detail”"):
        ModelInfo(id="o", title="Other").request(prompt="a fox <lora:detail>", seed=1)
