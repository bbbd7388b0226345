"""What admins limit beyond credits: pauses, nights, allow lists, and which rule holds for whom."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from bot.job import JobState
from bot.store.audit import Deed
from engine.contract import FakeSettings
from tests.bot.chat.conftest import StartWorld
from tests.kit.world import World

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


# ------------------------------------------------------------------ nights


async def quota(world: World) -> str:
    """What one reads of it: its first line."""
    return (await world.alice.slash(world.channel, "quota")).text.splitlines()[0]


async def test_the_night_has_credits_of_its_own(start_world: StartWorld) -> None:
    """What is drawn at night leaves the day's credits alone, and the other way round; each says what holds and until when."""
    world = await start_world(
        fake=FakeSettings(step_s=0.0), limits={"credits_per_day": 10, "credits_per_night": 3}
    )
    hour = datetime.fromtimestamp(world.clock.now(), UTC).hour
    hours = {"begins": hour, "ends": (hour + 2) % 24}
    told = await world.admin.slash(world.channel, "limits night", **hours)
    ends = int(world.clock.now()) // 3600 * 3600 + 2 * 3600
    if datetime.fromtimestamp(world.clock.now(), UTC).hour != hour:  # an hour began in this moment
        ends -= 3600
    await world.imagined(1, images=2)
    at_night = await quota(world)
    spent, dear = await world.imagine(images=2), await world.imagine(images=4)
    await world.restart()
    world.advance(2 * 3600)
    by_day = await quota(world)
    await world.imagined(2, images=4)
    later = await quota(world)
    world.advance(22 * 3600)
    next_night = await quota(world)
    await world.admin.slash(world.channel, "limits set", credits_at_night=0, member=world.alice)
    closed = await world.imagine()

    assert f"from {hour:02}:00 to {hours['ends']:02}:00 in UTC" in told.text
    assert at_night == (
        "Used this night: **2** of 3 credits, left: **1**; the day, which has credits of its own, "
        f"begins <t:{ends}:R>."
    )
    assert "you have 1 of 3 left tonight; the day, which has credits of its own, begins <t:" in spent.text
    assert dear.text.startswith("This costs 4 credits and your night has 3 credits:")
    assert by_day.startswith("Used today: **0** of 10 credits, left: **10**; the night")
    assert f"begins <t:{ends + 22 * 3600}:R>" in by_day
    assert later.startswith("Used today: **4** of 10")
    assert next_night.startswith("Used this night: **0** of 3")
    assert (
        closed.text
        == f"At night nothing is drawn for you on this server: ask again <t:{ends + 24 * 3600}:R>."
    )
    assert await world.store.history.audit() == []


async def test_a_night_is_set_shown_and_taken_back(world: World) -> None:
    """With the hours of the server's time zone; half of a night is refused with a sentence; the log knows."""
    admin, channel = world.admin, world.channel
    await admin.slash(channel, "limits timezone", zone="Europe/Berlin")
    wrong = [
        await admin.slash(channel, "limits night", **hours)
        for hours in ({"begins": 3}, {"begins": 3, "ends": 3})
    ]
    await admin.slash(channel, "limits night", begins=22, ends=6)
    shown = (await admin.slash(channel, "limits show")).text
    zone = (await admin.slash(channel, "limits timezone", zone="Europe/Rome")).text
    gone = (await admin.slash(channel, "limits night")).text
    entries, _ = await world.store.audit.page(world.guild.id, offset=0, count=9, deed=Deed.NIGHT)

    assert [answer.ephemeral_text for answer in wrong] == [
        "Name both hours, such as begins:22 ends:6, or none of them for no night.",
        "A night needs two different hours, such as begins:22 ends:6.",
    ]
    assert "Nights are from 22:00 to 06:00 in Europe/Berlin" in shown
    assert "Nights are now from 22:00 to 06:00 in Europe/Rome" in zone
    assert gone == "Days now begin at midnight in Europe/Rome."
    assert [dict(entry.details) for entry in entries] == [
        {"begins": None, "ends": None},
        {"begins": 22, "ends": 6},
    ]
    assert {entry.by_user_id for entry in entries} == {admin.id}
