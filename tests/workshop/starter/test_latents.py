"""What the starter's latents say of a scene, how far edges are, and shapes that no word names."""

from __future__ import annotations

from random import Random

import pytest
import torch
from torch.nn import functional

from workshop.starter import latents, shapes
from workshop.starter.autoencoder import code_pictures
from workshop.starter.latents import COLOUR, EDGE, GROUND, MEAN, REACH
from workshop.starter.parts import CHANNELS, SCALING
from workshop.starter.scenes import COLOURS, THINGS, Part, Placed, Scene, mask, sample
from workshop.starter.studio import Plan

BOX = Part(polygon=((-1, -1), (1, -1), (1, 1), (-1, 1)))
RING = (Part(radii=(0.9, 0.9)), Part(radii=(0.4, 0.4), ink=False))


def colour(name: str) -> torch.Tensor:
    return torch.tensor(COLOURS[name]) / 127.5 - 1


def code(scene: Scene) -> torch.Tensor:
    return latents.code(scene, latents.picture(scene))


def test_what_a_square_says() -> None:
    """Its mean colour, those on both sides of an edge, which are one where there is none near, and how far the edge is."""
    square = Placed(thing="", colour="red", centre=(128.0, 128.0), radius=60.0, shape=(BOX,))
    said = code(Scene(things=(square,), background="white"))
    assert said.shape == (CHANNELS, 16, 16)
    inside, edge, outside = (
        said[:, 8, 8],
        said[:, 8, 11],
        said[:, 0, 0],
    )  # the edge is at 188, from 176 to 192
    for part in (MEAN, GROUND, COLOUR):
        assert torch.allclose(inside[part], colour("red"), atol=0.01)
        assert torch.allclose(outside[part], colour("white"), atol=0.01)
    assert torch.allclose(edge[MEAN], 0.75 * colour("red") + 0.25 * colour("white"), atol=0.05)
    assert torch.allclose(edge[GROUND], colour("white"))
    assert torch.allclose(edge[COLOUR], colour("red"))
    assert inside[EDGE].tolist() == [1.0] * 4
    assert outside[EDGE].tolist() == [-1.0] * 4
    assert torch.allclose(edge[EDGE], torch.tensor([8, 0, 8, 0]) / REACH, atol=1e-5)


@pytest.mark.parametrize("seed", range(12))
def test_distances_drawn_between_give_the_shape(seed: int) -> None:
    """Named or not, large or small: cut at nought, what lies between the samples covers what was drawn."""
    random = Random(seed)
    scene = sample(random, pairs=0)
    if seed % 3 == 0:
        scene = shapes.unnamed(scene, random)
    (placed,) = scene.things
    distance = functional.pixel_shuffle(code(scene)[EDGE], 2)[None]
    found = functional.interpolate(distance, scale_factor=8, mode="bicubic")[0, 0] > 0
    drawn = mask(placed.parts, scene.size, placed.centre, placed.radius)
    wanted = torch.tensor([*drawn.tobytes()]).view(256, 256) > 127
    assert (found & wanted).sum() / (found | wanted).sum() > 0.9


def test_how_far_edges_are() -> None:
    """In the units of the parts, above 0 inside; of a hole as of the outside."""
    x, y = torch.tensor([0.0, 0.5, 1.0, 2.0, 2.0]), torch.tensor([0.0, 0.0, 0.5, 0.0, 2.0])
    found = latents.signed_distance((BOX,), x, y)
    assert torch.allclose(found, torch.tensor([1.0, 0.5, 0.0, -1.0, -(2**0.5)]))
    at = torch.tensor([0.0, 0.4, 0.65, 0.9, 1.1])
    found = latents.signed_distance(RING, at, torch.zeros(5))
    assert torch.allclose(found, torch.tensor([-0.4, 0.0, 0.25, 0.0, -0.2]), atol=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_unnamed_shapes_fill_their_square(seed: int) -> None:
    """Whatever is made up lies in its square, as things do, and something of it is seen."""
    box = mask(shapes.shape(Random(seed)), (200, 200), (100, 100), 90).getbbox()
    assert box is not None
    left, top, right, bottom = box
    assert min(left, top) >= 9
    assert max(right, bottom) <= 191


def test_pictures_for_the_unet() -> None:
    """Squares first, then each other size, scaled so that they deviate by about 1."""
    batches = code_pictures(Plan(pictures=24, other_pictures=2))
    shown = [tuple(batch.latents.shape[-2:]) for batch in batches]
    assert shown == [(16, 16), (20, 12), (12, 20), (24, 16), (16, 24)]
    assert [len(batch.scenes) for batch in batches] == [24, 2, 2, 2, 2]
    assert 0.8 < batches[0].latents.std() < 1.2
    assert batches[0].latents.abs().max() <= SCALING * 1.001


def test_every_thing_is_in_reach_of_its_edge() -> None:
    """However small its parts are, some quarter of a square lies inside of each."""
    for thing in THINGS:
        said = code(Scene(things=(Placed(thing=thing, colour="red", radius=56.0),), background="blue"))
        assert (said[EDGE] > 0).any()
        assert said[GROUND].ne(said[COLOUR]).any()
