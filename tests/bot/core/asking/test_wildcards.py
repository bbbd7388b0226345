"""Wildcards: words from files, the same ones for the same seed; what is wrong with a file is one sentence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.asking import wildcards
from bot.core.asking.refused import Unmet
from bot.core.asking.wildcards import Draw, Wildcards, filled
from bot.core.asking.wish import Wish
from tests.kit import said

FILES = {
    "animal.txt": "\ufefffox\n# not a fish\n\n  wolf  \nbear\n",
    "nature/tree.txt": "oak\nelm\n",
    "scene.txt": "a __animal__ under an __nature/tree__\n",
    "Mood.txt": "{calm, wild|dark}\n",
    "self.txt": "plain\nagain __SELF__\n",
    "round.txt": "__trip__\n",
    "trip.txt": "__round__\n",
    "lost.txt": "__anmal__\n",
    "empty.txt": "# nothing\n",
    "long.txt": "x" * 1001,
    "nothing.txt": "{|__nothing2__}\n",
    "nothing2.txt": "{|b}\n",
    "notes.md": "no wildcard",
    **{f"deep{level}.txt": f"__deep{level + 1}__" for level in range(9)},
    "deep9.txt": "end",
}


@pytest.fixture
def cards(tmp_path: Path) -> Wildcards:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    return Wildcards(tmp_path)


async def drawn(cards: Wildcards, prompt: str, seed: int = 5) -> str:
    return (await cards.fill(Wish(prompt=prompt), seed=seed)).prompt


async def test_the_same_seed_gives_the_same_words(cards: Wildcards) -> None:
    """Every line comes up, comments and empty ones never; the words of three seeds are these, for ever."""
    found = {seed: await drawn(cards, "a __animal__, a __Animal__", seed) for seed in range(60)}

    assert {text.split()[-1] for text in found.values()} == {"fox", "wolf", "bear"}
    assert [found[seed] for seed in (0, 1, 2)] == ["a bear, a bear", "a fox, a bear", "a bear, a bear"]
    assert await drawn(cards, "a __animal__, a __Animal__", 1) == found[1]


async def test_lines_may_hold_wildcards_and_alternatives(cards: Wildcards) -> None:
    """Of which one is taken, by the same seed; subfolders are named with a slash."""
    scenes = {await drawn(cards, "__scene__", seed) for seed in range(90)}
    moods = {await drawn(cards, "__mood__", seed) for seed in range(30)}

    assert scenes == {
        f"a {animal} under an {tree}" for animal in ("fox", "wolf", "bear") for tree in ("oak", "elm")
    }
    assert moods == {"calm, wild", "dark"}


async def test_the_negative_prompt_has_them_too_and_the_wish_keeps_what_was_typed(cards: Wildcards) -> None:
    """The filled wish is another one; a backslash makes words of a wildcard."""
    typed = Wish(prompt=r"\__animal__ and \\__x__", negative_prompt="__nature/tree__", steps=3)
    found = await cards.fill(typed, seed=1)

    assert found.prompt == r"__animal__ and \__x__"
    assert found.negative_prompt in ("oak", "elm")
    assert (typed.negative_prompt, found.steps) == ("__nature/tree__", 3)


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ("a __anmal__", "There is no wildcard “anmal” here: use animal, "),
        ("a __lost__", "There is no wildcard “anmal” here: use animal, "),
        ("a __self__", "The wildcard “self” includes itself (self → self)"),
        ("a __round__", "includes itself (round → trip → round)"),
        ("a __deep0__", "“deep0” holds more than 8 others"),
        ("a __empty__", "“empty” is empty or can't be used"),
        ("a __long__", "“long” is empty or can't be used"),
        ("a __animal/../../secret__", "no wildcard “animal/../../secret”"),
        ("a __an*__", "no wildcard “an*”"),
        ("__scene__ " * 400, "more than 4,000 characters"),
        ("__nothing__ " * 600, "more than 4,000 characters"),
    ],
)
async def test_what_is_wrong_is_one_sentence_whatever_the_seed(
    cards: Wildcards, tmp_path: Path, prompt: str, sentence: str
) -> None:
    """Also where it stands in a line that this seed would not take; no name leads out of the folder."""
    (tmp_path.parent / "secret.txt").write_text("secret")
    for seed in range(4):
        with pytest.raises(Unmet) as caught:
            await drawn(cards, prompt, seed)
        assert sentence in said.refusal(caught.value.refused)


async def test_what_can_be_no_wildcards_name_is_words(cards: Wildcards) -> None:
    """Lines of underscores, names within words, and what would lead out of the folder."""
    prompt = "a __../secret__ ____ x__animal__y __animal__s __ animal __"

    assert await drawn(cards, prompt) == prompt


async def test_where_there_is_no_folder_there_are_none(tmp_path: Path) -> None:
    """A prompt without one does not even look; one with one reads how to write it literally."""
    cards = Wildcards(tmp_path / "absent")

    assert await drawn(cards, "a fox __ b __") == "a fox __ b __"
    with pytest.raises(Unmet) as caught:
        await drawn(cards, "a __fox__")
    assert "There are no wildcards here: leave out __fox__, or write \\__fox__" in said.refusal(
        caught.value.refused
    )


async def test_a_changed_file_counts_at_once(cards: Wildcards, tmp_path: Path) -> None:
    """A file is read again when its time or size is another, and named when it is gone."""
    file = tmp_path / "one.txt"
    file.write_text("a")
    assert await drawn(cards, "__one__") == "a"
    file.write_text("b")
    os.utime(file, ns=(1, 1))
    assert await drawn(cards, "__one__") == "b"
    file.unlink()
    with pytest.raises(Unmet):
        await drawn(cards, "__one__")
    assert "one" not in cards.names()
    assert {"animal", "nature/tree", "mood"} <= {*cards.names()}


async def test_no_pipe_and_no_giant_is_read(cards: Wildcards, tmp_path: Path) -> None:
    """What is no file is none, and what is larger than a list of words is not used."""
    os.mkfifo(tmp_path / "pipe.txt")
    with (tmp_path / "giant.txt").open("wb") as giant:
        giant.truncate(1 << 40)
    for name, sentence in (("pipe", "no wildcard “pipe”"), ("giant", "“giant” is empty or can't be used")):
        with pytest.raises(Unmet) as caught:
            await drawn(cards, f"__{name}__")
        assert sentence in said.refusal(caught.value.refused)


@given(st.text(st.sampled_from("_\\ ab/.-é"), max_size=40) | st.text(max_size=40), st.integers())
def test_any_text_can_be_written_so_that_it_is_meant_literally(text: str, seed: int) -> None:
    """No wildcard is found in it, and it comes out as it went in."""
    written = wildcards.literal(text)

    assert not wildcards.names_in(written)
    assert filled(written, lambda name: pytest.fail(name), Draw(seed)) == text
