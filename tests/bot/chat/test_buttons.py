"""Buttons under a job's message: by whom, on what, and after a restart."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import discord
import pytest

from bot.chat.ids import Verb, button
from bot.job import Action, JobState
from engine.contract import FakeSettings
from tests.bot.chat.conftest import StartWorld
from tests.golden.test_golden import GOLDEN
from tests.kit.world import World, labels


async def test_reroll_draws_the_same_request_with_a_new_seed(world: World) -> None:
    """🔄 makes a new message with the same request and another seed, at the cost of whoever pressed it."""
    message = await world.imagined(prompt="a red circle", seed=1, steps=5)
    await world.admin.click(message, "Reroll")
    again = await world.reaches(2, JobState.DELIVERED)

    assert (again.request.prompt, again.request.steps) == ("a red circle", 5)
    assert again.request.seed != 1
    assert (again.action, again.parent_id, again.user_id) == (Action.REROLL, 1, world.admin.id)
    assert f"<@{world.admin.id}>" in world.message(2).text


async def test_a_second_press_while_the_first_lives_is_refused(start_world: StartWorld) -> None:
    """One live job per button and person: the second press gets a sentence and no job."""
    world = await start_world(fake=FakeSettings(step_s=0.01))
    message = await world.imagined()
    world.fake = FakeSettings(load_s=30)  # the next engine takes no jobs for a while
    await world.restart()
    await world.alice.click(message, "Reroll")
    second = await world.alice.click(message, "Reroll")
    other = await world.admin.click(message, "Reroll")

    assert second.ephemeral
    assert "already pressed" in second.text
    assert not other.ephemeral
    assert await world.jobs_stored() == 3


async def test_info_shows_everything_and_a_copyable_command(world: World) -> None:
    """ℹ️ answers ephemerally with settings, seeds, cost and the command that draws the picture again."""
    message = await world.imagined(prompt="a red circle", negative_prompt="blue", seed=7)
    result = await world.admin.click(message, "Info")

    assert result.ephemeral
    assert "1 credit" in result.text
    assert "/imagine prompt:a red circle negative_prompt:blue size:128x128 steps:8" in result.text
    assert "seed:7" in result.text


async def test_info_of_a_long_prompt_travels_as_a_file(world: World) -> None:
    """A command too long for a message comes as a text file, whole."""
    prompt = "x" * 3980 + "`y`"
    message = await world.imagined(prompt=prompt)
    result = await world.alice.click(message, "Info")

    assert result.message is not None
    (attachment,) = result.message.attachments
    assert attachment.filename == "command.txt"
    assert prompt in attachment.bytes.decode()


async def test_delete_takes_message_and_file_away_but_refunds_nothing(world: World) -> None:
    """🗑️ by the requester removes the message and the image file; the credit stays used."""
    message = await world.imagined()
    path = Path(str((await world.job(1)).images[0].path))
    assert path.exists()
    await world.alice.click(message, "Delete")
    job = await world.job(1)

    assert job.deleted_at is not None
    assert job.charged == 1
    assert not path.exists()
    assert world.messages() == []


async def test_only_the_requester_or_a_moderator_may_delete(world: World) -> None:
    """A stranger's press is refused in a sentence; a moderator's is not."""
    message = await world.imagined()
    stranger = world.person("eve")
    refused = await stranger.click(message, "Delete")

    assert refused.ephemeral
    assert "moderator" in refused.text
    assert (await world.job(1)).deleted_at is None
    await world.admin.click(message, "Delete")
    assert (await world.job(1)).deleted_at is not None


async def test_a_button_of_a_deleted_job_says_so(world: World) -> None:
    """A press on a message whose image was deleted elsewhere gets its sentence, and no job."""
    message = await world.imagined()
    await world.store.jobs.mark_deleted(1, now=world.clock.now(), by_user_id=1)
    answers = [await world.alice.click(message, label) for label in ("Reroll", "Info")]

    assert all("was deleted" in answer.text for answer in answers)
    assert await world.jobs_stored() == 1


async def test_a_button_of_another_guild_finds_nothing(world: World) -> None:
    """The job's guild must be the interaction's guild, whatever the button's id says."""
    message = await world.imagined()
    await world.store.database.write("UPDATE job SET guild_id = 1 WHERE id = 1", {})
    result = await world.alice.click(message, "Reroll")

    assert "does not know" in result.text
    assert await world.jobs_stored() == 1


