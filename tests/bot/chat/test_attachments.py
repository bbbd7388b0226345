"""/imagine with attachments, which lie on the loopback Discord's own CDN."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.job import JobState
from tests.kit.world import World
from workshop.rehearsal.bot import png

CAT = ("cat.png", png(128, 128))


async def test_imagine_draws_from_what_is_attached(world: World) -> None:
    """Fetched from Discord, in the shape of the image, at about the model's own number of pixels."""
    message = await world.imagined(image=("wide.png", png(256, 128)), strength=0.6)
    job = await world.job(1)

    assert (job.request.size, job.request.strength) == ("184x88", 0.6)
    assert "from an image at 0.6" in message.text
    assert [path.name for path in world.settings.inputs.iterdir()] == [job.request.image]
    assert len(world.messages()) == 1


async def test_upscaling_makes_it_so_many_times_as_large(world: World) -> None:
    """The picture has the image's shape and the asked size, and its message says what was done."""
    message = await world.imagined(image=CAT, upscale=2)
    job = await world.job(1)

    assert (job.request.upscale, job.request.size) == (2, "256x256")
    assert "upscaled 2×" in message.text
    assert [file.shape for file in message.attachments] == [(256, 256)]


async def test_upscaling_what_is_no_image_is_refused(world: World) -> None:
    """Where Discord tells no size nothing is fetched, stored or charged."""
    result = await world.imagine(image=("cat.png", b"not a picture"), upscale=2)

    assert result.ephemeral
    assert "Discord can't tell how large this image is" in result.text
    assert await world.jobs_stored() == 0


async def test_a_model_without_images_says_so_at_once(world: World) -> None:
    """Nothing is deferred, fetched or stored."""
    engine = world.engine
    await world.until(lambda: engine.status.is_ready)  # after which it says no more of its models
    models = tuple(replace(model, takes_images=False) for model in engine.status.models)
    engine.status = replace(engine.status, models=models)
    result = await world.imagine(image=CAT)

    assert result.ephemeral
    assert result.text == "Fake model draws from words alone: leave out the image."
    assert await world.jobs_stored() == 0


async def test_the_deferred_answer_becomes_the_refusal(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed while the picture was on its way: the sentence stands where the image would, and nothing is charged."""

    async def slow(address: str, bytes_max: int) -> bytes:
        world.client.services.admission._doors.is_closing = True
        return CAT[1]

    monkeypatch.setattr(world.client.services.intake, "_fetch", slow)
    result = await world.imagine(image=CAT)
    await world.until(lambda: result.text == "Easel is being restarted: ask again in a minute.")

    assert world.messages() == [result.message]
    assert await world.jobs_stored() == 0


async def test_a_bug_on_the_way_is_told_in_the_deferred_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong there, nobody is left with an answer that never comes."""

    async def broken(address: str, bytes_max: int) -> bytes:
        raise RuntimeError("a bug")

    monkeypatch.setattr(world.client.services.intake, "_fetch", broken)
    result = await world.imagine(image=CAT)
    await world.until(lambda: result.text.startswith("Something went wrong on our side"))

    assert world.messages() == [result.message]
    assert await world.jobs_stored() == 0


async def test_a_history_entry_names_what_a_picture_came_from(world: World) -> None:
    """Between size and model."""
    await world.imagined(image=CAT, mask=("mask.png", png(128, 128, "white")), seed=3)
    await world.reaches(1, JobState.DELIVERED)
    result = await world.alice.slash(world.channel, "history")

    assert "seed 3, 128x128, within a mask of an image at 0.75, fake" in result.text
