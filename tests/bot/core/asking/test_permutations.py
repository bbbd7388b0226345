"""Alternatives in a prompt: all combinations, in an order that stays, counted before they are made."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.core.asking import permutations

ODD = "{}{},|\\\\ ab\"':—-_👩\n"
TEXTS = st.text(st.sampled_from(ODD), max_size=60) | st.text(max_size=40)


def texts(prompt: str) -> list[str]:
    return [*permutations.read(prompt).texts()]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        (
            "{red, blue} house in {spring, winter}",
            ["red house in spring", "red house in winter", "blue house in spring", "blue house in winter"],
        ),
        ("a {fox|old, grey wolf}", ["a fox", "a old, grey wolf"]),
        ("a {big {red, blue}, small} fox", ["a big red fox", "a big blue fox", "a small fox"]),
        ("a {very |}red fox", ["a veryred fox", "a red fox"]),
        ("fox --ar {1:1, 3:2}", ["fox --ar 1:1", "fox --ar 3:2"]),
        (r"{pastel\, light, dark} {a\|b|c}", ["pastel, light a|b", "pastel, light c", "dark a|b", "dark c"]),
        ("{a, a}", ["a", "a"]),
    ],
)
def test_each_combination_once_the_last_choice_first(prompt: str, expected: list[str]) -> None:
    """Commas part, and bars alone where there is one; white space around an alternative is none of it."""
    assert texts(prompt) == expected


@pytest.mark.parametrize(
    "prompt",
    [
        "a fox, red | blue",
        "a {fox} in {}",
        "an {open brace, and | more",
        "closed} a, b",
        "{{a} {b, c",
        "{,} and {|}",
        "<lora:ink:0.8> (word:1.3), [less], a\\(b\\) a\\, b",
        '{"subject": "a cat", "colours": {red, blue}}',
    ],
)
def test_what_chooses_nothing_is_drawn_as_it_stands(prompt: str) -> None:
    """Braces without comma or bar, without their other half or with nothing to choose, JSON, tags and weights."""
    assert texts(prompt) == [prompt]


def test_a_backslash_takes_a_sign_at_its_word() -> None:
    r"""`\{` and `\}` are braces; `\\` before one is a backslash before a real one."""
    assert texts(r"\{a, b\} \\{c, d}") == [r"{a, b} \c", r"{a, b} \d"]


@pytest.mark.parametrize(
    ("prompt", "count"),
    [("{a,b}" * 30, 2**30), ("{a,b}" * 800, 2**800), ("{a," * 1300 + "b" + "}" * 1300, 1301)],
)
def test_what_explodes_is_counted_and_never_made(prompt: str, count: int) -> None:
    """The number is known at once, and any single text of so many as well."""
    template = permutations.read(prompt)

    assert template.count == count
    assert "{" not in template.text(count - 1)


@settings(max_examples=300, deadline=None)
@given(TEXTS)
@example("{{a,b},{c|d}}{e,f}\\{")
def test_as_many_as_were_counted_and_the_same_each_time(prompt: str) -> None:
    """Whatever the text; none is longer than what was typed."""
    template = permutations.read(prompt)
    found = [template.text(index) for index in range(min(template.count, 200))]

    assert template.count >= 1
    assert found == [permutations.read(prompt).text(index) for index in range(len(found))]
    assert all(len(text) <= len(prompt) for text in found)
    if template.count <= 200:
        assert [*template.texts()] == found


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_any_text_can_be_written_so_that_it_is_meant_literally(text: str) -> None:
    """The other way round; what chooses nothing is written as it is."""
    written = permutations.literal(text)

    assert texts(written) == [text]
    if permutations.read(text).parts in ((), (text,)):
        assert written == text
