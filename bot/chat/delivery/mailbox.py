"""What stands in direct messages for want of a place that nobody else sees: a private job's message. Knows no picture.

The bot sends it by itself, with a nonce by which Discord drops a repetition, and knows it again by the mark of its first
component. The interaction that asked for it is answered where it was asked, with the way here.
"""

from __future__ import annotations

from collections.abc import Sequence

import discord

from bot.chat.look import gathered, job_view
from bot.job import Job

CLOSED = (50007, 50278)
"""The person takes no direct messages from us, or shares no server with us any more."""


async def mailbox_of(client: discord.Client, user_id: int) -> int:
    """The channel of a person's direct messages; that it takes any is known once one was sent."""
    return (await client.create_dm(discord.Object(user_id))).id


async def send(client: discord.Client, jobs: Sequence[Job], view: discord.ui.LayoutView) -> int:
    """The message of these jobs, of one interaction; its id. Raises what Discord refuses."""
    channel = client.get_partial_messageable(jobs[0].channel_id)
    return (await channel.send(view=view, nonce=f"p-{jobs[0].interaction_id}")).id


def is_closed(error: BaseException) -> bool:
    """Whether it is the person's own wish that nothing reaches them."""
    return isinstance(error, discord.Forbidden) and error.code in CLOSED


def is_message_of(message: discord.Message, job: Job) -> bool:
    """Whether this one, of ours, is the job's or gathers it."""
    mark = (gathered if job.is_gathered else job_view).mark_of(job)
    return any(getattr(component, "id", None) == mark for component in message.components)
