"""A server's forbidden words are met however they are written, and not where they only stand within others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.moderation.word_list import ENTRY_CHARS_MAX, WordList, is_entry, parse

RULES = WordList.of(
    ["fuck", "nud*", "*porn*", "*phile", "naked child", "血腥", "ass", "anal", "блядь", "l33t"]
)
ALLOWED = WordList.of(["nude colour", "nudibranch", "big ass shoe", "血腥玛丽"])


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("an ASS.", "ass"),
        ("a$$ in the snow", "ass"),
        ("@nal", "anal"),
        ("f u c k this", "fuck"),
        ("f.u.c.k", "fuck"),
        ("fu-ck", "fuck"),
        ("f_u_c_k", "fuck"),
        ("FUCK!!!", "fuck"),
        ("ｆｕｃｋ", "fuck"),  # full width
        ("𝓯𝓾𝓬𝓴", "fuck"),  # mathematical
        ("fսck", "fuck"),  # Armenian
        ("fúçk", "fuck"),
        ("f\u200bu\u00adc\u2060k", "fuck"),  # what nobody sees
        ("nudity", "nud*"),
        ("superp0rno", "*porn*"),
        ("a bibliophile", "*phile"),
        ("naked,   child", "naked child"),
        ("某种血 腥场面", "血腥"),
        ("БЛЯДЬ", "блядь"),
        ("блядb", None),  # another letter is another word
        ("leet", None),
        ("l33t", "l33t"),
        ("a grass field and an assistant", None),
        ("5 cats, 44 dogs, 100%", None),
        ("a b c of painting", None),
        ("", None),
    ],
)
def test_met(text: str, entry: str | None) -> None:
    """By capitals, signs, marks, look-alikes, hidden characters and spaces; whole words alone, unless an entry says more."""
    assert RULES.met_in(text) == entry


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("a nude colour dress", None),
        ("a nude in nude colour", "nud*"),
        ("a nudibranch", None),
        ("a big ass shoe", None),
        ("a small ass shoe", "ass"),
        ("血腥玛丽鸡尾酒", None),
        ("血腥玛丽, 血腥", "血腥"),
    ],
)
def test_allowed(text: str, entry: str | None) -> None:
    """What the other list covers is as if it did not stand there; the rest counts."""
    assert RULES.met_in(text, ALLOWED) == entry


def test_a_file_is_read_line_by_line() -> None:
    """Commas part, too; remarks, empty lines and repetitions say nothing; what could be met everywhere is named."""
    found = parse(
        "Fuck, ass\n\n# a remark\nnud*  # all of it\n  naked   child\nass\n*\na*b\n*ab*\n!!!\n" + "x" * 61
    )
    assert found.entries == ("fuck", "ass", "nud*", "naked child")
    assert found.wrong == ("*", "a*b", "*ab*", "!!!", "x" * (ENTRY_CHARS_MAX + 1))


@given(st.text(max_size=80))
def test_whatever_is_an_entry_meets_itself(text: str) -> None:
    """Strangers write both sides: nothing raises, and no entry is dead."""
    if is_entry(text):
        assert WordList.of([text]).met_in(text.strip("*")) == text
    assert RULES.met_in(text, WordList.of([text] if is_entry(text) else [])) in {
        None,
        *RULES.whole.values(),
        "nud*",
        "*porn*",
        "*phile",
        "血腥",
    }
