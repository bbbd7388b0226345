"""An engine on a host of the cluster: the actor that owns its process, takes controls and keeps events until they are fetched.

The engine is the usual one, in its usual process; here are only the two ends of its pipes. Knows no torch, and of Ray that
its methods are called from afar.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from engine import codec, process
from engine.cluster.edition import edition
from engine.cluster.told import Ended, Told
from engine.contract import Cancelled, Control, EngineSettings, Event, Failed, Finished, Submit
from engine.pictures import inputs, spool

BEAT_S = 0.5
"""So long an answer is held back while there is nothing to tell."""
TOLD_AT_ONCE = 32


class RemoteEngine:
    """One on its host. Its folder is gone with it, or when its successor starts there."""

    def __init__(self) -> None:
        self._process: process.EngineProcess | None = None
        self._folder = Path()
        self._told: list[Told] = []
        self._count = 0
        self._ended: Ended | None = None
        self._moved = asyncio.Event()
        self._needs: dict[tuple[int, int], tuple[str, ...]] = {}
        """The inputs of each job that is aboard."""

    async def who(self) -> tuple[str, str]:
        """Which Easel this is, and on which host."""
        return edition(), socket.gethostname()

    async def start(self, settings: EngineSettings, uses_card: bool) -> str:
        """Starts the engine, once, on the card that Ray has given. Returns the folder in which its pictures lie."""
        assert settings.cluster is not None
        own = settings.cluster
        self._folder = _kept(own.namespace) / f"pictures-{own.number}"
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self._folder / inputs.FOLDER).mkdir(exist_ok=True)
        card = os.environ.get("CUDA_VISIBLE_DEVICES", "") if uses_card else ""
        self._process = process.start(
            replace(
                settings,
                cluster=None,
                spool=str(self._folder),
                device="cuda" if uses_card else "cpu",
                data=None if settings.data is None else str(_kept(own.namespace)),
                seat=int(card) if card.isdecimal() else own.number,
            )
        )
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._listen, args=(self._process, loop), daemon=True).start()
        return str(self._folder)

    async def send(self, control: Control, files: Mapping[str, bytes]) -> None:
        """With the files that a job starts from, by their digests."""
        assert self._process is not None
        if isinstance(control, Submit):
            self._needs[control.job_id, control.attempt] = tuple(files)
        for digest, data in files.items():
            if hashlib.sha256(data).hexdigest() == digest:
                with contextlib.suppress(OSError):  # a job that misses it is told so
                    spool.write(self._folder / inputs.FOLDER, digest, data)
        self._process.send(control)

    async def fetch(self, after: int) -> list[Told] | Ended:
        """What was told after that number, as soon as there is something; nothing, now and then, as a sign of life."""
        self._told = [told for told in self._told if told.number > after]
        if not self._told and self._ended is None:
            self._moved.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT_S):
                    await self._moved.wait()
        if self._told or self._ended is None:
            return self._told[:TOLD_AT_ONCE]
        return self._ended

    # -------------------------------------------------------------- the reader thread

    def _listen(self, engine: process.EngineProcess, loop: asyncio.AbstractEventLoop) -> None:
        """Events in order, then its end."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            try:
                while True:
                    event = engine.events.recv()
                    loop.call_soon_threadsafe(self._tell, codec.encode(event), self._files_of(event), event)
            except (EOFError, OSError):  # Garbled is one of the latter
                pass
            engine.close()
            shutil.rmtree(self._folder, ignore_errors=True)
            loop.call_soon_threadsafe(self._end, Ended(exitcode=engine.exitcode))

    def _files_of(self, event: Event) -> tuple[tuple[str, bytes], ...]:
        if not isinstance(event, Finished):
            return ()
        found: list[tuple[str, bytes]] = []
        for image in event.images:
            if (lies := image.path or image.aside) is not None:
                with contextlib.suppress(OSError):  # the link misses it
                    found.append((Path(lies).name, Path(lies).read_bytes()))
                    Path(lies).unlink()
        return tuple(found)

    # -------------------------------------------------------------- on the loop again

    def _tell(self, data: bytes, files: tuple[tuple[str, bytes], ...], event: Event) -> None:
        self._count += 1
        self._told.append(Told(number=self._count, event=data, files=files))
        if isinstance(event, Finished | Failed | Cancelled):
            self._let_go(event.job_id, event.attempt)
        self._moved.set()

    def _let_go(self, job_id: int, attempt: int) -> None:
        """Of what it started from, as far as nobody else does."""
        done = self._needs.pop((job_id, attempt), ())
        wanted = {digest for others in self._needs.values() for digest in others}
        for digest in {*done} - wanted:
            (self._folder / inputs.FOLDER / digest).unlink(missing_ok=True)

    def _end(self, ended: Ended) -> None:
        self._ended = ended
        self._moved.set()


def _kept(namespace: str) -> Path:
    """Where what this bot's engines measured on this host stays, and their pictures lie until they are fetched."""
    return Path(os.environ.get("HOME", tempfile.gettempdir())) / ".cache" / "easel" / namespace
