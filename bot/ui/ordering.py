"""From a checked request to a job in line: admit, answer with a real message, hand over. One way for all."""

from __future__ import annotations

import asyncio

import aiohttp
import discord
import structlog

from bot.core.policy import Refused
from bot.jobs import Action, Origin, Owner
from bot.ui.client import Interaction
from bot.ui.errors import UserError
from bot.ui.messages import live_view
from engine.contract import GenerationRequest

log = structlog.get_logger(__name__)

ANSWER_FAILURES = (discord.HTTPException, aiohttp.ClientError, asyncio.TimeoutError, OSError)


def owner_of(interaction: Interaction) -> Owner:
    """Who asks; raises UserError outside a server."""
    user = interaction.user
    if interaction.guild_id is None or not isinstance(user, discord.Member):
        raise UserError("Use this in a server, not in a direct message.")
    return Owner(
        user_id=user.id, guild_id=interaction.guild_id, role_ids=tuple(role.id for role in user.roles)
    )


async def check_order(interaction: Interaction) -> None:
    """What must hold before a request is even read: who, where, and an engine that said what it offers."""
    owner_of(interaction)
    check_place(interaction)
    await interaction.client.desk.dispatcher.gate.described()


def check_place(interaction: Interaction) -> None:
    """Raises UserError where the finished images could not be posted."""
    allowed = interaction.app_permissions
    missing = [
        name
        for name, granted in (("View Channel", allowed.view_channel), ("Attach Files", allowed.attach_files))
        if not granted
    ]
    if missing:
        raise UserError(
            f"I may not post images here: ask an admin to give me {' and '.join(missing)} in this channel."
        )


async def place_order(
    interaction: Interaction,
    request: GenerationRequest,
    *,
    action: Action = Action.IMAGINE,
    parent_id: int | None = None,
) -> None:
    """Stores, answers and queues a job; raises UserError with the reason when it is refused."""
    await check_order(interaction)
    owner = owner_of(interaction)
    dispatcher = interaction.client.desk.dispatcher
    dispatcher.gate.check_offered(request)
    job = await dispatcher.gate.admit(
        request, owner=owner, origin=_origin(interaction), action=action, parent_id=parent_id
    )
    if isinstance(job, Refused):
        raise UserError(job.reason)
    try:
        response = await interaction.response.send_message(view=live_view(job, dispatcher.progress_of(job)))
        message_id = response.message_id
    except ANSWER_FAILURES as error:
        log.warning("answer_failed", job=job.id, error=repr(error))
        message_id = await _find_answer(interaction)
    except Exception:  # a bug of ours: the job must not stay behind unseen and charged
        await dispatcher.unanswered(job)
        raise
    if message_id is None:
        await dispatcher.unanswered(job)
    else:
        await dispatcher.answered(job, message_id)


def _origin(interaction: Interaction) -> Origin:
    assert interaction.channel_id is not None
    return Origin(
        interaction_id=interaction.id,
        application_id=interaction.application_id,
        token=interaction.token,
        channel_id=interaction.channel_id,
    )


async def _find_answer(interaction: Interaction) -> int | None:
    """Discord may have taken the answer although its reply was lost."""
    try:
        return (await interaction.original_response()).id
    except (*ANSWER_FAILURES, discord.ClientException):
        return None
