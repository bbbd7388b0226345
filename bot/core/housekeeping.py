"""Backs up, and forgets what need not be kept: expired tokens, old image files. Never what is still owed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from bot.config import Settings
from bot.core.gate import free_mb
from bot.core.ports import Clock
from bot.core.spooled import inputs_of
from bot.jobs import TOKEN_LIFE_S
from bot.store import Store
from bot.store.backup import backups, name_for, prune
from bot.store.db import DatabaseError
from bot.store.threads import unawaited

log = structlog.get_logger(__name__)

EVERY_S = 60.0
AUDITS_EVERY = 60
SWEEPS_EVERY = 360
BACKUP_LOOKS_EVERY = 60
"""In minutes, so that a backup that fails is tried again in an hour, and not every minute."""
DAY_S, HOUR_S = 86_400.0, 3600.0

Tell = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chore:
    every: int
    """Turns of EVERY_S between two times; the first comes at once."""
    do: Callable[[], Awaitable[None]]
    failure: str
    """The event that is logged, at error level, when it fails."""
    news: str = ""
    """What the owner is told then, with `{error}` in it; empty: nothing."""


async def keep_house(store: Store, settings: Settings, *, clock: Clock, tell_owner: Tell) -> None:
    """Runs until cancelled; one chore that fails costs nobody else's turn. `tell_owner` takes what a person must mend."""
    chores = (
        Chore(
            every=1,
            do=lambda: store.jobs.purge_tokens(before=clock.now() - TOKEN_LIFE_S),
            failure="tokens_not_forgotten",
        ),
        Chore(
            every=BACKUP_LOOKS_EVERY,
            do=lambda: back_up_when_due(store, settings, clock.now()),
            failure="backup_failed",
            news="Easel's database could not be backed up: {error}. It is tried again in an hour.",
        ),
        Chore(
            every=1,
            do=lambda: _look_for_room(settings),
            failure="disk_full",
            news="Easel takes no new requests, to have room for those in line: {error}.",
        ),
        Chore(every=SWEEPS_EVERY, do=lambda: _sweep(store, settings, clock.now()), failure="sweep_failed"),
        Chore(every=AUDITS_EVERY, do=lambda: _audit(store, tell_owner), failure="audit_failed"),
    )
    turn = 0
    while True:
        for chore in chores:
            if turn % chore.every == 0:
                await _try(chore, tell_owner)
        turn += 1
        await asyncio.sleep(EVERY_S)


async def _look_for_room(settings: Settings) -> None:
    """Raises OSError below the floor at which the gate refuses what is new."""
    floor = settings.data.free_mb
    if free_mb(settings) < floor:
        raise OSError(f"less than {floor} MB are free in {settings.data_dir}")


async def _audit(store: Store, tell_owner: Tell) -> None:
    """What contradicts the books: at the start, and every hour."""
    for problem in await store.history.audit():
        log.error("audit", problem=problem)
        await tell_owner(f"Easel's database contradicts itself: {problem}")


async def _try(chore: Chore, tell_owner: Tell) -> None:
    try:
        await chore.do()
    except (DatabaseError, OSError) as error:  # it is tried again at its next turn
        log.error(chore.failure, error=str(error))
        if chore.news:
            await tell_owner(chore.news.format(error=str(error).rstrip(".")))


# ------------------------------------------------------------------ backups


async def back_up_when_due(store: Store, settings: Settings, now: float) -> None:
    """Makes a backup unless there is one young enough; then the oldest go. Raises DatabaseError or OSError."""
    every_s, folder = settings.backup.every_hours * HOUR_S, settings.backups
    # one made while the clock was wrong, in the future, must not keep us from backing up until then
    known = [backup.made_at for backup in backups(folder) if backup.is_regular and backup.made_at <= now]
    if not every_s or (known and now - known[0] < every_s):
        return
    target = folder / name_for(now)
    await store.back_up(target)
    gone = await unawaited(lambda: prune(folder, keep=settings.backup.keep))
    log.info("backup_made", file=str(target), older_removed=gone)


# ------------------------------------------------------------------ files of images, made and given


async def _sweep(store: Store, settings: Settings, now: float) -> None:
    days = settings.data.retention_days
    before = now - days * DAY_S if days else None
    # files first, then the rows: a file seen here belongs to a job that is alive, and read below, or has ended
    made = await asyncio.to_thread(old_files, settings.spool, before=before, partial_before=now - HOUR_S)
    given = await asyncio.to_thread(old_files, settings.inputs, before=before, partial_before=now - HOUR_S)
    live = await store.jobs.live()
    numbers = {job.id for job in live}
    needed = {digest for job in live for digest in inputs_of(job.request)}
    gone = [path for path in made if _job_of(path) not in numbers]
    # a picture that is uploaded or rerolled again in this moment is young again, and its job has no row yet
    gone += [path for path in given if path.name not in needed and is_old(path, before, now - HOUR_S)]
    for path in gone:
        path.unlink(missing_ok=True)
    if gone:
        log.info("old_files_removed", files=len(gone))


def old_files(spool: Path, *, before: float | None, partial_before: float) -> list[Path]:
    """Files last written before a time (None: no image is that old); half-written ones have a time of their own.

    A half-written file is renamed within seconds: one that is old was left behind by an engine that died, unless the
    clock has jumped.
    """
    return [path for path in spool.glob("*") if path.is_file() and is_old(path, before, partial_before)]


def is_old(path: Path, before: float | None, partial_before: float) -> bool:
    limit = partial_before if path.suffix == ".part" else before
    return limit is not None and path.stat().st_mtime < limit


def _job_of(path: Path) -> int | None:
    """The job whose image this is, as the engine names it: JOB-ATTEMPT-IMAGE.png, half-written after a dot."""
    number = path.name.lstrip(".").partition("-")[0]
    return int(number) if number.isdecimal() else None
