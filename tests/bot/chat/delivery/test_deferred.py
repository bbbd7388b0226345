"""A deferred answer that a killed bot left behind, found and filled by the delivery of the next process."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.core.ports import Progress
from bot.job import Job, JobState
from tests.kit.studio import Studio, running_job
from tests.kit.toybot import Evening
from workshop.rehearsal.loopback.driver import Message


async def deferred(evening: Evening) -> tuple[Job, Message]:
    """A job whose row is there, and what its person sees."""
    answer = await evening.discord.slash(evening.alice, evening.channel, "later")
    assert answer.message is not None
    job = running_job(evening, answer.interaction, 0)
    return replace(job, state=JobState.ACCEPTED, attempt=0, message_id=None), answer.message


async def test_it_becomes_a_real_message(studio: Studio, evening: Evening) -> None:
    """Before the job waits in line, however long that is: with its prompt, and a way to cancel."""
    job, message = await deferred(evening)
    assert message.loading
    assert await studio.delivery.find_answer(job) == message.id
    assert not message.loading
    assert "`a red circle`" in message.text
    assert "⏳ In line" in message.text
    assert [button.label for button in message.buttons] == ["Cancel"]


async def test_an_edit_of_the_dead_bot_that_comes_late_wipes_nothing(
    studio: Studio, evening: Evening
) -> None:
    """What it had sent may be applied after the images: so they are shown again, and stay."""
    job, message = await deferred(evening)
    await studio.delivery.find_answer(job)
    studio.delivery.show(replace(job, state=JobState.QUEUED, message_id=message.id), Progress(place=1))
    await studio.discord.until(lambda: "Next in line" in message.text)
    rendered = replace(
        studio.rendered, id=job.id, message_id=message.id, interaction_id=job.interaction_id, token=job.token
    )
    await studio.delivery.finish(rendered)
    assert len(studio.discord.requests_to("PATCH", f"/channels/{evening.channel.id}/")) == 2
    assert message.shown_files == ["easel-7-42.png"]


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_filling_it_is_tried_again(studio: Studio, evening: Evening, status: int) -> None:
    """An outage in between is waited for."""
    job, message = await deferred(evening)
    fault = studio.discord.fail_next("PATCH", "/webhooks/", status=status, times=2)
    assert await studio.delivery.find_answer(job) == message.id
    assert fault.hits == 2
    assert not message.loading


async def test_one_that_cannot_be_filled_is_no_answer(studio: Studio, evening: Evening) -> None:
    """Refused for good: the job is not taken for answered, and so is refunded."""
    job, message = await deferred(evening)
    studio.discord.fail_next("PATCH", "/webhooks/", status=404, times=9)
    assert await studio.delivery.find_answer(job) is None
    assert message.loading


async def test_a_real_message_is_left_as_it_is(studio: Studio, evening: Evening) -> None:
    """What the dead bot had filled already is found, and not written again."""
    asked = studio.message.interaction
    assert asked is not None
    job = replace(running_job(evening, asked, 0), message_id=None)
    assert await studio.delivery.find_answer(job) == studio.message.id
    assert studio.message.edits == 0
