"""Pictures and captions say the same thing, held-out combinations stay out, and the checker reads what was drawn."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from workshop.starter import captions, checker, train
from workshop.starter.parts import TOKENS, tokenizer
from workshop.starter.scenes import (
    COLOURS,
    RADII,
    RELATIONS,
    THINGS,
    Placed,
    Scene,
    invent,
    is_held_out,
    sample,
)

ONE = Scene(things=(Placed(thing="circle", colour="orange", size="small", radius=44.0),), background="blue")
TWO = Scene(
    things=(
        Placed(thing="heart", colour="yellow", centre=(68, 128), radius=48.0),
        Placed(thing="square", colour="purple", centre=(188, 128), radius=48.0),
    ),
    background="white",
    relation="left of",
)


def test_there_is_enough_to_draw() -> None:
    """Sixteen things, twelve colours, three sizes, four relations."""
    assert (len(THINGS), len(COLOURS), len(RADII), len(RELATIONS)) == (16, 12, 3, 4)


def test_captions_in_plain_words() -> None:
    """The plainest wording of one thing and of two."""
    assert captions.plain(ONE) == "a small orange circle on a blue background"
    assert captions.plain(TWO) == "a yellow heart left of a purple square on a white background"
    orange = replace(ONE, background="orange", things=(replace(ONE.things[0], colour="red"),))
    assert captions.plain(orange) == "a small red circle on an orange background"


@given(seed=st.integers(0, 2**32))
def test_captions_never_say_what_is_not_there(seed: int) -> None:
    """However it is worded, every colour, thing and size a caption names is on the picture."""
    random = Random(seed)
    scene = sample(random)
    words = captions.describe(scene, random).replace(",", "").split()
    there = {
        scene.background,
        *(word for thing in scene.things for word in (thing.thing, thing.colour, thing.size)),
    }
    known = {*COLOURS, *THINGS, *RADII}
    assert {word for word in words if word in known} <= there
    assert len(words) < TOKENS


def test_wordings_differ() -> None:
    """One scene has many captions, some of which leave something out."""
    random = Random(0)
    texts = Counter(captions.describe(ONE, random) for _ in range(400))
    assert len(texts) > 40
    assert any("blue" not in text for text in texts)
    assert any("orange" not in text for text in texts)


def test_a_quarter_is_held_out_and_never_trained() -> None:
    """Of all combinations a fixed quarter is left out of training; every thing, colour and background still occurs."""
    combinations = [(t, c, b) for t in THINGS for c in COLOURS for b in COLOURS if c != b]
    held_out = [combination for combination in combinations if is_held_out(*combination)]
    assert 0.2 < len(held_out) / len(combinations) < 0.3
    random = Random(1)
    scenes = [sample(random) for _ in range(2000)]
    assert not any(held for scene in scenes for held in scene.held_out)
    placed = [thing for scene in scenes for thing in scene.things]
    assert {thing.thing for thing in placed} == set(THINGS)
    assert {thing.colour for thing in placed} == set(COLOURS) == {scene.background for scene in scenes}


def test_the_checker_reads_what_the_renderer_drew() -> None:
    """On 120 scenes, held out or not and of three sizes, it finds every thing, colour, place and background."""
    random = Random(2)
    for number in range(120):
        size = ((256, 256), (192, 320), (384, 256))[number % 3]
        scene = invent(random, size=size)
        reading = checker.read(scene.render())
        assert reading.background == scene.background
        assert reading.shows(scene), (scene, reading)


def test_the_checker_is_not_easily_pleased() -> None:
    """The wrong thing, colour, order or relation, a plain ground and noise are all seen as wrong."""
    reading = checker.read(TWO.render())
    first, second = TWO.things
    assert not reading.shows(replace(TWO, relation="right of"))
    assert not reading.shows(replace(TWO, relation="above"))
    assert not reading.shows(replace(TWO, things=(second, first)))
    assert not reading.shows(replace(TWO, things=(replace(first, colour="red"), second)))
    assert not reading.shows(replace(TWO, things=(first, replace(second, thing="circle"))))
    plain = checker.read(Image.new("RGB", (256, 256), COLOURS["white"]))
    assert (plain.background, plain.seen) == ("white", ())
    noise = Image.frombytes("RGB", (256, 256), Random(3).randbytes(256 * 256 * 3))
    assert not checker.read(noise).shows(TWO)


@pytest.mark.parametrize(
    ("first", "second", "relation"),
    [((10, 60), (90, 64), "left of"), ((60, 90), (64, 10), "below"), ((60, 60), (64, 63), None)],
)
def test_relations_by_centroids(
    first: tuple[float, float], second: tuple[float, float], relation: str | None
) -> None:
    """The longer way decides; points that are hardly apart have no relation."""
    assert checker.related(first, second) == relation


def test_every_word_is_one_token_and_anything_can_be_said() -> None:
    """The words of captions are tokens of their own; other text is spelled, and nothing is unknown."""
    encoder = tokenizer(train.words())
    for word in train.words():
        assert len(encoder(word).input_ids) == 3, word
    strange = encoder("ünïcode 🦊 zebra").input_ids
    assert max(strange) < len(encoder)
    assert encoder.decode(encoder("red heart").input_ids, skip_special_tokens=True).strip() == "red heart"
