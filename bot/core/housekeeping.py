"""Backs up, and forgets what need not be kept: expired tokens, old image files. Never what is still owed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from bot.config import DataSection, Settings
from bot.core.asking.admission import free_mb
from bot.core.news import DatabaseContradicts, DatabaseDamaged, News, NoRoom, NotBackedUp
from bot.core.ports import Clock
from bot.core.spool import IMAGE
from bot.job import TOKEN_LIFE_S
from bot.store import Store
from bot.store.backup import backups, name_for, prune, sweep
from bot.store.db import DatabaseError, Unusable
from bot.store.jobs import Spooled
from bot.store.threads import unawaited

log = structlog.get_logger(__name__)

DAY_S, HOUR_S = 86_400.0, 3600.0

Tell = Callable[[News], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """How often what is looked after; the first look comes at once."""

    every_s: float = 60.0
    """One turn."""
    audits: int = 60
    """Turns between two of them, as below."""
    sweeps: int = 360
    backup_looks: int = 60
    """A backup that fails is tried again in an hour, and not every minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chore:
    every: int
    """Turns between two times."""
    do: Callable[[], Awaitable[None]]
    failure: str
    """The event that is logged, at error level, when it fails."""
    news: Callable[[str], News] | None = None
    """What the operator is told then, of the error's text; None: nothing."""


async def keep_house(
    store: Store,
    settings: Settings,
    *,
    clock: Clock,
    tell_operator: Tell,
    rounds: Rounds,
    end_reviews: Callable[[float], Awaitable[None]],
) -> None:
    """Runs until cancelled; one chore that fails costs nobody else's turn. `tell_operator` takes what a person must mend.

    `end_reviews` ends those that began before the moment that it is given.
    """
    kept_s = settings.data.withheld_days * DAY_S
    reviews = Chore(
        every=rounds.sweeps, do=lambda: end_reviews(clock.now() - kept_s), failure="reviews_not_ended"
    )
    chores = [
        reviews,
        *_chores(store, settings, clock=clock, tell_operator=tell_operator, rounds=rounds),
    ]
    turn = 0
    while True:
        for chore in chores:
            if turn % chore.every == 0:
                await _try(chore, tell_operator)
        turn += 1
        await asyncio.sleep(rounds.every_s)


def _chores(
    store: Store, settings: Settings, *, clock: Clock, tell_operator: Tell, rounds: Rounds
) -> list[Chore]:
    return [
        Chore(
            every=1,
            do=lambda: store.jobs.purge_tokens(before=clock.now() - TOKEN_LIFE_S),
            failure="tokens_not_forgotten",
        ),
        Chore(
            every=1,
            do=lambda: store.plans.forget(now=clock.now()),
            failure="plans_not_forgotten",
        ),
        Chore(
            every=rounds.sweeps,
            do=lambda: store.erasures.forget_names(
                now=clock.now(), backed_up_s=settings.backup.every_hours * settings.backup.keep * HOUR_S
            ),
            failure="names_not_forgotten",
        ),
        Chore(
            every=rounds.backup_looks,
            do=lambda: back_up_when_due(store, settings, clock.now()),
            failure="backup_failed",
            news=lambda problem: NotBackedUp(problem=problem),
        ),
        Chore(
            every=1,
            do=lambda: _look_for_room(settings),
            failure="disk_full",
            news=lambda problem: NoRoom(problem=problem),
        ),
        Chore(
            every=rounds.sweeps,
            do=lambda: _forget(store, settings.data, clock.now()),
            failure="old_data_not_forgotten",
        ),
        Chore(every=rounds.sweeps, do=lambda: _sweep(store, settings, clock.now()), failure="sweep_failed"),
        Chore(every=rounds.audits, do=lambda: _audit(store, tell_operator), failure="audit_failed"),
    ]


async def _forget(store: Store, data: DataSection, now: float) -> None:
    """What rows tell, after the days that whoever runs the bot wants."""
    if data.searches_days:
        await store.history.forget_searches(before=now - data.searches_days * DAY_S)
    if data.audit_days and (lines := await store.audit.forget(before=now - data.audit_days * DAY_S)):
        log.info("old_log_forgotten", lines=lines)
    if not data.prompts_days:
        return
    if jobs := await store.erasures.forget_words(before=now - data.prompts_days * DAY_S, now=now):
        await store.database.clean()
        log.info("old_words_forgotten", jobs=jobs)


async def _look_for_room(settings: Settings) -> None:
    """Raises OSError below the floor at which nothing new is admitted."""
    floor = settings.data.free_mb
    if free_mb(settings) < floor:
        raise OSError(f"less than {floor} MB are free in {settings.data_dir}")


