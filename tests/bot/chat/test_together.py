"""Alternatives and repeats: asked about first, drawn in one message, from the person's side and across restarts."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from bot.chat.ids import Verb, button
from bot.job import Job, JobState
from bot.store.preferences import ON, SPOILER, Scope
from engine.contract import FakeSettings
from tests.bot.chat.conftest import StartWorld
from tests.kit.world import World, labels
from workshop.rehearsal.bot import png
from workshop.rehearsal.loopback.driver import Answer, Message
from workshop.rehearsal.loopback.world import walk


async def planned(world: World, prompt: str, **options: Any) -> Answer:
    """The question that only its person sees."""
    answer = await world.alice.slash(world.channel, "imagine", prompt=prompt, **options)
    assert answer.ephemeral, answer.text
    return answer


async def drawn(world: World, prompt: str, **options: Any) -> Message:
    """The message that gathers what was said yes to, from its first moment on."""
    question = await planned(world, prompt, **options)
    answer = await world.alice.click(question.message, "Draw them")
    assert answer.message is not None
    assert not answer.ephemeral, answer.text
    await world.in_line(answer)
    return answer.message


async def jobs(world: World) -> list[Job]:
    return [await world.job(number) for number in range(1, await world.jobs_stored() + 1)]


async def over(world: World, message: Message, *states: JobState) -> list[Job]:
    """All jobs once they have ended, and their message says so; the books agree."""
    await world.until(lambda: "Delete" in labels(message))
    for number, state in enumerate(states, 1):
        await world.reaches(number, state)
    assert await world.store.history.audit() == []
    return await jobs(world)


def shown_jobs(message: Message) -> list[int]:
    """Whose pictures the gallery shows, each with a file that is there."""
    assert message.shown_files == [item.filename for item in message.attachments]
    return [int(re.match(r"easel-(\d+)-", name)[1]) for name in message.shown_files]  # type: ignore[index]


async def test_alternatives_are_asked_about_and_drawn_in_one_message(world: World) -> None:
    """Number and price before anything is stored; then one message with a line and the pictures of each, by their seeds."""
    question = await planned(world, "{red, blue} house in {spring, winter}", seed=7, images=2)
    assert "Draw 8 images for 8 credits?" in question.text
    assert "`red house in spring` × 2" in question.text
    assert await world.jobs_stored() == 0
    await world.restart()
    answer = await world.alice.click(question.message, "Draw them")
    message = answer.message
    assert message is not None
    done = await over(world, message, *[JobState.DELIVERED] * 4)

    assert [job.request.prompt for job in done] == [
        "red house in spring",
        "red house in winter",
        "blue house in spring",
        "blue house in winter",
    ]
    assert {job.request.seed for job in done} == {7}
    assert {job.message_id for job in done} == {message.id}
    assert shown_jobs(message) == [1, 1, 2, 2, 3, 3, 4, 4]
    assert "✔ **3–4** `red house in winter`" in message.text
    assert "Reroll" not in labels(message)
    assert question.message is not None
    assert question.message.deleted
    assert [m.id for m in world.messages()] == [message.id]


async def test_a_restart_in_the_middle_loses_nothing(start_world: StartWorld) -> None:
    """What was shown stays, what was not drawn is drawn, and all of it stands in the same message."""
    world = await start_world(fake=FakeSettings(step_s=0.15))
    message = await drawn(world, "a {red, green, blue} circle")
    await world.until(lambda: len(message.attachments) == 1)
    first = message.attachments[0].filename
    await world.restart()
    done = await over(world, message, *[JobState.DELIVERED] * 3)

    assert shown_jobs(message) == [1, 2, 3]
    assert message.attachments[0].filename == first
    assert all(len(snapshot.filenames) >= 1 for snapshot in message.history[-3:])
    assert [job.charged for job in done] == [1, 1, 1]
    assert "✔ **2** `a green circle`" in message.text


async def test_a_plan_is_drawn_once(world: World) -> None:
    """Two presses at once draw it once; a later one, one by somebody else and a dropped one get a sentence."""
    question = await planned(world, "a cat --repeat 2")
    assert question.message is not None
    forged = await world.post(button(Verb.DRAW_PLAN, 1), button(Verb.DROP_PLAN, 1))
    strange = await world.admin.click(forged, "Draw them")
    first, second = await asyncio.gather(
        *(world.alice.click(question.message, "Draw them") for _ in range(2))
    )
    message = next(answer.message for answer in (first, second) if not answer.ephemeral)
    refused = next(answer for answer in (first, second) if answer.ephemeral)
    assert message is not None
    done = await over(world, message, *[JobState.DELIVERED] * 2)
    assert "Only the person who asked" in strange.text
    assert "drawn or dropped before" in refused.text
    assert len(done) == 2
    assert done[0].request.seed != done[1].request.seed

    other = await planned(world, "a cat --repeat 2")
    no = await world.alice.click(other.message, "Never mind")
    assert "Nothing is drawn" in no.text
    old = await planned(world, "a dog --repeat 2")
    world.advance(3601)
    late = await world.alice.click(old.message, "Draw them")
    assert "more than an hour old" in late.text
    assert await world.jobs_stored() == 2


async def test_what_one_message_gathers_can_be_taken_out_told_and_deleted(world: World) -> None:
    """One picture with all its buttons, the commands of all, and all of it away at once, copies included."""
    message = await drawn(world, "{one, two} birds", images=2)
    await over(world, message, *[JobState.DELIVERED] * 2)
    await world.restart()
    took = await world.alice.select(message, "easel:1:take:1", "2:1")
    assert took.message is not None
    await world.until(lambda: took.message is not None and "Vary (Strong)" in labels(took.message))
    assert [item.filename for item in took.message.attachments] == [message.attachments[3].filename]
    told = await world.admin.click(message, "Info")
    assert told.ephemeral
    assert "`two birds` image 2, seeds" in told.text
    assert told.message is not None
    assert told.message.attachments[0].bytes.decode().count("/imagine prompt:") == 2

    stranger = await world.person("bob").click(message, "Delete")
    assert "may delete them" in stranger.text
    assert not message.deleted
    await world.alice.click(message, "Delete")
    await world.until(lambda: message.deleted and took.message is not None and took.message.deleted)
    await world.until(lambda: not list(world.settings.spool.glob("*.png")))
    assert all(job.deleted_at for job in await jobs(world))
    assert await world.store.history.audit() == []


async def test_cancelling_ends_what_is_left(start_world: StartWorld) -> None:
    """What was drawn stays shown; the rest is cancelled with one press, and what waited costs nothing."""
    world = await start_world(fake=FakeSettings(step_s=0.1))
    message = await drawn(world, "a {red, green, blue} circle")
    await world.until(lambda: len(message.attachments) == 1 and "step" in message.text)
    early = await world.alice.click(message, "easel:1:delete_all:1") if "Delete" in labels(message) else None
    assert early is None
    await world.alice.click(message, "Cancel all")
    done = await over(world, message, JobState.DELIVERED, JobState.CANCELLED, JobState.CANCELLED)

    assert shown_jobs(message) == [1]
    assert done[2].charged == 0
    assert message.text.count(f"Cancelled by <@{world.alice.id}>") == 2
    again = await world.alice.click(message, "Info")
    assert again.ephemeral


async def test_one_that_fails_takes_nothing_from_the_others(world: World) -> None:
    """Its line says why and it is refunded; the others' pictures are shown."""
    message = await drawn(world, "{a cat, FAIL, a dog}")
    done = await over(world, message, JobState.DELIVERED, JobState.FAILED, JobState.DELIVERED)

    assert shown_jobs(message) == [1, 3]
    assert [job.charged for job in done] == [1, 0, 1]
    assert "✘ `FAIL`" in message.text
    assert "Nothing was charged" in message.text


