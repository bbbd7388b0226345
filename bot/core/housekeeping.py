"""Forgets what need not be kept: expired tokens, image files past their retention. Never what is still owed."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import structlog

from bot.core.ports import Clock
from bot.jobs import TOKEN_LIFE_S
from bot.store import Store
from bot.store.db import DatabaseError

log = structlog.get_logger(__name__)

EVERY_S = 60.0
SWEEPS_EVERY = 360
DAY_S = 86_400.0


async def keep_house(store: Store, spool: Path, *, retention_days: int, clock: Clock) -> None:
    """Runs until cancelled: tokens every minute, images every six hours; `retention_days` 0 keeps them for ever."""
    for turn in itertools.count():
        try:
            await store.jobs.purge_tokens(before=clock.now() - TOKEN_LIFE_S)
            if retention_days and turn % SWEEPS_EVERY == 0:
                await _sweep(store, spool, before=clock.now() - retention_days * DAY_S)
        except (DatabaseError, OSError) as error:  # it is tried again in a minute, or in six hours
            log.warning("housekeeping_failed", error=str(error))
        await asyncio.sleep(EVERY_S)


async def _sweep(store: Store, spool: Path, *, before: float) -> None:
    owed = {str(image.path) for job in await store.jobs.live() for image in job.images}
    if gone := await asyncio.to_thread(sweep, spool, before=before, keep=owed):
        log.info("old_images_removed", files=gone)


def sweep(spool: Path, *, before: float, keep: set[str]) -> int:
    """Removes files last written before a time (seconds since 1970), but for those to keep; how many went."""
    gone = 0
    for path in spool.glob("*"):
        if str(path) not in keep and path.is_file() and path.stat().st_mtime < before:
            path.unlink(missing_ok=True)
            gone += 1
    return gone
