"""/quota, /history, /queue and /limits."""

from __future__ import annotations

from typing import Any

from bot.core.asking.refused import Blocked
from bot.job import JobState
from bot.limits import Subject
from engine.contract import FakeSettings
from tests.bot.chat.conftest import StartWorld
from tests.kit import said
from tests.kit.world import World


async def test_quota_tells_used_left_and_renewal(start_world: StartWorld) -> None:
    """/quota names what was used, what is left and when the day ends, for the caller only."""
    world = await start_world(limits={"credits_per_day": 10})
    await world.imagined(images=3)
    result = await world.alice.slash(world.channel, "quota")

    assert result.ephemeral
    assert "Used today: **3** of 10 credits, left: **7**; renews <t:" in result.text


async def test_history_pages_with_buttons_newest_first(world: World) -> None:
    """/history lists one's delivered images with links, eight a page, and its buttons turn the pages."""
    for number in range(1, 10):
        await world.imagined(number, prompt=f"picture {number}")
        await world.store.database.write(
            "UPDATE job SET created_at = created_at + :n WHERE id = :n", {"n": number}
        )
    result = await world.alice.slash(world.channel, "history")
    first = result.text
    await world.alice.click(result.message, "Older ▶")
    second = result.text

    assert result.ephemeral
    assert first.index("picture 9") < first.index("picture 2")
    assert f"/channels/{world.guild.id}/{world.channel.id}/{(await world.job(9)).message_id}" in first
    assert "picture 1`" in second
    assert "9–9 of 9" in second


async def test_a_page_whose_images_are_gone_by_now(world: World) -> None:
    """Deleted between the two looks: the last page that there is comes instead, or the word that nothing is left."""
    for number in range(1, 10):
        await world.imagined(number, prompt=f"picture {number}")
    for left, shown in ((8, "1–8 of 8"), (3, "1–3 of 3"), (0, None)):
        await world.store.database.write("UPDATE job SET deleted_at = NULL", {})
        result = await world.alice.slash(world.channel, "history")
        await world.store.database.write(
            "UPDATE job SET deleted_at = created_at WHERE id > :left", {"left": left}
        )
        pressed = await world.alice.click(result.message, "Older ▶")
        assert ("You have no images here yet" if shown is None else shown) in pressed.text


async def test_history_without_images_says_what_to_do(world: World) -> None:
    """Somebody without images is sent to /imagine."""
    result = await world.alice.slash(world.channel, "history")

    assert "try /imagine" in result.text


async def test_queue_lists_running_and_waiting(start_world: StartWorld) -> None:
    """/queue names who is served and who waits, in order."""
    world = await start_world(fake=FakeSettings(step_s=0.5, slots=1))
    await world.imagine()
    await world.until(lambda: world.dispatcher.running())
    await world.imagine(world.admin)
    result = await world.alice.slash(world.channel, "queue")

    assert f"🎨 <@{world.alice.id}>" in result.text
    assert f"1. <@{world.admin.id}>" in result.text


async def test_an_idle_queue_says_so(world: World) -> None:
    """With nobody waiting /queue says that an image would start at once."""
    result = await world.alice.slash(world.channel, "queue")

    assert "start at once" in result.text


async def test_a_limit_set_by_an_admin_acts_on_the_next_request(world: World) -> None:
    """/limits set for everyone is obeyed by the next /imagine and logged with who and when."""
    answer = await world.admin.slash(world.channel, "limits set", credits=1)
    await world.imagined()
    refused = await world.imagine()
    (change,) = await world.store.settings.limits_log(world.guild.id, count=5)

    assert "Everyone now has 1 credit a day (100 before)." in answer.text
    assert "0 of 1 left today" in refused.text
    assert (change.by_user_id, change.field, change.new_value) == (world.admin.id, "credits_per_day", 1)


async def test_blocking_a_member_cancels_what_they_have_waiting(start_world: StartWorld) -> None:
    """A member's limit of 0: what waits is cancelled, not charged, and the next request is refused."""
    world = await start_world(fake=FakeSettings(step_s=0.4, slots=1))
    await world.imagine()
    await world.until(lambda: world.dispatcher.running())
    await world.imagine()
    result = await world.admin.slash(world.channel, "limits set", member=world.alice, credits=0)
    await world.reaches(2, JobState.CANCELLED)

    assert "Cancelled what they had waiting: 1, not charged." in result.text
    await world.until(lambda: "Cancelled by a moderator, not charged." in world.message(2).text)
    assert (await world.job(2)).charged == 0
    await world.reaches(1, JobState.DELIVERED)
    assert (await world.imagine()).text == said.refusal(Blocked())


