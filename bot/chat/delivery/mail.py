"""Pictures by direct message: one that is asked for, and each that is delivered where its person wants them there too.

The second is best effort and once: closed direct messages and outages cost nobody anything, since the picture is in its
channel. What stands there already, sent for want of a channel or before a restart, is not sent again. What is private stands
there alone, and nothing of it is sent here.
"""

from __future__ import annotations

import asyncio

import discord
import structlog

from bot.chat.client import EaselClient
from bot.chat.delivery.gallery import NotKept, pictures
from bot.chat.delivery.poster import posted_before
from bot.chat.delivery.room import FILE_BYTES_DEFAULT
from bot.chat.delivery.uploads import ImageTooLarge
from bot.chat.errors import LOST
from bot.chat.look.buttons import under_pictures
from bot.chat.look.keepsake_view import keepsake_view, one_of
from bot.chat.outages import told
from bot.core.happenings import Happening, JobDelivered
from bot.job import Job
from bot.store.db import DatabaseError
from bot.store.preferences import BY_MAIL_TOO, DELIVER, Scope
from bot.texts.language import Language, language

log = structlog.get_logger(__name__)


async def send(
    client: EaselClient, person: discord.abc.Messageable, job: Job, image: int | None, to: Language
) -> None:
    """That image of the job or None for all of it, with live buttons.

    Raises NotKept, ImageTooLarge, and Forbidden where the person takes no direct messages.
    """
    one = one_of(job, image)
    files = await pictures(client, one, file_bytes_max=FILE_BYTES_DEFAULT)
    shown = [number for number, each in enumerate(job.images) if each.path is not None]
    rows = under_pictures(one, shown if image is None else [image], to, is_copy=True)
    view = keepsake_view(one, [file.filename for file in files], to, rows=rows)
    await person.send(view=view, files=files)


class MailToo:
    """Listens for what was delivered."""

    def __init__(self, client: EaselClient) -> None:
        self._client = client
        self._tasks: set[asyncio.Task[None]] = set()

    def hear(self, happening: Happening) -> None:
        if isinstance(happening, JobDelivered) and happening.job.shown_images and not happening.job.is_direct:
            task = asyncio.get_running_loop().create_task(self._send(happening.job))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send(self, job: Job) -> None:
        try:
            prefers = await self._client.services.store.taste.of(Scope.PERSON, job.user_id)
            if prefers.get(DELIVER) != BY_MAIL_TOO:
                return
            person = await self._client.create_dm(discord.Object(job.user_id))
            if await posted_before(self._client, person, job) is None:
                await send(self._client, person, job, None, language(job.locale))
        except (NotKept, ImageTooLarge, DatabaseError, *LOST) as error:
            log.info("not_mailed", job=job.id, error=told(error))
        except Exception:  # a bug here must not be lost with its task
            log.exception("not_mailed", job=job.id)

    async def close(self) -> None:
        """What is not sent by now is not sent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
