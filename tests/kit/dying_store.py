"""Opens a database and dies by SIGKILL after so many statements of its migrations: `python -m tests.kit.dying_store FILE AFTER [LATER]`.

LATER is JSON: further migrations, [[number, script], …]. After the last statement of a migration it dies before the commit.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from bot.store import db, schema


def main(file: str, after: str, later: str = "[]") -> None:
    known, real, left = schema.migrations(), schema.statements, int(after)

    def dying(script: str) -> Iterator[str]:
        nonlocal left
        for statement in real(script):
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            yield statement
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    schema.migrations = lambda: [*known, *((number, script) for number, script in json.loads(later))]
    schema.statements = dying
    asyncio.run(db.Database.open(Path(file)))


if __name__ == "__main__":
    main(*sys.argv[1:])
