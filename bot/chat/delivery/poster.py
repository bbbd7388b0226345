"""Posts a job's end where it can be posted: its message, else its channel, else its person. Knows no progress.

Nothing here can show an image twice. The edit says everything and changes nothing when it is repeated. What
has to be created carries an enforced nonce, by which Discord itself drops a repetition in the next few
minutes; since an outage may last longer, it is looked for before it is created. That needs Read Message
History (without it Discord shows nothing, in a direct message it always shows all) and reaches back
LOOK_BACK messages: beyond both, a reply lost minutes before a restart can lead to a second message. A
webhook's follow-up is never created: it has no nonce at all.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from dataclasses import dataclass
from functools import partial

import aiohttp
import discord
import stamina
import structlog

from bot.chat.delivery import mailbox, uploads
from bot.chat.delivery.album import Album, Edit
from bot.chat.delivery.breaker import ARCHIVED_THREAD, Breaker, Way, why_shut
from bot.chat.delivery.pauses import Pauses
from bot.chat.delivery.room import FILE_BYTES_DEFAULT, Room
from bot.chat.errors import BLOCKED_BY_AUTOMOD, is_blocked
from bot.chat.look import job_view
from bot.chat.outages import told
from bot.core.ports import Clock, Undeliverable
from bot.job import TOKEN_LIFE_S, Job, JobState, Reason, ReasonCode
from engine.contract import SpooledImage

log = structlog.get_logger(__name__)

LOOK_BACK = 500
LOOK_NEAR = 200
"""So many messages after it was asked for, its answer stands in the channel, or nowhere."""
TOKEN_MARGIN_S = 30.0
PASSING = (aiohttp.ClientError, TimeoutError, ConnectionError)
"""What the network does to a request; a file that can't be read is another OSError."""
UNKNOWN_MESSAGE = 10008
TOO_LARGE = (40005, 50045)


class _Shut(Exception):
    """The channel takes nothing."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.code)
        self.reason = reason


@dataclass(slots=True, kw_only=True)
class _Errand:
    """One end on its way."""

    job: Job
    images: tuple[SpooledImage, ...]
    room: int
    """Bytes a file may have; halved each time Discord finds them too large."""
    album: Album | None = None
    """What its message shows besides; None for a message of its own."""

    @property
    def nonce(self) -> str:
        """At most 25 characters, and never the same for another database's job of this number."""
        part = f"e{self.job.part}" if self.job.part else "easel"
        return f"{part}-{self.job.interaction_id}"

    async def files(self) -> list[discord.File]:
        return await uploads.files_of(self.job, self.images, file_bytes_max=self.room)


