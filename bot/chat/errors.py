"""Who is told what when something is refused or goes wrong: one ephemeral sentence, never a traceback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import aiohttp
import discord
import structlog
from discord import app_commands

from bot.chat import ids
from bot.chat.delivery.uploads import ImageTooLarge
from bot.chat.outages import is_weather, told
from bot.chat.rival import ALREADY_ACKNOWLEDGED
from bot.core.asking.refused import Refused, Unmet
from bot.core.happenings import RequestRefused
from bot.job import Reason, ReasonCode
from bot.store.db import DatabaseError, Unusable
from bot.texts import problems
from bot.texts.contract import invalid
from bot.texts.language import ENGLISH, Language, Say, language
from bot.texts.refusals import refusal
from engine.contract import InvalidRequest

log = structlog.get_logger(__name__)

BLOCKED_BY_AUTOMOD = Reason.of(ReasonCode.BLOCKED)
BLOCKED = frozenset({200000, 200001, 240000})
"""By AutoMod: for a text, a title, a harmful link."""
TEXT_MAX = 2000
"""Characters of a message, as Discord counts them."""
LOST = (discord.HTTPException, aiohttp.ClientError, OSError)
"""How an answer gets lost: refused, too late, or on the way (a timeout is an OSError)."""


class UserError(Exception):
    """A refusal; what is shown is said in the language of whoever reads it."""

    def __init__(self, say: Say, refused: Refused | None = None) -> None:
        super().__init__(say(ENGLISH))
        self.say = say
        self.refused = refused

    @classmethod
    def of(cls, refused: Refused) -> Self:
        return cls(lambda to: refusal(refused, to), refused)


def language_of(interaction: discord.Interaction[Any]) -> Language:
    """What its person has their Discord in."""
    return language(str(interaction.locale.value))


def is_blocked(error: discord.HTTPException) -> bool:
    """Whether AutoMod, or whoever runs the server, does not want this text there."""
    return error.code in BLOCKED


def sentence_for(error: BaseException, to: Language) -> str | None:
    """The sentence for an error that is no bug of ours; None for one that is."""
    match error:
        case app_commands.CommandInvokeError():
            return sentence_for(error.original, to)
        case InvalidRequest():
            return invalid(error, to)
        case Unmet():
            return refusal(error.refused, to)
        case UserError():
            return error.say(to)
        case ImageTooLarge():
            return problems.fits_nowhere(to)
        case _:
            say = _say_for(error)
            return None if say is None else say(to)


def _say_for(error: BaseException) -> Say | None:
    match error:
        case Unusable():
            return problems.needs_repair
        case DatabaseError():
            return problems.busy
        case app_commands.NoPrivateMessage():
            return problems.command_only_in_servers
        case app_commands.TransformerError():
            return problems.not_taken_by_option(str(error.value)[:60])
        case app_commands.CheckFailure():
            return problems.not_allowed_here
        case app_commands.CommandNotFound() | app_commands.CommandSignatureMismatch():
            return problems.older_form
        case discord.HTTPException() if is_blocked(error):
            return problems.blocked_text
        case _:
            return problems.discord_unreachable if is_weather(error) else None


async def answer_error(interaction: discord.Interaction[Any], error: BaseException) -> None:
    """Tells the person; logs only what nobody expected, and warns the operator of a damaged database."""
    cause = _cause(error)
    if interaction.client.is_closed():  # there is no session any more in which anybody could be told
        log.info("answer_lost", interaction=interaction.id, error=str(cause), reason="the bot ends")
        return
    if isinstance(cause, discord.HTTPException) and cause.code == ALREADY_ACKNOWLEDGED:
        log.warning("answer_lost", interaction=interaction.id, status=cause.status, code=cause.code)
        if (rival := getattr(interaction.client, "rival", None)) is not None:
            rival.was_faster(interaction.id)
        return
    if (why := _refused(cause)) is not None:
        interaction.client.services.tell(RequestRefused(what=_asked(interaction), why=why))
    to = language_of(interaction)
    sentence = sentence_for(error, to)
    if sentence is None:
        log.error("interaction_failed", exc_info=error, interaction=interaction.id)
        sentence = problems.our_fault(to)
    await tell(interaction, sentence)
    if isinstance(cause, Unusable):
        await interaction.client.services.dispatcher.errands.warn_of_damage(str(cause))


def _cause(error: BaseException) -> BaseException:
    return error.original if isinstance(error, app_commands.CommandInvokeError) else error


def _refused(error: BaseException) -> Refused | InvalidRequest | None:
    """Why nothing is drawn, where a picture was asked for."""
    match error:
        case InvalidRequest():
            return error
        case Unmet() | UserError():
            return error.refused
        case _:
            return None


def _asked(interaction: discord.Interaction[Any]) -> str:
    """The command, or the verb of what was pressed."""
    if interaction.command is not None:
        return interaction.command.qualified_name
    data: Mapping[str, Any] = interaction.data or {}
    read = ids.read(str(data.get("custom_id", "")))
    return read.verb if isinstance(read, ids.OfJob) else "other"


async def say_done(
    interaction: discord.Interaction[Any],
    text: str | None = None,
    *,
    view: discord.ui.LayoutView | None = None,
) -> None:
    """Answers for something that is done, without a text as a mere press: that the answer got lost undoes nothing.

    `view`: what the message shows from now on in which it was pressed; its files go.
    """
    try:
        if view is not None:
            await interaction.response.edit_message(view=view, attachments=[])
        elif text is None:
            await interaction.response.defer()
        elif interaction.response.type is discord.InteractionResponseType.deferred_channel_message:
            await interaction.edit_original_response(content=text)
        else:
            await interaction.response.send_message(text, ephemeral=True)
    except LOST as problem:
        log.info("done_but_not_told", interaction=interaction.id, error=told(problem))


async def tell(interaction: discord.Interaction[Any], text: str) -> None:
    """One text, cut where Discord would refuse it, whether or not the interaction was answered before; a lost interaction is no error.

    Only its person sees it, unless others saw already that the answer was deferred: then it becomes that answer.
    """
    text = text[:TEXT_MAX]
    try:
        match interaction.response.type:
            case None:
                await interaction.response.send_message(text, ephemeral=True)
            case discord.InteractionResponseType.deferred_channel_message:
                await interaction.edit_original_response(content=text)
            case _:
                await interaction.followup.send(text, ephemeral=True)
    except LOST as problem:
        log.warning("answer_lost", interaction=interaction.id, error=told(problem))
