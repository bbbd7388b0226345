"""The real bot as its own process with short pauses after crashes: `python -m workshop.rehearsal.chaos.child FILE FAKE`.

Only waiting is shorter: what is done, and in which order, is what `easel run` does.
"""

from __future__ import annotations

import sys

from bot.app import Timings
from bot.core.engines.restarts import Patience
from workshop.rehearsal import bot_child

TIMINGS = Timings(patience=Patience(backoff_s=(0.05, 0.2), deaths_max=1000))
"""Our kills are no reason to let the device rest for ten minutes."""


def main() -> int:
    return bot_child.main(*sys.argv[1:], timings=TIMINGS)


if __name__ == "__main__":
    raise SystemExit(main())
