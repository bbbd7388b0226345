"""/quota, /history, /queue and /limits."""

from __future__ import annotations

from typing import Any

import pytest

from bot.core.asking.refused import Blocked
from bot.job import JobState
from bot.limits import Subject
from engine.contract import FakeSettings
from tests.bot.chat.conftest import StartWorld
from tests.kit import said
from tests.kit.world import World, text_of


async def test_quota_tells_used_left_and_renewal(start_world: StartWorld) -> None:
    """/quota names what was used, what is left and when the day ends, for the caller only."""
    world = await start_world(limits={"credits_per_day": 10})
    await world.imagined(images=3)
    result = await world.alice.slash(world.channel, "quota")

    assert result.ephemeral
    assert "Used today: **3** of 10 credits, left: **7**; renews <t:" in result.response.content


async def test_history_pages_with_buttons_newest_first(world: World) -> None:
    """/history lists one's delivered images with links, eight a page, and its buttons turn the pages."""
    for number in range(1, 10):
        await world.imagined(number, prompt=f"picture {number}")
        await world.store.database.write(
            "UPDATE job SET created_at = created_at + :n WHERE id = :n", {"n": number}
        )
    result = await world.alice.slash(world.channel, "history")
    first = text_of(result.response.message)
    await world.alice.click(result.response.message, label="Older ▶")
    second = text_of(result.response.message)

    assert result.ephemeral
    assert first.index("picture 9") < first.index("picture 2")
    assert f"/channels/{world.guild.id}/{world.channel.id}/{(await world.job(9)).message_id}" in first
    assert "picture 1`" in second
    assert "9–9 of 9" in second


@pytest.mark.parametrize(("left", "shown"), [(8, "1–8 of 8"), (3, "1–3 of 3"), (0, None)])
async def test_a_page_whose_images_are_gone_by_now(world: World, left: int, shown: str | None) -> None:
    """Deleted between the two looks: the last page that there is comes instead, or the word that nothing is left."""
    for number in range(1, 10):
        await world.imagined(number, prompt=f"picture {number}")
    result = await world.alice.slash(world.channel, "history")
    await world.store.database.write(
        "UPDATE job SET deleted_at = created_at WHERE id > :left", {"left": left}
    )
    pressed = await world.alice.click(result.response.message, label="Older ▶")

    if shown is None:
        assert "You have no images here yet" in pressed.response.content
    else:
        assert shown in text_of(result.response.message)


async def test_history_without_images_says_what_to_do(world: World) -> None:
    """Somebody without images is sent to /imagine."""
    result = await world.alice.slash(world.channel, "history")

    assert "try /imagine" in result.response.content


async def test_queue_lists_running_and_waiting(start_world: StartWorld) -> None:
    """/queue names who is served and who waits, in order."""
    world = await start_world(fake=FakeSettings(step_s=0.5, slots=1))
    await world.imagine()
    await world.until(lambda: world.dispatcher.running())
    await world.imagine(world.admin)
    result = await world.alice.slash(world.channel, "queue")

    assert f"🎨 <@{world.alice.id}>" in result.response.content
    assert f"1. <@{world.admin.id}>" in result.response.content


async def test_an_idle_queue_says_so(world: World) -> None:
    """With nobody waiting /queue says that an image would start at once."""
    result = await world.alice.slash(world.channel, "queue")

    assert "start at once" in result.response.content


async def test_a_limit_set_by_an_admin_acts_on_the_next_request(world: World) -> None:
    """/limits set for everyone is obeyed by the next /imagine and logged with who and when."""
    answer = await world.admin.slash(world.channel, "limits set", credits=1)
    await world.imagined()
    refused = await world.imagine()
    (change,) = await world.store.settings.limits_log(world.guild.id, count=5)

    assert "Everyone now has 1 credit a day (100 before)." in answer.response.content
    assert "0 of 1 left today" in refused.response.content
    assert (change.by_user_id, change.field, change.new_value) == (world.admin.id, "credits_per_day", 1)


async def test_blocking_a_member_cancels_what_they_have_waiting(start_world: StartWorld) -> None:
    """A member's limit of 0: what waits is cancelled, not charged, and the next request is refused."""
    world = await start_world(fake=FakeSettings(step_s=0.4, slots=1))
    await world.imagine()
    await world.until(lambda: world.dispatcher.running())
    await world.imagine()
    result = await world.admin.slash(world.channel, "limits set", member=world.alice, credits=0)
    await world.reaches(2, JobState.CANCELLED)

    assert "Cancelled what they had waiting: 1, not charged." in result.response.content
    await world.until(lambda: "Cancelled by a moderator, not charged." in text_of(world.message(2)))
    assert (await world.job(2)).charged == 0
    await world.reaches(1, JobState.DELIVERED)
    assert (await world.imagine()).response.content == said.refusal(Blocked())


