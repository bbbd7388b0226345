"""Take out and show: pictures that are there already, posted once more with live buttons; nothing is drawn.

`/show` walks from what it posted to what that was made from, and to what was made of it, in the same message.
"""

from __future__ import annotations

import asyncio

import discord
from discord import app_commands
from discord.app_commands import Choice, Range

from bot.chat import order, where
from bot.chat.client import EaselClient, Interaction
from bot.chat.delivery import uploads
from bot.chat.errors import UserError, language_of
from bot.chat.ids import Verb
from bot.chat.look import copy_view
from bot.chat.look.safe import cut
from bot.chat.pressed import may_see, picture_of, redraw
from bot.chat.router import Feature, chosen
from bot.core.asking.derived import of_image
from bot.core.spool import all_intact
from bot.job import Asker, Copy, Job, JobState
from bot.texts import commands, problems
from bot.texts import request as texts

CHAIN_MAX = 25
"""What a menu holds."""
SUGGESTED = 10


async def take(interaction: Interaction, job: Job, image: int | None) -> None:
    """Posts one picture of a set on its own, at once. Where several jobs are gathered, the menu says of which."""
    job, image = await _picked(interaction, job, image)
    number = picture_of(interaction, job, image)
    _check_place(interaction, job)
    if not await asyncio.to_thread(all_intact, (job.images[number],)):
        await redraw(interaction, await order.check(interaction), job, number)
        return
    await _answer(interaction, job, number, is_new=True)


async def _picked(interaction: Interaction, job: Job, image: int | None) -> tuple[Job, int | None]:
    """Another job of the same request where the menu names one, as JOB:IMAGE; raises UserError where there is none."""
    job_id, named, number = (chosen(interaction) or "").partition(":")
    if not named:
        return job, image
    other = await interaction.client.services.store.jobs.get(int(job_id)) if job_id.isdigit() else None
    if other is None or other.interaction_id != job.interaction_id or not number.isdigit():
        raise UserError(problems.no_such_picture)
    return other, int(number)


@app_commands.command(description=commands.SHOW)
@app_commands.describe(**commands.SHOW_OPTIONS)
async def show(interaction: discord.Interaction[EaselClient], number: Range[int, 1, 2**53]) -> None:
    job = await _seen(interaction, number)
    _check_place(interaction, job)
    await _answer(interaction, job, None, is_new=True)


@show.autocomplete("number")
async def _suggest(interaction: Interaction, current: str) -> list[Choice[int]]:
    """One's own newest pictures, by number or words."""
    asker = order.asker_of(interaction)
    store, wanted = interaction.client.services.store, str(current).casefold()
    newest = await store.history.prompts(guild_id=asker.guild_id, user_id=asker.user_id, count=8 * SUGGESTED)
    told = [(number, f"{number} – {prompt}") for number, prompt in newest]
    fitting = [(number, label) for number, label in told if wanted in label.casefold()]
    return [Choice(name=cut(label, 100), value=number) for number, label in fitting[:SUGGESTED]]


async def parent(interaction: Interaction, job: Job, _image: int | None) -> None:
    """What a picture was made from, in the place of what is shown."""
    if job.parent_id is None:
        raise UserError(problems.no_such_id)
    await _answer(interaction, await _seen(interaction, job.parent_id), None, is_new=False)


async def child(interaction: Interaction, _job: Job, _image: int | None) -> None:
    """What was made of a picture, in the place of what is shown."""
    picked = chosen(interaction)
    if picked is None or not picked.isdigit():
        raise UserError(problems.no_such_id)
    await _answer(interaction, await _seen(interaction, int(picked)), None, is_new=False)


async def _seen(interaction: Interaction, number: int) -> Job:
    """The job of that number with something to show; raises UserError where there is none for this person."""
    job = await interaction.client.services.store.jobs.get(number)
    if job is None or job.guild_id != where.server_of(interaction) or job.state is not JobState.DELIVERED:
        raise UserError(problems.no_such_id)
    if job.deleted_at is not None:
        raise UserError(problems.deleted)
    if not may_see(interaction, job):
        raise UserError(problems.not_yours_to_see)
    return job


def _is_hidden(interaction: Interaction, job: Job) -> bool:
    """Whether others would see here what is private."""
    return job.private and interaction.guild_id is not None


def _check_place(interaction: Interaction, job: Job) -> None:
    if not _is_hidden(interaction, job):
        where.check_place(interaction)


async def _answer(interaction: Interaction, job: Job, image: int | None, *, is_new: bool) -> None:
    """A new message, or the one whose button was pressed, shows the job, or that one of its images.

    What that message is is noted before anything can be pressed there, unless its person alone sees it.
    """
    is_hidden = _is_hidden(interaction, job)
    stands_hidden = interaction.message is not None and interaction.message.flags.ephemeral
    is_new = is_new or (is_hidden and not stands_hidden)
    deferred = await interaction.response.defer(ephemeral=is_hidden, thinking=is_new)
    is_seen = not is_hidden if is_new else not stands_hidden
    if deferred is not None and deferred.message_id is not None and is_seen:
        await _note(interaction, job, deferred.message_id, order.asker_of(interaction))
    services, to = interaction.client.services, language_of(interaction)
    there = [number for number, each in enumerate(job.images) if each.path is not None]
    shown = there if image is None else [image]
    if not await asyncio.to_thread(all_intact, tuple(job.images[number] for number in shown)):
        shown = []
    told = of_image(job, shown[0]) if image is not None and shown else job
    files = await uploads.files_of(
        told, told.images if shown else (), file_bytes_max=interaction.filesize_limit
    )
    made = await services.store.jobs.made_from(job.id, count=CHAIN_MAX)
    view = copy_view.view(
        told,
        [file.filename for file in files],
        shown,
        to=to,
        by=interaction.user.id,
        made=[
            (each.id, texts.made(each, to))
            for each in made
            if may_see(interaction, each) and not (is_seen and _is_hidden(interaction, each))
        ],
    )
    await interaction.edit_original_response(view=view, attachments=files)


async def _note(interaction: Interaction, job: Job, message_id: int, asker: Asker) -> None:
    services = interaction.client.services
    assert interaction.channel_id is not None
    copy = Copy(
        message_id=message_id,
        channel_id=interaction.channel_id,
        guild_id=asker.guild_id,
        job_id=job.id,
        user_id=asker.user_id,
    )
    await services.store.copies.put(copy, now=services.clock.now())


FEATURE = Feature(
    commands=(show,),  # pyright: ignore[reportUnknownArgumentType] - discord.py leaves its group open
    presses={Verb.TAKE: take, Verb.PARENT: parent, Verb.CHILD: child},
)
