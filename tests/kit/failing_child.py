"""The real bot that dies once at a failpoint named in FAILPOINT: `python -m tests.kit.failing_child FILE FAKE`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from engine.contract import failpoints
from workshop.rehearsal import bot_child


def main() -> int:
    if name := os.environ.get("FAILPOINT"):
        failpoints.arm(failpoints.dies_once(name, Path(sys.argv[1]).with_name("bot-crashed")))
    return bot_child.main(*sys.argv[1:])


if __name__ == "__main__":
    raise SystemExit(main())