async def test_limits_for_a_role_and_a_member_come_before_everyone(world: World) -> None:
    """A member's entry beats their role's, which beats everyone's; /limits show tells all of them."""
    vip = await world.role("vip")
    bob = world.person("bob", vip)
    await world.admin.slash(world.channel, "limits set", credits=1)
    await world.admin.slash(world.channel, "limits set", role=vip, credits=5)
    await world.admin.slash(world.channel, "limits set", member=world.alice, credits=7)
    shown = await world.admin.slash(world.channel, "limits show")
    quotas = [(await who.slash(world.channel, "quota")).text for who in (world.alice, bob, world.admin)]

    assert ["of 7 credits" in quotas[0], "of 5 credits" in quotas[1], "of 1 credit," in quotas[2]] == [
        True
    ] * 3
    assert f"<@&{vip.id}>** 5 credits per day" in shown.text


async def test_reset_brings_the_wider_limit_back(world: World) -> None:
    """/limits reset removes an entry; the default holds again."""
    await world.admin.slash(world.channel, "limits set", credits=1)
    await world.admin.slash(world.channel, "limits reset")
    quota = await world.alice.slash(world.channel, "quota")

    assert "of 100 credits" in quota.text


async def test_a_member_without_permission_is_refused_by_the_handler(world: World) -> None:
    """Discord's own hint may be overridden by a server, so every handler checks Manage Server itself."""
    every: dict[str, dict[str, Any]] = {
        "limits show": {},
        "limits set": {"credits": 99},
        "limits reset": {},
        "limits timezone": {"zone": "Europe/Berlin"},
        "limits night": {"begins": 22, "ends": 6},
        "limits allow": {"kind": "feature", "names": "reroll"},
        "limits disallow": {"kind": "feature", "names": "reroll"},
    }
    for command, options in every.items():
        result = await world.alice.slash(world.channel, command, despite_permissions=True, **options)
        assert "Only people who may manage this server" in (result.ephemeral_text or ""), command
    assert set(every) == {
        f"limits {option['name']}" for option in world.discord.commands["limits"]["options"]
    }
    assert await world.store.settings.limits(world.guild.id) == []


async def test_impossible_limits_are_refused(world: World) -> None:
    """Nothing named, two targets or more than the owner's ceiling is refused with a sentence and changes nothing."""
    role = await world.role("vip")
    for options, sentence in (
        ({}, "Name at least one limit"),
        ({"credits": 10_001}, "above the owner's ceiling of 10,000"),
        ({"max_images": 11}, "above the owner's ceiling of 10"),
        ({"role": role, "member": world.alice, "credits": 1}, "a role or a member, not both"),
    ):
        result = await world.admin.slash(world.channel, "limits set", **options)
        assert sentence in (result.ephemeral_text or "")
    assert await world.store.settings.limits_log(world.guild.id, count=1) == []


async def test_the_day_follows_the_servers_time_zone(world: World) -> None:
    """/limits timezone moves the renewal; an unknown zone is refused."""
    unknown = await world.admin.slash(world.channel, "limits timezone", zone="Mars/Base")
    before = (await world.alice.slash(world.channel, "quota")).text
    await world.admin.slash(world.channel, "limits timezone", zone="Pacific/Marquesas")
    after = (await world.alice.slash(world.channel, "quota")).text

    assert "no such time zone" in unknown.text
    assert before != after


async def test_an_entry_for_everyone_is_stored_once(world: World) -> None:
    """Setting two fields one after the other keeps both in one entry."""
    await world.admin.slash(world.channel, "limits set", credits=5)
    await world.admin.slash(world.channel, "limits set", pending=2)
    (entry,) = await world.store.settings.limits(world.guild.id)

    assert (entry.subject, dict(entry.values)) == (Subject.EVERYONE, {"credits_per_day": 5, "pending": 2})
    assert (await world.imagined()) and (await world.job(1)).state is JobState.DELIVERED
