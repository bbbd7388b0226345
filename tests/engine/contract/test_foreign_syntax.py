"""What people bring from other programs is named in one line, and what only looks like it is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contract import FakeSettings, GenerationRequest, InvalidRequest, foreign_syntax, from_prompt
from engine.contract.loras import remarks as tag_remarks
from engine.fake import MODEL, FakeFamily
from tests.kit.engines import Bench

TOLD = "read as words, since such signs of other programs mean nothing here: use the options, and (word:1.2) for weights."


@pytest.mark.parametrize(
    ("prompt", "named"),
    [
        ("a fox --ar 16:9", "“--ar 16:9” was"),
        ("a fox --aspect 3x2", "“--aspect 3x2” was"),
        ("a fox --v 6", "“--v 6” was"),
        ("a fox --v 5.2 --s 250", "“--v 5.2” and “--s 250” were"),
        ("a fox --no people", "“--no people” was"),
        ("a fox --seed 5", "“--seed 5” was"),
        ("--AR 1:1 a fox", "“--AR 1:1” was"),
        ("a fox --niji 6 --style raw --tile", "“--niji 6”, “--style raw” and “--tile” were"),
        ("a fox --ar 1:1 --v 6 --s 9 --q 2 --hd", "“--ar 1:1”, “--v 6”, “--s 9” and 2 more were"),
        ("hot::2 dog", "“::2” was"),
        ("hot::-0.5 dog", "“::-0.5” was"),
        ("hot:: dog", "“::” was"),
        ("a {red, blue} fox", "“{red, blue}” was"),
        ("a {red|blue} fox", "“{red|blue}” was"),
        ("a __colors__ fox", "“__colors__” was"),
        ("a __animals/wild-ones__", "“__animals/wild-ones__” was"),
        ("{" + "a, " * 30 + "b}", "…” was"),
    ],
)
def test_signs_of_other_programs_are_named(prompt: str, named: str) -> None:
    """In one line, the first three of them, and what to do instead."""
    (line,) = foreign_syntax.remarks(prompt)
    assert named in line
    assert line.endswith(TOLD)
    assert foreign_syntax.remarks("a fox", prompt) == (line,)


@pytest.mark.parametrize(
    "prompt",
    [
        "a fox — red and quick",
        "a fox – v 6",
        "a fox -- no people, -- v 6",
        "a fox—ar 16:9",
        "a fox--no tail",
        "a --- b -- c",
        "--",
        "well-known, semi--transparent",
        "a fox --",
        "a v--6 engine",
        "smile :-) :{ , :} 8-) ;-{ , }",
        "std::vector and a::b",
        "16:9, time 12:30, a: b",
        ":: decorated ::",
        "a (red:1.2) fox, [blue]",
        "set {} and {x}",
        '{"subject": "cat", "style": "oil"}',
        "snake_case and __ two __ lines",
        "an underscore_ _and_ another",
        "C++ -v -6 --",
    ],
)
def test_what_only_looks_like_one_is_not_named(prompt: str) -> None:
    """Dashes of prose, emoticons, code and weights are words like any other."""
    assert foreign_syntax.remarks(prompt) == ()


@pytest.mark.parametrize(
    ("prompt", "left", "loras", "told"),
    [
        (
            "a fox <lora:detail:0.8:0.5>",
            "a fox",
            "detail:0.8",
            "“<lora:detail:0.8:0.5>” counts as detail:0.8",
        ),
        ("a fox <lora:detail:te=0.8:unet=0.5>", "a fox", "detail:0.8", "counts as detail:0.8"),
        ("a <lora:detail:unet=0.5> fox", "a fox", "detail:0.5", "counts as detail:0.5"),
        ("a fox <lora:detail:1:lbw=MIDD>", "a fox", "detail:1", "counts as detail:1: more than one weight"),
        ("a fox <lora:detail:lbw=0,1,0>", "a fox", "detail:1", "counts as detail:1"),
        ("<lora:detail:0.5:1:64>", "", "detail:0.5", "counts as detail:0.5"),
        ("a fox <lyco:thing:0.7>, red", "a fox, red", "", "“<lyco:thing:0.7>” was left out: LyCORIS files"),
        ("a <HYPERNET:thing:1> fox", "a fox", "", "was left out: hypernetworks are not known here."),
        ("a fox <lora:detail:0.8> <lora:pixel>", "a fox", "detail:0.8 pixel:1", ""),
    ],
)
def test_tags_that_say_more(prompt: str, left: str, loras: str, told: str) -> None:
    """Their first number counts, tags of other kinds are taken out, and a line names each."""
    text, found = from_prompt(prompt)
    assert (text, " ".join(map(str, found))) == (left, loras)
    assert bool(told) == bool(tag_remarks(prompt))
    assert told in "".join(tag_remarks(prompt))


def test_a_tag_without_a_number_is_still_refused() -> None:
    """What is meant for one weight and is none."""
    with pytest.raises(InvalidRequest, match="“much” is no weight"):
        from_prompt("a fox <lora:detail:much>")


def test_the_person_is_told_with_the_picture(tmp_path: Path) -> None:
    """Whatever the model: the lines travel with the request and come back as notes; the words are drawn, the tags are not."""
    request = MODEL.request(
        prompt="a fox --ar 16:9 <lyco:x:1> <lora:detail:0.5:0.7>",
        negative_prompt="{a, b} <lora:pixel>",
        seed=1,
    )
    assert (request.prompt, request.negative_prompt) == ("a fox --ar 16:9", "{a, b}")
    assert [str(lora) for lora in request.loras] == ["detail:0.5"]
    assert GenerationRequest.from_dict(json.loads(json.dumps(request.to_dict()))) == request
    bench = Bench(FakeFamily(FakeSettings(step_s=0.0)), MODEL, tmp_path)
    bench.submit(1, request)
    notes = bench.finished(1).notes
    assert notes == request.remarks
    assert [note.partition(":")[0] for note in notes] == [
        "“<lyco",
        "“<lora",
        "“<lora",
        "“--ar 16",
    ]
    assert "left out of the negative prompt" in notes[2]


@pytest.mark.parametrize(
    "text", ["{" + "a, " * 1300, "{a," * 1300, "__a" * 1300, "--no " * 800, "::1 " * 1000]
)
def test_long_texts_are_read_at_once(text: str) -> None:
    """Whatever begins and never ends: a search that went back again and again would take minutes."""
    assert len(foreign_syntax.remarks(text)) <= 1


@given(st.text("-:{}|,_ anorv69.", max_size=40))
def test_any_text_is_looked_at(prompt: str) -> None:
    """At most one line, of bounded length."""
    assert all(len(line) < 400 for line in foreign_syntax.remarks(prompt))
    assert len(foreign_syntax.remarks(prompt)) <= 1
