"""The real bot that stands still where STALL says: `python -m tests.kit.stalling_child FILE FAKE`.

STALL is "module:function", which then creates the file `stalled` beside FILE and never returns, or "migration", for a
migration that takes for ever.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from pathlib import Path

from bot.store import schema
from workshop.rehearsal import bot_child

ENDLESS = """
CREATE TABLE endless (x);
INSERT INTO endless WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT COUNT(*) FROM n;
"""


def main() -> int:
    marker, where = Path(sys.argv[1]).with_name("stalled"), os.environ.get("STALL", "")
    if where == "migration":
        known = schema.migrations()
        later = [*known, (known[-1][0] + 1, ENDLESS)]
        schema.migrations = lambda: later
    elif where:
        module, _, name = where.partition(":")

        def stall(*_: object, **__: object) -> None:
            marker.touch()
            threading.Event().wait()

        setattr(importlib.import_module(module), name, stall)
    return bot_child.main(*sys.argv[1:])


if __name__ == "__main__":
    raise SystemExit(main())
