"""What ends the shell's commands, told as one sentence and an exit code. Knows no Discord."""

from __future__ import annotations

import sys
from collections.abc import Callable

from bot.shell.exit_codes import EXIT_ALREADY_RUNNING, EXIT_CONFIG, EXIT_FAILED
from bot.shell.lock import AlreadyRunning
from bot.store.database_errors import DatabaseError, Unusable, is_the_owners


def explained(act: Callable[[], int]) -> int:
    """Runs it; what an owner can do something about becomes one sentence and an exit code."""
    try:
        return act()
    except AlreadyRunning as problem:
        print(problem, file=sys.stderr)
        return EXIT_ALREADY_RUNNING
    except (DatabaseError, OSError) as problem:
        print(_sentence(problem), file=sys.stderr)
        # a supervisor must not start us again where nothing but the owner's act can help
        needs_owner = isinstance(problem, Unusable) or any(map(is_the_owners, (problem, problem.__cause__)))
        return EXIT_CONFIG if needs_owner else EXIT_FAILED


def _sentence(problem: DatabaseError | OSError) -> str:
    if isinstance(problem, DatabaseError):
        hint = (
            " Give it to the user who runs Easel, or name another folder."
            if is_the_owners(problem.__cause__)
            else ""
        )
        return f"{problem}{hint}"
    what, why = problem.filename or "The data folder", problem.strerror or problem
    if not is_the_owners(problem):
        return f"{what} can't be used: {why}."
    return f"{what} can't be used ({why}): give it to the user who runs Easel, or name another under [data] or [backup]."
