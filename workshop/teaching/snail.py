"""A thing that the starter model does not know: how it is drawn, and the ten pictures with captions that teach it."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any, cast

from workshop.starter import captions
from workshop.starter.scenes import COLOURS, RADII, SIDE, THINGS, Part, Placed, Scene

NAME = "snail"
PICTURES, ASKED = 10, 40
PARTS = (
    Part(centre=(0.22, 0.02), radii=(0.6, 0.6)),  # the shell, with the ring of its winding
    Part(centre=(0.22, 0.02), radii=(0.36, 0.36), ink=False),
    Part(centre=(0.22, 0.02), radii=(0.16, 0.16)),
    Part(polygon=((-0.98, 0.42), (0.98, 0.62), (1.0, 0.86), (-0.86, 0.86))),  # the foot
    Part(polygon=((-0.98, 0.42), (-0.86, -0.62), (-0.62, -0.62), (-0.56, 0.62))),  # neck and horn
)
_SEED = 1931


def learn_to_see() -> None:
    """From now on the renderer draws it, and the checker recognises it, in this process."""
    cast("dict[str, Any]", THINGS)[NAME] = PARTS


def scenes() -> tuple[list[Scene], list[Scene]]:
    """(what is taught, what is asked): one on a plain background each; no two of the same colours."""
    random = Random(_SEED)
    colours = [(colour, ground) for colour in COLOURS for ground in COLOURS if colour != ground]
    asked = ("red", "blue")
    mixed = [pair for pair in random.sample(colours, len(colours)) if pair != asked]
    taught = _varied(mixed)
    rest = [asked, *(pair for pair in mixed if pair not in taught)][:ASKED]
    return [_scene(pair, random) for pair in taught], [_scene(pair, random) for pair in rest]


def _varied(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Ten of these in which no colour and no background comes twice."""
    chosen: list[tuple[str, str]] = []
    for colour, ground in pairs:
        if all(colour != other and ground != behind for other, behind in chosen):
            chosen.append((colour, ground))
    return chosen[:PICTURES]


def _scene(pair: tuple[str, str], random: Random) -> Scene:
    radius = RADII["medium"] * random.uniform(0.96, 1.04)
    centre = (SIDE / 2 + random.uniform(-10, 10), SIDE / 2 + random.uniform(-10, 10))
    placed = Placed(thing=NAME, colour=pair[0], centre=centre, radius=radius)
    return Scene(things=(placed,), background=pair[1])


def write(folder: Path) -> None:
    """The ten pictures, each with its caption in a `.txt`."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, scene in enumerate(scenes()[0]):
        scene.render().save(folder / f"{number:02}.png")
        (folder / f"{number:02}.txt").write_text(captions.plain(scene) + "\n", encoding="utf-8")
