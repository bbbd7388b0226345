"""One message that gathers several jobs: what each edit of it has to bring. Sends nothing itself.

Every edit is made of the rows of all the jobs as they are in that moment, so that whichever comes last tells the newest,
and repeating one changes nothing. What the message carries already is kept by its number; where that is not known, after a
restart or an edit of unknown outcome, all of it is uploaded again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import discord
import structlog

from bot.chat.delivery import uploads
from bot.chat.look import gathered
from bot.core.ports import Progress
from bot.job import Job, JobState

log = structlog.get_logger(__name__)

Parts = Callable[[Job], Awaitable[Sequence[Job]]]
"""All jobs that stand in a job's message, as they are now."""
Edit = Callable[..., Awaitable[discord.Message]]
"""Edits a message: `view` and `attachments` in, the message out."""
_Told = tuple[int, JobState, int]
"""A job, and what the message says of it: its state, and in which attempt."""
_Files = Sequence[discord.Attachment | discord.File]


@dataclass(slots=True, kw_only=True)
class Album:
    parts_of: Parts
    progress: dict[int, Progress] = field(default_factory=dict[int, Progress])
    """By the jobs' numbers."""
    finished: set[int] = field(default_factory=set[int])
    """Jobs that nothing more is to be told of."""
    _there: dict[int, _Files] | None = None
    """What the message carries, by the jobs' numbers; None where that is not known."""
    _told: frozenset[_Told] = frozenset()
    _stands: Any = None
    """What the message looks like by the last edit that was taken."""

    def tells(self, job: Job) -> bool:
        """Whether the message shows this end already, its pictures included."""
        return _told_of(job) in self._told

    def forget(self) -> None:
        """An edit that nobody knows of may change the message."""
        self._there, self._told, self._stands = None, frozenset(), None

    async def is_known(self, job: Job) -> bool:
        """Whether the next edit has nothing to upload that was uploaded before."""
        return self._there is not None or not any(map(_has_pictures, await self.parts_of(job)))

    async def is_over(self, job: Job) -> bool:
        """Whether nothing more will be written."""
        parts = await self.parts_of(job)
        return all(part.id in self.finished or part.shown_at is not None for part in parts)

    async def show(self, edit: Edit, job: Job, *, room: int) -> None:
        """Progress, where that changes anything."""
        await self._write(edit, job, room=room, if_changed=True)

    async def write(
        self, edit: Edit, job: Job, *, room: int, quoting: bool = True, sent_directly: bool = False
    ) -> int:
        """The end of this job, and whatever is known of the others; the message's number.

        Raises what the edit raises, and for this job's own pictures OSError or ImageTooLarge. `room`: bytes a file may
        have.
        """
        return await self._write(edit, job, room=room, quoting=quoting, sent_directly=sent_directly)

    async def _write(
        self,
        edit: Edit,
        job: Job,
        *,
        room: int,
        quoting: bool = True,
        sent_directly: bool = False,
        if_changed: bool = False,
    ) -> int:
        parts = await self.parts_of(job)
        kept = self._there or {}
        files = await self._files(parts, kept, job, room, leaving_out=sent_directly)
        names = {number: [each.filename for each in some] for number, some in files.items()}
        direct = (job.id,) if sent_directly else ()
        view = gathered.view(parts, names, self.progress, quoting=quoting, sent_directly=direct)
        if if_changed and view.to_components() == self._stands:
            assert job.message_id is not None
            return job.message_id
        before, known = self._there, self._told
        self.forget()
        try:
            message = await edit(view=view, attachments=[each for some in files.values() for each in some])
        except discord.HTTPException as error:
            if error.status == 400 and kept:  # what it was to keep may be gone: then all is brought along
                return await self._write(
                    edit, job, room=room, quoting=quoting, sent_directly=sent_directly, if_changed=if_changed
                )
            if error.status < 500:  # it was not taken, and all stands as it stood
                self._there, self._told = before, known
            raise
        there = {each.filename: each for each in message.attachments}
        self._there = {n: [there[name] for name in some if name in there] for n, some in names.items()}
        self._told = frozenset(
            _told_of(part)
            for part in parts
            if part.state in gathered.OVER and (names.get(part.id) or not _has_pictures(part))
        )
        self._stands = view.to_components()
        return message.id

    async def _files(
        self, parts: Sequence[Job], kept: dict[int, _Files], job: Job, room: int, *, leaving_out: bool
    ) -> dict[int, _Files]:
        """What the message is to carry, by the jobs' numbers: another job's files that can't be read are left out."""
        shown = [part for part in parts if _has_pictures(part) and not (leaving_out and part.id == job.id)]
        new = sum(len(part.shown_images) for part in shown if part.id not in kept)
        room = min(room, uploads.MESSAGE_BYTES_MAX // max(1, new))
        files: dict[int, _Files] = {}
        for part in shown:
            if part.id in kept:
                files[part.id] = kept[part.id]
                continue
            try:
                files[part.id] = await uploads.files_of(part, part.shown_images, file_bytes_max=room)
            except (OSError, uploads.ImageTooLarge) as error:
                if part.id == job.id:
                    raise
                log.warning("part_left_out", job=part.id, error=str(error))
        return files


def _told_of(job: Job) -> _Told:
    return job.id, job.state, job.attempt


def _has_pictures(part: Job) -> bool:
    return part.state in gathered.SHOWN and part.deleted_at is None and bool(part.shown_images)