async def test_limits_for_a_role_and_a_member_come_before_everyone(world: World) -> None:
    """A member's entry beats their role's, which beats everyone's; /limits show tells all of them."""
    vip = world.guild.create_role("vip")
    bob = world.guild.add_member(world.env.create_user("bob"), roles=[vip])
    await world.admin.slash(world.channel, "limits set", credits=1)
    await world.admin.slash(world.channel, "limits set", role=vip, credits=5)
    await world.admin.slash(world.channel, "limits set", member=world.alice, credits=7)
    shown = await world.admin.slash(world.channel, "limits show")
    quotas = [
        (await who.slash(world.channel, "quota")).response.content for who in (world.alice, bob, world.admin)
    ]

    assert ["of 7 credits" in quotas[0], "of 5 credits" in quotas[1], "of 1 credit," in quotas[2]] == [
        True
    ] * 3
    assert f"<@&{vip.id}>** 5 credits per day" in shown.response.content


async def test_reset_brings_the_wider_limit_back(world: World) -> None:
    """/limits reset removes an entry; the default holds again."""
    await world.admin.slash(world.channel, "limits set", credits=1)
    await world.admin.slash(world.channel, "limits reset")
    quota = await world.alice.slash(world.channel, "quota")

    assert "of 100 credits" in quota.response.content


async def _synced(world: World) -> list[dict[str, Any]]:
    """The commands as the simulated Discord holds them."""
    application_id = world.client.application_id
    assert application_id is not None
    with world.env.time_context():
        return [dict(entry) for entry in await world.client.http.get_global_commands(application_id)]


@pytest.mark.parametrize("command", ["limits show", "limits set", "limits reset", "limits timezone"])
async def test_a_member_without_permission_is_refused_by_the_handler(world: World, command: str) -> None:
    """Discord's own hint may be overridden by a server, so every handler checks Manage Server itself."""
    (limits,) = [entry for entry in await _synced(world) if entry["name"] == "limits"]
    world.guild.set_command_permissions(int(limits["id"]), {world.alice: True})
    options = {"limits set": {"credits": 99}, "limits timezone": {"zone": "Europe/Berlin"}}.get(command, {})
    result = await world.alice.slash(world.channel, command, **options)

    assert result.ephemeral
    assert "Only people who may manage this server" in result.response.content
    assert await world.store.settings.limits(world.guild.id) == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "Name at least one limit"),
        ({"credits": 10_001}, "above the owner's ceiling of 10,000"),
        ({"max_images": 11}, "above the owner's ceiling of 10"),
    ],
)
async def test_impossible_limits_are_refused(world: World, options: dict[str, int], sentence: str) -> None:
    """Nothing named, or more than the owner's ceiling, is refused with a sentence and changes nothing."""
    result = await world.admin.slash(world.channel, "limits set", **options)

    assert sentence in result.response.content
    assert await world.store.settings.limits_log(world.guild.id, count=1) == []


async def test_role_and_member_together_are_refused(world: World) -> None:
    """One target per change."""
    role = world.guild.create_role("vip")
    result = await world.admin.slash(world.channel, "limits set", role=role, member=world.alice, credits=1)

    assert "a role or a member, not both" in result.response.content


async def test_the_day_follows_the_servers_time_zone(world: World) -> None:
    """/limits timezone moves the renewal; an unknown zone is refused."""
    unknown = await world.admin.slash(world.channel, "limits timezone", zone="Mars/Base")
    before = (await world.alice.slash(world.channel, "quota")).response.content
    await world.admin.slash(world.channel, "limits timezone", zone="Pacific/Marquesas")
    after = (await world.alice.slash(world.channel, "quota")).response.content

    assert "no such time zone" in unknown.response.content
    assert before != after


async def test_an_entry_for_everyone_is_stored_once(world: World) -> None:
    """Setting two fields one after the other keeps both in one entry."""
    await world.admin.slash(world.channel, "limits set", credits=5)
    await world.admin.slash(world.channel, "limits set", pending=2)
    (entry,) = await world.store.settings.limits(world.guild.id)

    assert (entry.subject, dict(entry.values)) == (Subject.EVERYONE, {"credits_per_day": 5, "pending": 2})
    assert (await world.imagined()) and (await world.job(1)).state is JobState.DELIVERED


async def test_a_bot_in_the_simulated_discord_is_well(world: World) -> None:
    """Its gateway counts as connected there too, so that the demo never calls itself unwell."""
    await world.env.settle()
    assert world.client.is_connected
