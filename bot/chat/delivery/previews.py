"""Which file a progress edit carries: a new preview once, then none until a newer one comes. Sends nothing itself.

Leaving the list of attachments out of an edit keeps them, so that people don't see a picture load again at every
step. What stands on the message is told by hashes: no old picture is kept in memory for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import discord
from discord.utils import MISSING

from bot.chat.look.job_view import PREVIEW, preview_alt_text
from bot.job import Job

NOT_ABOUT_FILES = (401, 404, 429)
"""Refusals that the same edit meets without a file too: token, message and rate."""


@dataclass(slots=True)
class PreviewSlot:
    """The preview on one message, as far as it is known."""

    is_refused: bool = False
    """Discord takes no preview here: the job goes on in words."""
    _there: int | None = None
    _is_known: bool = False
    """Not at first, since an earlier process may have left one, and not after an upload of unknown outcome."""
    _is_kept: bool = True
    """False once Discord did not find a file that it was to keep: it gets the file with each edit."""

    def holds(self, preview: bytes | None) -> bool:
        """Whether the message carries exactly this, so that its attachments may be left alone."""
        return self._is_known and self._there == stamp(preview) and (preview is None or self._is_kept)

    def attachments(self, job: Job, preview: bytes | None) -> Sequence[discord.File]:
        """The list for an edit, MISSING where nothing changes; what stands there is unknown until `is_now` is told."""
        if self.holds(preview):
            return MISSING
        self._is_known = False
        if preview is None:
            return []
        return [discord.File(BytesIO(preview), PREVIEW, description=preview_alt_text(job))]

    def is_now(self, preview: bytes | None) -> None:
        """An edit with this preview was taken."""
        self._there, self._is_known = stamp(preview), True

    def demand_less(self, preview: bytes) -> None:
        """An edit with this preview was refused: next time the file comes along; if it did already, no preview does."""
        if self.holds(preview):
            self._is_kept = False
        else:
            self.is_refused = True


def stamp(preview: bytes | None) -> int | None:
    return None if preview is None else hash(preview)


def may_be_about_the_file(error: discord.HTTPException) -> bool:
    return 400 <= error.status < 500 and error.status not in NOT_ABOUT_FILES
