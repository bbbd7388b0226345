"""The moderators' channel: one message a reported job, posted, found again, and brought up to date. Knows no button's deed.

A message that could not be posted or edited is owed: the rows tell which, and each report, decision, start and `/mod channel`
makes up for what is owed in its server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import discord
import structlog

from bot.chat import where
from bot.chat.client import EaselClient
from bot.chat.delivery import uploads
from bot.chat.delivery.gallery import LOOK_BACK, NotKept, pictures
from bot.chat.delivery.room import Room
from bot.chat.errors import LOST, is_blocked
from bot.chat.look import case_view
from bot.chat.outages import told
from bot.core.happenings import DeletionAsked, Happening
from bot.job import Job
from bot.store.blocks import Block
from bot.store.preferences import MODERATORS
from bot.store.reports import Case
from bot.texts import moderators
from bot.texts.language import Say, language

log = structlog.get_logger(__name__)

WITHIN_S = 120.0
"""In which Discord takes or refuses one message, pictures and all."""


def why_closed(guild: discord.Guild | None, channel_id: int) -> Say | None:
    """What keeps us from posting there, as far as Discord has told us."""
    return where.why_closed(
        guild,
        channel_id,
        unknown=moderators.not_reached,
        gone=moderators.channel_gone,
        closed=moderators.channel_closed,
    )


class ModeratorsDesk:
    def __init__(self, client: EaselClient) -> None:
        self._client = client
        self._turns = asyncio.Lock()
        """One message after the other, so that none is posted twice."""
        self._asked: set[int] = set()
        """Servers whose turn is to come for what was deleted there."""

    async def take_up(self) -> None:
        """What was owed when the bot ended."""
        await self._client.wait_until_ready()
        for guild_id in await self._client.services.store.reports.guilds_owed():
            await self.catch_up(guild_id)

    def hear(self, happening: Happening) -> None:
        """What is deleted is shown to moderators no more either."""
        if isinstance(happening, DeletionAsked) and happening.job.guild_id not in self._asked:
            self._asked.add(happening.job.guild_id)
            self._client.services.dispatcher.errands.begin(self.catch_up(happening.job.guild_id))

    async def catch_up(self, guild_id: int) -> None:
        """Each message tells all that there is to tell, as far as Discord lets us."""
        async with self._turns:
            self._asked.discard(guild_id)
            for case in await self._client.services.store.reports.owed(guild_id):
                try:
                    async with asyncio.timeout(WITHIN_S):
                        await self._tell(case)
                except LOST as error:
                    log.info("report_not_told", job=case.job_id, error=told(error))

    async def _tell(self, case: Case) -> None:
        store = self._client.services.store
        job = await store.jobs.get(case.job_id)
        if job is None:
            return
        now = self._client.services.clock.now()
        block = await store.blocks.of(case.guild_id, job.user_id, now=now)
        if (message_id := await self._edited(case, job, block)) is not None:
            await store.reports.told(case, channel_id=case.channel_id, message_id=message_id)
            return
        if case.verdict is not None:  # nobody needs it any more
            await store.reports.told(case, channel_id=None, message_id=None)
            return
        channel_id = await store.taste.channel_of(case.guild_id, MODERATORS)
        guild = self._client.get_guild(case.guild_id)
        if channel_id is None or guild is None or why_closed(guild, channel_id) is not None:
            return
        message_id = await self._posted(case, job, block, channel_id)
        await store.reports.told(case, channel_id=channel_id, message_id=message_id)

    async def _edited(self, case: Case, job: Job, block: Block | None) -> int | None:
        """The id of its message; None where there is none any more."""
        if case.channel_id is None or case.message_id is None:
            return None
        channel = self._client.get_partial_messageable(case.channel_id, guild_id=case.guild_id)
        start = uploads.stem_of(job.id, "")

        async def edit(quoting: bool) -> int:
            is_shown = quoting and job.deleted_at is None
            kept = [each for each in message.attachments if is_shown and each.filename.startswith(start)]
            view = self._view(case, job, block, [each.filename for each in kept], quoting=quoting)
            return (await message.edit(view=view, attachments=kept)).id

        try:
            message = await channel.fetch_message(case.message_id)
            return await _said(edit)
        except discord.NotFound:
            return None

    async def _posted(self, case: Case, job: Job, block: Block | None, channel_id: int) -> int:
        """The id of the message, which may stand there already."""
        channel = self._client.get_partial_messageable(channel_id, guild_id=case.guild_id)
        if case.tries and (there := await self._find(channel, case_view.mark_of(job))) is not None:
            found = replace(case, channel_id=channel_id, message_id=there)
            return await self._edited(found, job, block) or there
        await self._client.services.store.reports.tried(case.job_id)

        async def send(quoting: bool) -> int:
            files = await self._files(job) if quoting else []
            view = self._view(case, job, block, [file.filename for file in files], quoting=quoting)
            return (await channel.send(view=view, files=files, nonce=f"r-{job.id}-{case.tries}")).id

        return await _said(send)

    async def _find(self, channel: discord.PartialMessageable, mark: int) -> int | None:
        me = self._client.user
        async for message in channel.history(limit=LOOK_BACK, oldest_first=False):
            if me is not None and message.author.id == me.id and case_view.is_marked(message, mark):
                return message.id
        return None

    async def _files(self, job: Job) -> list[discord.File]:
        """Empty where they are kept no more."""
        if job.deleted_at is not None:
            return []
        room = await Room(self._client).bytes_in(job.guild_id, wanted=uploads.largest(job.shown_images))
        try:
            return await pictures(self._client, job, file_bytes_max=room)
        except (NotKept, uploads.ImageTooLarge):
            return []

    def _view(
        self, case: Case, job: Job, block: Block | None, files: list[str], *, quoting: bool
    ) -> discord.ui.LayoutView:
        guild = self._client.get_guild(case.guild_id)
        to = language(None if guild is None else str(guild.preferred_locale))
        return case_view.view(case, job, block, files, to, quoting=quoting)


async def _said(say: Callable[[bool], Awaitable[int]]) -> int:
    """Where AutoMod refuses what people wrote, without that and what it belongs to."""
    try:
        return await say(True)
    except discord.HTTPException as error:
        if not is_blocked(error):
            raise
    return await say(False)
