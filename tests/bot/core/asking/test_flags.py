"""Flags in a prompt: by their names elsewhere, typed anyhow; what is wrong with one is a sentence that quotes it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.core.asking import flags
from bot.core.asking.refused import Unmet
from bot.core.asking.wish import Quality, Wish
from engine.contract import SEEDS
from tests.kit import said

WORDS = st.text(st.sampled_from("abcé 漢,()<:.>"), min_size=1, max_size=12).filter(
    lambda text: text == " ".join(text.split()).strip(",;.") and text
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "aspect": st.tuples(st.integers(1, 99), st.integers(1, 99)).map(lambda sides: f"{sides[0]}:{sides[1]}"),
    "steps": st.integers(1, 150),
    "seed": st.integers(-1, SEEDS - 1),
    "guidance": st.integers(10, 300).map(lambda tenths: tenths / 10),
    "images": st.integers(1, 10),
    "negative_prompt": WORDS,
    "model": WORDS,
    "style": WORDS,
    "sampler": WORDS,
    "quality": st.sampled_from(Quality),
    "tile": st.just(value=True),
}
NAMES = {
    "aspect": ["ar", "aspect", "AR"],
    "steps": ["steps", "step"],
    "seed": ["seed", "Seed"],
    "guidance": ["cfg", "cfg_scale", "cfgscale", "guidance"],
    "images": ["images", "n"],
    "negative_prompt": ["no", "neg", "negative-prompt"],
    "model": ["model"],
    "style": ["style"],
    "sampler": ["sampler"],
    "quality": ["quality", "q"],
    "tile": ["tile"],
}
ODD = '—–-- {},|\\"“”:=;.\n\tanosr3:2👩\u200d__'
ANYTHING = (
    st.text(st.sampled_from(ODD), max_size=80)
    | st.text(max_size=60)
    | st.lists(
        st.sampled_from(["--no", "--ar", "3:2", "—seed", "— no", "--", "\\--x", "a,", "7", "--tile", "--hu"])
    ).map(" ".join)
)


def read(prompt: str, **options: Any) -> Wish:
    wish, repeat = flags.applied(flags.read(prompt), Wish(prompt=prompt, **options))
    assert repeat == 1
    return wish


def refused(prompt: str, **options: Any) -> str:
    with pytest.raises(Unmet) as caught:
        read(prompt, **options)
    return said.refusal(caught.value.refused)


def test_all_of_the_flags_together() -> None:
    """Each lands in its option; the prompt is what is left."""
    typed = (
        "a fox --ar 3:2 --seed 7 --no text, hands --steps 30 --cfg 5 --model org/name --style ink "
        "--sampler Euler a --images 2 --lora detail:0.8, pixel --strength 0.5 --upscale 2 --quality high --tile"
    )
    assert read(typed) == Wish(
        prompt="a fox",
        aspect="3:2",
        seed=7,
        negative_prompt="text, hands",
        steps=30,
        guidance=5.0,
        model="org/name",
        style="ink",
        sampler="Euler a",
        images=2,
        lora="detail:0.8, pixel",
        strength=0.5,
        upscale=2,
        quality=Quality.HIGH,
        tile=True,
    )


@pytest.mark.parametrize(
    ("typed", "options"),
    [
        ("x —ar 3:2", {"aspect": "3:2"}),
        ("x — ar 3:2", {"aspect": "3:2"}),
        ("x ––seed 7", {"seed": 7}),
        ("x –seed 7 ——ar 1:2", {"seed": 7, "aspect": "1:2"}),
        ("x — no text", {"negative_prompt": "text"}),
        ("x --seed=7", {"seed": 7}),
        ("x --cfg:7,5, --seed random,", {"guidance": 7.5, "seed": -1}),
        ("x --ar:3:2 --tile,", {"aspect": "3:2", "tile": True}),
        ("--model “my model” x", {"model": "my model"}),
        ('--style "old ink" x --n 2', {"style": "old ink", "images": 2}),
        ("x --w 512 --h 768", {"size": "512x768"}),
        ("x --size 512×768 --width 512 --height 768", {"size": "512x768"}),
        ("x --seed 7,--ar 3:2,--tile,--steps 5", {"seed": 7, "aspect": "3:2", "tile": True, "steps": 5}),
        ("x --quick", {"quality": Quality.QUICK}),
        ("x --q .5", {"quality": Quality.QUICK}),
        ("x --draft --quality quick", {"quality": Quality.QUICK}),
        ("x --no text --no hands", {"negative_prompt": "text, hands"}),
        ("x --seed 7 --seed 7", {"seed": 7}),
        ("--steps 5 x", {"steps": 5}),
    ],
)
def test_flags_are_understood_as_people_type_them(typed: str, options: dict[str, Any]) -> None:
    """By a phone's dashes, with signs between and after, in any place, twice with one value."""
    assert read(typed) == Wish(prompt="x", **options)


