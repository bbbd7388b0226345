"""What the starter's latents say of a scene, and shapes that no word names."""

from __future__ import annotations

from random import Random

import pytest
import torch

from workshop.starter import latents, shapes
from workshop.starter.autoencoder import code_pictures
from workshop.starter.latents import CHANNELS, COLOUR, GROUND, MEAN, PLACE, WHICH
from workshop.starter.parts import SCALING
from workshop.starter.scenes import COLOURS, THINGS, Placed, Scene, mask, sample
from workshop.starter.studio import Plan

RING = Scene(
    things=(Placed(thing="ring", colour="red", centre=(120.0, 136.0), radius=60.0),), background="white"
)


def colour(name: str) -> torch.Tensor:
    return torch.tensor(COLOURS[name]) / 127.5 - 1


def code(scene: Scene) -> torch.Tensor:
    return latents.code(scene, latents.picture(scene))


def test_what_a_square_says() -> None:
    """Mean colour, ground and thing's colour; where in the thing it lies; which thing it is. Far away there is none."""
    said = code(RING)
    assert said.shape == (CHANNELS, 16, 16)
    here = said[:, 11, 7]  # from (112, 176) to (128, 192): on the ring, beneath its middle
    assert torch.allclose(here[MEAN], colour("red"), atol=0.02)
    assert torch.allclose(here[GROUND], colour("white"))
    assert torch.allclose(here[COLOUR], colour("red"))
    assert torch.allclose(here[PLACE], torch.tensor([0.0, (184 - 136) / 60]) / latents.REACH)
    assert here[WHICH].tolist() == [-1.0, 1.0, 1.0, -1.0]  # the seventh of sixteen
    assert torch.allclose(said[MEAN, 8, 7], colour("white"))  # its hole
    assert torch.allclose(said[COLOUR, 8, 7], colour("red"))
    away = said[:, 0, 0]
    assert torch.allclose(away[COLOUR], colour("white"))
    assert not away[PLACE.start : WHICH.stop].any()


def test_every_thing_has_a_number_of_its_own() -> None:
    """Four digits tell all sixteen apart; a shape without a word has none."""
    numbers = {
        tuple(
            code(Scene(things=(Placed(thing=thing, colour="red"),), background="blue"))[WHICH, 8, 8].tolist()
        )
        for thing in THINGS
    }
    assert len(numbers) == len(THINGS)
    (placed,) = shapes.unnamed(RING, Random(0)).things
    assert not code(Scene(things=(placed,), background="blue"))[WHICH].any()


def test_of_two_things_the_nearer_one_counts() -> None:
    """Each square belongs to the thing whose middle is nearer, in half extents."""
    random = Random(4)
    scene = next(scene for scene in iter(lambda: sample(random), None) if scene.relation == "left of")
    said = code(scene)
    left, right = (colour(placed.colour) for placed in scene.things)
    assert torch.allclose(said[COLOUR, 8, 4], left)
    assert torch.allclose(said[COLOUR, 8, 11], right)


@pytest.mark.parametrize("seed", range(20))
def test_unnamed_shapes_fill_their_square(seed: int) -> None:
    """Whatever is made up reaches to both ends of its longer side, as things do, and something of it is seen."""
    where = mask(shapes.shape(Random(seed)), (200, 200), (100, 100), 90)
    box = where.getbbox()
    assert box is not None
    left, top, right, bottom = box
    assert left >= 9
    assert top >= 9
    assert max(right, bottom) <= 191


def test_pictures_for_the_unet() -> None:
    """Squares first, then each other size, scaled so that they deviate by about 1."""
    batches = code_pictures(Plan(pictures=24, other_pictures=2))
    assert [tuple(batch.latents.shape[-2:]) for batch in batches] == [
        (16, 16),
        (20, 12),
        (12, 20),
        (24, 16),
        (16, 24),
    ]
    assert [len(batch.scenes) for batch in batches] == [24, 2, 2, 2, 2]
    assert 0.8 < batches[0].latents.std() < 1.2
    assert batches[0].latents.abs().max() <= SCALING * 1.001
