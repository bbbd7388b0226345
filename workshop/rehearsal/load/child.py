"""The real bot as its own process, which notes how late its loop is: `python -m workshop.rehearsal.load.child FILE FAKE`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from bot.core.line.dispatcher import Dispatcher
from workshop.rehearsal import bot_child

NOTES_VARIABLE = "LOOP_NOTES"
PROBE_S = 0.02


async def take_notes(file: Path) -> None:
    """Fifty lines a second: [ms by which a short sleep was late, number of tasks]."""
    with file.open("a", buffering=1 << 16) as notes:
        while True:
            begin = time.monotonic()
            await asyncio.sleep(PROBE_S)
            late_ms = 1000 * (time.monotonic() - begin - PROBE_S)
            notes.write(f"{json.dumps([round(late_ms, 2), len(asyncio.all_tasks())])}\n")


def main() -> int:
    file, start = Path(os.environ[NOTES_VARIABLE]), Dispatcher.start
    probes: list[asyncio.Task[None]] = []

    async def start_with_notes(self: Any) -> None:
        await start(self)
        probes.append(asyncio.create_task(take_notes(file)))

    Dispatcher.start = start_with_notes
    return bot_child.main(*sys.argv[1:])


if __name__ == "__main__":
    raise SystemExit(main())
