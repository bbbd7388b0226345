"""The lock that lets one Easel at a time use a data folder. Knows nothing of what lies in the folder."""

from __future__ import annotations

from filelock import FileLock, Timeout

from bot.config import Settings, make_private

EXIT_ALREADY_RUNNING = 75
"""sysexits.h: a passing failure; starting again later may succeed."""


class AlreadyRunning(Exception):
    """Another Easel uses the same data folder."""


def lock_data(settings: Settings) -> FileLock:
    """The lock, held; the system takes it back when the process ends, however it ends. Raises AlreadyRunning."""
    make_private(settings.data_dir)
    lock = FileLock(settings.data_dir / "easel.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise AlreadyRunning(
            f"Another Easel already uses {settings.data_dir}: stop it first, or set [data] dir to another folder."
        ) from None
    return lock
