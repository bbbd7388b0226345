"""The lock that lets one Easel at a time use a data folder. Knows nothing of what lies in the folder."""

from __future__ import annotations

import contextlib
import os
import sys
from types import TracebackType
from typing import Self

if sys.platform != "win32":
    import fcntl

from filelock import FileLock, Timeout

from bot.config import Settings, make_private


class AlreadyRunning(Exception):
    """Another Easel uses the same data folder."""


class DataLock:
    """A file's lock and the folder's own: the file may be removed beneath us, the folder not without what is in it.

    The system takes both back when the process ends, however it ends. The file's is what earlier versions know, and all
    there is on Windows, where nobody can remove it, and on file systems that lock no folders.
    """

    def __init__(self, settings: Settings) -> None:
        self._file = FileLock(settings.data_dir / "easel.lock", timeout=0)
        self._file.acquire()
        self._folder: int | None = None
        if sys.platform != "win32":
            try:
                self._folder = _locked(settings.data_dir)
            except BaseException:
                self._file.release()
                raise

    def release(self) -> None:
        if self._folder is not None:
            os.close(self._folder)
            self._folder = None
        self._file.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _locked(folder: os.PathLike[str]) -> int | None:
    """An open descriptor that holds the folder's lock, None where folders have none. Raises Timeout where it is held."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Timeout(str(folder)) from None
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def lock_data(settings: Settings) -> DataLock:
    """The lock, held. Raises AlreadyRunning."""
    make_private(settings.data_dir)
    with contextlib.suppress(Timeout):
        return DataLock(settings)
    raise AlreadyRunning(
        f"Another Easel already uses {settings.data_dir}: stop it first, or set [data] dir to another folder."
    )
