"""/admin: what a server's admins do about its requests, and the operator about all. Who may is checked here, not only hinted at."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.app_commands import Range

from bot.chat import order
from bot.chat.client import EaselClient, Interaction
from bot.chat.errors import UserError, language_of, say_done
from bot.chat.look.safe import shown
from bot.chat.operator import runs_the_bot
from bot.chat.router import IN_SERVERS, Feature
from bot.core.engines.status import EngineStatus
from bot.store.audit import Deed
from bot.store.halts import EVERYWHERE, Halt
from bot.texts import commands, operations
from engine.contract import Unload

REASON_CHARS_MAX = 200

group = app_commands.Group(
    name="admin",
    description=commands.ADMIN,
    allowed_contexts=IN_SERVERS,
    default_permissions=discord.Permissions(manage_guild=True),
)


@group.command(description=commands.ADMIN_PAUSE)
@app_commands.describe(**commands.ADMIN_PAUSE_OPTIONS)
async def pause(
    interaction: discord.Interaction[EaselClient],
    reason: Range[str, 1, REASON_CHARS_MAX],
    everywhere: bool = False,
) -> None:
    place, to = concerned(interaction, everywhere=everywhere), language_of(interaction)
    halt = _halt(interaction, place, reason)
    before = await interaction.client.services.halting.halt(halt)
    was_paused = before is not None and not before.is_draining
    told = operations.paused(halt.reason, to, is_everywhere=everywhere, was_paused=was_paused)
    await say_done(interaction, told)


@group.command(description=commands.ADMIN_DRAIN)
@app_commands.describe(**commands.ADMIN_DRAIN_OPTIONS)
async def drain(
    interaction: discord.Interaction[EaselClient], reason: Range[str, 1, REASON_CHARS_MAX]
) -> None:
    place = concerned(interaction, everywhere=True)
    await interaction.client.services.halting.halt(_halt(interaction, place, reason, is_draining=True))
    await say_done(interaction, operations.draining(language_of(interaction)))


@group.command(description=commands.ADMIN_RESUME)
@app_commands.describe(**commands.ADMIN_RESUME_OPTIONS)
async def resume(interaction: discord.Interaction[EaselClient], everywhere: bool = False) -> None:
    place, services = concerned(interaction, everywhere=everywhere), interaction.client.services
    is_lifted = await services.halting.lift(place, by_user_id=interaction.user.id, now=services.clock.now())
    is_halted_still = services.halting.halted(place) is not None
    if everywhere:
        say, nothing = operations.resumed_everywhere, operations.nothing_paused_anywhere
    elif is_halted_still:
        say, nothing = operations.resumed_here_alone, operations.paused_by_the_operator
    else:
        say, nothing = operations.resumed_here, operations.nothing_paused_here
    if not is_lifted:
        raise UserError(nothing)
    await say_done(interaction, say(language_of(interaction)))


@group.command(description=commands.ADMIN_FREE)
async def free(interaction: discord.Interaction[EaselClient]) -> None:
    check_operator(interaction)
    services, to = interaction.client.services, language_of(interaction)
    status = engine_at_hand(interaction)
    if not status.loaded:
        raise UserError(operations.nothing_loaded)
    await services.store.audit.write(order.deed(interaction, EVERYWHERE, Deed.FREED))
    services.dispatcher.fleet.send(Unload())
    await say_done(interaction, operations.freeing(len(services.dispatcher.line()), to))


# ------------------------------------------------------------------ parts


def engine_at_hand(interaction: Interaction) -> EngineStatus:
    """Raises UserError while it is not there."""
    status = interaction.client.services.dispatcher.fleet.status
    if not status.is_ready:
        raise UserError(operations.no_engine)
    return status


def concerned(interaction: Interaction, *, everywhere: bool) -> int:
    """The server in question, or EVERYWHERE; raises UserError for whom it is not theirs to decide."""
    if not everywhere:
        return order.managed(interaction)
    check_operator(interaction)
    return EVERYWHERE


def check_operator(interaction: Interaction) -> None:
    if not runs_the_bot(interaction.client, interaction.user.id):
        raise UserError(operations.only_the_operator)


def _halt(interaction: Interaction, place: int, reason: str, *, is_draining: bool = False) -> Halt:
    """Raises UserError for a reason that says nothing."""
    if not (said := shown(reason)):
        raise UserError(operations.say_why)
    return Halt(
        guild_id=place,
        reason=said,
        is_draining=is_draining,
        by_user_id=interaction.user.id,
        at=interaction.client.services.clock.now(),
    )


FEATURE = Feature(commands=(group,))
