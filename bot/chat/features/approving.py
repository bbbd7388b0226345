"""Approve and Remove: what moderators decide about flagged pictures that are held for them."""

from __future__ import annotations

from bot.chat import order
from bot.chat.client import Interaction
from bot.chat.errors import UserError, say_done
from bot.chat.ids import Verb
from bot.chat.look import review_view
from bot.chat.router import Feature
from bot.job import Job
from bot.store.audit import Deed
from bot.texts import flagged_pictures
from bot.texts.language import language


async def approve(interaction: Interaction, job: Job, _image: int | None) -> None:
    await _decide(interaction, job, is_approved=True)


async def drop(interaction: Interaction, job: Job, _image: int | None) -> None:
    await _decide(interaction, job, is_approved=False)


async def _decide(interaction: Interaction, job: Job, *, is_approved: bool) -> None:
    """Once: the message of the moderators says who did, and shows the pictures no longer."""
    order.check_moderator(interaction)
    reviews = interaction.client.services.dispatcher.reviews
    deed = Deed.APPROVED if is_approved else Deed.WITHHELD
    entry = order.deed_about(interaction, job, deed)
    if not job.is_in_review or not await reviews.decide(job, entry, approved=is_approved):
        raise UserError(flagged_pictures.decided_before)
    to = language(str(interaction.guild_locale))
    view = review_view.decided(job, f"<@{interaction.user.id}>", to, is_approved=is_approved)
    await say_done(interaction, view=view)


FEATURE = Feature(presses={Verb.SHOW_HELD: approve, Verb.DROP_HELD: drop})
