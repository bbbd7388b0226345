"""What is told of jobs under way, and how often: how far each is, and how long it will take; knows no model and no thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from engine.contract import Event, GenerationRequest, Stage, Stepped
from engine.loop.batcher import Batcher
from engine.loop.job import Job, Picture
from engine.loop.recent import Recent

TELL_EVERY_S = 0.1
"""A job's steps are told at most this often, besides its first and its last."""
PACES = 256
"""Sizes of all models together whose pace is remembered."""
SHARE = 0.1
"""How much the newest forward counts."""


@dataclass(slots=True)
class Pace:
    """How long forwards and decodes of one model and one size take, by those of late."""

    forward_s: float = 0.0
    """0 before the first one."""
    rows: float = 1.0
    """That such a forward has."""
    decode_s: float = 0.0
    """Of the last picture."""

    def observe(self, seconds: float, rows: int) -> None:
        """A forward of so many rows took so long."""
        share = SHARE if self.forward_s else 1.0
        self.forward_s += share * (seconds - self.forward_s)
        self.rows += share * (rows - self.rows)


class Progress:
    """Tells of jobs, by what the batcher has of them; it only looks."""

    def __init__(
        self, batcher: Batcher[Picture], emit: Callable[[Event], None], *, every_s: float = TELL_EVERY_S
    ) -> None:
        self._batcher, self._emit, self._every_s = batcher, emit, every_s
        self._paces: Recent[tuple[str, str], Pace] = Recent(Pace, PACES)
        """By model and what it is that takes so long."""
        self._forwards = self._rows = 0

    def tell(self, job: Job, stage: Stage, *, always: bool = True, preview: bytes | None = None) -> None:
        """How far it is; unless `always`, only where that was not told just now."""
        now = time.monotonic()
        if not always and now - job.told_at < self._every_s:
            return
        job.told_at, job.stage = now, stage
        self._emit(
            Stepped(
                job_id=job.submit.job_id,
                attempt=job.submit.attempt,
                stage=stage,
                step=self.done(job),
                steps=job.total,
                seconds_left=self._seconds_left(job),
                preview=preview,
            )
        )

    def tell_steps(self, job: Job, made: int) -> None:
        """It has just made so many; the first and the last are always told."""
        if made:
            self.tell(job, "denoising", always=self.done(job) in (made, job.total))

    def done(self, job: Job) -> int:
        """UNet calls made for it. One that begins anew for lack of memory has made none."""
        return job.total - sum(picture.to_come for picture in self._batcher if picture.job is job)

    # -------------------------------------------------------------- how long it takes

    def forward_took(self, first: Picture, seconds: float, rows: int) -> None:
        """One that this picture led, with all that belongs to it."""
        self._pace(first).observe(seconds, rows)
        if not first.job.request.is_seedless:  # an upscaler's network is no UNet
            self._forwards += 1
            self._rows += rows

    def take_counts(self) -> tuple[int, int]:
        """(UNet forwards, rows in them) since it was asked last."""
        counts = self._forwards, self._rows
        self._forwards = self._rows = 0
        return counts

    def decode_took(self, picture: Picture, seconds: float) -> None:
        self._pace(picture).decode_s = seconds

    def _seconds_left(self, job: Job) -> float | None:
        """By the pace of late forwards: the job's own steps, or those of all who come no later, whatever takes longer.

        None where one of them is of a kind whose pace is not known yet.
        """
        own = [picture for picture in self._batcher.active if picture.job is job]
        if not own:
            return None
        last, waiting = own[-1], sum(picture.job is job for picture in self._batcher.waiting)
        ahead = [other for other in self._batcher.up_to(last) if other.to_come]
        if not all(self._pace(other).forward_s for other in (last, *ahead)):
            return None
        turns = sum(self._seconds(other, other.to_come) for other in ahead)
        turns += self._seconds(last, waiting * job.work)
        longest = self._pace(last).forward_s * max(picture.to_come for picture in own)
        decodes = self._pace(last).decode_s * (job.request.images - len(job.spooled))
        return round(max(turns, longest) + decodes, 2)

    def _seconds(self, picture: Picture, forwards: int) -> float:
        """What so many forwards of it take of the worker's time, at its pace; its share of those that are shared."""
        pace = self._pace(picture)
        rows = picture.job.request.mean_rows if picture.canvas is None else picture.canvas.rows
        share = 1.0 if picture.by.widths.mode == "exact" else rows / pace.rows
        return forwards * pace.forward_s * share

    def _pace(self, picture: Picture) -> Pace:
        request = picture.job.request
        return self._paces.of((request.model, _kind(request)))


def _kind(request: GenerationRequest) -> str:
    """What takes equally long for one model: tiles are of one size for images of all."""
    if request.is_plain:
        return "lanczos"
    return "tile" if request.is_seedless else request.size