class Poster:
    def __init__(
        self,
        client: discord.Client,
        *,
        clock: Clock,
        breaker: Breaker,
        pauses: Pauses,
        on_token_refused: Callable[[], None],
    ) -> None:
        self._client = client
        self._clock = clock
        self._breaker = breaker
        self._pauses = pauses
        self._on_token_refused = on_token_refused
        self._room = Room(client)

    async def post(self, job: Job, album: Album | None = None) -> int:
        """Makes the job's end visible; returns the id of the message in its channel. May be repeated.

        One of several is shown in the message that gathers them, by its `album`; where that was deleted, its pictures
        get a message of their own. An outage is waited for. Raises Undeliverable where neither message, channel nor person takes it (text
        alone is not sent to people), or where images wait for too long; words wait for as long as it takes, since a
        message that never says that its job is over would be believed.
        """
        ended = job.state in (JobState.FAILED, JobState.CANCELLED)
        images = () if ended else job.shown_images
        room = await self.room_for(job, images)
        errand = _Errand(job=job, images=images, room=room, album=album)
        try:
            async for attempt in self.retries(timeout=self._pauses.give_up_after_s if images else None):
                with attempt:
                    return await self._post_fitting(errand)
        except _Shut as shut:
            raise Undeliverable(shut.reason) from shut
        except discord.HTTPException as error:
            if error.status == 401:
                await self.end_with_the_process()
            raise Undeliverable(_why(error)) from error
        except PASSING as error:
            raise Undeliverable(Reason.of(ReasonCode.UNREACHABLE)) from error
        except OSError as error:
            raise Undeliverable(Reason.of(ReasonCode.UNREADABLE)) from error
        except uploads.ImageTooLarge as error:
            raise Undeliverable(Reason.of(ReasonCode.TOO_LARGE)) from error
        raise AssertionError("the retries end by returning or raising")

    async def room_for(self, job: Job, images: tuple[SpooledImage, ...]) -> int:
        """Bytes that a file may have where the job is shown."""
        if job.is_direct:
            return FILE_BYTES_DEFAULT
        wanted = await asyncio.to_thread(uploads.largest, images)
        return await self._room.bytes_in(job.guild_id, wanted=wanted)

    async def end_with_the_process(self) -> None:
        """Our token is refused: the job stays what it is, and a start with a good token takes it up."""
        self._on_token_refused()
        await asyncio.Event().wait()

    async def _post_fitting(self, errand: _Errand) -> int:
        while True:
            try:
                async with asyncio.timeout(self._pauses.reply_within_s):
                    return await self._post_somewhere(errand)
            except discord.HTTPException as error:
                if not errand.images or not (error.status == 413 or error.code in TOO_LARGE):
                    raise
                errand.room //= 2

    async def _post_somewhere(self, errand: _Errand) -> int:
        job = errand.job
        try:
            return await self._post_in_channel(errand)
        except _Shut as shut:
            if not errand.images:
                return await self._end_by_token(job, partial(_say_end, errand), shut)
            await self._send_directly(errand, shut.reason)
        log.info("job_sent_directly", job=job.id)
        await self._say_where(errand)
        assert job.message_id is not None
        return job.message_id

    # -------------------------------------------------------------- the channel

    async def _post_in_channel(self, errand: _Errand) -> int:
        """Edits the message; where it is gone, a new one takes its place if there is anything to show."""
        job = errand.job
        if errand.images and (reason := self._breaker.why_not(job, Way.EDIT)):
            raise _Shut(reason)
        with self._watched(job, Way.EDIT):
            message_id = await self._edit_or_clear(errand)
        if message_id is not None:
            return message_id
        if reason := self._breaker.why_not(job, Way.CREATE):
            raise _Shut(reason)
        with self._watched(job, Way.CREATE):
            return await self._create(errand)

    async def _edit_or_clear(self, errand: _Errand) -> int | None:
        """None where a new message is to show the images: the old one was deleted, or stands in an archived thread.

        There nothing may be edited, but it may be deleted, and what is posted next opens the thread again.
        """
        try:
            return await self._edit(errand)
        except discord.HTTPException as error:
            if not errand.images or error.code not in (UNKNOWN_MESSAGE, ARCHIVED_THREAD):
                raise
            is_there = error.code == ARCHIVED_THREAD
        if is_there:
            log.info("thread_archived", job=errand.job.id)
            with contextlib.suppress(discord.NotFound):
                await self.message_of(errand.job).delete()
        return None

    async def _edit(self, errand: _Errand) -> int:
        """Words that AutoMod refuses are said without the prompt; images it refuses with their prompt are not shown."""
        message = self.message_of(errand.job)
        try:
            if errand.images and errand.album is None:
                files, view = await _final(errand)
                return (await message.edit(view=view, attachments=files)).id
            return await _say_end(errand, message.edit)
        except discord.HTTPException as error:
            if errand.images or not is_blocked(error):
                raise
        return await _say_end(errand, message.edit, quoting=False)

    async def _create(self, errand: _Errand) -> int:
        job = errand.job
        channel = self._channel_of(job)
        if (there := await posted_before(self._client, channel, job)) is not None:
            return there
        files, view = await _final(errand)
        asker = discord.AllowedMentions(
            everyone=False, roles=False, users=[discord.Object(job.user_id)], replied_user=False
        )
        message = await channel.send(view=view, files=files, nonce=errand.nonce, allowed_mentions=asker)
        return message.id

    @contextlib.contextmanager
    def _watched(self, job: Job, way: Way) -> Generator[None]:
        """Notes a refusal that means the whole place, and says it as _Shut."""
        try:
            yield
        except discord.HTTPException as error:
            if (reason := why_shut(error)) is None:
                raise
            self._breaker.shut(job.channel_id, way, reason)
            log.info("channel_shut", job=job.id, way=way, status=error.status, code=error.code)
            raise _Shut(reason) from error

    # -------------------------------------------------------------- the person

    async def _send_directly(self, errand: _Errand, reason: Reason) -> None:
        """Raises _Shut where the person takes no direct messages, or it stands there already."""
        job = errand.job
        if job.is_direct:
            raise _Shut(reason)
        try:
            channel = await self._client.create_dm(discord.Object(job.user_id))
            if await posted_before(self._client, channel, job) is not None:
                return
            files = await errand.files()
            view = job_view.direct_view(job, [file.filename for file in files], reason)
            await channel.send(view=view, files=files, nonce=errand.nonce)
        except (discord.Forbidden, discord.NotFound) as error:
            log.info("no_direct_message", job=job.id, status=error.status, code=error.code)
            raise _Shut(reason) from error

    async def _say_where(self, errand: _Errand) -> None:
        """The message in the channel, where it can still be edited, says that the images went to the person."""
        job = errand.job
        try:
            async for attempt in self.retries(timeout=self._pauses.give_up_after_s):
                with attempt:
                    await self._say(job, partial(_say_sent_directly, errand))
        except (discord.HTTPException, *PASSING) as error:
            log.info("not_said_where", job=job.id, error=told(error))

    async def _say(self, job: Job, say: _Say) -> None:
        try:
            await say(self.message_of(job).edit)
        except discord.HTTPException as error:
            if is_passing(error) or error.status == 401:
                raise
            await self._end_by_token(job, say, error)

    async def _end_by_token(self, job: Job, say: _Say, refusal: Exception) -> int:
        """A last word through the interaction, which may still write where we may not: a private thread, say.

        Raises the refusal where its token is over too, or its answer is not the job's message.
        """
        if job.private or not token_lives(job, self._clock.now()):
            raise refusal
        assert job.message_id is not None
        try:
            await say(partial(webhook_of(self._client, job).edit_message, job.message_id))
        except discord.HTTPException as error:
            if is_passing(error):
                raise
            raise refusal from error
        return job.message_id

    # -------------------------------------------------------------- an answer that was lost

    async def find_in_channel(self, job: Job) -> int | None:
        """The id of the job's first message, once Discord lets us look; None where it does not."""
        try:
            async for attempt in self.retries(timeout=None):
                with attempt:
                    return await self._answer_in_channel(job)
        except discord.HTTPException as error:
            if error.status == 401:
                await self.end_with_the_process()
            log.info("answer_not_looked_for", job=job.id, error=told(error))
        return None

    async def _answer_in_channel(self, job: Job) -> int | None:
        """It came within seconds; a deferred one that was never filled says itself that we did not respond.

        Another bot's with our token would have been noticed long before.
        """
        asked = discord.Object(job.interaction_id)
        async for message in self._channel_of(job).history(limit=LOOK_NEAR, after=asked, oldest_first=True):
            if job.private:
                is_it = mailbox.is_message_of(message, job)
            else:
                cause = message.interaction_metadata
                is_it = cause is not None and cause.id == job.interaction_id and not message.flags.loading
            if is_it:
                return message.id
        return None

    # -------------------------------------------------------------- handles

    def retries(self, *, timeout: float | None) -> AsyncIterator[stamina.Attempt]:
        """Attempts for as long as an outage lasts: what was drawn lies safely in the spool meanwhile."""
        return stamina.retry_context(
            on=is_passing,
            attempts=None,
            timeout=timeout,
            wait_initial=1.0,
            wait_max=self._pauses.retry_max_s,
        )

    def message_of(self, job: Job) -> discord.PartialMessage:
        assert job.message_id is not None
        return self._channel_of(job).get_partial_message(job.message_id)

    def _channel_of(self, job: Job) -> discord.PartialMessageable:
        guild_id = None if job.is_direct else job.guild_id
        return self._client.get_partial_messageable(job.channel_id, guild_id=guild_id)


