"""Keeps every job's message up to date: one writer per message, progress that may be lost, an end that may not.

Progress travels through the interaction's own webhook while its token lives (a rate limit of its own). The
end is the poster's: with the bot's token, which knows no 15-minute limit, as an edit with the full list of
attachments. A progress edit that may arrive late is outlived: the end waits for those that run, and is
written again where one's outcome is unknown.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from typing import Any, TypeVar

import discord
import structlog

from bot.chat.delivery import gallery, held, mailbox
from bot.chat.delivery.album import Album, Edit, Parts
from bot.chat.delivery.breaker import Breaker, Way, why_shut
from bot.chat.delivery.pauses import Pauses
from bot.chat.delivery.poster import (
    PASSING,
    Poster,
    is_passing,
    token_lives,
    webhook_of,
)
from bot.chat.delivery.previews import PreviewSlot, may_be_about_the_file, stamp
from bot.chat.delivery.uploads import ImageTooLarge
from bot.chat.errors import LOST, is_blocked
from bot.chat.look import gathered, job_view
from bot.chat.look.keepsake_view import link
from bot.chat.operator import OperatorLine
from bot.chat.outages import told
from bot.chat.rival import Rival
from bot.core.news import News
from bot.core.ports import Clock, Irremovable, Progress, Undeliverable
from bot.job import TOKEN_LIFE_S, Claim, Copy, Job, JobState
from bot.texts import for_operator, memory, problems
from bot.texts.language import ENGLISH, language

log = structlog.get_logger(__name__)

T = TypeVar("T")
TOKEN_GONE = (10015, 50027)
"""It is over, or Discord has never taken an answer."""


class _Unknown(Enum):
    """Whether there is an answer, the interaction's token does not tell."""

    UNKNOWN = 1


UNKNOWN = _Unknown.UNKNOWN


def _key_of(job: Job) -> tuple[int, int]:
    """One for each message: that of a job alone, or that of an interaction."""
    return (job.interaction_id, 0) if job.is_gathered else (0, job.id)


@dataclass(slots=True)
class _Writer:
    """The one place from which a message is edited."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    pending: tuple[Job, Progress] | None = None
    timer: asyncio.TimerHandle | None = None
    task: asyncio.Task[None] | None = None
    next_at: float = float("-inf")
    """Before this (loop time) no further edit."""
    last_shown: Any = None
    preview: PreviewSlot = field(default_factory=PreviewSlot)
    doubtful: bool = False
    """Some edit's outcome is unknown: Discord may still apply it after a later one."""
    mute: bool = False
    album: Album | None = None
    """Of a message that gathers several jobs."""


async def _itself(job: Job) -> Sequence[Job]:
    return (job,)


