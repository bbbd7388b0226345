"""A disk that fails when it is told to: SQLite's own test method, a VFS whose n-th write or sync reports an error.

The VFS is put in front of SQLite's default one inside the very library that `sqlite3` uses, so that the program under
test is the real one, down to its `PRAGMA`s. See https://sqlite.org/testing.html, "I/O Error Testing".
"""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import sqlite3
from collections.abc import Callable, Iterator
from ctypes import CFUNCTYPE, POINTER, Structure, byref, c_char_p, c_int, c_int64, c_void_p, cast
from dataclasses import dataclass
from typing import Any

Write = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
Truncate = CFUNCTYPE(c_int, c_void_p, c_int64)
Sync = CFUNCTYPE(c_int, c_void_p, c_int)
Open = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)


class Methods(Structure):
    """sqlite3_io_methods of version 3; what is not ours is passed on untouched."""

    _fields_ = [
        ("version", c_int),
        ("close", c_void_p),
        ("read", c_void_p),
        ("write", c_void_p),
        ("truncate", c_void_p),
        ("sync", c_void_p),
        ("others", c_void_p * 13),
    ]


class Vfs(Structure):
    """sqlite3_vfs of version 3."""

    _fields_ = [
        ("version", c_int),
        ("file_size", c_int),
        ("path_max", c_int),
        ("next", c_void_p),
        ("name", c_char_p),
        ("data", c_void_p),
        ("open", c_void_p),
        ("others", c_void_p * 15),
    ]


@dataclass(slots=True)
class FaultyDisk:
    """Counts writes, truncations and syncs from `arm` on, and lets one fail, or that one and all after it."""

    fails_at: int = 0
    forever: bool = False
    is_full: bool = False
    """Whether writes fail as on a full disk, instead of with an I/O error."""
    count: int = 0
    injected: int = 0

    def arm(self, at: int, *, forever: bool, is_full: bool) -> None:
        self.fails_at, self.forever, self.is_full = at, forever, is_full
        self.count = self.injected = 0

    def disarm(self) -> int:
        """How many faults it was."""
        self.fails_at = 0
        return self.injected

    def verdict(self, error: int) -> int:
        if not self.fails_at:
            return sqlite3.SQLITE_OK
        self.count += 1
        if self.count == self.fails_at or (self.forever and self.count > self.fails_at):
            self.injected += 1
            return sqlite3.SQLITE_FULL if self.is_full else error
        return sqlite3.SQLITE_OK


@contextlib.contextmanager
def faulty_disk() -> Iterator[FaultyDisk]:
    """Every database opened inside lies on the faulty disk, which works until it is armed."""
    library = ctypes.CDLL(ctypes.util.find_library("sqlite3"))
    library.sqlite3_libversion.restype = c_char_p
    # Python must use this very library, or nothing would ever fail: the version is a hint, the tests' counts a proof.
    assert library.sqlite3_libversion().decode() == sqlite3.sqlite_version
    library.sqlite3_vfs_find.restype = POINTER(Vfs)
    default = library.sqlite3_vfs_find(None)
    disk = FaultyDisk()
    ours = Vfs()
    ctypes.pointer(ours)[0] = default.contents
    ours.name = b"faulty"
    tables: dict[int, tuple[Methods, Any]] = {}
    original_open = Open(default.contents.open)

    def opened(vfs: int, name: int, file: int, flags: int, out: int) -> int:
        code = original_open(vfs, name, file, flags, out)
        slot = cast(file, POINTER(c_void_p))
        if address := slot[0]:
            if address not in tables:
                tables[address] = _patched(address, disk)
            slot[0] = ctypes.addressof(tables[address][0])
        return code

    callback = Open(opened)
    ours.open = cast(callback, c_void_p).value
    assert library.sqlite3_vfs_register(byref(ours), 1) == sqlite3.SQLITE_OK
    try:
        yield disk
    finally:
        disk.disarm()
        library.sqlite3_vfs_unregister(byref(ours))
        library.sqlite3_vfs_register(default, 1)
        _kept.append((ours, callback, tables))


_kept: list[Any] = []
"""A connection that is garbage but not closed yet may still call into these."""


def _patched(address: int, disk: FaultyDisk) -> tuple[Methods, tuple[Any, ...]]:
    old = cast(address, POINTER(Methods)).contents
    new = Methods()
    ctypes.pointer(new)[0] = old

    def failing(kind: Any, original: int, error: int) -> Any:
        real: Callable[..., int] = kind(original)

        def call(*arguments: int) -> int:
            return disk.verdict(error) or real(*arguments)

        return kind(call)

    callbacks = (
        failing(Write, old.write, sqlite3.SQLITE_IOERR_WRITE),
        failing(Truncate, old.truncate, sqlite3.SQLITE_IOERR_TRUNCATE),
        failing(Sync, old.sync, sqlite3.SQLITE_IOERR_FSYNC),
    )
    new.write, new.truncate, new.sync = (cast(callback, c_void_p).value for callback in callbacks)
    return new, callbacks
