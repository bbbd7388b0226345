"""Forgets what need not be kept: expired tokens, image files past their retention. Never what is still owed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from bot.core.ports import Clock
from bot.jobs import TOKEN_LIFE_S
from bot.store import Store

log = structlog.get_logger(__name__)

EVERY_S = 6 * 3600.0
DAY_S = 86_400.0


async def keep_house(store: Store, spool: Path, *, retention_days: int, clock: Clock) -> None:
    """Runs until cancelled; `retention_days` 0 keeps images for ever."""
    while True:
        now = clock.now()
        await store.jobs.purge_tokens(before=now - TOKEN_LIFE_S)
        if retention_days:
            owed = {str(image.path) for job in await store.jobs.live() for image in job.images}
            gone = await asyncio.to_thread(sweep, spool, before=now - retention_days * DAY_S, keep=owed)
            if gone:
                log.info("old_images_removed", files=gone)
        await asyncio.sleep(EVERY_S)


def sweep(spool: Path, *, before: float, keep: set[str]) -> int:
    """Removes files last written before a time (seconds since 1970), but for those to keep; how many went."""
    gone = 0
    for path in spool.glob("*"):
        if str(path) not in keep and path.is_file() and path.stat().st_mtime < before:
            path.unlink(missing_ok=True)
            gone += 1
    return gone
