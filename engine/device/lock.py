"""One engine per device, seat on it and data folder: the next one waits until the one before is really gone. Knows no torch.

Even SIGKILL does not end a process that hangs inside its driver, and as long as it lives it keeps its memory on the
card: a second engine beside it would run short, or hang as well. The lock is the system's own, so it ends with the
process and never later; on Linux it holds though its file is removed. It lies in the data folder, not in the machine's temp folder: whoever draws a picture beside
the bot, or runs two bots on one large card, may do so; what must not meet are two engines of the same bot.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Listener
from pathlib import Path
from typing import Any

from engine.contract import EngineSettings, Event, Loading

LOOK_EVERY_S = 1.0
STUCK_S = 60.0
_held: list[Any] = []
"""Held until the process ends, however it does."""


def take(settings: EngineSettings, emit: Callable[[Event], None], wait: Callable[[float], None]) -> None:
    """Returns with the lock held. `wait` waits for so many seconds, and raises when the engine is to leave."""
    if settings.data is None:
        return
    from filelock import FileLock, Timeout

    path = Path(settings.data) / file_name(settings.device, settings.seat)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock, begin = FileLock(path), time.monotonic()
        while True:
            with contextlib.suppress(Timeout):
                lock.acquire(timeout=0)
                if (name := _name_of(path)) is not None:
                    _held.extend([lock, name])
                    break
                lock.release()
            emit(Loading(stage=_words(path, stuck=time.monotonic() - begin > STUCK_S)))
            wait(LOOK_EVERY_S)
        path.write_text(f"{os.getpid()}\n", encoding="ascii")
    except OSError as error:  # a folder that can't be written to is not worth failing for
        print(f"easel engine: no lock on the device ({error})", file=sys.stderr)  # noqa: T201


def _name_of(path: Path) -> Listener | str | None:
    """A name in the kernel, which no `rm` takes away, held as long as what is returned; None where another holds it.

    It is made of the folder's own number, by whatever path, and nobody listens. Systems without such names have the
    file's lock alone.
    """
    if sys.platform != "linux":
        return ""
    try:
        return Listener(f"\0{_kernel_name(path)}", "AF_UNIX")
    except OSError as error:
        return None if error.errno == errno.EADDRINUSE else ""


def _kernel_name(path: Path) -> str:
    folder = path.parent.stat()
    return f"easel-{folder.st_dev}-{folder.st_ino}-{path.stem}"


def file_name(device: str, seat: int = 0) -> str:
    """The same for all names of the first GPU."""
    first = "cuda:0" if device in ("auto", "cuda") else device.lower()
    return f"engine-{re.sub('[^a-z0-9]', '-', first)}{f'.{seat}' if seat else ''}.lock"


def _words(path: Path, *, stuck: bool) -> str:
    pid = _holder(path)
    who = f"an earlier engine (process {pid})" if pid else "an earlier engine"
    if not stuck:
        return f"{who} still holds the device, and this one waits for its end"
    what = f"end it with “kill -9 {pid}”, or" if pid else "end it, or"
    return f"{who} hangs and still holds the device: {what} restart the machine"


def _holder(path: Path) -> str:
    """The process that holds it: it wrote its number into the file, and the kernel knows it where that was removed."""
    try:
        text = path.read_text(encoding="ascii").strip()
        if not text and sys.platform == "linux":
            text = _process_with(_kernel_name(path))
            path.write_text(text, encoding="ascii")  # it takes a while to find
    except (OSError, ValueError):
        return ""
    return text if text.isdecimal() else ""


def _process_with(name: str) -> str:
    """Whose kernel name that is, as far as we may look."""
    rows = (row.split() for row in Path("/proc/net/unix").read_text(encoding="utf-8").splitlines())
    numbers = {row[6] for row in rows if row[-1] == f"@{name}"}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(
                str(link.readlink()) in {f"socket:[{number}]" for number in numbers}
                for link in (process / "fd").iterdir()
            ):
                return process.name
    return ""
