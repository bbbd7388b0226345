"""Words a scene as people might; knows scenes, no pictures.

Most captions say everything. Some leave out a colour or the background, which the scene then has at random: that is
how the model learns to choose. A few hold words that mean nothing, so that a prompt with such words still works.
"""

from __future__ import annotations

import string
from random import Random

from workshop.starter.scenes import RELATIONS, Placed, Relation, Scene

_BACKGROUNDS = ("on a {} background", "on a {} background", "on {}", "with a {} background")
_RELATIONS: dict[Relation, tuple[str, ...]] = {
    "left of": ("left of", "to the left of"),
    "right of": ("right of", "to the right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
}
_OPENINGS = ("a picture of", "a drawing of", "draw")
_FILLERS = (
    "beautiful", "best quality", "simple", "flat", "nice", "detailed", "minimal", "masterpiece", "icon",
)  # fmt: skip
_WITHOUT_BACKGROUND, _WITHOUT_COLOUR, _AS_TAGS, _WITH_OPENING, _WITH_FILLER = 0.08, 0.04, 0.06, 0.1, 0.08


def plain(scene: Scene) -> str:
    """The whole scene in the plainest words: "a small red circle on a blue background"."""
    words = f" {scene.relation} ".join(_with_article(_name(placed)) for placed in scene.things)
    return f"{words} on {_with_article(scene.background)} background"


def describe(scene: Scene, random: Random) -> str:
    """One of many wordings."""
    background = None if random.random() < _WITHOUT_BACKGROUND else scene.background
    wording = _tags if random.random() < _AS_TAGS else random.choice((_sentence, _sentence, _list))
    text = wording(scene, background, random)
    if random.random() < _WITH_FILLER:
        text = _filled(text, random)
    return text


def _sentence(scene: Scene, background: str | None, random: Random) -> str:
    """ "a small red circle on a blue background" """
    text = _related(scene, random, articles=True)
    if random.random() < _WITH_OPENING:
        text = f"{random.choice(_OPENINGS)} {text}"
    if background is None:
        return text
    tail = random.choice(_BACKGROUNDS).format(background)
    return f"{text} {tail.replace('a orange', 'an orange')}"


def _list(scene: Scene, background: str | None, random: Random) -> str:
    """ "small red circle, blue background" """
    parts = [_related(scene, random, articles=False)]
    if background is not None:
        parts.append(f"{background} background")
    if random.random() < 0.2:
        parts.reverse()
    return ", ".join(parts)


def _tags(scene: Scene, background: str | None, random: Random) -> str:
    """ "red, star", or only one of them: what people write into a negative prompt"""
    tags = [word for placed in scene.things for word in (placed.colour, placed.thing)]
    if background is not None:
        tags.append(f"{background} background")
    return ", ".join(random.sample(tags, random.randint(1, len(tags))))


def _related(scene: Scene, random: Random, *, articles: bool) -> str:
    names = [_name(placed, coloured=random.random() >= _WITHOUT_COLOUR) for placed in scene.things]
    if articles:
        names = [_with_article(name) for name in names]
    if scene.relation is None:
        return names[0]
    return f" {random.choice(_RELATIONS[scene.relation])} ".join(names)


def _name(placed: Placed, *, coloured: bool = True) -> str:
    size = "" if placed.size == "medium" else placed.size
    return " ".join(word for word in (size, placed.colour if coloured else "", placed.thing) if word)


def _with_article(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _filled(text: str, random: Random) -> str:
    """With one or two words that change nothing."""
    for _ in range(random.randint(1, 2)):
        nonsense = "".join(random.choices(string.ascii_lowercase, k=random.randint(3, 6)))
        word = random.choice((*_FILLERS, nonsense))
        text = f"{word} {text}" if random.random() < 0.3 else f"{text}, {word}"
    return text


def vocabulary_text() -> list[str]:
    """Lines that hold every word captions are made of, for the tokenizer."""
    return [*_FILLERS, *_OPENINGS, *(word for words in _RELATIONS.values() for word in words), *RELATIONS]
