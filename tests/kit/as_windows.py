"""Easel's modules as on Windows, as far as that can be had elsewhere: `python -m tests.kit.as_windows MODULE FUNCTION …`.

What stands beneath Easel stays what it is here. Easel's own modules are loaded with an `os`, a `signal` and a `sys`
that lack what Windows lacks; then MODULE's FUNCTION is called with the other words.
"""

from __future__ import annotations

import asyncio
import builtins
import importlib
import os
import pkgutil
import signal
import sys
from types import ModuleType
from typing import Any, NoReturn

OWN = ("bot", "engine", "easel")
MODULES = frozenset(("fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"))
CALLS = frozenset((
    *("chown", "fchown", "fork", "forkpty", "getegid", "geteuid", "getgid", "getgroups", "getloadavg", "getpgid", "getuid"),
    *("killpg", "mkfifo", "nice", "pipe2", "posix_fadvise", "posix_fallocate", "pread", "pwrite", "sched_getaffinity"),
    *("sched_setaffinity", "setpgid", "setsid", "statvfs", "sysconf", "uname", "wait", "WNOHANG"),
    *("O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW"),
))  # fmt: skip
"""Of os."""
SIGNALS = frozenset(("SIGABRT", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM", "SIG_DFL", "SIG_IGN"))
"""All that Windows has of those that are here."""


class Poorer(ModuleType):
    """Another module, without some of what it holds, and with some of it changed."""

    def __init__(self, real: ModuleType, lacks: frozenset[str], **changed: object) -> None:
        super().__init__(real.__name__)
        self.__dict__.update(
            {name: value for name, value in vars(real).items() if name not in lacks}, **changed
        )
        self._real = real

    def __getattr__(self, name: str) -> object:
        raise AttributeError(f"module {self._real.__name__!r} has no attribute {name!r} on Windows")


POORER = {
    "os": Poorer(os, CALLS, name="nt"),
    "signal": Poorer(signal, frozenset(name for name in vars(signal) if name.startswith("SIG")) - SIGNALS),
    "sys": Poorer(sys, frozenset(), platform="win32"),
}
_import = builtins.__import__


def _import_as_windows(name: str, *rest: Any, **more: Any) -> ModuleType:
    importer = str((rest[0] or {}).get("__name__", "")) if rest else ""
    if importer.partition(".")[0] in OWN:
        if name in MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if name in POORER:
            return POORER[name]
    return _import(name, *rest, **more)


def _no_handlers(*_: object) -> NoReturn:
    raise NotImplementedError


def own_modules() -> list[str]:
    found = ["easel"]
    for name in ("bot", "engine"):
        package = importlib.import_module(name)
        found += [name, *(each.name for each in pkgutil.walk_packages(package.__path__, f"{name}."))]
    return found


def main(module: str, function: str, *words: str) -> object:
    loops: Any = asyncio.SelectorEventLoop
    loops.add_signal_handler = _no_handlers
    builtins.__import__ = _import_as_windows
    for name in own_modules():
        importlib.import_module(name)
    return getattr(importlib.import_module(module), function)(*words)


if __name__ == "__main__":
    main(*sys.argv[1:])