_Say = Callable[[Edit], Awaitable[int]]
"""Says something in a message, by the way that is handed in."""


async def _say_end(errand: _Errand, edit: Edit, *, quoting: bool = True) -> int:
    """Words alone, or what a message shows that gathers several jobs."""
    job, album = errand.job, errand.album
    if album is not None:
        return await album.write(edit, job, room=errand.room, quoting=quoting)
    view = job_view.final_view(job, [], quoting=quoting)
    return (await edit(view=view, attachments=[])).id


async def _say_sent_directly(errand: _Errand, edit: Edit) -> int:
    job, album = errand.job, errand.album
    if album is not None:
        album.sent_directly.add(job.id)
        return await album.write(edit, job, room=errand.room)
    return (await edit(view=job_view.sent_directly_view(job), attachments=[])).id


async def _final(errand: _Errand) -> tuple[list[discord.File], discord.ui.LayoutView]:
    files = await errand.files()
    return files, job_view.final_view(errand.job, [file.filename for file in files])


async def posted_before(client: discord.Client, channel: discord.abc.Messageable, job: Job) -> int | None:
    """The id of a message of ours that shows the job's images already, as far as we may look back."""
    me, since = client.user, discord.Object(job.interaction_id)
    async for message in channel.history(limit=LOOK_BACK, after=since, oldest_first=False):
        if me is not None and message.author.id == me.id and _shows(message, job):
            return message.id
    return None


def _shows(message: discord.Message, job: Job) -> bool:
    start = uploads.stem_of(job.id, "")
    return any(attachment.filename.startswith(start) for attachment in message.attachments)


def token_lives(job: Job, now: float) -> bool:
    """Whether the interaction may still edit its answer."""
    return job.token is not None and now - job.created_at < TOKEN_LIFE_S - TOKEN_MARGIN_S


def webhook_of(client: discord.Client, job: Job) -> discord.Webhook:
    """The interaction's own way to its answer."""
    assert job.token is not None
    return discord.Webhook.partial(job.application_id, job.token, client=client)


def is_passing(error: Exception) -> bool:
    """Whether trying the same request again can help."""
    if isinstance(error, discord.HTTPException):
        return error.status >= 500 or error.status == 429
    return isinstance(error, PASSING)


def _why(error: discord.HTTPException) -> Reason:
    if is_passing(error):
        return Reason.of(ReasonCode.OUT_OF_ORDER)
    if error.code == UNKNOWN_MESSAGE:
        return Reason.of(ReasonCode.MESSAGE_GONE)
    if is_blocked(error):
        return BLOCKED_BY_AUTOMOD
    return Reason.of(ReasonCode.NOT_TAKEN)
