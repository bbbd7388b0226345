"""What admins limit beyond credits: pauses, nights, allow lists, and which rule holds for whom."""

from __future__ import annotations

import math

from bot.job import JobState
from engine.contract import FakeSettings
from tests.bot.chat.conftest import StartWorld

# ------------------------------------------------------------------ slow mode


async def test_somebody_in_slow_mode_waits_between_requests(start_world: StartWorld) -> None:
    """Commands and buttons alike, after a restart too; the refusal and /quota say when, and alternatives are one request."""
    world = await start_world(fake=FakeSettings(step_s=0.0))
    set_ = await world.admin.slash(world.channel, "limits set", slowmode=600, member=world.alice)
    message = await world.imagined()
    when = f"<t:{math.ceil((await world.job(1)).created_at + 600)}:R>"
    refused = [
        await world.imagine(),
        await world.alice.click(message, "Reroll"),
        await world.imagine(prompt="{a, b}"),
    ]
    quota = (await world.alice.slash(world.channel, "quota")).text
    await world.restart()
    refused.append(await world.imagine())
    stored = await world.jobs_stored()
    other = await world.imagine(world.person("bob"))
    world.advance(600)
    question = await world.imagine(prompt="{red, blue} house")
    await world.alice.click(question.message, "Draw them")
    for number in (3, 4):
        await world.reaches(number, JobState.DELIVERED)

    assert f"<@{world.alice.id}> now has 600 seconds from one request to the next" in set_.text
    assert {answer.ephemeral_text for answer in refused} == {
        f"Here everybody waits a while between two requests: ask again {when}."
    }
    assert stored == 1
    assert "Between requests: 10 min." in quota
    assert f"The next: {when}." in quota
    assert not other.ephemeral
    assert (await world.imagine()).ephemeral_text


async def test_no_pause_is_shorter_than_the_owner_wants(start_world: StartWorld) -> None:
    """The owner's least holds whatever admins set, and they are told so."""
    world = await start_world(limits={"seconds_between": 30}, ceilings={"seconds_between": 20})
    answer = await world.admin.slash(world.channel, "limits set", slowmode=10)
    assert answer.ephemeral_text == "10 s between requests is less than the owner wants: 20 s at least."
    assert not (await world.admin.slash(world.channel, "limits set", slowmode=20)).text.startswith("10")
