"""Starts and stops one engine generation in a spawned child; knows the contract, neither torch nor Discord.

One generation is one process, one queue of controls into it and one pipe of events out of it. All three are thrown
away together: a queue that a killed process was reading cannot be trusted again, and the pipe's end of file is the
first and surest sign that the engine died.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import queue
import re
import signal
import sys
import threading
from collections.abc import Callable, Generator
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from engine import codec
from engine.child import BEHIND, LOOK_EVERY_S, Controls, Leave, end_with_parent, parent_alive, wait
from engine.contract import (
    EXIT_BROKEN,
    EXIT_DEVICE_LOST,
    EXIT_OK,
    Broken,
    Control,
    EngineSettings,
    Event,
    Shutdown,
)
from engine.device import lock

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess
    from multiprocessing.queues import Queue

GONE_S = 10.0
"""A killed process is gone well within this, unless it hangs inside its driver, where no signal reaches it."""

_PR_SET_DUMPABLE = 4
_BORN_WITH = re.compile(rb"(?:^|\0)DISCORD_TOKEN\w*=([^\0]+)")
_ENV_START = 47
"""Of what stands in /proc/PID/stat behind the name: where in memory the environment lies."""
HEARD_S = 2.0
"""An engine that was told to leave and can't listen for so long, in the middle of something, ends where it stands."""
_context = multiprocessing.get_context("spawn")
_start_lock = threading.Lock()


Run = Callable[[EngineSettings, Controls, Callable[[Event], None]], int]
"""What an engine's process does; returns its exit code."""


def start(settings: EngineSettings, *, gone_s: float = GONE_S, run: Run | None = None) -> EngineProcess:
    """Starts an engine and returns at once. Call it from the main thread: the child dies with the starting thread.

    `gone_s`: seconds in which a killed process is gone, or never will be. `run`: what stands in the engine's place, a
    function of a module.
    """
    _lock_up()
    with _start_lock, _without_secrets(), _without_main():
        controls: Queue[Control] = _context.Queue()
        controls.cancel_join_thread()  # a full queue to a dead engine must never hold up the bot's exit
        events, child_events = _context.Pipe(duplex=False)
        process = _context.Process(
            target=_child, args=(settings, controls, child_events, run), name="easel-engine", daemon=True
        )
        try:
            process.start()
        finally:
            child_events.close()  # otherwise our own copy would keep the pipe from ever reaching its end
    return EngineProcess(process, controls, Events(events, Path(settings.spool)), gone_s=gone_s)


class Garbled(OSError):
    """What came is no event of an engine that works: it has to be ended."""


class Events:
    """The bot's end of the pipe: what comes is read as plain data, and nothing that an engine sends becomes code."""

    def __init__(self, pipe: Connection[Any, Any], folder: Path) -> None:
        """`folder` is where finished pictures have to lie."""
        self._pipe, self._folder = pipe, folder

    def poll(self, timeout_s: float = 0.0) -> bool:
        """Whether there is something to read, were it the end."""
        return self._pipe.poll(timeout_s)

    def recv(self) -> Event:
        """Waits for the next event. Raises EOFError or OSError where none will come; Garbled is one of the latter."""
        data = self._pipe.recv_bytes(codec.BYTES_MAX)
        try:
            return codec.decode(data, self._folder)
        except (ValueError, RecursionError) as error:
            raise Garbled(f"The engine sent what no engine sends ({type(error).__name__}).") from error

    def close(self) -> None:
        self._pipe.close()


class EngineProcess:
    """One engine generation, seen from the bot. `events.recv()` gives Event objects; EOFError and OSError mean dead."""

    def __init__(
        self,
        process: BaseProcess,
        controls: Queue[Control],
        events: Events,
        *,
        gone_s: float = GONE_S,
    ) -> None:
        self._process = process
        self._controls = controls
        self._closed = False
        self._exitcode: int | None = None
        self.events = events
        self.pid: int = process.pid or 0
        self.gone_s = gone_s

    def send(self, control: Control) -> None:
        """Hands a control over without blocking; what a dead engine is told is lost."""
        if not self._closed:
            with contextlib.suppress(queue.Full):  # an engine that was taken over may say so, for ever
                self._controls.put(control, block=False)

    def is_alive(self) -> bool:
        return not self._closed and self._process.is_alive()

    @property
    def exitcode(self) -> int | None:
        """None while it runs, negative after a signal."""
        return self._exitcode if self._closed else self._process.exitcode

    def kill(self) -> None:
        """SIGKILL; does nothing to a process that has ended."""
        if not self._closed:
            self._process.kill()

    def stop(self, timeout_s: float) -> None:
        """Asks it to leave, waits at most `timeout_s` seconds, then kills it. Blocks until it is gone, or `gone_s` more."""
        if self._closed:
            return
        self.send(Shutdown())
        self._process.join(timeout_s)
        if self._process.is_alive():
            self._process.kill()
            self._process.join(self.gone_s)

    def close(self) -> None:
        """Kills what still runs, reaps it and frees queue and pipe; what can't be killed is abandoned after `gone_s`.

        End any thread reading `events` first, by `stop` or `kill`: closing a pipe under a reader is undefined. May be
        called twice.
        """
        if self._closed:
            return
        self._process.kill()
        self._process.join(self.gone_s)
        self._exitcode = self._process.exitcode
        self._closed = True
        self._controls.cancel_join_thread()
        self._controls.close()
        self.events.close()
        if self._exitcode is None:
            self.abandon()
        else:
            self._process.close()

    def abandon(self) -> None:
        """Lets the program end without this process, which not even SIGKILL ends: multiprocessing would wait for it."""
        multiprocessing.process._children.discard(self._process)  # type: ignore[attr-defined]


