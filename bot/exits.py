"""Exit codes of the shell's commands, and what ends them told as one sentence. Knows no Discord."""

from __future__ import annotations

import sys
from collections.abc import Callable

from bot.config import EXIT_CONFIG
from bot.lock import EXIT_ALREADY_RUNNING, AlreadyRunning
from bot.store.errors import DatabaseError, Unusable

EXIT_OK, EXIT_FAILED = 0, 1


def explained(act: Callable[[], int]) -> int:
    """Runs it; what an owner can do something about becomes one sentence and an exit code."""
    try:
        return act()
    except AlreadyRunning as problem:
        print(problem, file=sys.stderr)
        return EXIT_ALREADY_RUNNING
    except Unusable as problem:  # a supervisor must not start us again: the owner has to act
        print(problem, file=sys.stderr)
        return EXIT_CONFIG
    except DatabaseError as problem:
        print(problem, file=sys.stderr)
    except OSError as problem:
        print(f"The data folder can't be used: {problem}.", file=sys.stderr)
    return EXIT_FAILED
