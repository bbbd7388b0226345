"""Processes forked from one that has imported what they need, engines and bots alike; knows neither.

A fresh interpreter takes longer to import than all that most tests ask of it. The rest stays as it is in use: a process
of its own with sockets, pipes, signals and an exit code.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

LIGHT = [
    "workshop.rehearsal.bot_child",
    "bot.shell.cli",
    "engine.process",
    "engine.fake",
    "PIL.PngImagePlugin",
]
HEAVY = ["engine.boot", "tests.kit.drawing"]
_forking = multiprocessing.get_context("forkserver")


def context(*, draws: bool) -> ForkServerContext:
    """What `engine.process` may start its children with; `draws`: with torch, which takes its time once."""
    _forking.set_forkserver_preload([*LIGHT, *HEAVY] if draws else LIGHT)
    return _forking


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
    *words: str, environ: Mapping[str, str], before: Callable[[], None] | None = None, timeout_s: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """`easel` with these words, from where we stand, as `subprocess.run` would; `before` is called in the child first."""
    command = ["bot", *words]
    with tempfile.TemporaryDirectory(prefix="forked-") as folder:
        outputs = (Path(folder) / "out", Path(folder) / "err")
        process = _forking.Process(
            target=_become, args=(command, Path.cwd(), dict(environ), outputs), kwargs={"before": before}
        )
        process.start()
        process.join(timeout_s)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(command, timeout_s)
        out, err = (output.read_text("utf-8", "replace") for output in outputs)
        return subprocess.CompletedProcess(command, process.exitcode, out, err)


async def launch(command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path) -> Any:
    """As `workshop.rehearsal.bot.launch`."""
    log.touch()
    process = _forking.Process(target=_become, args=(list(command), folder, dict(environment), (log, log)))
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
