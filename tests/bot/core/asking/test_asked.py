"""A prompt as a whole: alternatives, flags and repeats become wishes, one for each request."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.core.asking import asked
from bot.core.asking.asked import parse
from bot.core.asking.refused import TooManyAtOnce, Unmet
from bot.core.asking.wish import Wish
from engine.contract import SEEDS
from tests.kit import said

ODD = st.text(st.sampled_from('{},|\\- —_ab👩"“:=3\n'), max_size=120) | st.text(max_size=60)


def test_a_plain_prompt_is_one_wish_as_it_was_typed() -> None:
    """Wildcards, tags and weights included: nothing to confirm."""
    typed = Wish(prompt="a __animal__ <lora:ink:0.5>, (red:1.3) ", steps=5)
    found = parse(typed)

    assert found.wishes == (typed,)
    assert not found.needs_confirmation


def test_every_combination_has_its_own_flags() -> None:
    """Since alternatives come first, they may hold flags and their values; the options beside hold for all."""
    found = parse(Wish(prompt="a {cat, dog --no fleas} --ar {1:1, 3:2} --seed 4", steps=5))

    assert found.needs_confirmation
    assert found.wishes == (
        Wish(prompt="a cat", aspect="1:1", seed=4, steps=5),
        Wish(prompt="a cat", aspect="3:2", seed=4, steps=5),
        Wish(prompt="a dog", negative_prompt="fleas", aspect="1:1", seed=4, steps=5),
        Wish(prompt="a dog", negative_prompt="fleas", aspect="3:2", seed=4, steps=5),
    )


def test_repeats_go_on_where_the_images_before_end() -> None:
    """From the seed that was given, whether as a flag or an option; without one, each is left its own."""
    flagged = parse(Wish(prompt=f"a --seed {SEEDS - 4} --images 3 --repeat 3"))
    optional = parse(Wish(prompt="{a, b} --repeat 2", seed=7))
    free = parse(Wish(prompt="a --repeat 2", seed=-1))

    assert [wish.seed for wish in flagged.wishes] == [SEEDS - 4, SEEDS - 1, 2]
    assert [(wish.prompt, wish.seed) for wish in optional.wishes] == [("a", 7), ("a", 8), ("b", 7), ("b", 8)]
    assert [wish.seed for wish in free.wishes] == [-1, -1]


@pytest.mark.parametrize(
    ("prompt", "most", "count", "sentence"),
    [
        ("{a,b}" * 5, 20, 32, "makes 32 requests, and 20 at once are the most"),
        ("{a,b,c} --repeat 7", 20, 21, "makes 21 requests"),
        ("{a, b --repeat 30}", 20, 31, "makes 31 requests"),
        ("a --repeat 2", 1, 2, "makes 2 requests, and one at a time is the most"),
        ("{1,2,3,4,5,6,7,8,9,0}" * 9, 20, 10**9, "makes more than a million requests"),
        ("{a,b}" * 800, 20, 2**800, "makes more than a million requests"),
    ],
)
def test_too_many_are_refused_with_their_number(prompt: str, most: int, count: int, sentence: str) -> None:
    """Counted, never made."""
    with pytest.raises(Unmet) as caught:
        parse(Wish(prompt=prompt), most=most)

    assert caught.value.refused == TooManyAtOnce(count=count, most=most)
    assert sentence in said.refusal(caught.value.refused)


@settings(max_examples=300, deadline=None)
@given(ODD)
@example("{" * 4000)
@example("{a," * 1333)
@example("{}" * 2000)
@example("{" * 2000 + "}" * 2000)
@example("{—no 👩|" * 500 + "}" * 500)
@example('"' * 4000)
def test_any_text_is_wishes_or_a_sentence(prompt: str) -> None:
    """Four thousand characters of whatever: no crash, never more than was allowed, and the same again."""
    try:
        found = parse(Wish(prompt=prompt))
    except Unmet as error:
        said.refusal(error.refused)
    else:
        assert 1 <= len(found.wishes) <= asked.AT_ONCE_MAX
        assert parse(Wish(prompt=prompt)) == found


@settings(max_examples=300, deadline=None)
@given(ODD)
@example("{a, b} --ar 3:2 \\--x \\{c, d\\} {--no a|b}")
def test_any_prompt_can_be_typed_again(prompt: str) -> None:
    """What a form is filled with gives the very same prompt, and no flag."""
    assert parse(Wish(prompt=asked.written(prompt))).wishes == (Wish(prompt=prompt),)
