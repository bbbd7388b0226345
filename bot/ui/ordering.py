"""From a checked request to a job in line: admit, answer with a real message, hand over. One way for all."""

from __future__ import annotations

import aiohttp
import discord
import structlog

from bot.core.policy import Refused
from bot.jobs import Action, Origin, Owner
from bot.ui.client import Interaction
from bot.ui.errors import UserError
from bot.ui.messages import live_view
from engine.contract import GenerationRequest
from engine.failpoints import Failpoint, reach

log = structlog.get_logger(__name__)

ALREADY_ACKNOWLEDGED = 40060


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
        if job.is_repetition:
            log.info("interaction_repeated", interaction=interaction.id)
            return
        raise UserError(job.reason)
    try:
        view = live_view(job, dispatcher.progress_of(job))
        response = await interaction.response.send_message(view=view)
    except discord.HTTPException as error:
        log.warning("answer_failed", job=job.id, status=error.status, code=error.code)
        if error.status < 500 and error.code != ALREADY_ACKNOWLEDGED:
            await dispatcher.unanswered(job)
        else:
            dispatcher.answer_unknown(job)
    except (aiohttp.ClientError, OSError) as error:
        log.warning("answer_lost", job=job.id, error=repr(error))
        dispatcher.answer_unknown(job)
    except Exception:  # a bug of ours: the job must not stay behind unseen and charged
        await dispatcher.unanswered(job)
        raise
    else:
        assert response.message_id is not None
        reach(Failpoint.ANSWERED)
        await dispatcher.answered(job, response.message_id)


def _origin(interaction: Interaction) -> Origin:
    assert interaction.channel_id is not None
    return Origin(
        interaction_id=interaction.id,
        application_id=interaction.application_id,
        token=interaction.token,
        channel_id=interaction.channel_id,
    )
