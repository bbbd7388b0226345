"""One message that gathers several jobs: what each edit of it has to bring. Sends nothing itself.

Every edit is made of the rows of all the jobs as they are in that moment, so that whichever comes last tells the newest,
and repeating one changes nothing. What the message carries already is kept by its number; where that is not known, after a
restart or an edit of unknown outcome, all of it is uploaded again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
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


class _Gone(Exception):
    """What the message carried may not be there any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What the message is to be."""

    view: discord.ui.LayoutView
    files: Mapping[int, _Files]
    """By the jobs' numbers."""
    told: frozenset[_Told]


@dataclass(slots=True, kw_only=True)
class Album:
    parts_of: Parts
    progress: dict[int, Progress] = field(default_factory=dict[int, Progress])
    """By the jobs' numbers."""
    finished: set[int] = field(default_factory=set[int])
    """Jobs that nothing more is to be told of."""
    sent_directly: set[int] = field(default_factory=set[int])
    """Jobs whose pictures went to their person, as far as this process knows."""
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

    async def is_light(self, job: Job) -> bool:
        """Whether the next edit has nothing to upload."""
        there = self._there or {}
        return all(part.id in there for part in await self.parts_of(job) if _has_pictures(part))

    async def is_over(self, job: Job) -> bool:
        """Whether nothing more will be written."""
        parts = await self.parts_of(job)
        return all(part.id in self.finished or part.shown_at is not None for part in parts)

    async def show(self, edit: Edit, job: Job, *, room: int) -> None:
        """Progress, where that changes anything. Raises what the edit raises."""
        look = await self._look(job, room, may_fail=None)
        if look.view.to_components() == self._stands:
            return
        try:
            await self._bring(edit, look)
        except _Gone:
            await self._bring(edit, await self._look(job, room, may_fail=None))

    async def write(self, edit: Edit, job: Job, *, room: int, quoting: bool = True) -> int:
        """The end of this job, and whatever is known of the others; the message's number.

        Raises what the edit raises, and for this job's own pictures OSError or ImageTooLarge. `room`: bytes a file may
        have.
        """
        try:
            return await self._bring(edit, await self._look(job, room, may_fail=job.id, quoting=quoting))
        except _Gone:
            return await self._bring(edit, await self._look(job, room, may_fail=job.id, quoting=quoting))

    async def _look(self, job: Job, room: int, *, may_fail: int | None, quoting: bool = True) -> _Look:
        """What the message is to be now. `may_fail`: the job whose pictures it must have."""
        parts = await self.parts_of(job)
        shown = [part for part in parts if _has_pictures(part) and part.id not in self.sent_directly]
        files = await self._files(shown, may_fail, room)
        names = {number: [each.filename for each in some] for number, some in files.items()}
        view = gathered.view(parts, names, self.progress, quoting=quoting, sent_directly=self.sent_directly)
        told = (
            _told_of(part)
            for part in parts
            if part.state in gathered.OVER
            and not part.is_in_review
            and (part not in shown or part.id in files)
        )
        return _Look(view=view, files=files, told=frozenset(told))

    async def _files(self, shown: Sequence[Job], may_fail: int | None, room: int) -> dict[int, _Files]:
        """What the message is to carry, by the jobs' numbers: another job's files that can't be read are left out."""
        kept = self._there or {}
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
                if part.id == may_fail:
                    raise
                log.warning("part_left_out", job=part.id, error=str(error))
        return files

    async def _bring(self, edit: Edit, look: _Look) -> int:
        """Raises _Gone where the message may lack what it was to keep: then all is to be brought along."""
        there, told = self._there, self._told
        self.forget()
        try:
            attachments = [each for some in look.files.values() for each in some]
            message = await edit(view=look.view, attachments=attachments)
        except discord.HTTPException as error:
            if error.status == 400 and there:
                raise _Gone from error
            if error.status < 500:  # it was not taken, and all stands as it stood
                self._there, self._told = there, told
            raise
        self._stands, self._told = look.view.to_components(), look.told
        by_name = {each.filename: each for each in message.attachments}
        names = {number: [each.filename for each in some] for number, some in look.files.items()}
        if all(name in by_name for some in names.values() for name in some):
            self._there = {number: [by_name[name] for name in some] for number, some in names.items()}
        return message.id


def _told_of(job: Job) -> _Told:
    return job.id, job.state, job.attempt


def _has_pictures(part: Job) -> bool:
    is_there = part.state in gathered.SHOWN and not part.is_in_review
    return is_there and part.deleted_at is None and bool(part.shown_images)
