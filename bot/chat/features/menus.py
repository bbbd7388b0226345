"""A message's menu: how the pictures in it were made, whichever program made them, for the eyes of who asks.

Discord hands the message over whole, so nothing needs an intent; of its attachments only pictures are fetched, from Discord's
own CDN, and no address that stands in a text ever is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import Any

import discord
import structlog
from discord import app_commands

from bot.chat import ids, where
from bot.chat.client import EaselClient, Interaction
from bot.chat.errors import UserError, language_of
from bot.chat.features.info import info
from bot.chat.ids import OfJob, Verb
from bot.chat.look import posted
from bot.chat.look.posted import Posted, named
from bot.chat.look.safe import plain
from bot.chat.router import Feature
from bot.chat.sources import is_picture
from bot.core.asking import picture_facts
from bot.core.asking.picture_facts import PictureFacts, Taken
from bot.job import Job
from bot.texts import commands, pictures, problems

log = structlog.get_logger(__name__)

PICTURES_MAX = 4
"""Of one message that are looked into."""
FORM_WITHIN_S = 2.0
"""In which a picture is fetched and read where a form is to follow: Discord takes none after 3 s, nor after a deferral."""


@app_commands.context_menu(name=commands.IMAGE_INFO)
async def image_info(interaction: discord.Interaction[EaselClient], message: discord.Message) -> None:
    ours = await job_of(interaction, message)
    if ours is not None:
        await info(interaction, *ours)
        return
    files = pictures_of(message)
    await interaction.response.defer(ephemeral=True, thinking=True)
    looked_into = [await _look(interaction, file) for file in files[:PICTURES_MAX]]
    more = max(0, len(files) - PICTURES_MAX)
    shown = posted.describe(looked_into, language_of(interaction), more=more)
    attached = [discord.File(BytesIO(text.encode()), name) for name, text in shown.files]
    await interaction.edit_original_response(content=shown.text, attachments=attached)


async def job_of(interaction: Interaction, message: discord.Message) -> tuple[Job, int | None] | None:
    """The job that a message of our own shows, and which of its images or None for all of it, as its buttons tell.

    None for everybody else's messages, for one that gathers several jobs, and where the row has no words any more: there the
    pictures themselves tell.
    """
    about = _about(interaction, message)
    gathers = any(found.verb == Verb.INFO_ALL for found in about)
    if gathers or len({found.job for found in about}) != 1:
        return None
    job = await interaction.client.services.store.jobs.get(about[0].job)
    if job is None or job.erased_at is not None or not where.takes(interaction, job):
        return None
    return job, next((found.image for found in about if found.verb == Verb.INFO), None)


async def gathered_in(interaction: Interaction, message: discord.Message) -> list[Job]:
    """The jobs that a message of our own gathers; none for every other message."""
    jobs = interaction.client.services.store.jobs
    for found in _about(interaction, message):
        if found.verb == Verb.INFO_ALL and (job := await jobs.get(found.job)) is not None:
            return await jobs.gathered(job) if where.takes(interaction, job) else []
    return []


def _about(interaction: Interaction, message: discord.Message) -> list[OfJob]:
    """What the buttons of a message of our own are about."""
    user = interaction.client.user
    if user is None or message.author.id != user.id:
        return []
    read = [ids.read(custom_id) for custom_id in _custom_ids(message.components)]
    return [found for found in read if isinstance(found, OfJob)]


async def message_again(interaction: Interaction, message_id: int) -> discord.Message:
    """The one in whose menu something was chosen, once a form or a menu of ours was answered. Raises UserError where it is gone."""
    place = interaction.channel
    if not isinstance(place, discord.abc.Messageable):
        raise UserError(problems.message_gone)
    try:
        return await place.fetch_message(message_id)
    except (discord.NotFound, discord.Forbidden) as error:
        raise UserError(problems.message_gone) from error


def pictures_of(message: discord.Message) -> list[discord.Attachment]:
    """Its own, or those of what it forwards: at least one; raises UserError."""
    forwarded = [file for snapshot in message.message_snapshots for file in snapshot.attachments]
    files = [file for file in (*message.attachments, *forwarded) if is_picture(file)]
    if not files:
        raise UserError(pictures.no_picture)
    return files


async def settings_of(
    interaction: Interaction, message: discord.Message, *, within_s: float = FORM_WITHIN_S
) -> Taken:
    """What the first picture that tells it was made with, as a wish here; raises UserError. Fast enough for a form to follow."""
    problem: UserError | None = None
    try:
        async with asyncio.timeout(within_s):
            for file in pictures_of(message)[:PICTURES_MAX]:
                try:
                    facts = await _facts(interaction, file)
                except UserError as error:
                    problem = problem or error
                    continue
                if facts.is_drawable:
                    catalogue = interaction.client.services.catalogue
                    await catalogue.described()
                    catalogue.model()  # raises what holds it up
                    return picture_facts.wish_of(facts, catalogue.models)
                tells = pictures.only_who_made_it(named(file.filename), plain(facts.program))
                problem = problem or UserError(tells)
    except TimeoutError as error:
        raise UserError(pictures.read_too_slowly) from error
    assert problem is not None
    raise problem


async def _look(interaction: Interaction, file: discord.Attachment) -> Posted:
    try:
        return Posted(name=file.filename, facts=await _facts(interaction, file))
    except UserError as problem:
        return Posted(name=file.filename, problem=problem.say(language_of(interaction)))


async def _facts(interaction: Interaction, file: discord.Attachment) -> PictureFacts:
    """What a picture's file tells, read in a thread; raises UserError."""
    data = await interaction.client.services.intake.content(file)
    try:
        facts = await asyncio.to_thread(picture_facts.read, data)
    except OSError as error:
        log.info("picture_not_read", attachment=file.id, error=str(error))
        raise UserError(pictures.unreadable(named(file.filename))) from error
    if facts is not None and facts.is_told:
        return facts
    is_whole = facts is None or facts.is_whole
    raise UserError((pictures.nothing_told if is_whole else pictures.too_much_told)(named(file.filename)))


def _custom_ids(components: Iterable[Any]) -> Iterator[str]:
    """Of everything in a message, as deep as Discord likes."""
    for component in components:
        if isinstance(custom_id := getattr(component, "custom_id", None), str):
            yield custom_id
        yield from _custom_ids(getattr(component, "children", ()))
        if (accessory := getattr(component, "accessory", None)) is not None:
            yield from _custom_ids([accessory])


FEATURE = Feature(commands=(image_info,))
