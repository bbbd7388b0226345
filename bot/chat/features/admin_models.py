"""/admin models: what lies in memory, and what is used where none is named: the operator's, for all servers."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.app_commands import Range

from bot.chat import order, suggestions
from bot.chat.client import EaselClient, Interaction
from bot.chat.errors import UserError, language_of, say_done
from bot.chat.features.admin import check_operator, engine_at_hand, group
from bot.chat.look.safe import fitting, plain
from bot.chat.router import Feature
from bot.core.asking.catalogue import DEFAULT_MODEL
from bot.store.audit import Deed
from bot.store.halts import EVERYWHERE
from bot.texts import commands, newcomers, operations
from bot.texts.examples import drawing
from engine.contract import Load, ModelInfo, Unload

NAME_CHARS_MAX = 100

models = app_commands.Group(name="models", description=commands.ADMIN_MODELS, parent=group)


@models.command(name="show", description=commands.ADMIN_MODELS_SHOW)
async def show(interaction: discord.Interaction[EaselClient]) -> None:
    check_operator(interaction)
    status, to = engine_at_hand(interaction), language_of(interaction)
    offered = interaction.client.services.catalogue.models
    lines = [
        operations.model(
            plain(model.title),
            [
                *([operations.loaded(to)] if model.id in status.loaded else []),
                *([newcomers.used_where_none_is_named(to)] if model is offered[0] else []),
            ],
        )
        for model in offered
    ]
    device = "" if status.ready is None else plain(status.ready.device)
    await interaction.response.send_message(
        fitting([operations.device(device, to), *lines], to), ephemeral=True
    )


@models.command(name="load", description=commands.ADMIN_MODELS_LOAD)
@app_commands.describe(**commands.ADMIN_MODELS_OPTIONS)
async def load(interaction: discord.Interaction[EaselClient], name: Range[str, 1, NAME_CHARS_MAX]) -> None:
    model, is_loaded = _named(interaction, name)
    if is_loaded:
        raise UserError(operations.loaded_before(plain(model.title)))
    services = interaction.client.services
    await _write(interaction, Deed.MODEL_LOADED, model)
    services.dispatcher.fleet.send(Load(model=model.id))
    await say_done(interaction, operations.loading(plain(model.title), language_of(interaction)))


@models.command(name="unload", description=commands.ADMIN_MODELS_UNLOAD)
@app_commands.describe(**commands.ADMIN_MODELS_OPTIONS)
async def unload(interaction: discord.Interaction[EaselClient], name: Range[str, 1, NAME_CHARS_MAX]) -> None:
    model, is_loaded = _named(interaction, name)
    if not is_loaded:
        raise UserError(operations.not_loaded(plain(model.title)))
    await _write(interaction, Deed.MODEL_UNLOADED, model)
    interaction.client.services.dispatcher.fleet.send(Unload(model=model.id))
    await say_done(interaction, operations.unloading(plain(model.title), language_of(interaction)))


@models.command(name="default", description=commands.ADMIN_MODELS_DEFAULT)
@app_commands.describe(**commands.ADMIN_MODELS_OPTIONS)
async def default(interaction: discord.Interaction[EaselClient], name: Range[str, 1, NAME_CHARS_MAX]) -> None:
    model, _ = _named(interaction, name)
    if model not in drawing([model]):
        raise UserError(operations.draws_nothing(plain(model.title)))
    services = interaction.client.services
    entry = order.deed(interaction, EVERYWHERE, Deed.DEFAULT_MODEL, model=model.id)
    await services.store.settings.set_note(DEFAULT_MODEL, model.id, entry)
    services.catalogue.prefer(model.id)
    await say_done(interaction, operations.default_now(plain(model.title), language_of(interaction)))


def _named(interaction: Interaction, name: str) -> tuple[ModelInfo, bool]:
    """The model, and whether it is loaded. Raises UserError, or Unmet where there is none of that name."""
    check_operator(interaction)
    status = engine_at_hand(interaction)
    model = interaction.client.services.catalogue.model(name)
    return model, model.id in status.loaded


async def _write(interaction: Interaction, what: Deed, model: ModelInfo) -> None:
    entry = order.deed(interaction, EVERYWHERE, what, model=model.id)
    await interaction.client.services.store.audit.write(entry)


load.autocomplete("name")(suggestions.every_model)
unload.autocomplete("name")(suggestions.every_model)
default.autocomplete("name")(suggestions.every_model)

FEATURE = Feature()