async def test_limits_count_a_plan_as_one_request(start_world: StartWorld) -> None:
    """One pending request may be several jobs; credits that don't suffice by now store nothing, and the plan stays."""
    world = await start_world(fake=FakeSettings(load_s=30), limits={"pending": 1, "credits_per_day": 5})
    fits, dear = await planned(world, "{a, b, c} cat"), await planned(world, "{a, b, c} dog")
    yes = await world.alice.click(fits.message, "Draw them")
    assert not yes.ephemeral, yes.text
    waits = await world.alice.click(dear.message, "Draw them")
    assert "You have 1 of 1 requests waiting" in waits.text
    another = await world.alice.slash(world.channel, "imagine", prompt="x")
    assert "You have 1 of 1 requests waiting" in another.text
    assert await world.jobs_stored() == 3
    await world.in_line(yes)
    assert yes.message is not None
    await world.alice.click(yes.message, "Cancel all")
    await over(world, yes.message, *[JobState.CANCELLED] * 3)
    small = await planned(world, "{a, b, c} fox")
    await world.imagine(images=3)
    await world.alice.click(world.message(4), "Cancel")
    await world.reaches(4, JobState.CANCELLED)
    sql = "UPDATE job SET charged = 3 WHERE id = 4"
    await world.store.database.write(sql, {})
    poor = await world.alice.click(small.message, "Draw them")
    assert "This costs 3 credits and you have 2 of 5 left today" in poor.text
    assert await world.jobs_stored() == 4
    await world.store.database.write("UPDATE job SET charged = 0 WHERE id = 4", {})
    after = await world.alice.click(small.message, "Draw them")
    assert not after.ephemeral, after.text


