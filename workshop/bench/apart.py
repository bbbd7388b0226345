"""Parts of a benchmark in processes of their own, which write their result as JSON; knows nothing of what they measure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class NoResult(Exception):
    """The process wrote none; its text is the last line that it said, or that it took too long."""


def result_of(words: Sequence[str], *, given: str = "", limit_s: float | None = None) -> Any:
    """What `python -m` with these words writes to the file named by one word more; `given` is what it reads.

    It sees the same packages as this process, and is ended after so many seconds. Raises NoResult.
    """
    with tempfile.TemporaryDirectory(prefix="easel-bench-") as folder:
        file = Path(folder, "result.json")
        try:
            done = subprocess.run(
                [sys.executable, "-m", *words, str(file)],
                input=given,
                check=False,
                stdout=subprocess.DEVNULL,  # programs draw bars
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                timeout=limit_s,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        except subprocess.TimeoutExpired:
            raise NoResult(f"it was ended after {limit_s:.0f} s") from None
        if not file.exists():
            raise NoResult((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
        return json.loads(file.read_text(encoding="utf-8"))
