"""What every verb under a picture asks first: which picture is meant, whether it is kept, whether it may be seen."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial

import discord

from bot.chat import order
from bot.chat.client import Interaction
from bot.chat.errors import UserError
from bot.chat.order import Order
from bot.chat.router import chosen
from bot.core.asking.derived import redrawn
from bot.core.happenings import Actor
from bot.core.ports import Irremovable
from bot.job import Action, Asker, Job, JobState
from bot.texts import problems
from bot.texts.refusals import not_removed
from engine.contract import SpooledImage


def picture_of(interaction: Interaction, job: Job, image: int | None) -> int:
    """Which of the job's images is meant, counted from 0: by the id, by what was chosen in a menu, or the only one."""
    if job.deleted_at is not None:
        raise UserError(problems.deleted_before)
    picked = chosen(interaction)
    if image is None and picked is not None and picked.isdigit():
        image = int(picked)
    number = image or 0
    if number >= len(job.images) or job.images[number].path is None:
        raise UserError(problems.no_such_picture)
    return number


async def original(interaction: Interaction, image: SpooledImage) -> str | None:
    """The digest by which a new picture starts from this one; None where it is kept no more."""
    return await interaction.client.services.intake.keep(image)


async def redraw(interaction: Interaction, asker: Asker, job: Job, image: int) -> None:
    """Draws the picture again from its seed, in place of what can't be done without it."""
    request, wish = redrawn(job, image)
    model = interaction.client.services.catalogue.model(request.model)
    model.check(request)
    await order.place(
        interaction,
        asker,
        Order(
            request=request,
            model=model,
            wish=wish,
            action=Action.REDRAW,
            parent_id=job.id,
            parent_image=image,
        ),
    )


def may_moderate(interaction: Interaction, job: Job) -> bool:
    """Whether who presses may end the job or take it away."""
    return interaction.user.id == job.user_id or interaction.permissions.manage_messages


def actor_of(interaction: Interaction) -> Actor:
    return Actor(user_id=interaction.user.id, name=f"<@{interaction.user.id}>")


async def cancel(interaction: Interaction, job: Job) -> None:
    """Raises UserError where it is over."""
    if not await interaction.client.services.dispatcher.cancel(job.id, by=actor_of(interaction)):
        done = job.state in (JobState.RENDERED, JobState.DELIVERED)
        raise UserError(problems.finished_before if done else problems.over_before)


async def removed(removal: Awaitable[None]) -> None:
    """Raises UserError where a message can't go."""
    try:
        await removal
    except Irremovable as problem:
        raise UserError(partial(not_removed, problem)) from problem


def may_see(interaction: Interaction, job: Job) -> bool:
    """Whether who asks could read the job's message: its own person always, others as Discord lets them look there.

    Of an archived thread Discord tells us nothing: its pictures are shown again by their person, or there.
    """
    guild, member = interaction.guild, interaction.user
    if member.id == job.user_id or interaction.channel_id == job.channel_id:
        return True
    if job.is_direct or guild is None or not isinstance(member, discord.Member):
        return False
    place = guild.get_channel_or_thread(job.channel_id)
    if place is None:
        return False
    allowed = place.permissions_for(member)
    if isinstance(place, discord.Thread) and place.is_private():
        return allowed.manage_threads
    return allowed.view_channel