async def test_what_can_not_be_drawn_together_is_one_sentence(world: World) -> None:
    """Too many, too many images, or one that is refused, which is named: nothing is stored or planned."""
    wrong = [
        ({"prompt": "{1,2,3,4,5,6,7,8,9,0}" * 3}, "makes 1,000 requests, and 10 at once"),
        ({"prompt": "a cat --repeat 12"}, "makes 12 requests, and 10 at once"),
        ({"prompt": "{a, b, c} cat", "images": 4}, "makes 12 images, and one message shows 10"),
        ({"prompt": "{a cat, a dog --steps 61}"}, "“a dog”: 61 steps are above your limit"),
        ({"prompt": "{a cat, a dog --model nope}"}, "“a dog”: There is no model “nope” here"),
        ({"prompt": "{a, b} cat", "strength": 0.5}, "“a cat”: Strength needs an image"),
    ]
    for options, sentence in wrong:
        answer = await world.alice.slash(world.channel, "imagine", **options)
        assert answer.ephemeral, options
        assert sentence in answer.text
    assert await world.jobs_stored() == 0
    assert not await world.store.database.read("SELECT 1 FROM plan", {})


async def test_an_attached_picture_is_fetched_once_for_all(world: World) -> None:
    """Before the question, which is for its person alone; after a restart it is still there to start from."""
    question = await planned(world, "a {red, blue} cat", image=("cat.png", png(128, 128)))
    await world.until(lambda: question.message is not None and "Draw 2 images" in question.message.text)
    await world.restart()
    answer = await world.alice.click(question.message, "Draw them")
    assert answer.message is not None
    done = await over(world, answer.message, *[JobState.DELIVERED] * 2)

    assert done[0].request.image is not None
    assert done[0].request.image == done[1].request.image
    assert shown_jobs(answer.message) == [1, 2]


async def test_what_a_person_and_a_channel_prefer_holds_for_each(world: World) -> None:
    """The usual number of images keeps the seeds of repeats apart; covered pictures are covered in the gallery."""
    await world.store.taste.put(Scope.PERSON, world.alice.id, {"images": "2"})
    await world.store.taste.put(Scope.CHANNEL, world.channel.id, {SPOILER: ON})
    message = await drawn(world, "a cat --repeat 2 --seed 7")
    done = await over(world, message, *[JobState.DELIVERED] * 2)
    (gallery,) = (part for part in walk(message.components) if part["type"] == 12)

    assert [[image.seed for image in job.images] for job in done] == [[7, 8], [9, 10]]
    assert [item["spoiler"] for item in gallery["items"]] == [True] * 4


async def test_an_answer_that_discord_refuses_costs_nothing(world: World) -> None:
    """Nobody was told of any of them: all are taken back, and nothing is shown."""
    question = await planned(world, "a {red, blue} circle")
    world.discord.fail_next("POST", "/callback", status=404, code=10062)
    assert question.message is not None
    await world.discord.send_click(world.alice.user, question.message, "Draw them")
    done = [await world.reaches(number, JobState.CANCELLED) for number in (1, 2)]
    assert [job.charged for job in done] == [0, 0]
    assert world.messages() == []
    assert await world.store.history.audit() == []


