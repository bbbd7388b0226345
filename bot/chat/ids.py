"""The buttons under a job's message: looks and ids. What a press does is in `presses`.

Ids carry a verb, the job's number and perhaps that of one of its images, and the class is registered once, so every
button ever posted works after any restart: `easel:1:VERB:JOB[:IMAGE]`, and those of the first checkouts, without the 1.
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
    template=(
        rf"easel:(?P<now>1:)?(?P<press>{'|'.join(Press)}):(?P<job>[0-9]{{1,18}})(?(now)(?::(?P<image>[0-9]{{1,3}}))?)"
    ),
):
    """One button; registered once, it answers every message ever posted."""

    def __init__(self, button: ui.Button[Any], press: Press, job_id: int, image: int | None = None) -> None:
        """`image`: which of the job's, counted from 0; None for all of it."""
        super().__init__(button)
        self.press = press
        self.job_id = job_id
        self.image = image

    @classmethod
    def make(cls, press: Press, job_id: int, image: int | None = None, *, suffix: str = "") -> JobButton:
        label, emoji, style = _LOOKS[press]
        label += suffix
        custom_id = f"easel:1:{press}:{job_id}" + (f":{image}" if image is not None else "")
        button = ui.Button[Any](label=label, emoji=emoji, style=style, custom_id=custom_id)
        return cls(button, press, job_id, image)

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        assert isinstance(item, ui.Button)
        image = match["image"]
        return cls(item, Press(match["press"]), int(match["job"]), None if image is None else int(image))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        await interaction.client.services.press(interaction, self.press, self.job_id)