class DiscordDelivery:
    """Implements `bot.core.ports.Delivery` with discord.py."""

    def __init__(
        self,
        client: discord.Client,
        *,
        clock: Clock,
        interval_s: float,
        on_token_refused: Callable[[], None],
        rival: Rival | None = None,
        pauses: Pauses | None = None,
        parts_of: Parts = _itself,
    ) -> None:
        """`parts_of`: the jobs that a message gathers, as they are when it is asked."""
        self._client = client
        self._clock = clock
        self._parts_of = parts_of
        self._since = clock.now()
        self._interval_s = interval_s
        self._pauses = pauses or Pauses()
        self._writers: dict[tuple[int, int], _Writer] = {}
        self._is_closed = False
        self._breaker = Breaker(clock)
        self._rival = rival
        self._poster = Poster(
            client,
            clock=clock,
            breaker=self._breaker,
            pauses=self._pauses,
            on_token_refused=on_token_refused,
        )
        self._operator = OperatorLine(client, clock=clock)

    def _writer_of(self, job: Job, *, doubtful: bool = False) -> _Writer:
        """That of the job's message. One that gathers several may have been edited by a process before this one."""
        key = _key_of(job)
        if key not in self._writers:
            self._writers[key] = (
                _Writer(album=Album(parts_of=self._parts_of), doubtful=job.created_at < self._since)
                if job.is_gathered
                else _Writer(doubtful=doubtful)
            )
        return self._writers[key]

    # -------------------------------------------------------------- progress

    def show(self, job: Job, progress: Progress, *, now: bool = False) -> None:
        writer = self._writer_of(job)
        if writer.album is not None:
            progress = replace(progress, preview=None)
            writer.album.progress[job.id] = progress
        if (
            self._is_closed
            or writer.mute
            or not (now or token_lives(job, self._clock.now()))
            or self._breaker.why_not(job, Way.PROGRESS)
        ):
            return
        writer.pending = (job, progress)
        if writer.task is not None and not writer.task.done():
            return  # its end looks for what is pending
        loop = asyncio.get_running_loop()
        wait = 0.0 if now else writer.next_at - loop.time()
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
            shown: Any = None  # what several jobs look like is known when their rows are read
            if writer.album is None:
                shown = job_view.live_view(job, progress).to_components(), stamp(progress.preview)
            if shown is None or shown != writer.last_shown:
                writer.last_shown, writer.next_at = shown, loop.time() + self._interval_s
                await self._try_progress(writer, job, progress)
        if writer.pending is not None and not writer.mute:
            wait = max(self._interval_s, writer.next_at - loop.time())
            writer.timer = loop.call_later(wait, self._start_edit, writer)

    async def _try_progress(self, writer: _Writer, job: Job, progress: Progress) -> None:
        """An edit that may fail: what counts is whether it can still arrive later."""
        try:
            async with asyncio.timeout(await self._within_s(writer, job)):
                await self._send_progress(writer, job, progress)
        except discord.HTTPException as error:
            self._take_refusal(writer, job, error)
            log.info("progress_refused", job=job.id, status=error.status, code=error.code)
        except LOST as error:
            writer.doubtful = True
            log.info("progress_lost", job=job.id, error=told(error))

    async def _within_s(self, writer: _Writer, job: Job) -> float:
        """Time for an edit of progress; one that brings finished pictures along has more."""
        if writer.album is None or await writer.album.is_light(job):
            return self._pauses.progress_within_s
        return self._pauses.reply_within_s

    def _take_refusal(self, writer: _Writer, job: Job, error: discord.HTTPException) -> None:
        if error.status >= 500:
            writer.doubtful = True
        elif error.status == 429:
            writer.next_at = asyncio.get_running_loop().time() + self._pauses.too_fast_s
        else:  # it was refused for good: the next ones would be too
            writer.mute = True
            if (why := why_shut(error)) is not None:
                self._breaker.shut(job.channel_id, Way.PROGRESS, why)

    async def _send_progress(self, writer: _Writer, job: Job, progress: Progress) -> None:
        """What may have been refused for its preview is sent again: with the file, then without any preview."""
        if writer.album is not None:
            await writer.album.show(self._live_edit(job), job, room=await self._poster.room_for(job, ()))
            return
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
        await self._live_edit(job)(view=job_view.live_view(job, progress), attachments=attachments)

    def _live_edit(self, job: Job) -> Edit:
        if job.private or not token_lives(job, self._clock.now()):
            return self._poster.message_of(job).edit
        assert job.message_id is not None
        return partial(webhook_of(self._client, job).edit_message, job.message_id)

    async def close(self) -> None:
        """No edit of progress is under way any more, and none begins: Discord's session is about to end."""
        self._is_closed = True
        for writer in self._writers.values():
            writer.mute = True
            if writer.timer is not None:
                writer.timer.cancel()
        tasks = [writer.task for writer in self._writers.values() if writer.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -------------------------------------------------------------- the end

    async def finish(self, job: Job) -> int:
        """Also for a job of an earlier process, whose last progress edit may still be under way."""
        writer = self._writer_of(job, doubtful=job.state is JobState.RENDERED)
        if writer.album is not None:
            return await self._finish_one_of(job, writer, writer.album)
        writer.mute = True
        writer.pending = None
        if writer.timer is not None:
            writer.timer.cancel()
        try:
            async with writer.lock:
                message_id = await self._poster.post(job)
            if writer.doubtful:
                await asyncio.sleep(self._pauses.settle_s)
                with contextlib.suppress(Undeliverable):  # it was shown: that counts
                    message_id = await self._poster.post(job)
        finally:
            self._writers.pop(_key_of(job), None)
        return message_id

    async def _finish_one_of(self, job: Job, writer: _Writer, album: Album) -> int:
        """Shows the end of one of several jobs beside whatever is known of the others, whose progress goes on."""
        try:
            async with writer.lock:
                assert job.message_id is not None
                message_id = job.message_id
                if writer.doubtful or not album.tells(job):
                    message_id = await self._poster.post(job, album)
                if writer.doubtful:
                    await asyncio.sleep(self._pauses.settle_s)
                    album.forget()
                    with contextlib.suppress(Undeliverable):  # it was shown: that counts
                        message_id = await self._poster.post(job, album)
                    writer.doubtful = False
        except Undeliverable:
            if job.state is not JobState.RENDERED:  # else its refund is told next
                album.finished.add(job.id)
            raise
        album.finished.add(job.id)
        if await album.is_over(job):
            writer.mute = True
            self._writers.pop(_key_of(job), None)
        return message_id

    # -------------------------------------------------------------- other ports

    async def find_answer(self, job: Job) -> int | None:
        """By the interaction's token while it lives, then among the channel's messages, however long an outage lasts."""
        if job.private:
            return await self._find_or_send(job)
        message_id = await self._find_by_token(job)
        return await self._poster.find_in_channel(job) if message_id is UNKNOWN else message_id

    async def _find_by_token(self, job: Job) -> int | _Unknown | None:
        if not token_lives(job, self._clock.now()):
            return UNKNOWN
        try:
            async for attempt in self._poster.retries(timeout=TOKEN_LIFE_S):
                with attempt:
                    message = await webhook_of(self._client, job).fetch_message("@original")  # pyright: ignore[reportArgumentType]
                    return await self._taken(job, message)
        except (discord.HTTPException, *PASSING) as error:
            log.info("answer_not_found", job=job.id, error=told(error))
            may_be_there = is_passing(error) or getattr(error, "code", 0) in TOKEN_GONE
            return UNKNOWN if may_be_there else None
        raise AssertionError("the retries end by returning or raising")

    async def _taken(self, job: Job, message: discord.WebhookMessage) -> int | None:
        """Its id, if it is the job's answer; a deferred one becomes that first."""
        if message.flags.loading:
            await self._fill(job, message)
        elif not (gathered if job.is_gathered else job_view).is_of(message, job):
            if self._rival is not None:
                self._rival.seen(job.interaction_id)
            return None
        if self._rival is not None:
            self._rival.cleared(job.interaction_id)
        return message.id

    async def _fill(self, job: Job, message: discord.WebhookMessage) -> None:
        """Makes a deferred answer a real message; an edit from before that is still under way is outlived."""
        writer = self._writer_of(job)
        try:
            if writer.album is None:
                await message.edit(view=job_view.live_view(job, Progress()))
            else:
                room = await self._poster.room_for(job, ())
                await writer.album.write(message.edit, job, room=room)
        except discord.HTTPException as error:
            if is_blocked(error):
                await message.edit(content=problems.blocked_order(language(job.locale)))
            raise
        writer.doubtful = True

    async def _find_or_send(self, job: Job) -> int | None:
        """A private job's message; where it was not sent before, it is, as long as its person can be told where."""
        async with self._writer_of(job).lock:
            message_id, say = await self._poster.find_in_channel(job), problems.not_sent_privately
            if not token_lives(job, self._clock.now()):
                return message_id
            try:
                if message_id is None:
                    message_id = await self._send(job)
                say = memory.drawn_privately(link(replace(job, message_id=message_id)))
            except (discord.HTTPException, *PASSING) as error:
                log.info("private_message_not_sent", job=job.id, error=told(error))
                if mailbox.is_closed(error):
                    say = problems.direct_messages_closed
            await self._answer_in_words(job, say(language(job.locale)))
            return message_id

    async def _send(self, job: Job) -> int:
        parts = await self._parts_of(job) if job.is_gathered else [job]
        view = gathered.view(parts, {}, {}) if job.is_gathered else job_view.live_view(job, Progress())
        async for attempt in self._poster.retries(timeout=TOKEN_LIFE_S):
            with attempt:
                return await mailbox.send(self._client, parts, view)
        raise AssertionError("the retries end by returning or raising")

    async def _answer_in_words(self, job: Job, text: str) -> None:
        """What its person reads where they asked, if they were asked to wait there. Best effort."""
        try:
            answer = await webhook_of(self._client, job).fetch_message("@original")  # pyright: ignore[reportArgumentType]
            if answer.flags.ephemeral:
                await answer.edit(content=text)
        except LOST as error:
            log.info("private_answer_lost", job=job.id, error=told(error))

    async def remove(self, job: Job) -> None:
        if job.message_id is not None:
            await self._remove(self._poster.message_of(job))

    async def remove_copy(self, copy: Copy) -> None:
        place = self._client.get_partial_messageable(copy.channel_id, guild_id=copy.guild_id)
        await self._remove(place.get_partial_message(copy.message_id))

    async def ask_moderators(self, job: Job, channel_id: int) -> int | None:
        try:
            return await self._lasting(lambda: held.ask(self._client, job, channel_id))
        except (Irremovable, OSError, ImageTooLarge) as error:
            log.warning("moderators_not_asked", job=job.id, error=repr(error))
        return None

    async def find_claimed(self, claim: Claim) -> int | None:
        return await self._lasting(lambda: gallery.find(self._client, claim))

    async def _remove(self, message: discord.PartialMessage) -> None:
        await self._lasting(message.delete)

    async def _lasting(self, act: Callable[[], Awaitable[T]]) -> T | None:
        """Tries for as long as an outage lasts; None where there is nothing of that kind. Raises Irremovable."""
        try:
            async for attempt in self._poster.retries(timeout=self._pauses.give_up_after_s):
                with attempt:
                    return await act()
        except discord.NotFound:
            return None
        except discord.Forbidden:
            raise Irremovable(is_forbidden=True) from None
        except LOST as error:
            if isinstance(error, discord.HTTPException) and error.status == 401:
                await self._poster.end_with_the_process()
            raise Irremovable(is_forbidden=False) from error

    async def tell_operator(self, news: News) -> None:
        await self._operator.tell(for_operator.news(news, ENGLISH))
