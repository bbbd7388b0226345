"""`easel backup` and `easel restore`: copies of the database and the way back, for the shell. Knows no Discord."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

from bot.config import Settings
from bot.shell.exit_codes import EXIT_OK
from bot.shell.exits import explained
from bot.shell.lock import lock_data
from bot.store import backup
from bot.store.checks import verify
from bot.store.database_errors import DatabaseError


def back_up(settings: Settings, target: Path | None) -> int:
    """A verified copy, whether or not the bot runs; to the folder of backups unless told."""

    def act() -> int:
        with contextlib.suppress(FileNotFoundError):
            os.scandir(settings.data_dir).close()  # what is no folder, or another's, is told as that
        backup.check_whole(settings.database)
        made = backup.back_up(
            settings.database, (target or settings.backups / backup.name_for(time.time())).absolute()
        )
        print(f"The database was copied to {made}; the copy was opened, checked and audited.")
        return EXIT_OK

    return explained(act)


def restore(settings: Settings, source: Path | None) -> int:
    """Puts a backup, the newest good one unless told, in the database's place."""

    def act() -> int:
        with lock_data(settings):
            chosen = source or _newest_good(settings.backups)
            kept = backup.restore(settings.database, chosen.absolute(), now=time.time())
        print(f"{settings.database} is now the backup {chosen}.")
        if kept is not None:
            print(f"What was there before is kept as {kept}.")
        print("Requests that were in line when it was made are taken up at the next `easel run`.")
        return EXIT_OK

    return explained(act)


def _newest_good(folder: Path) -> Path:
    known = backup.backups(folder)
    for candidate in known:
        if not (problems := verify(candidate.path)):
            return candidate.path
        print(f"{candidate.path} is passed over: {problems[0]}.", file=sys.stderr)
    if known:
        raise DatabaseError(f"No backup in {folder} can be used: name another file, `easel restore FILE`.")
    raise DatabaseError(f"There is no backup in {folder}: name the file, `easel restore FILE`.")
