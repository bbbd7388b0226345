"""Previews in a running job's message, on the loopback Discord: shown, kept, replaced, and gone in every end.

The fake engine hangs over the job, and the test speaks for it, so that nothing else is told meanwhile.
"""

from __future__ import annotations

import copy
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bot.job import JobState
from engine.contract import Event, Failed, FakeSettings, Finished, SpooledImage, Stepped
from tests.bot.chat.conftest import StartWorld
from tests.kit.world import World
from workshop.rehearsal.loopback.driver import Message
from workshop.rehearsal.loopback.world import media_items

FIRST, SECOND = b"a first jpeg", b"a second jpeg"


@pytest.fixture
async def studio(start_world: StartWorld) -> World:
    """A world in which job 1 is being drawn, at no pace of its own, and flagged pictures are posted like any other."""
    return await _studio(start_world, "post")


async def _studio(start_world: StartWorld, rule: str) -> World:
    world = await start_world(fake=FakeSettings(), moderation={"pictures": rule})
    await world.imagine(prompt="HANG")
    await world.until(lambda: world.messages() and "reading the prompt" in world.message(1).text)
    return world


def tell(world: World, event: Event) -> None:
    world.dispatcher._post(event)


def stepped(number: int, preview: bytes | None) -> Stepped:
    return Stepped(job_id=1, attempt=1, stage="denoising", step=number, steps=8, preview=preview)


async def step(world: World, number: int, preview: bytes | None = None) -> Message:
    """The message as it is once it shows this step."""
    tell(world, stepped(number, preview))
    await world.until(lambda: f"step {number} of 8" in world.message(1).text)
    return copy.copy(world.message(1))


def names(message: Message) -> list[str]:
    return [attachment.filename for attachment in message.attachments]


def shown(message: Message) -> list[int]:
    """Ids of the attachments that the message's gallery shows."""
    return [int(media["attachment_id"]) for media in media_items(message.components)]


async def test_a_preview_is_shown_kept_and_replaced(studio: World) -> None:
    """The preview stands in the gallery while steps without one go by, and makes room for the next one."""
    (first,) = (await step(studio, 2, FIRST)).attachments
    assert (first.filename, first.description) == ("preview.jpg", "Unfinished: HANG")
    assert first.bytes == FIRST

    later = await step(studio, 3)
    assert [kept.id for kept in later.attachments] == shown(later) == [first.id]

    newer = await step(studio, 4, SECOND)
    (second,) = newer.attachments
    assert second.bytes == SECOND
    assert shown(newer) == [second.id] != [first.id]


@pytest.mark.parametrize("rule", ["withhold", "spoiler", "hold"])
async def test_none_of_what_may_never_be_seen(start_world: StartWorld, rule: str) -> None:
    """Where its pictures are looked at first, nothing is seen of one while it is drawn."""
    world = await _studio(start_world, rule)
    await step(world, 2, FIRST)
    message = await step(world, 3, SECOND)
    assert (names(message), shown(message)) == ([], [])


async def test_a_new_preview_alone_is_worth_an_edit(studio: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no word of the message has changed, a newer preview is shown all the same."""
    moment = studio.clock.now()
    monkeypatch.setattr(studio.clock, "now", lambda: moment)
    before = await step(studio, 2, FIRST)
    tell(studio, stepped(2, SECOND))
    await studio.until(lambda: shown(studio.message(1)) != shown(before))

    assert studio.message(1).text == before.text
    assert studio.message(1).attachments[0].bytes == SECOND


async def finished(world: World, folder: Path) -> None:
    path = folder / "a.png"
    Image.new("RGB", (8, 8)).save(path)
    image = SpooledImage(seed=42, path=str(path))
    tell(world, Finished(job_id=1, attempt=1, images=(image,), seconds=1.0))


async def failed(world: World, folder: Path) -> None:
    tell(world, Failed(job_id=1, attempt=1, reason="No."))


async def cancelled(world: World, folder: Path) -> None:
    await world.alice.click(world.message(1), "Cancel")


@pytest.mark.parametrize(
    ("end", "state", "left"),
    [
        (finished, JobState.DELIVERED, ["easel-1-42.png"]),
        (failed, JobState.FAILED, []),
        (cancelled, JobState.CANCELLED, []),
    ],
)
async def test_no_end_keeps_a_preview(
    studio: World, tmp_path: Path, end: Any, state: JobState, left: list[str]
) -> None:
    """Finished, failed or cancelled: the message has its own pictures or none, and shows them all."""
    await step(studio, 2, FIRST)
    await step(studio, 3)
    await end(studio, tmp_path)
    await studio.reaches(1, state)
    await studio.until(lambda: names(studio.message(1)) == left)

    message = studio.message(1)
    assert shown(message) == [attachment.id for attachment in message.attachments]
    assert "Unfinished" not in str(message.components)


async def test_a_job_back_in_line_loses_its_preview(studio: World) -> None:
    """The engine died: the message of the job, which starts anew, has neither picture nor file any more."""
    await step(studio, 2, FIRST)
    os.kill(studio.engine.pid or 0, signal.SIGKILL)
    await studio.until(lambda: "step" not in studio.message(1).text)

    assert names(studio.message(1)) == shown(studio.message(1)) == []


async def test_a_refused_preview_costs_nothing_but_itself(studio: World) -> None:
    """Where Discord takes no file, progress goes on in words, without trying further previews, and the end comes."""
    studio.discord.fail_next("PATCH", "/webhooks/", status=403, code=50013)
    message = await step(studio, 2, FIRST)
    assert names(message) == shown(message) == []
    message = await step(studio, 3, SECOND)
    assert names(message) == shown(message) == []

    await studio.alice.click(studio.message(1), "Cancel")
    await studio.reaches(1, JobState.CANCELLED)


async def test_after_the_tokens_life_no_preview_is_shown(studio: World) -> None:
    """From then on only the end is written, and the preview that stands there goes with it."""
    before = await step(studio, 2, FIRST)
    studio.advance(20 * 60)
    edits = len(studio.discord.requests)
    tell(studio, stepped(3, SECOND))
    tell(studio, Failed(job_id=1, attempt=1, reason="No."))
    await studio.reaches(1, JobState.FAILED)
    await studio.until(lambda: names(studio.message(1)) == [])

    (end,) = studio.discord.requests[edits:]
    assert end.path.startswith("/channels/")
    assert names(before) == ["preview.jpg"]
