"""Keeps every job's message up to date: one writer per message, progress that may be lost, an end that may not.

Progress travels through the interaction's own webhook while its token lives (a rate limit of its own). The
end travels with the bot's token, which knows no 15-minute limit, as an edit with the full list of
attachments: repeating it changes nothing, so it can't be posted twice, and no preview outlives it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

import aiohttp
import discord
import stamina
import structlog

from bot.core.ports import Clock, Progress, Undeliverable
from bot.jobs import TOKEN_LIFE_S, Job, JobState
from bot.ui import messages, uploads
from bot.ui.errors import UserError
from bot.ui.previews import PreviewSlot, may_be_about_the_file, stamp

log = structlog.get_logger(__name__)

TOKEN_MARGIN_S = 30.0
FILE_BYTES_DEFAULT = 10 * 1024 * 1024
PROGRESS_TIMEOUT_S = 10.0
SETTLE_S = 3.0
"""How long a request with an unknown outcome may still be under way before the end is written again."""
PASSING = (aiohttp.ClientError, TimeoutError, ConnectionError)
"""What the network does to a request; a file that can't be read is another OSError."""

UNKNOWN_CHANNEL, UNKNOWN_MESSAGE, TOO_LARGE, TOO_LARGE_OLD = 10003, 10008, 40005, 50045


@dataclass(slots=True)
class _Writer:
    """The one place from which a message is edited."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    pending: tuple[Job, Progress] | None = None
    timer: asyncio.TimerHandle | None = None
    task: asyncio.Task[None] | None = None
    last_at: float = float("-inf")
    last_shown: Any = None
    preview: PreviewSlot = field(default_factory=PreviewSlot)
    doubtful: bool = False
    """Some edit's outcome is unknown: Discord may still apply it after a later one."""
    mute: bool = False


