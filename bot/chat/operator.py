"""Direct messages to whoever runs the bot: best effort, the same text at most once an hour. Decides nothing."""

from __future__ import annotations

import discord
import structlog

from bot.chat.look.safe import PLAIN_MAX, cut
from bot.core.ports import Clock

log = structlog.get_logger(__name__)

SAME_TEXT_EVERY_S = 3600.0


class OperatorLine:
    def __init__(self, client: discord.Client, *, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._said: dict[str, float] = {}
        """Text -> when it was last tried: a refused one is not tried again at once either."""

    async def tell(self, text: str) -> None:
        now = self._clock.now()
        self._said = {said: at for said, at in self._said.items() if 0 <= now - at < SAME_TEXT_EVERY_S}
        if text in self._said:
            return
        self._said[text] = now
        try:
            await self._send(text)
        except Exception as error:  # noqa: BLE001 - who has bad news must not fail over telling it
            log.warning("owner_not_told", text=text, error=repr(error))

    async def _send(self, text: str) -> None:
        about = self._client.application
        if about is None:  # not logged in yet
            log.warning("owner_not_told", text=text)
            return
        owner_id = about.owner.id if about.team is None else about.team.owner_id
        if owner_id is None:
            log.warning("owner_not_told", text=text)
            return
        channel = await self._client.create_dm(discord.Object(owner_id))
        await channel.send(cut(text, PLAIN_MAX))
        log.info("owner_told", text=text)
