"""Token, folders, lists of words, database and backups: may we use them, and are they sound? Writes nothing."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from bot.config import ConfigError, Settings
from bot.core.asking.refused import (
    NoSuchWildcard,
    WildcardInCircle,
    WildcardProblem,
    WildcardsTooLong,
    WildcardTooDeep,
    WildcardUnusable,
)
from bot.core.asking.wildcards import Wildcards
from bot.shell.doctor.finding import Finding, bad, ok, warn
from bot.store import checks, schema
from bot.store.backup import backups, check_whole
from bot.store.database_errors import Unusable

FREE_BYTES_LOW = 5 * 2**30


BACKUP = "easel backup"


RESTORE = "stop Easel, then: easel restore"


def check_token(settings: Settings) -> Iterator[Finding]:
    discord = settings.discord
    try:
        discord.read_token()
    except ConfigError as error:
        portal = "https://discord.com/developers/applications"
        yield bad("Token", error.problems[0], f"export DISCORD_TOKEN=… (from {portal}, Bot, Reset Token)")
        return
    path = discord.token_path
    if path is not None and os.name == "posix" and (mode := stat.S_IMODE(path.stat().st_mode)) & 0o077:
        yield bad("Token", f"{path} can be read by others (mode {mode:04o}).", f"chmod 600 {path}")
    else:
        yield ok("Token", f"in {path}" if path else "in DISCORD_TOKEN")


def own_fix(place: Path) -> str:
    return f'sudo chown -R "$USER" {shlex.quote(str(place))}'


def _not_writable(name: str, folder: Path, section: str) -> Finding | None:
    """What keeps files from being made in the folder, or the folder from being made."""
    existing = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
    if not existing.is_dir():
        return bad(name, f"{existing} is not a folder.", f"set another dir under [{section}]")
    if not os.access(existing, os.W_OK | os.X_OK | os.R_OK):
        return bad(name, f"{existing} can't be written to.", own_fix(existing))
    return None


def check_data(settings: Settings) -> Iterator[Finding]:
    folder = settings.data_dir
    if (problem := _not_writable("Data", folder, "data")) is not None:
        yield problem
        return
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(existing).free
    text = f"{folder}{'' if folder.exists() else ' (made at the first start)'}, {free / 2**30:.1f} GB free"
    if free >> 20 < settings.data.free_mb:
        yield bad(
            "Data",
            f"{text}: less than free_mb = {settings.data.free_mb}, so nothing new is taken.",
            "set another dir, or fewer retention_days, under [data]",
        )
    elif free < FREE_BYTES_LOW:
        yield warn("Data", f"{text}: little for images.")
    else:
        yield ok("Data", text)


def check_backup_folder(settings: Settings) -> Iterator[Finding]:
    """Whether backups could be written; what is in them is read with --deep."""
    folder = settings.backups
    if not settings.backup.every_hours:
        yield warn("Backups", "none are made: every_hours = 0 under [backup].")
    elif (problem := _not_writable("Backups", folder, "backup")) is not None:
        yield problem
    elif settings.backup.dir is not None:  # else the line on the data folder says it
        yield ok("Backups", f"every {settings.backup.every_hours} hours, to {folder}")


def check_wildcards(settings: Settings) -> Iterator[Finding]:
    """Lists of words for prompts: none is fine, unless a folder for them was named."""
    folder = settings.wildcards_dir
    if not folder.is_dir():
        if settings.wildcards.dir is not None:
            yield bad("Wildcards", f"{folder} is not a folder.", f"mkdir -p {shlex.quote(str(folder))}")
        return
    wildcards = Wildcards(folder)
    problems = dict(wildcards.problems())
    for name, problem in problems.items():
        yield warn("Wildcards", f"__{name}__ is refused: {_wildcard_problem(problem)}.")
    yield ok("Wildcards", f"lists of words in {folder}: {len(wildcards.names()) - len(problems)}")


def _wildcard_problem(problem: WildcardProblem) -> str:
    match problem:
        case NoSuchWildcard(name=name):
            return f"it holds __{name}__, which is not there"
        case WildcardInCircle(names=names):
            return f"it includes itself ({' → '.join(names)})"
        case WildcardTooDeep(most=most):
            return f"more than {most} lists hold one another"
        case WildcardUnusable(name=name):
            return f"the file of __{name}__ is empty, too large or can't be read"
        case WildcardsTooLong():
            return "its words are too many for a prompt"


def check_database(settings: Settings) -> Iterator[Finding]:
    path = settings.database
    if not path.exists():
        yield ok("Database", "none yet: made at the first start")
        return
    try:
        check_whole(path)
        problems = checks.check(path)
    except Unusable as problem:
        problems = [str(problem)]
    for problem in problems:
        yield bad("Database", problem, RESTORE)
    if not problems:
        yield ok("Database", f"{path}, {path.stat().st_size / 2**20:.1f} MB")


def check_integrity(settings: Settings) -> Iterator[Finding]:
    path = settings.database
    if not path.exists():
        return
    try:
        problems = checks.damage(path, thorough=True)
        for problem in problems[:20]:
            yield bad("Integrity", f"{path}: {problem}.", RESTORE)
        if not problems:
            yield ok("Integrity", "every page, index and reference of the database agrees")
            yield from _books(path)
    except checks.Error as error:
        yield bad("Integrity", f"{path} can't be read: {error}.", RESTORE)


def _books(path: Path) -> Iterator[Finding]:
    if checks.version(path) != schema.newest():
        yield warn(
            "Books", "The schema is another one than this program's: they are audited after `easel run`."
        )
        return
    problems = checks.audit(path)
    for problem in problems:
        yield bad("Books", problem, RESTORE)
    if not problems:
        yield ok("Books", "every job's state, cost and images agree")


def check_backups(settings: Settings) -> Iterator[Finding]:
    known = backups(settings.backups)
    if not known:
        if settings.database.exists():
            yield bad("Backup", f"There is none in {settings.backups}.", BACKUP)
        else:
            yield ok("Backup", f"none needed yet; they will be in {settings.backups}")
        return
    newest = known[0]
    hours = (time.time() - newest.made_at) / 3600
    text = f"{newest.path}, {hours:.0f} hours old"
    late = max(2 * settings.backup.every_hours, 48)
    if problems := checks.verify(newest.path):
        yield bad("Backup", f"{text}, does not hold: {problems[0]}.", BACKUP)
    elif hours > late:
        yield bad("Backup", f"{text}: no newer one was made for more than {late} hours.", BACKUP)
    else:
        yield ok("Backup", f"{text}, opened, checked and audited")
