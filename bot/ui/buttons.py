"""The buttons under a job's message: looks and ids. What a press does is in `presses`.

Ids carry the job's number only, and the class is registered once, so every button ever posted works
after any restart.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any, Self

import discord
from discord import ui


class Press(StrEnum):
    REROLL = "reroll"
    INFO = "info"
    DELETE = "delete"
    CANCEL = "cancel"
    FETCH = "fetch"
    """Shows its person the images of a job that could not be posted."""


_LOOKS: dict[Press, tuple[str, str, discord.ButtonStyle]] = {
    Press.REROLL: ("Reroll", "🔄", discord.ButtonStyle.primary),
    Press.INFO: ("Info", "ℹ️", discord.ButtonStyle.secondary),
    Press.DELETE: ("Delete", "🗑️", discord.ButtonStyle.secondary),
    Press.CANCEL: ("Cancel", "✖️", discord.ButtonStyle.danger),
    Press.FETCH: ("Show", "📥", discord.ButtonStyle.secondary),
}


class JobButton(
    ui.DynamicItem[ui.Button[Any]],
    template=r"easel:(?P<press>reroll|info|delete|cancel|fetch):(?P<job>[0-9]{1,18})",
):
    """One button; registered once, it answers every message ever posted."""

    def __init__(self, button: ui.Button[Any], press: Press, job_id: int) -> None:
        super().__init__(button)
        self.press = press
        self.job_id = job_id

    @classmethod
    def make(cls, press: Press, job_id: int, *, suffix: str = "") -> JobButton:
        label, emoji, style = _LOOKS[press]
        label += suffix
        button = ui.Button[Any](label=label, emoji=emoji, style=style, custom_id=f"easel:{press}:{job_id}")
        return cls(button, press, job_id)

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        assert isinstance(item, ui.Button)
        return cls(item, Press(match["press"]), int(match["job"]))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        await interaction.client.desk.press(interaction, self.press, self.job_id)
