"""The real bot that waits less where Discord does not let it in: `python -m tests.kit.hurried_child FILE FAKE`."""

from __future__ import annotations

import sys

from bot import app
from bot.chat import outages
from workshop.rehearsal import bot_child

if __name__ == "__main__":
    outages.PAUSE_FIRST_S = 0.2
    app.SYNC_WITHIN_S = 2.0
    raise SystemExit(bot_child.main(*sys.argv[1:]))
