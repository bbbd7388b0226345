"""The real bot as its own process with short pauses after crashes: `python -m workshop.rehearsal.chaos.child FILE FAKE`.

Only waiting is shorter: what is done, and in which order, is what `easel run` does.
"""

from __future__ import annotations

import sys

from bot.core.engines import client
from workshop.rehearsal import bot_child

BACKOFF_S = (0.05, 0.2)
DEATHS_MAX = 1000
"""Our kills are no reason to let the device rest for ten minutes."""


def main() -> int:
    client.BACKOFF_S = BACKOFF_S
    client.DEATHS_MAX = DEATHS_MAX
    return bot_child.main(*sys.argv[1:])


if __name__ == "__main__":
    raise SystemExit(main())
