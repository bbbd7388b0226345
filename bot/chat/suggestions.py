"""What is offered while an option is being typed: models and styles, by their names and what is said of them."""

from __future__ import annotations

from discord.app_commands import Choice

from bot.chat.client import Interaction
from bot.chat.errors import language_of
from bot.chat.look.safe import cut
from bot.chat.order import asker_of
from bot.texts.help import description

CHOICES_MAX = 25
CHOICE_CHARS_MAX = 100


async def models(interaction: Interaction, current: str) -> list[Choice[str]]:
    to = language_of(interaction)
    titles = {
        model.id: f"{model.title} – {said}" if (said := description(model, to)) else model.title
        for model in interaction.client.services.catalogue.models
    }
    wanted = current.casefold()
    return [
        Choice(name=cut(title, CHOICE_CHARS_MAX), value=model_id)
        for model_id, title in titles.items()
        if wanted in title.casefold() or wanted in model_id.casefold()
    ][:CHOICES_MAX]


async def styles(interaction: Interaction, current: str) -> list[Choice[str]]:
    known = await interaction.client.services.styles(asker_of(interaction).guild_id)
    wanted = current.casefold()
    return [
        Choice(name=cut(f"{style.name} – {style.prompt}", CHOICE_CHARS_MAX), value=style.name)
        for style in known
        if wanted in style.name.casefold()
    ][:CHOICES_MAX]