@pytest.mark.parametrize(
    "prompt",
    [
        "a cat — no",
        "a cat — red and blue",
        "a portrait — style of Rembrandt, quick — tile, –style,—no",
        "an arrow --> and -- and --- and -----x",
        "well-known--thing, 3 -5 -x a—b 1990–2000",
        "  spaces   stay ",
    ],
)
def test_a_dash_that_begins_no_flag_stays(prompt: str) -> None:
    """Prose, arrows, lines and compound words are drawn as they stand."""
    assert read(prompt) == Wish(prompt=prompt)


def test_a_backslash_makes_a_word_of_a_flag() -> None:
    """And is not drawn itself."""
    assert read(r"a \--weird thing \—no --no \--x") == Wish(
        prompt="a --weird thing —no", negative_prompt="--x"
    )


@pytest.mark.parametrize(
    ("prompt", "options", "sentence"),
    [
        ("a --weird thing", {}, "There is no flag “--weird”: use --ar, --size,"),
        ("a --sed 7", {}, "There is no flag “--sed”: did you mean --seed?"),
        ("a —stylize 50", {}, "no flag “—stylize”: did you mean --style?"),
        ("a --seed", {}, "“--seed” needs a value after it, such as --seed 7."),
        ("a --seed --ar 3:2", {}, "“--seed” needs a value"),
        ("a --no --ar 3:2", {}, "“--no” needs a value"),
        ("a --seed seven", {}, "“--seed seven” does not fit: it takes a number from -1 to 4294967295"),
        ("a --steps 900", {}, "“--steps 900” does not fit: it takes a number from 1 to 150"),
        ("a --cfg nan", {}, "“--cfg nan” does not fit"),
        ("a --ar wide", {}, "“--ar wide” can't be read: write it such as --ar 3:2."),
        ("a --quality best", {}, "“--quality best” can't be read"),
        ("a --seed " + "9" * 3000, {}, "9999…” does not fit"),
        ("a --seed 7 --seed 8", {}, "“--seed 7” and “--seed 8” contradict each other"),
        ("a --quick --high", {}, "“--quick” and “--high” contradict"),
        ("a --ar 3:2 --size 64x64", {}, "“--ar 3:2” and “--size 64x64” contradict"),
        ("a --ar 3:2 --w 64 --h 64", {}, "“--ar 3:2” and “--w 64 --h 64” contradict"),
        ("a --size 128x64 --w 64 --h 64", {}, "“--size 128x64” and “--w 64 --h 64” contradict"),
        ("a --w 512", {}, "“--w 512” is half a size: give --h as well"),
        ("a --ar 3:2", {"size": "64x64"}, "“--ar 3:2” and “size:64x64” contradict"),
        ("a --size 64x64", {"aspect": "1:1"}, "“--size 64x64” and “aspect:1:1” contradict"),
        ("a --steps 5", {"steps": 20}, "“--steps 5” and “steps:20” contradict"),
        ("a --no b", {"negative_prompt": "c"}, "“--no b” and “negative_prompt:c” contradict"),
    ],
)
def test_what_is_wrong_is_told_with_what_was_typed(
    prompt: str, options: dict[str, Any], sentence: str
) -> None:
    """Unknown ones with the nearest that there is, missing and odd values, and whatever contradicts itself."""
    told = refused(prompt, **options)

    assert sentence in told
    assert len(told) < 500


def test_a_flag_and_an_option_that_agree_are_one() -> None:
    """And a seed of -1 is none."""
    assert read("a --steps 5", steps=5).steps == 5
    assert read("a --seed 5", seed=-1).seed == 5


@given(st.data(), st.sets(st.sampled_from(sorted(VALUES))))
def test_what_is_written_as_flags_is_read_again(data: st.DataObject, chosen: set[str]) -> None:
    """Any of them, by any of their names, with any dash, in any order."""
    values = {option: data.draw(VALUES[option]) for option in chosen}
    order = data.draw(st.permutations(sorted(chosen)))
    written = [
        f"{data.draw(st.sampled_from(['--', '—', '––']))}{data.draw(st.sampled_from(NAMES[option]))}"
        + ("" if option == "tile" else f" {values[option]}")
        for option in order
    ]

    assert read(" ".join(["a red fox", *written])) == Wish(prompt="a red fox", **values)


@settings(max_examples=300, deadline=None)
@given(ANYTHING)
@example("-" * 4000)
@example("—" * 4000)
@example("— " * 2000)
@example("--a " * 1000)
@example('--model "' * 400)
@example("\\" * 3990 + "--no x")
def test_any_text_is_a_wish_or_a_sentence(prompt: str) -> None:
    """Never anything else; and written literally it is the prompt itself."""
    try:
        found = flags.read(prompt)
        flags.applied(found, Wish(prompt=prompt))
    except Unmet as error:
        said.refusal(error.refused)
    else:
        assert found.given or found.prompt.replace("\\", "") == prompt.replace("\\", "")
    assert flags.read(flags.literal(prompt)) == flags.Flagged(prompt=prompt, given={})