async def _audit(store: Store, tell_operator: Tell) -> None:
    """What contradicts the books: at the start, and every hour."""
    for problem in await store.history.audit():
        log.error("audit", problem=problem)
        await tell_operator(DatabaseContradicts(problem=problem))


async def _try(chore: Chore, tell_operator: Tell) -> None:
    try:
        await chore.do()
    except (DatabaseError, OSError) as error:  # it is tried again at its next turn
        log.error(chore.failure, error=str(error))
        if chore.news is not None:
            await tell_operator(chore.news(str(error)))
        elif isinstance(error, Unusable):
            await tell_operator(DatabaseDamaged(problem=str(error)))


# ------------------------------------------------------------------ backups


async def back_up_when_due(store: Store, settings: Settings, now: float) -> None:
    """Makes a backup unless there is one young enough; the oldest go, whoever made them. Raises DatabaseError or OSError."""
    every_s, folder = settings.backup.every_hours * HOUR_S, settings.backups
    # one made while the clock was wrong, in the future, must not keep us from backing up until then
    known = [backup.made_at for backup in backups(folder) if backup.is_regular and backup.made_at <= now]
    if not every_s:
        return
    if not known or now - known[0] >= every_s:
        target = folder / name_for(now)
        await store.back_up(target)
        log.info("backup_made", file=str(target))
    if gone := await unawaited(lambda: prune(folder, keep=settings.backup.keep)):
        log.info("old_backups_removed", count=gone)


# ------------------------------------------------------------------ files of images, made and given


async def _sweep(store: Store, settings: Settings, now: float) -> None:
    """What is too old, what nobody asks for any more, and what programs that were killed have left behind."""
    days = settings.data.retention_days
    age = _Age(
        before=now - days * DAY_S if days else None,
        withheld_before=now - settings.data.withheld_days * DAY_S,
        partial_before=now - HOUR_S,
    )
    # files first, then the rows: a file seen here belongs to a job that is alive, and read below, or has ended
    made, given = await unawaited(lambda: (files_in(settings.spool), files_in(settings.inputs)))
    live = await store.jobs.live()
    gone = await _made(store, made, age, live={job.id for job in live})
    needed = {digest for job in live for digest in job.request.inputs}
    unused = [path for path in given if path.name not in needed]
    removed = await unawaited(lambda: _remove(gone, unused, age) + sweep(settings.backups))
    if removed:
        log.info("old_files_removed", files=removed)


def _remove(made: Iterable[Path], given: Iterable[Path], age: _Age) -> int:
    """How many went."""
    # a picture that is uploaded or rerolled again in this moment is young again, and its job has no row yet
    gone = [*made, *(path for path in given if age.is_over(path))]
    for path in gone:
        path.unlink(missing_ok=True)
    return len(gone)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Age:
    before: float | None
    """Images last written before this are not kept any more; None keeps them for ever."""
    withheld_before: float
    """The same of those that nobody is shown."""
    partial_before: float
    """A half-written file is renamed within seconds: an older one was left behind, unless the clock has jumped."""

    def is_over(self, path: Path, *, withheld: bool = False) -> bool:
        limit = self.withheld_before if withheld else self.before
        limit = self.partial_before if path.suffix == ".part" else limit
        try:
            return limit is not None and path.stat().st_mtime < limit
        except FileNotFoundError:  # renamed or removed in this moment
            return False


async def _made(store: Store, files: list[Path], age: _Age, *, live: set[int]) -> list[Path]:
    """Images that can go. An attempt that was killed leaves some that no row names: the next attempt has its own."""
    names = {path: _parts_of(path) for path in files}
    wanted = await store.jobs.spooled({parts[0] for parts in names.values() if parts})
    return [path for path, parts in names.items() if _can_go(path, parts, wanted, age, live)]


def _can_go(
    path: Path, parts: tuple[int, int] | None, wanted: Mapping[int, Spooled], age: _Age, live: set[int]
) -> bool:
    known = wanted.get(parts[0]) if parts else None
    if parts is None or known is None:  # none of this database's
        return age.is_over(path)
    if path.name in known.names | known.withheld:
        return parts[0] not in live and age.is_over(path, withheld=path.name in known.withheld)
    return parts[1] != known.attempt


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*") if path.is_file()]


def _parts_of(path: Path) -> tuple[int, int] | None:
    """Job and attempt."""
    match = IMAGE.match(path.name)
    return (int(match[1]), int(match[2])) if match else None
