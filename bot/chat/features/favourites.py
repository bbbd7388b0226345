"""⭐ and ✉️: what people keep of what was drawn, for themselves and in their server's gallery; /gallery, where admins name it."""

from __future__ import annotations

from typing import Literal

import discord
import structlog
from discord import app_commands

from bot.chat import order
from bot.chat.client import EaselClient, Interaction
from bot.chat.delivery import gallery
from bot.chat.delivery import mail as post
from bot.chat.delivery.gallery import NotKept
from bot.chat.delivery.uploads import ImageTooLarge
from bot.chat.errors import LOST, UserError, language_of, say_done
from bot.chat.ids import Verb
from bot.chat.outages import told
from bot.chat.router import IN_SERVERS, Feature
from bot.job import Job, JobState
from bot.store.audit import Deed
from bot.store.preferences import GALLERY, OFF, ON, SHARING, Scope
from bot.texts import memory, problems
from bot.texts.language import Say

log = structlog.get_logger(__name__)


async def star(interaction: Interaction, job: Job, image: int | None) -> None:
    """Keeps it, or keeps it no longer; the first star of all puts a copy into the gallery."""
    image = _kept(interaction, job, image)
    services = interaction.client.services
    channel_id = await gallery.wanted_in(interaction.client, job)  # as it was when they pressed
    is_on = await services.store.favourites.toggle(
        job.id, image, user_id=interaction.user.id, now=services.clock.now()
    )
    done, to = memory.starred if is_on else memory.unstarred, language_of(interaction)
    await say_done(interaction, done(to))
    if not is_on or channel_id is None:
        return
    problem = await gallery.exhibit(interaction.client, job, image, channel_id, user_id=interaction.user.id)
    if problem is not None:
        try:
            await interaction.edit_original_response(content=memory.with_problem(done, problem)(to))
        except LOST as error:
            log.info("done_but_not_told", interaction=interaction.id, error=told(error))


async def mail(interaction: Interaction, job: Job, image: int | None) -> None:
    """Sends it to whoever presses."""
    image, to = _kept(interaction, job, image), language_of(interaction)
    await interaction.response.defer(ephemeral=True, thinking=True)
    try:
        await post.send(interaction.client, interaction.user, job, image, to)
    except (NotKept, ImageTooLarge) as problem:
        raise UserError(problems.not_kept_any_more) from problem
    except discord.Forbidden as problem:
        raise UserError(memory.dms_closed) from problem
    await interaction.edit_original_response(content=memory.mailed(to))


def _kept(interaction: Interaction, job: Job, image: int | None) -> int | None:
    """The image that is meant, None for all of the job's; raises UserError where there is nothing to keep."""
    if job.deleted_at is not None:
        raise UserError(problems.deleted)
    if job.state is not JobState.DELIVERED or not job.shown_images:
        raise UserError(memory.nothing_to_keep)
    if job.reason is not None and interaction.user.id != job.user_id:  # it was fetched, and never posted
        raise UserError(problems.may_not_fetch)
    if image is not None and (image >= len(job.images) or job.images[image].path is None):
        raise UserError(memory.nothing_to_keep)
    return None if len(job.images) == 1 else image


# ------------------------------------------------------------------ /gallery

group = app_commands.Group(
    name="gallery",
    description=memory.GALLERY,
    allowed_contexts=IN_SERVERS,
    default_permissions=discord.Permissions(manage_guild=True),
)


@group.command(name="set", description=memory.GALLERY_SET)
@app_commands.describe(**memory.GALLERY_SET_OPTIONS)
async def set_(interaction: discord.Interaction[EaselClient], channel: discord.TextChannel) -> None:
    guild_id = order.managed(interaction)
    if (problem := gallery.why_closed(interaction.client.get_guild(guild_id), channel.id)) is not None:
        raise UserError(problem)
    await _set(interaction, guild_id, GALLERY, str(channel.id), memory.gallery_set(channel.id))


@group.command(description=memory.GALLERY_OFF)
async def off(interaction: discord.Interaction[EaselClient]) -> None:
    await _set(interaction, order.managed(interaction), GALLERY, "", memory.gallery_off)


@group.command(description=memory.GALLERY_SHARING)
@app_commands.describe(**memory.GALLERY_SHARING_OPTIONS)
async def sharing(interaction: discord.Interaction[EaselClient], on: Literal["on", "off"]) -> None:
    done = memory.sharing_on if on == ON else memory.sharing_off
    await _set(interaction, order.managed(interaction), SHARING, ON if on == ON else OFF, done)


async def _set(interaction: Interaction, guild_id: int, name: str, value: str, done: Say) -> None:
    entry = order.deed(interaction, guild_id, Deed.PREFERENCES, **{name: value})
    await interaction.client.services.store.taste.put(Scope.SERVER, guild_id, {name: value}, entry)
    log.info("gallery_changed", guild=guild_id, by=interaction.user.id, name=name, value=value)
    await say_done(interaction, done(language_of(interaction)))


FEATURE = Feature(commands=(group,), presses={Verb.STAR: star, Verb.MAIL: mail})
