"""Processes forked from one that has imported what they need, engines, bots and what the shell asks; knows none of them.

A fresh interpreter takes longer to import than all that most tests ask of it. The rest stays as it is in use: a process
of its own with sockets, pipes, signals and an exit code.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.context import ForkProcess, ForkServerContext, ForkServerProcess
from multiprocessing.forkserver import ForkServer
from multiprocessing.popen_forkserver import Popen
from pathlib import Path
from typing import Any
from unittest import mock

from bot.shell import child
from engine.contract import EngineSettings
from tests.kit.rights import without_rights

LIGHT = [
    "workshop.rehearsal.bot_child",
    "bot.shell.cli",
    "engine.process",
    "engine.fake",
    "PIL.PngImagePlugin",
    "tests.kit.read_catalogues",
]
HEAVY = ["engine.boot", "tests.kit.drawing"]
TIMEOUT_S = 60.0
_ROOT = Path(__file__).parents[2]
_one_at_a_time = threading.RLock()


class _Server:
    """Forks what is started here from a process with these modules, which starts when it is needed first."""

    def __init__(self, preload: list[str]) -> None:
        self._server = ForkServer()
        self._server.set_forkserver_preload(preload)
        self._runs = False

    def popen(self, process: Any) -> Popen:
        with _one_at_a_time:
            if not self._runs:
                with contextlib.chdir(_ROOT):  # who asks first may have gone where `tests` is not found
                    self._server.ensure_running()
                self._runs = True
            asked = self._server.connect_to_new_process
            with mock.patch.object(forkserver, "connect_to_new_process", asked):
                return Popen(process)


_light, _heavy = _Server(LIGHT), _Server([*LIGHT, *HEAVY])


class _Light(ForkServerProcess):
    _Popen = staticmethod(_light.popen)  # type: ignore[assignment]


class _Heavy(ForkServerProcess):
    """With torch. That takes its time once, and a fork of so much more memory takes twice as long as another."""

    _Popen = staticmethod(_heavy.popen)  # type: ignore[assignment]


class Context(ForkServerContext):
    """What `engine.process` may start its children with: fake engines come without torch."""

    def Process(self, *given: Any, args: tuple[Any, ...] = (), **options: Any) -> ForkServerProcess:  # type: ignore[override]  # noqa: N802
        draws = any(isinstance(each, EngineSettings) and each.fake is None for each in args)
        return (_Heavy if draws else _Light)(*given, args=args, **options)


class Forked:
    """As asyncio's own processes."""

    def __init__(self, process: ForkServerProcess) -> None:
        self._process = process
        self._end: asyncio.Future[int] | None = None
        self.pid = process.pid or 0

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    async def wait(self) -> int:
        """The exit code, negative after a signal; as many as like may wait at once."""
        if self._end is None:
            self._end = asyncio.ensure_future(self._ended())
        return await asyncio.shield(self._end)

    async def _ended(self) -> int:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._process.sentinel, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self._process.sentinel)
        self._process.join()
        code = self._process.exitcode
        assert code is not None
        return code

    def send_signal(self, number: int) -> None:
        if self._process.exitcode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run(
    *words: str,
    environ: Mapping[str, str],
    before: Callable[[], None] | None = None,
    draws: bool = False,
) -> subprocess.CompletedProcess[str]:
    """`easel` with these words, from where we stand, as `subprocess.run` would; `before` is called in the child first.

    `draws`: it will ask for torch.
    """
    return _run(_Heavy if draws else _Light, ["bot", *words], environ, before)


def as_a_person() -> None:
    """For `before`: without what root may do, and what is asked of the engine's packages is answered by a fork."""
    if sys.platform == "linux":
        without_rights()
    child.launch = lambda command: _run(ForkProcess, list(command[2:]), child.environment())


def as_nobody() -> None:
    """For `before`: as a person without a home and without a name, as in containers."""
    as_a_person()
    for name in ("HOME", "USER", "LOGNAME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        os.environ.pop(name, None)
    if sys.platform != "win32":
        import pwd

        pwd.getpwuid = pwd.getpwnam = _unknown


def _unknown(*_: object) -> None:
    raise KeyError("uid not found")


def ask(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """As `bot.shell.child.launch`: `python -m engine.report …`."""
    return _run(_Heavy, list(command[2:]), child.environment())


def module(*command: str, draws: bool = True) -> subprocess.CompletedProcess[str]:
    """`python -m` with this command, torch and all where it `draws`."""
    return _run(_Heavy if draws else _Light, list(command), os.environ)


async def dying_store(file: Path, *told: int | str) -> int:
    """The exit code of `tests.kit.dying_store`."""
    words = ("tests.kit.dying_store", str(file), *map(str, told))
    return (await asyncio.to_thread(module, *words, draws=False)).returncode


def _run(
    kind: type[Any],
    command: list[str],
    environ: Mapping[str, str],
    before: Callable[[], None] | None = None,
) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory(prefix="forked-") as folder:
        outputs = (Path(folder) / "out", Path(folder) / "err")
        process = kind(
            target=_become, args=(command, Path.cwd(), dict(environ), outputs), kwargs={"before": before}
        )
        process.start()
        process.join(TIMEOUT_S)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(command, TIMEOUT_S)
        out, err = (output.read_text("utf-8", "replace") for output in outputs)
        return subprocess.CompletedProcess(command, process.exitcode, out, err)


async def launch(command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path) -> Any:
    """As `workshop.rehearsal.bot.launch`."""
    log.touch()
    process = _Light(target=_become, args=(list(command), folder, dict(environment), (log, log)))
    process.start()
    return Forked(process)


def _become(
    command: list[str],
    folder: Path,
    environment: dict[str, str],
    outputs: tuple[Path, Path],
    *,
    before: Callable[[], None] | None = None,
) -> None:
    """In the child: `python -m` with this command, as far as it can tell."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    encoding, _, errors = environment.get("PYTHONIOENCODING", "utf-8").partition(":")
    for number, (name, output) in enumerate(zip(("stdout", "stderr"), outputs, strict=True), start=1):
        opened = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.dup2(opened, number)
        usual = "strict" if name == "stdout" else "backslashreplace"
        stream = os.fdopen(number, "w", number - 1 or -1, encoding, errors or usual, closefd=False)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    if before is not None:
        before()
    sys.argv = command
    runpy.run_module(command[0], run_name="__main__", alter_sys=True)