def _lock_up() -> None:
    """Keeps the bot's secrets from its engine, which runs as the same user and reads strangers' files.

    Without this it could read them in /proc/PID/environ, which for ever shows what a process was started with, and in
    /proc/PID/mem. Only what runs with CAP_SYS_PTRACE can look into an undumpable process, as root does outside of
    containers; then the environment at least is blank.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError):  # undumpable already, and so done with
        start = int(
            Path("/proc/self/stat").read_text("ascii", "replace").rpartition(")")[2].split()[_ENV_START]
        )
        for found in _BORN_WITH.finditer(Path("/proc/self/environ").read_bytes()):
            ctypes.memset(start + found.start(1), 0, len(found[1]))  # os.environ has a copy of its own
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _is_secret(name: str) -> bool:
    return name.startswith(("DISCORD_TOKEN", "EASEL_"))


@contextlib.contextmanager
def _without_secrets() -> Generator[None]:
    """Takes the bot's secrets out of the environment while a child is started.

    A spawned process inherits the environment as it is at that moment, and its first copy stays readable in
    /proc/PID/environ whatever the child removes later; multiprocessing has no parameter for it.
    """
    secrets = {name: os.environ.pop(name) for name in list(os.environ) if _is_secret(name)}
    try:
        yield
    finally:
        os.environ.update(secrets)


@contextlib.contextmanager
def _without_main() -> Generator[None]:
    """Hides the program's main module, which spawn would otherwise import again in the child, with all it imports."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


# ------------------------------------------------------------------ in the child


def _child(
    settings: EngineSettings, controls: Queue[Control], events: Connection[Any, Any], run: Run | None
) -> None:
    _detach()
    emit = _Emitter(events)
    heard = _Ear(controls)
    try:
        lock.take(settings, emit, lambda pause: wait(pause, heard))
        code = (run or _kind_of(settings))(settings, heard, emit)
    except Leave:
        code = EXIT_OK
    except ImportError as error:
        emit(Broken(reason=f"The engine lacks a package ({error}): install Easel's requirements again."))
        raise SystemExit(EXIT_BROKEN) from None
    if code == EXIT_DEVICE_LOST or _computes_behind():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # an orderly exit would talk to the lost device and may hang
    raise SystemExit(code)


def _kind_of(settings: EngineSettings) -> Run:
    if settings.fake is not None:
        from engine.fake import run
    else:
        from engine.boot import run
    return run


def _computes_behind() -> bool:
    """Whether a thread is in native code: an orderly exit would tear it out of there, which aborts the process."""
    return any(thread.name == BEHIND for thread in threading.enumerate())


def _detach() -> None:
    """Makes the process an engine: no secrets, no Ctrl-C of its own, never alive without its parent."""
    for name in [name for name in os.environ if _is_secret(name)]:
        del os.environ[name]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    if not parent_alive():  # it died before that could see it
        os._exit(EXIT_OK)


class _Ear:
    """Controls, heard as they come, whatever the engine is doing: importing, downloading, reading gigabytes, drawing.

    It can't be talked to meanwhile. So if it was told to leave, or was left alone, and does not take notice within
    HEARD_S, its process ends: what it was at would be thrown away anyhow.
    """

    def __init__(self, controls: Queue[Control]) -> None:
        self._controls = controls
        self._heard: queue.SimpleQueue[Control] = queue.SimpleQueue()
        self._taken = threading.Event()
        threading.Thread(target=self._listen, name="easel-ear", daemon=True).start()

    def get(self, block: bool = True, timeout: float | None = None) -> Control:
        """The next control; raises queue.Empty when none came."""
        control = self._heard.get(block, timeout)
        if isinstance(control, Shutdown):
            self._taken.set()
        return control

    def _listen(self) -> None:
        control: Control | None = None
        while not isinstance(control, Shutdown):
            control = self._next()
            self._heard.put(control)
        if not self._taken.wait(HEARD_S):
            os._exit(EXIT_OK)

    def _next(self) -> Control:
        while parent_alive():
            with contextlib.suppress(queue.Empty):
                return self._controls.get(timeout=LOOK_EVERY_S)
        return Shutdown()


class _Emitter:
    """Sends events to the bot from any thread; when nobody reads any more, the process ends without a word."""

    def __init__(self, events: Connection[Any, Any]) -> None:
        self._events = events
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        with self._lock:
            try:
                self._events.send_bytes(codec.encode(event))
            except OSError:
                os._exit(EXIT_OK)
