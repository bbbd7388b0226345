"""Whoever runs the bot: who that is, and direct messages to them: best effort, the same text at most once an hour."""

from __future__ import annotations

import discord
import structlog

from bot.chat.look.safe import PLAIN_MAX, cut
from bot.core.ports import Clock

log = structlog.get_logger(__name__)

SAME_TEXT_EVERY_S = 3600.0


def runs_the_bot(client: discord.Client, user_id: int) -> bool:
    """The application's owner, or who has joined its team and may do more there than read: as Discord had it at our login."""
    about = client.application
    if about is None:
        return False
    if about.team is None:
        return about.owner.id == user_id
    return any(
        member.id == user_id
        and member.membership_state is discord.TeamMembershipState.accepted
        and member.role is not discord.TeamMemberRole.read_only
        for member in about.team.members
    )


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
