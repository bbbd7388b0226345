"""What is offered while an option is being typed: models and all else to draw with, styles; by name and what is said of them."""

from __future__ import annotations

from collections.abc import Iterable

from discord.app_commands import Choice

from bot.chat.client import Interaction
from bot.chat.errors import language_of
from bot.chat.look.safe import cut
from bot.chat.order import asker_of
from bot.core.asking.offer import Kind, Offer
from bot.texts.language import Language
from bot.texts.offers import said_of

CHOICES_MAX = 25
CHOICE_CHARS_MAX = 100


async def models(interaction: Interaction, current: str) -> list[Choice[str]]:
    """Those that who types may draw with."""
    permits = await interaction.client.services.admission.permits(asker_of(interaction))
    offered = (
        offer
        for offer in interaction.client.services.catalogue.offers
        if offer.model is not None and permits.allows_model(offer.name, scale=offer.model.scale)
    )
    return _choices(offered, current, language_of(interaction))


async def every_model(interaction: Interaction, current: str) -> list[Choice[str]]:
    offered = (offer for offer in interaction.client.services.catalogue.offers if offer.kind is Kind.MODEL)
    return _choices(offered, current, language_of(interaction))


async def open_to(interaction: Interaction) -> list[Offer]:
    """What is offered, but for LoRAs that people taught and do not share with this person."""
    permits = await interaction.client.services.admission.permits(asker_of(interaction))
    found = interaction.client.services.catalogue.offers
    return [offer for offer in found if offer.kind is not Kind.LORA or not permits.is_closed(offer.name)]


async def offers(interaction: Interaction, current: str) -> list[Choice[str]]:
    """Whatever can be drawn with, by its name and all that is said of it."""
    return _choices(await open_to(interaction), current, language_of(interaction))


def _choices(offers: Iterable[Offer], current: str, to: Language) -> list[Choice[str]]:
    wanted = current.casefold()
    choices: dict[str, Choice[str]] = {}
    for offer in offers:
        told = " – ".join(part for part in (offer.title, to.listed(offer.words), said_of(offer, to)) if part)
        if wanted in f"{told}\n{offer.name}".casefold() and len(offer.name) <= CHOICE_CHARS_MAX:
            choices.setdefault(offer.name, Choice(name=cut(told, CHOICE_CHARS_MAX), value=offer.name))
        if len(choices) == CHOICES_MAX:
            break
    return [*choices.values()]


async def styles(interaction: Interaction, current: str) -> list[Choice[str]]:
    known = await interaction.client.services.styles(asker_of(interaction).guild_id)
    wanted = current.casefold()
    return [
        Choice(name=cut(f"{style.name} – {style.prompt}", CHOICE_CHARS_MAX), value=style.name)
        for style in known
        if wanted in style.name.casefold()
    ][:CHOICES_MAX]