class DiscordDelivery:
    """Implements `bot.core.ports.Delivery` with discord.py."""

    def __init__(self, client: discord.Client, *, clock: Clock, interval_s: float) -> None:
        self._client = client
        self._clock = clock
        self._interval_s = interval_s
        self._writers: dict[int, _Writer] = {}

    # -------------------------------------------------------------- progress

    def show(self, job: Job, progress: Progress, *, now: bool = False) -> None:
        writer = self._writers.setdefault(job.id, _Writer())
        if writer.mute or not (now or self._token_lives(job)):
            return
        writer.pending = (job, progress)
        if writer.task is not None and not writer.task.done():
            return  # its end looks for what is pending
        loop = asyncio.get_running_loop()
        wait = 0.0 if now else writer.last_at + self._interval_s - loop.time()
        if wait <= 0:
            self._start_edit(writer)
        elif writer.timer is None:
            writer.timer = loop.call_later(wait, self._start_edit, writer)

    def _start_edit(self, writer: _Writer) -> None:
        if writer.timer is not None:
            writer.timer.cancel()
            writer.timer = None
        if not writer.mute and writer.pending is not None:
            writer.task = asyncio.get_running_loop().create_task(self._edit_progress(writer))

    async def _edit_progress(self, writer: _Writer) -> None:
        loop = asyncio.get_running_loop()
        async with writer.lock:
            if writer.mute or writer.pending is None:
                return
            (job, progress), writer.pending = writer.pending, None
            if writer.preview.is_refused:
                progress = replace(progress, preview=None)
            shown = messages.live_view(job, progress).to_components(), stamp(progress.preview)
            if shown != writer.last_shown:
                writer.last_shown, writer.last_at = shown, loop.time()
                await self._try_progress(writer, job, progress)
        if writer.pending is not None and not writer.mute:
            writer.timer = loop.call_later(self._interval_s, self._start_edit, writer)

    async def _try_progress(self, writer: _Writer, job: Job, progress: Progress) -> None:
        """An edit that may fail: what counts is whether it can still arrive later."""
        try:
            async with asyncio.timeout(PROGRESS_TIMEOUT_S):
                await self._send_progress(writer, job, progress)
        except discord.HTTPException as error:
            if error.status < 500:  # it was refused for good: the next ones would be too
                writer.mute = True
            else:
                writer.doubtful = True
            log.info("progress_refused", job=job.id, status=error.status, code=error.code)
        except PASSING as error:
            writer.doubtful = True
            log.info("progress_lost", job=job.id, error=repr(error))

    async def _send_progress(self, writer: _Writer, job: Job, progress: Progress) -> None:
        """What may have been refused for its preview is sent again: with the file, then without any preview."""
        slot, preview = writer.preview, progress.preview
        try:
            await self._edit_live(job, progress, slot.attachments(job, preview))
        except discord.HTTPException as error:
            if preview is None or writer.mute or not may_be_about_the_file(error):
                raise
            log.info("preview_refused", job=job.id, status=error.status, code=error.code)
            slot.demand_less(preview)
            less = replace(progress, preview=None) if slot.is_refused else progress
            await self._send_progress(writer, job, less)
        else:
            slot.is_now(preview)

    async def _edit_live(self, job: Job, progress: Progress, attachments: Sequence[discord.File]) -> None:
        view = messages.live_view(job, progress)
        if self._token_lives(job):
            assert job.message_id is not None
            await self._webhook(job).edit_message(job.message_id, view=view, attachments=attachments)
        else:
            await self._message(job).edit(view=view, attachments=attachments)

    # -------------------------------------------------------------- the end

    async def finish(self, job: Job) -> int:
        writer = self._writers.setdefault(job.id, _Writer())
        writer.mute = True
        writer.pending = None
        if writer.timer is not None:
            writer.timer.cancel()
        try:
            async with writer.lock:
                message_id = await self._write_end(job)
            if writer.doubtful:
                await asyncio.sleep(SETTLE_S)
                message_id = await self._write_end(job)
        finally:
            self._writers.pop(job.id, None)
        return message_id

    async def _write_end(self, job: Job) -> int:
        """Repeats until Discord has taken it; raises Undeliverable where that can't happen."""
        room = self._file_bytes_max(job)
        try:
            async for attempt in _retries(timeout=None):
                with attempt:
                    try:
                        return await self._edit_or_create(job, room)
                    except discord.HTTPException as error:
                        if error.code in (TOO_LARGE, TOO_LARGE_OLD) or error.status == 413:
                            room //= 2
                            return await self._edit_or_create(job, room)
                        raise
        except discord.HTTPException as error:
            raise Undeliverable(_why(error)) from error
        except OSError as error:
            raise Undeliverable("The finished image could not be read from disk.") from error
        except uploads.ImageTooLarge as error:
            raise Undeliverable("The finished image is too large for Discord, even as a JPEG.") from error
        raise AssertionError("the retries end by returning or raising")

    async def _edit_or_create(self, job: Job, room: int) -> int:
        files, view = await self._final(job, room)
        try:
            message = await self._message(job).edit(view=view, attachments=files)
        except discord.NotFound as error:
            if error.code != UNKNOWN_MESSAGE or not files:
                raise
            files, view = await self._final(job, room)
            channel = self._client.get_partial_messageable(job.channel_id, guild_id=job.guild_id)
            message = await channel.send(view=view, files=files, nonce=f"easel-{job.id}")
        return message.id

    async def _final(self, job: Job, room: int) -> tuple[list[discord.File], discord.ui.LayoutView]:
        images = () if job.state in (JobState.FAILED, JobState.CANCELLED) else job.images
        ready = await asyncio.to_thread(uploads.prepare, job.id, images, file_bytes_max=room)
        alt = messages.alt_text(job.request)
        files = [discord.File(BytesIO(upload.data), upload.name, description=alt) for upload in ready]
        return files, messages.final_view(job, [upload.name for upload in ready])

    # -------------------------------------------------------------- other ports

    async def find_answer(self, job: Job) -> int | None:
        if not self._token_lives(job):
            return None
        try:
            async for attempt in _retries(timeout=TOKEN_LIFE_S):
                with attempt:
                    message = await self._webhook(job).fetch_message("@original")  # pyright: ignore[reportArgumentType]
                    return message.id
        except (discord.HTTPException, *PASSING) as error:
            log.info("answer_not_found", job=job.id, error=repr(error))
        return None

    async def tell_owner(self, text: str) -> None:
        log.error("for_the_owner", text=text)

    async def remove(self, job: Job) -> None:
        if job.message_id is None:
            return
        try:
            await self._message(job).delete()
        except discord.NotFound:
            pass
        except discord.Forbidden:
            raise UserError("I may not delete messages in this channel any more: ask an admin.") from None

    # -------------------------------------------------------------- handles

    def _token_lives(self, job: Job) -> bool:
        return job.token is not None and self._clock.now() - job.created_at < TOKEN_LIFE_S - TOKEN_MARGIN_S

    def _webhook(self, job: Job) -> discord.Webhook:
        assert job.token is not None
        return discord.Webhook.partial(job.application_id, job.token, client=self._client)

    def _message(self, job: Job) -> discord.PartialMessage:
        assert job.message_id is not None
        channel = self._client.get_partial_messageable(job.channel_id, guild_id=job.guild_id)
        return channel.get_partial_message(job.message_id)

    def _file_bytes_max(self, job: Job) -> int:
        guild = self._client.get_guild(job.guild_id)
        return guild.filesize_limit if guild is not None else FILE_BYTES_DEFAULT


def _retries(*, timeout: float | None) -> AsyncIterator[stamina.Attempt]:
    """Attempts for as long as an outage lasts: what was drawn lies safely in the spool meanwhile."""
    return stamina.retry_context(
        on=_is_passing, attempts=None, timeout=timeout, wait_initial=1.0, wait_max=60.0
    )


def _is_passing(error: Exception) -> bool:
    """Whether trying the same request again can help."""
    if isinstance(error, discord.HTTPException):
        return error.status >= 500 or error.status == 429
    return isinstance(error, PASSING)


def _why(error: discord.HTTPException) -> str:
    match error:
        case discord.Forbidden():
            return "I may not post in that channel any more."
        case discord.NotFound() if error.code == UNKNOWN_CHANNEL:
            return "The channel is gone."
        case discord.NotFound():
            return "The message is gone."
        case _:
            return "Discord did not take the finished message."
