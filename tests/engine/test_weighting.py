"""A prompt's brackets become weights, as AUTOMATIC1111's users mean them, and nothing else is touched."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.families.weighting import WEIGHT_MAX, parse

texts = st.lists(st.sampled_from([*"()[]\\:., 0139aé\u200b", ":1.3)"]), max_size=60).map("".join)
words = st.text("ab, :+.5\\é", min_size=1, max_size=12)
plain_words = st.text("ab ", min_size=1, max_size=8)


def weights(prompt: str) -> list[tuple[str, float]]:
    return [(part.text, part.weight) for part in parse(prompt)]


@pytest.mark.parametrize(
    ("prompt", "parts"),
    [
        ("a (red) fox", [("a ", 1), ("red", 1.1), (" fox", 1)]),
        ("a ((red)) fox", [("a ", 1), ("red", 1.21), (" fox", 1)]),
        ("a (red:1.3) fox", [("a ", 1), ("red", 1.3), (" fox", 1)]),
        ("a [red] fox", [("a ", 1), ("red", 0.9091), (" fox", 1)]),
        ("a (red : .5 ) fox", [("a ", 1), ("red ", 0.5), (" fox", 1)]),
        ("(a (b:2) c:1.2)", [("a ", 1.2), ("b", 2.4), (" c", 1.2)]),
        ("(a:3) (b:0)", [("a", 3), (" ", 1), ("b", 0)]),
        ("[(same)] as before", [("same as before", 1)]),
        ("(same:1.0) as before", [("same as before", 1)]),
        ("()[](:1.3)", [("", 1)]),
    ],
)
def test_brackets_weigh(prompt: str, parts: list[tuple[str, float]]) -> None:
    """Round brackets strengthen, square ones weaken, a number says how much, and nested ones multiply."""
    assert weights(prompt) == parts


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("C++ and word++, 16:9", "C++ and word++, 16:9"),
        (r"a \(real\) cat \[sic\]", "a (real) cat [sic]"),
        (r"¯\_(ツ_/¯", r"¯\_(ツ_/¯"),
        ("smile :) or :( or :]", "smile :) or :( or :]"),
        ("a (red fox", "a (red fox"),
        ("a red:1.3) fox", "a red:1.3) fox"),
        ("a [red:1.3) fox", "a [red:1.3) fox"),
        ("a (red] fox", "a (red] fox"),
        (r"a (red\) fox", "a (red) fox"),
        ('("a", "b").and()'.replace("(", r"\(").replace(")", r"\)"), '("a", "b").and()'),
    ],
)
def test_other_text_is_only_text(prompt: str, text: str) -> None:
    """Brackets without a partner or after a backslash, and what means something to compel alone, stay words."""
    assert weights(prompt) == [(text, 1)]


@pytest.mark.parametrize("prompt", ["(16:9)", "(16:-1)", "(16:1,3)", "(16:1.2.3)", "(16:x)"])
def test_what_is_no_weight_is_text(prompt: str) -> None:
    """An aspect in brackets is not nine times as strong: numbers above 3, and what is no number, are words."""
    assert weights(prompt) == [(prompt[1:-1], 1.1)]


@given(texts)
def test_any_text_has_parts(prompt: str) -> None:
    """Nothing raises; weights stay within their bounds, and neighbours differ in theirs."""
    parts = parse(prompt)
    assert parts
    assert all(0 <= part.weight <= WEIGHT_MAX for part in parts)
    assert all(one.weight != other.weight for one, other in pairwise(parts))
    kept = iter(prompt)
    assert all(char in kept for part in parts for char in part.text)  # a subsequence: nothing is made up


@given(words)
def test_text_without_brackets_is_itself(prompt: str) -> None:
    """Whatever else stands in a text: without brackets it is one part of weight 1."""
    assert weights(prompt) == [(prompt, 1)]


@given(st.lists(st.sampled_from(["()", "[]"]), max_size=9), plain_words)
def test_balanced_brackets_nest(pairs: list[str], word: str) -> None:
    """The weight of a word is the product of all brackets around it."""
    prompt = "".join(pair[0] for pair in pairs) + word + "".join(pair[1] for pair in reversed(pairs))
    expected = 1.1 ** sum(1 if pair == "()" else -1 for pair in pairs)
    ((text, weight),) = weights(prompt)
    assert text == word
    assert weight == pytest.approx(min(WEIGHT_MAX, expected), abs=0.001)


@given(plain_words, st.integers(0, 300))
def test_a_number_is_the_weight(word: str, hundredths: int) -> None:
    """`(a:1.23)` weighs 1.23, for every number up to 3."""
    weight = hundredths / 100
    assert weights(f"({word}:{weight})") == [(word, weight)]


def test_thousands_of_brackets() -> None:
    """The longest prompt, made of brackets alone, is read as well."""
    assert weights("(" * 1990 + "x" + ")" * 1990) == [("x", WEIGHT_MAX)]
    assert weights("(" * 2000 + "x") == [("(" * 2000 + "x", 1)]
