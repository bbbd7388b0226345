"""A prompt's brackets become weights, as AUTOMATIC1111's users mean them, and nothing else is touched."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.families.prompt_weights import WEIGHT_MAX, parse, remarks

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
        ("a (red:-1.2) fox", [("a ", 1), ("red", -1.2), (" fox", 1)]),
        ("a (red:+1.2) fox", [("a ", 1), ("red", 1.2), (" fox", 1)]),
        ("(red: -0.5 )", [("red", -0.5)]),
        ("(red:-3) (fox:+.5)", [("red", -3), (" ", 1), ("fox", 0.5)]),
        ("(red:02.50) (fox:1.)", [("red", 2.5), (" fox", 1)]),
        ("((red:-1.2):-1)", [("red", 1.2)]),
        ("((red:-2):2) [(fox:-1)]", [("red", -3), (" ", 1), ("fox", -0.9091)]),
        ("(a [b) c]", [("a ", 1.1), ("b", 1), (" c", 0.9091)]),
        (r"a \\(b) c", [("a \\", 1), ("b", 1.1), (" c", 1)]),
        (r"a \\\(b) c", [(r"a \(b) c", 1)]),
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


@pytest.mark.parametrize(
    "prompt",
    [
        "(16:9)", "(16:-9)", "(16:+3.1)", "(16:1,3)", "(16:1.2.3)", "(16:x)", "(16:)", "(16:1e3)", "(16:nan)", "(16:inf)",
        "(16:- 1)", "(16:--1)", "(16:.)", "(16:1_0)",
    ],
)  # fmt: skip
def test_what_is_no_weight_is_text(prompt: str) -> None:
    """An aspect in brackets is not nine times as strong: numbers beyond 3, and what is no number, are words."""
    assert weights(prompt) == [(prompt[1:-1], 1.1)]


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("a (16:9) fox", "says “9” for a weight, which was read as words: weights go from -3 to 3."),
        ("(fox:-3.5)", "says “-3.5” for a weight"),
        ("(fox:1.2.3)", "says “1.2.3” for a weight"),
        ("((fox:3):2)", "has words whose brackets multiply to more than 3: weights go from -3 to 3."),
        ("(((((((((((((fox)))))))))))))", "multiply to more than 3"),
        ("a [cat:dog:0.5]", "holds “[cat:dog:0.5]”, which was read as words: it can't change between the steps here."),
        ("a [cat:10]", "“[cat:10]”"),
        ("a [cat::.5] on a mat", "“[cat::.5]”"),
        ("a [big (cat:1.2):dog: 5 ]", "“[big (cat:1.2):dog: 5 ]”"),
        ("a [cat|dog] hybrid", "“[cat|dog]”"),
        ("[" + "cat " * 50 + ":9]", "cat ca…”"),
    ],
)  # fmt: skip
def test_what_cannot_be_heeded_is_said(prompt: str, told: str) -> None:
    """A weight beyond the bounds and what changes a prompt between steps are named, shortened where they are long."""
    (remark,) = remarks(prompt)
    assert told in remark
    assert len(remark) < 150


@pytest.mark.parametrize(
    "prompt",
    [
        "a (red:1.2) fox", "(red:-1.2) (fox:+3)", "16:9", "a red:9) fox", "(red:x)", "(wait: ...)", "smile :) or :]",
        r"\[cat:dog:0.5\]", "[sic]", "[a: b]", "a | b", "(cat|dog)", "[cat:dog:later]", r"\(16:9)", "(((fox)))",
    ],
)  # fmt: skip
def test_ordinary_text_is_not_remarked_on(prompt: str) -> None:
    """What only looks like a weight or like an edit, and what is heeded, gives no remark."""
    assert remarks(prompt) == ()


def test_break_opens_a_window() -> None:
    """In capitals and as a word of its own, as in AUTOMATIC1111, with the white space around it; weights go on."""

    def windows(prompt: str) -> list[tuple[str, float, bool]]:
        return [(part.text, part.weight, part.opens_window) for part in parse(prompt)]

    assert windows("a fox  BREAK\na boat") == [("a fox", 1, False), ("a boat", 1, True)]
    assert windows("(a BREAK b:1.3) c") == [("a", 1.3, False), ("b", 1.3, True), (" c", 1, False)]
    assert windows("a BREAK BREAK b") == [("a", 1, False), ("", 1, True), ("b", 1, True)]
    assert windows("BREAK (b:2)") == [("", 1, False), ("b", 2, True)]
    for plain in ("a break", "Break", "BREAKFAST", "no_BREAK", "BREAKS"):
        assert windows(plain) == [(plain, 1, False)]


# ------------------------------------------------------------------ compared with AUTOMATIC1111


def reference(prompt: str) -> list[tuple[str, float]]:
    """Each character and its weight by AUTOMATIC1111's published grammar of attention, read character by character.

    It differs in what Easel states: a bracket without its partner, a backslash before anything else and a number beyond
    WEIGHT_MAX are text, and BREAK keeps the weight around it.
    """
    out: list[tuple[str, float]] = []
    opened: dict[str, list[int]] = {")": [], "]": []}
    at = 0

    def close(kind: str, factor: float) -> None:
        start = opened[kind].pop()
        out[start:] = [("", 1.0), *((char, weight * factor) for char, weight in out[start + 1 :])]

    while at < len(prompt):
        char, rest = prompt[at], prompt[at + 1 :]
        number, bracket, _ = rest.partition(")")
        if char == "\\" and rest[:1] in {"(", ")", "[", "]"}:
            out.append((rest[0], 1.0))
            at += 2
        elif char == ":" and bracket and opened[")"] and is_weight(number):
            close(")", float(number))
            at += 2 + len(number)
        elif opened.get(char):
            close(char, 1.1 if char == ")" else 1 / 1.1)
            at += 1
        else:
            if char in "([":
                opened[")" if char == "(" else "]"].append(len(out))
            out.append((char, 1.0))
            at += 1
    return [(char, round(max(-WEIGHT_MAX, min(WEIGHT_MAX, weight)), 4) + 0.0) for char, weight in out if char]


def is_weight(text: str) -> bool:
    digits = text.strip().removeprefix("+") if "+" in text else text.strip().removeprefix("-")
    if not digits or set(digits) - set("0123456789."):
        return False
    try:
        return abs(float(digits)) <= WEIGHT_MAX
    except ValueError:
        return False


def characters(prompt: str) -> list[tuple[str, float]]:
    return [(char, part.weight + 0.0) for part in parse(prompt) for char in part.text]


attention = st.lists(
    st.sampled_from([
        *"()[]:ab, ", "\\(", "\\)", "\\[", "\\]", ":1.3)", ":-1.2)", ":+.5)", ": 2 )", ":9)", ":1e3)", ":nan)", ":1.2.3)",
        "(a:", "((", "))", "[a:b:0.5]",
    ]),
    max_size=30,
).map("".join)  # fmt: skip


@given(attention)
def test_weights_are_those_of_automatic1111(prompt: str) -> None:
    """Every character of any prompt has the weight that its published grammar gives it, but for what Easel states."""
    assert characters(prompt) == reference(prompt)


@given(st.text("+-.0123456789 e", max_size=6))
def test_numbers_are_those_of_automatic1111(number: str) -> None:
    """Whatever stands behind the colon: a number in its grammar is the weight, or is told to be none."""
    prompt = f"(fox:{number})"
    assert characters(prompt) == reference(prompt)
    if is_weight(number):
        assert remarks(prompt) == ()


@given(texts)
def test_any_text_has_parts(prompt: str) -> None:
    """Nothing raises; weights stay within their bounds, and neighbours differ in theirs."""
    parts = parse(prompt)
    assert parts
    assert all(-WEIGHT_MAX <= part.weight <= WEIGHT_MAX for part in parts)
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
