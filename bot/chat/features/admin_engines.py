"""/admin engine: which engines there are, which of them draw, and starting them anew: the operator's, for all servers."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import discord
from discord import app_commands
from discord.app_commands import Range

from bot.chat import order
from bot.chat.client import EaselClient, Interaction
from bot.chat.errors import UserError, language_of, say_done
from bot.chat.features.admin import check_operator, group
from bot.chat.look.safe import fitting, plain
from bot.chat.router import Feature
from bot.core.engines.fleet import HELD_ENGINES, written
from bot.core.engines.status import EngineView
from bot.store.audit import Deed
from bot.store.halts import EVERYWHERE
from bot.texts import commands, operations
from bot.texts.language import Language

NUMBER_MAX = 999

engine = app_commands.Group(name="engine", description=commands.ADMIN_ENGINE, parent=group)


@engine.command(name="show", description=commands.ADMIN_ENGINE_SHOW)
async def show(interaction: discord.Interaction[EaselClient]) -> None:
    check_operator(interaction)
    to = language_of(interaction)
    there = interaction.client.services.dispatcher.fleet.engines
    offered = [model.id for model in interaction.client.services.catalogue.models]
    lines = [operations.engine_line(each.number, _facts(each, there, offered, to)) for each in there]
    await interaction.response.send_message(fitting([operations.engine_head(to), *lines], to), ephemeral=True)


@engine.command(name="pause", description=commands.ADMIN_ENGINE_PAUSE)
@app_commands.describe(**commands.ADMIN_ENGINE_OPTIONS)
async def pause(interaction: discord.Interaction[EaselClient], number: Range[int, 1, NUMBER_MAX]) -> None:
    chosen = _numbered(interaction, number)
    if chosen.is_held:
        raise UserError(operations.engine_paused_before(number))
    others = [each for each in _engines(interaction) if each.number != number and not each.is_held]
    if not any(each.status.is_ready for each in others):
        raise UserError(operations.engine_the_last_one)
    await _hold(interaction, {number, *_held(interaction)}, Deed.ENGINE_PAUSED, number)
    await say_done(interaction, operations.engine_paused(number, chosen.aboard, language_of(interaction)))


@engine.command(name="resume", description=commands.ADMIN_ENGINE_RESUME)
@app_commands.describe(**commands.ADMIN_ENGINE_OPTIONS)
async def resume(interaction: discord.Interaction[EaselClient], number: Range[int, 1, NUMBER_MAX]) -> None:
    if not _numbered(interaction, number).is_held:
        raise UserError(operations.engine_not_paused(number))
    await _hold(interaction, _held(interaction) - {number}, Deed.ENGINE_RESUMED, number)
    await say_done(interaction, operations.engine_resumed(number, language_of(interaction)))


@engine.command(name="restart", description=commands.ADMIN_ENGINE_RESTART)
@app_commands.describe(**commands.ADMIN_ENGINE_RESTART_OPTIONS)
async def restart(
    interaction: discord.Interaction[EaselClient], number: Range[int, 1, NUMBER_MAX] | None = None
) -> None:
    check_operator(interaction)
    chosen = [_numbered(interaction, number)] if number is not None else _engines(interaction)
    services = interaction.client.services
    entry = order.deed(interaction, EVERYWHERE, Deed.ENGINES_RESTARTED, engine=number or 0)
    await services.store.audit.write(entry)
    services.dispatcher.fleet.renew([each.number for each in chosen])
    await say_done(interaction, operations.engine_restarting(len(chosen), language_of(interaction)))


# ------------------------------------------------------------------ parts


def _engines(interaction: Interaction) -> Sequence[EngineView]:
    return interaction.client.services.dispatcher.fleet.engines


def _numbered(interaction: Interaction, number: int) -> EngineView:
    """Raises UserError where there is none of that number, or for whom it is not theirs to say."""
    check_operator(interaction)
    there = _engines(interaction)
    if number > len(there):
        raise UserError(operations.no_such_engine(number, len(there)))
    return there[number - 1]


def _held(interaction: Interaction) -> set[int]:
    return {each.number for each in _engines(interaction) if each.is_held}


async def _hold(interaction: Interaction, numbers: Collection[int], what: Deed, number: int) -> None:
    """The note says so first: it holds through a restart of the bot."""
    services = interaction.client.services
    entry = order.deed(interaction, EVERYWHERE, what, engine=number)
    await services.store.settings.set_note(HELD_ENGINES, written(numbers), entry)
    services.dispatcher.fleet.hold(numbers)
    services.dispatcher.engines_changed()


def _facts(
    one: EngineView, there: Sequence[EngineView], offered: Sequence[str], to: Language
) -> Sequence[str]:
    status = one.status
    own = {model.id for model in status.models}
    lacking = [model for model in offered if model not in own] if own else []
    equal = [each.number for each in there if each.kind == one.kind and each is not one] if one.kind else []
    known = [each for each in there if each.kind]
    return [
        operations.engine_state(one, to),
        *([plain(status.ready.device)] if status.ready is not None else []),
        *([operations.engine_draws(one.aboard, to)] if status.is_ready else []),
        *(
            [operations.engine_has_loaded([plain(model) for model in status.loaded], to)]
            if status.loaded
            else []
        ),
        *([operations.engine_lacks([plain(model) for model in lacking], to)] if lacking else []),
        *([operations.engine_equals(equal, to)] if one.kind and len(known) > 1 else []),
    ]


FEATURE = Feature()
