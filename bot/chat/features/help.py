"""/help: what this server's models and limits are right now, what else there is, and examples that a button draws."""

from __future__ import annotations

import discord
from discord import app_commands

from bot.chat import order
from bot.chat.client import EaselClient, Interaction
from bot.chat.errors import UserError, language_of
from bot.chat.ids import Verb
from bot.chat.look.help_view import Here, help_
from bot.chat.router import Feature
from bot.core.asking.asked import parse
from bot.core.asking.wish import Wish
from bot.texts import allowances, commands, problems
from bot.texts import newcomers as texts
from bot.texts.examples import EXAMPLES, drawing, draws_it, numbers_for
from bot.texts.why_waiting import held_up as held_up_in_words
from engine.contract import ModelInfo


@app_commands.command(name="help", description=commands.HELP)
async def show_help(interaction: discord.Interaction[EaselClient]) -> None:
    asker, to = order.asker_of(interaction), language_of(interaction)
    services = interaction.client.services
    await services.catalogue.described()
    models = services.catalogue.models
    first, held_up = next(iter(drawing(models)), None), services.dispatcher.held_up(asker.guild_id)
    can_draw = services.catalogue.why_nothing_is_drawn() is None
    allowance = await services.admission.allowance(asker)
    here = Here(
        models=models,
        problem="" if held_up is None else held_up_in_words(held_up, to, is_own=False),
        allowance=allowances.quota(allowance, to),
        examples=numbers_for(first.id) if first is not None and can_draw else (),
        may_teach=services.training.offered is None and allowance.limits.trainings > 0,
        is_admin=interaction.permissions.manage_guild,
    )
    await interaction.response.send_message(view=help_(here, to), ephemeral=True)


async def draw(interaction: Interaction, number: int) -> None:
    """An example, as if who presses had typed it."""
    if number >= len(EXAMPLES):
        raise UserError(problems.newer_button)
    asker = await order.check(interaction)
    model = _model_for(interaction, number)
    (typed,) = parse(Wish(prompt=EXAMPLES[number].prompt, model=model.id), most=1).wishes
    wish = await order.preferred(interaction, asker, typed)
    await order.draw(interaction, asker, wish, model)


def _model_for(interaction: Interaction, number: int) -> ModelInfo:
    """Raises UserError where none of that kind is offered any more, and Unmet where nothing is."""
    catalogue = interaction.client.services.catalogue
    catalogue.model()
    model = draws_it(EXAMPLES[number], catalogue.models)
    if model is None:
        raise UserError(texts.example_gone)
    return model


FEATURE = Feature(commands=(show_help,), numbers={Verb.EXAMPLE: draw})  # pyright: ignore[reportUnknownArgumentType] - discord.py leaves its group open
