"""The real bot that tries again sooner where Discord does not let it in: `python -m tests.kit.hurried_child FILE FAKE`."""

from __future__ import annotations

import sys

from bot.chat import outages
from workshop.rehearsal import bot_child

if __name__ == "__main__":
    outages.PAUSE_FIRST_S = 0.2
    raise SystemExit(bot_child.main(*sys.argv[1:]))
