"""What admins limit beyond credits: pauses, nights, allow lists, and which rule holds for whom."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from bot.job import JobState
from bot.limits import LimitEntry, PermitEntry, PermitKind, Subject
from bot.store.audit import AuditEntry, Deed
from engine.contract import FakeSettings
from tests.bot.chat.conftest import StartWorld
from tests.kit.world import World
from workshop.rehearsal.bot import png

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
    told = await world.admin.slash(world.channel, "limits set", slowmode=20)
    assert "now has 20 seconds from one request to the next" in told.text


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


# ------------------------------------------------------------------ allow lists


async def test_models_and_loras_by_role(start_world: StartWorld) -> None:
    """Who is not on the list is told what is, is offered nothing else, and draws with what they may; a role adds to it."""
    world = await start_world(fake=FakeSettings(others=("big", "third")))
    vip = await world.role("vip")
    bob, admin, channel = world.person("bob", vip), world.admin, world.channel
    await admin.slash(channel, "limits allow", kind="model", names="Third")
    listed = await admin.slash(channel, "limits allow", kind="model", names="big", role=vip)
    await admin.slash(channel, "limits allow", kind="lora", names="none")
    await admin.slash(channel, "limits allow", kind="lora", names="pixel", role=vip)
    refused = [await world.imagine(model="big"), await world.imagine(prompt="a cat <lora:pixel:0.5>")]
    offered = [
        [choice["value"] for choice in await who.autocomplete(channel, "imagine", "model", "")]
        for who in (world.alice, bob)
    ]
    loras = [
        [choice["value"] for choice in await who.autocomplete(channel, "imagine", "lora", "")]
        for who in (world.alice, bob)
    ]
    await world.imagined(1)
    await world.imagined(2, who=bob, model="big", lora="pixel")
    others = await world.imagine(bob, model="fake")
    reroll = await world.alice.click(world.message(2), "Reroll")
    shown = (await admin.slash(channel, "limits show")).text

    assert f"**<@&{vip.id}>** may draw with these models: big" in listed.text
    assert [answer.ephemeral_text for answer in refused] == [
        "The model big is not for you on this server: use third.",
        "LoRAs are not for you on this server: ask without them.",
    ]
    assert offered == [["third"], ["big", "third"]]
    assert loras == [[], ["pixel"]]
    assert (await world.job(1)).request.model == "third"
    assert others.ephemeral_text == "The model fake is not for you on this server: use big, third."
    assert reroll.ephemeral_text == "The model big is not for you on this server: use third."
    assert "**Everyone** may draw with these models: third" in shown
    assert "**Everyone** may draw with these LoRAs: none at all" in shown


async def test_features_that_are_not_for_everybody(start_world: StartWorld) -> None:
    """Buttons stand and say why not, before a form is opened, after a restart too; a member's own list adds to everyone's."""
    world = await start_world(fake=FakeSettings(step_s=0.0))
    message = await world.imagined()
    await world.admin.slash(world.channel, "limits allow", kind="feature", names="reroll, several")
    refused = {
        label: (await world.alice.click(message, label)).ephemeral_text
        for label in ("Vary (Subtle)", "2×", "Remix", "Edit")
    }
    attached = await world.imagine(image=("a.png", png(64, 64)))
    reroll = await world.alice.click(message, "Reroll")
    await world.reaches(2, JobState.DELIVERED)
    await world.restart()
    await world.admin.slash(world.channel, "limits allow", kind="feature", names="remix", member=world.alice)
    form = await world.alice.click(message, "Remix")
    still = await world.alice.click(message, "Edit")
    await world.admin.slash(world.channel, "limits disallow", kind="feature", names="all")
    again = await world.alice.click(message, "Edit")

    only = "Only its admins can change that."
    assert refused == {
        "Vary (Subtle)": f"This is not for you on this server: vary. {only}",
        "2×": f"This is not for you on this server: upscale. {only}",
        "Remix": f"This is not for you on this server: remix. {only}",
        "Edit": f"This is not for you on this server: edit with words. {only}",
    }
    assert attached.ephemeral_text == f"This is not for you on this server: pictures to start from. {only}"
    assert not reroll.ephemeral
    assert form.modal is not None
    assert still.ephemeral_text == refused["Edit"]
    assert again.modal is not None


async def test_channels_in_which_pictures_are_asked_for(world: World) -> None:
    """Threads are part of theirs; elsewhere one is told where, also by who wants it private."""
    elsewhere = await world.place("chat")
    await world.admin.slash(elsewhere, "limits allow", kind="channel", names=f"<#{world.channel.id}>")
    refused = await world.alice.slash(elsewhere, "imagine", prompt="a red circle")
    await world.imagined(1)
    thread = world.discord.add_thread(world.channel)
    answer = await world.alice.slash(thread, "imagine", prompt="a red circle")
    await world.in_line(answer)
    await world.alice.slash(world.channel, "settings", deliver="private")
    private = await world.alice.slash(elsewhere, "imagine", prompt="a red circle")
    await world.until(lambda: "Pictures are not made in this channel" in private.text)

    assert refused.ephemeral_text == f"Pictures are not made in this channel: ask in <#{world.channel.id}>."
    assert not answer.ephemeral
    assert await world.jobs_stored() == 2


async def test_what_admins_list_is_checked_and_logged(world: World) -> None:
    """What there is not is refused with a sentence; what is gone can be taken off; each real change is one line of the log."""
    admin, channel = world.admin, world.channel
    wrong = [
        await admin.slash(channel, "limits allow", kind=kind, names=name)
        for kind, name in (("model", "dall-e"), ("lora", "ink"), ("feature", "fly"), ("channel", "nowhere"))
    ]
    alone = await admin.slash(channel, "limits allow", kind="feature", names="vary", member=world.alice)
    await admin.slash(channel, "limits allow", kind="feature", names="edit, vary", member=world.alice)
    await admin.slash(channel, "limits allow", kind="model", names="fake")
    again = await admin.slash(channel, "limits allow", kind="model", names="Fake")
    await world.store.database.write("UPDATE permit SET name = 'gone' WHERE name = 'fake'", {})
    await world.restart()
    suggested = await admin.autocomplete(channel, "limits disallow", "names", "", kind="model")
    unlisted = await admin.slash(channel, "limits disallow", kind="model", names="fake")
    closed = await world.imagine()
    await admin.slash(channel, "limits disallow", kind="model", names="gone")
    entries, _ = await world.store.audit.page(world.guild.id, offset=0, count=9, deed=Deed.PERMITS)

    assert [answer.ephemeral_text for answer in wrong] == [
        "There is no model “dall-e” here: use fake.",
        "There is no model, LoRA or embedding “ink” here: `/models` lists them.",
        "There is no feature “fly”: use images, several, reroll, vary, upscale, remix, edit.",
        "There is no channel “nowhere” here: pick one from the list.",
    ]
    assert "As long as no feature is listed for everyone, everybody may use all of them." in alone.text
    assert "Nothing changed" in again.text
    assert [choice["value"] for choice in suggested] == ["all", "gone"]
    assert unlisted.ephemeral_text == "“fake” is not on that list."
    assert closed.ephemeral_text == "The model fake is not for you on this server: use gone."
    assert not (await world.imagine()).ephemeral
    assert [(entry.details["allowed"], entry.details["names"]) for entry in entries] == [
        (False, ["gone"]),
        (True, ["fake"]),
        (True, ["edit"]),
        (True, ["vary"]),
    ]


async def test_a_list_with_more_than_a_message_holds(world: World) -> None:
    """As many names as there is room for, and how many there are besides: in the answer, and beside other lists."""
    names = [f"a model with a rather long name and number {number:03}" for number in range(100)]
    entries = [
        PermitEntry(kind=PermitKind.MODEL, subject=Subject.EVERYONE, subject_id=0, name=name)
        for name in names
    ]
    entry = AuditEntry(at=0.0, guild_id=world.guild.id, by_user_id=1, deed=Deed.PERMITS)
    await world.store.permits.add(world.guild.id, entries, entry)
    await world.admin.slash(world.channel, "limits allow", kind="feature", names="vary")
    disallowed = await world.admin.slash(world.channel, "limits disallow", kind="model", names=names[-1])
    shown = await world.admin.slash(world.channel, "limits show")
    of_one = await world.admin.slash(world.channel, "limits show", member=world.alice)
    for answer, least in ((disallowed, 35), (shown, 15), (of_one, 10)):
        (line,) = (each for each in answer.text.splitlines() if "may draw with these models" in each)
        told = line.count("a model with")
        assert least <= told < 99
        assert line.endswith(f"number {told - 1:03} and {99 - told} more")
    for answer in (shown, of_one):
        assert "**Everyone** may use these features: vary" in answer.text.splitlines()


# ------------------------------------------------------------------ which rule holds


async def test_admins_see_which_rule_holds_for_a_member(start_world: StartWorld) -> None:
    """Of each limit the value and where it comes from, and the lists that count for them."""
    world = await start_world(ceilings={"max_images": 5})
    vip, artist = await world.role("vip"), await world.role("artist")
    bob, admin, channel = world.person("bob", vip, artist), world.admin, world.channel
    for who, values in (
        ({}, {"max_steps": 20, "credits": 1}),
        ({"role": vip}, {"credits": 5, "weight": 2, "slowmode": 60}),
        ({"role": artist}, {"credits": 50, "slowmode": 90}),
        ({"member": bob}, {"pending": 9}),
    ):
        await admin.slash(channel, "limits set", **who, **values)
    entry = LimitEntry.of(Subject.EVERYONE, 0, {"max_images": 9})  # from before the owner said less
    await world.store.settings.set_limits(world.guild.id, entry, by_user_id=admin.id, now=0.0)
    await admin.slash(channel, "limits allow", kind="feature", names="vary")
    await admin.slash(channel, "limits allow", kind="feature", names="edit", role=vip)
    await admin.slash(channel, "limits allow", kind="model", names="fake", member=bob)
    shown = await admin.slash(channel, "limits show", member=bob)
    other = (await admin.slash(channel, "limits show", member=world.alice)).text

    assert shown.ephemeral
    assert shown.text.splitlines() == [
        f"**What <@{bob.id}> may use, and why**",
        f"50 credits per day: set for <@&{artist.id}>, the most generous of their roles",
        "100 credits per night: the default, since nothing is set",
        "9 pending requests: set for them, which comes before all else",
        "1024×1024 per image: the default, since nothing is set",
        "20 steps: set for everyone",
        "5 images per request: set for everyone; the owner's ceiling, in place of 9",
        f"weight 2 in the line: set for <@&{vip.id}>",
        f"60 seconds between requests: set for <@&{vip.id}>, the most generous of their roles",
        "**Everyone** may use these features: vary",
        f"**<@&{vip.id}>** may use these features: edit with words",
    ]
    assert "1 credits per day: set for everyone" in other
    assert "weight 1 in the line: the default, since nothing is set" in other
    assert "edit with words" not in other
