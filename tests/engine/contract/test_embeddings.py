"""What the option for embeddings makes of the prompts."""

from __future__ import annotations

import pytest

from engine.contract import AdapterInfo, InvalidRequest, with_embeddings

OFFERED = (
    AdapterInfo(name="cat-toy"),
    AdapterInfo(name="Bad Hands"),
    AdapterInfo(name="-minus"),
    AdapterInfo(name="other", problem="it was made for another kind of model"),
)


def both(told: str, prompt: str = "a fox", negative: str = "") -> tuple[str, str]:
    return with_embeddings(told, prompt, negative, offered=OFFERED, title="Dream")


@pytest.mark.parametrize(
    ("told", "prompt", "negative", "made"),
    [
        ("cat-toy", "a fox", "", ("a fox, cat-toy", "")),
        (" CAT-TOY ,, -bad hands", "a fox, ", "fog", ("a fox, cat-toy", "fog, Bad Hands")),
        ("- cat-toy", "a fox", "", ("a fox", "cat-toy")),
        ("-minus", "a fox", "", ("a fox, -minus", "")),
        ("--minus", "a fox", "", ("a fox", "-minus")),
        ("cat-toy, cat-toy", "a fox", "", ("a fox, cat-toy", "")),
        ("cat-toy", "a (Cat-Toy:1.2)", "", ("a (Cat-Toy:1.2)", "")),
        ("cat-toy", "a cat-toys", "", ("a cat-toys, cat-toy", "")),
        ("cat-toy", "", "", ("cat-toy", "")),
        ("", "a fox", "fog", ("a fox", "fog")),
    ],
)
def test_words_are_added(told: str, prompt: str, negative: str, made: tuple[str, str]) -> None:
    """As the files are called, to the prompt they are meant for, where they don't stand there already."""
    assert both(told, prompt, negative) == made


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ("cat-toi", "There is no embedding “cat-toi” for Dream here: use cat-toy."),
        ("-nothing", "There is no embedding “nothing” for Dream here: use cat-toy, Bad Hands, -minus."),
        ("Other", "The embedding “other” can't be used with Dream: it was made for another kind of model."),
    ],
)
def test_what_is_not_there_is_refused(told: str, sentence: str) -> None:
    """With what is spelled much like it, else the first few that fit; what does not fit says why."""
    with pytest.raises(InvalidRequest) as refused:
        both(told)
    assert str(refused.value) == sentence


def test_none_are_there() -> None:
    """Nothing else is proposed where no file fits."""
    with pytest.raises(InvalidRequest, match="There is no embedding for Dream here: leave out “x”"):
        with_embeddings("x", "a fox", "", offered=OFFERED[3:], title="Dream")