@pytest.mark.parametrize("lost", ["answer", "pictures"])
async def test_what_discord_loses_is_shown_in_the_end(start_world: StartWorld, lost: str) -> None:
    """An answer whose reply was lost is found for every job; a reply lost with the pictures repeats them all, once."""
    world = await start_world(fake=FakeSettings(step_s=0.05))
    question = await planned(world, "a {red, blue} circle")
    if lost == "answer":
        world.discord.fail_next("POST", "/callback", status=502, apply=True)
    else:
        world.discord.fail_next("PATCH", "/channels/", status=502, apply=True)
    await world.alice.click(question.message, "Draw them")
    await world.until(world.messages)
    (message,) = world.messages()
    await over(world, message, *[JobState.DELIVERED] * 2)
    assert shown_jobs(message) == [1, 2]


async def test_pictures_are_uploaded_once_and_a_late_one_wipes_none(start_world: StartWorld) -> None:
    """Whoever ends while another's edit is under way is shown with it or after it; what stands there is kept, not sent again."""
    world = await start_world(fake=FakeSettings(step_s=0.03))
    held = world.discord.hold_next("PATCH", "/channels/")
    message = await drawn(world, "a {red, green, blue, black} circle")
    await world.until(lambda: held.request is not None)
    for number in range(2, 5):
        await world.reaches(number, JobState.RENDERED)
    held.release()
    done = await over(world, message, *[JobState.DELIVERED] * 4)
    edits = [
        *world.discord.requests_to("PATCH", "/channels/"),
        *world.discord.requests_to("PATCH", "/webhooks/"),
    ]

    assert sorted(name for edit in edits for name in edit.filenames) == sorted(message.shown_files)
    assert shown_jobs(message) == [1, 2, 3, 4]
    assert len({job.request.seed for job in done}) == 4
    assert len(world.discord.requests_to("PATCH", "/channels/")) <= 3


async def test_a_message_that_was_deleted_leaves_its_jobs_on_their_own(start_world: StartWorld) -> None:
    """What is drawn after that gets a message with all its buttons, each once."""
    world = await start_world(fake=FakeSettings(step_s=0.1))
    message = await drawn(world, "a {red, green} circle")
    await world.until(lambda: "step" in message.text)
    world.discord.delete_message(message)
    done = [await world.reaches(number, JobState.DELIVERED) for number in (1, 2)]
    await world.until(lambda: len(world.messages()) == 2)

    assert len({job.message_id for job in done}) == 2
    assert "Reroll" in labels(world.message(2))
    await world.alice.click(world.message(2), "Delete")
    await world.until(lambda: len(world.messages()) == 1)
    assert (await world.job(1)).deleted_at is None
    assert await world.store.history.audit() == []


async def test_a_channel_that_is_shut_sends_each_to_its_person(start_world: StartWorld) -> None:
    """In direct messages, as with one job; the gathering message says so by the interaction, as long as that may.

    What an edit of progress showed by the interaction counts as brought, so there is only one here, at the start.
    """
    world = await start_world(fake=FakeSettings(step_s=0.05), progress={"interval_s": 60.0})
    world.discord.fail_next("PATCH", "/channels/", status=403, code=50013, times=50)
    message = await drawn(world, "a {red, green} circle")
    for number in (1, 2):
        await world.reaches(number, JobState.DELIVERED)
    await world.until(lambda: "Cancel all" not in labels(message))
    sent = world.messages(world.discord.dm(world.alice.user))

    directly = [int(m.attachments[0].filename.split("-")[1]) for m in sent]
    assert directly
    assert sorted(directly + shown_jobs(message)) == [1, 2]
    assert message.text.count("went to a direct message") == len(directly)
    assert await world.store.history.audit() == []


async def test_what_a_blocked_person_had_waiting_is_withdrawn_together(start_world: StartWorld) -> None:
    """Each is refunded, and the message says so."""
    world = await start_world(fake=FakeSettings(load_s=30))
    message = await drawn(world, "a {red, green} circle")
    await world.admin.slash(world.channel, "limits set", member=world.alice, credits=0)
    done = await over(world, message, *[JobState.CANCELLED] * 2)
    assert [job.charged for job in done] == [0, 0]
    assert message.text.count("Cancelled by a moderator, not charged.") == 2


async def test_image_info_reads_the_pictures_of_a_gathering_message(world: World) -> None:
    """It is no single job's: the files themselves are read, and tell the settings of each."""
    message = await drawn(world, "{a cat, a dog}")
    await over(world, message, *[JobState.DELIVERED] * 2)
    told = await world.admin.menu(message, "Image info")
    assert told.message is not None
    await world.until(lambda: told.message is not None and "a dog" in told.message.text)
    assert "a cat" in told.message.text