async def test_cancel_a_running_job_costs_the_share_done(start_world: StartWorld) -> None:
    """✖ stops the job at the next step; the message says who cancelled and nothing is posted."""
    world = await start_world(fake=FakeSettings(step_s=0.1))
    await world.imagine(images=4)
    await world.until(lambda: world.messages() and "step 2" in world.message(1).text)
    await world.alice.click(world.message(1), "Cancel")
    job = await world.reaches(1, JobState.CANCELLED)

    assert job.cost == 4
    assert 1 <= job.charged < 4
    assert not world.messages()[-1].attachments
    assert f"Cancelled by <@{world.alice.id}>" in world.messages()[-1].text


async def test_cancel_a_waiting_job_is_free(start_world: StartWorld) -> None:
    """A job cancelled while it waits costs nothing and leaves the line."""
    world = await start_world(fake=FakeSettings(load_s=30))
    await world.imagine()
    await world.alice.click(world.message(1), "Cancel")
    job = await world.reaches(1, JobState.CANCELLED)

    assert job.charged == 0
    assert world.dispatcher.line() == []
    assert labels(world.message(1)) == ["Reroll", "Delete"]


async def test_a_stranger_may_not_cancel(start_world: StartWorld) -> None:
    """Only the requester or a moderator cancels."""
    world = await start_world(fake=FakeSettings(load_s=30))
    await world.imagine()
    stranger = world.person("eve")
    result = await stranger.click(world.message(1), "Cancel")

    assert "Only the person who asked" in result.text
    await world.reaches(1, JobState.QUEUED)


async def test_images_that_were_never_posted_are_for_their_person_alone(world: World) -> None:
    """Somebody else who makes the fetch button's id up is refused."""
    await world.imagined()
    message = await world.post(button(Verb.FETCH, 1))
    result = await world.admin.click(message, "Show")

    assert "Only the person who asked" in result.text


@pytest.mark.parametrize(
    "values",
    ["'$.sampler', 'Gone++'", "'$.steps', 5000", "'$.width', 'wide', '$.steps', NULL", "'$.images', 99"],
)
async def test_buttons_of_a_message_with_bounds_of_another_version(world: World, values: str) -> None:
    """A row that today's bounds refuse is still told by Info and history; only drawing it anew is refused, in a sentence."""
    message = await world.imagined()
    await world.store.database.write(f"UPDATE job SET request = json_set(request, {values})", {})
    await world.restart()
    told = await world.alice.click(message, "Info")
    history = await world.alice.slash(world.channel, "history")
    refused = await world.alice.click(message, "Reroll")

    assert "**By " in told.text
    assert history.message is not None
    assert history.message.components
    assert "Something went wrong" not in refused.text
    assert refused.ephemeral
    assert await world.jobs_stored() == 1


async def _under_an_old_message(
    start_world: StartWorld, folder: Path, version: int, *ids: str
) -> tuple[World, Any]:
    """A world on a database of that schema, whose first job's message stands there with the buttons of its time."""
    file = Path(shutil.copyfile(GOLDEN / f"schema-{version}.sqlite3", folder / "easel.sqlite3"))
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("DELETE FROM job WHERE id > 1")
    world = await start_world()
    await world.store.database.write("UPDATE job SET guild_id = :guild", {"guild": world.guild.id})
    message = await world.post(*(discord.ui.Button[Any](label=each, custom_id=each) for each in ids))
    await world.restart()  # nothing remembers that view: what is pressed has only its id
    return world, message


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("generation", ["easel:", "easel:1:"])
async def test_buttons_of_a_database_before_work(
    start_world: StartWorld, tmp_path: Path, version: int, generation: str
) -> None:
    """A message that an earlier schema knows is rerolled, told about and leafed from, whichever ids stand there."""
    ids = (f"{generation}reroll:1", f"{generation}info:1", f"{generation}history:newer:0")
    world, message = await _under_an_old_message(start_world, tmp_path, version, *ids)
    told = await world.admin.click(message, ids[1])
    assert "**By <@820000000000000001>**" in told.text
    await world.alice.click(message, ids[0])
    again = await world.reaches(501, JobState.DELIVERED)
    assert (again.action, again.parent_id, again.parent_image, again.wish) == (Action.REROLL, 1, None, None)
    assert again.request.prompt == "a red circle, “déjà vu” 🎈"


async def test_a_wish_is_kept_as_typed(world: World) -> None:
    """What was filled in stands in the row, unresolved, with the language of its person; a reroll has the same but the seed."""
    message = await world.imagined(prompt="  a red  circle", steps=5, aspect="3:2", seed=7)
    first = await world.job(1)
    assert first.wish == {"prompt": "  a red  circle", "steps": 5, "aspect": "3:2", "seed": 7}
    assert first.locale == "en-US"
    await world.admin.click(message, "Reroll")
    again = await world.reaches(2, JobState.DELIVERED)
    assert again.wish == {"prompt": "  a red  circle", "steps": 5, "aspect": "3:2"}
