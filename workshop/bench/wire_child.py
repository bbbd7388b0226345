"""The bot's process with a probe of its event loop: `python -m workshop.bench.wire_child LAGS FILE [FAKE]`."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from workshop.rehearsal import bot_child
from workshop.rehearsal.redirect import client_options_from_environment

SAMPLE_S = 0.005


async def watch_lag(file: Path) -> None:
    """How late the loop wakes us, in milliseconds; what was seen is written every second."""
    lags: list[float] = []
    written = time.perf_counter()
    while True:
        begin = time.perf_counter()
        await asyncio.sleep(SAMPLE_S)
        now = time.perf_counter()
        lags.append(max(0.0, now - begin - SAMPLE_S) * 1000)
        if now - written > 1:
            written = now
            file.write_text(json.dumps(lags))


def main(lags: str, file: str, *fake: str) -> int:
    tasks: list[asyncio.Task[None]] = []

    def options() -> dict[str, Any]:
        tasks.append(asyncio.get_running_loop().create_task(watch_lag(Path(lags))))
        return client_options_from_environment()

    bot_child.client_options_from_environment = options
    return bot_child.main(file, *fake)


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
