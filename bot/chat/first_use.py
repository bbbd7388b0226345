"""The hint that a person gets once, behind the answer to their first /imagine. Knows no job."""

from __future__ import annotations

import structlog

from bot.chat.client import Interaction
from bot.chat.errors import language_of
from bot.texts import newcomers as texts

log = structlog.get_logger(__name__)


async def hint(interaction: Interaction) -> None:
    """For their eyes only. The picture is in line by now, so whatever goes wrong here is nobody's trouble."""
    services = interaction.client.services
    key, notes = f"hinted {interaction.user.id}", services.store.settings
    try:
        if not interaction.response.is_done() or await notes.note(key) is not None:
            return
        if await notes.first_time(key, now=services.clock.now()):
            await interaction.followup.send(texts.first_use(language_of(interaction)), ephemeral=True)
    except Exception as error:  # noqa: BLE001 - whatever it is, the person's picture comes
        log.warning("hint_lost", interaction=interaction.id, error=repr(error))
