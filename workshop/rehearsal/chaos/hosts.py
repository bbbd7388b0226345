"""A Ray cluster whose hosts are all on this machine, so that each of them can be lost; judges nothing.

It is a process of its own: Ray wants the main thread for itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from workshop.rehearsal.bot import ROOT

ACTORS = (b"ray::RemoteEngine", b"ray::TimedEngine")
"""What Ray calls their processes."""
STARTED_WITHIN_S = 400.0


class Hosts:
    """A head on which the bot is, and as many others as there are engines, with room for one each."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.address = ""
        self.hosts: list[int] = []
        """Process ids of their raylets, which stand for them: all that runs on a host ends with one."""

    @property
    def actors(self) -> list[int]:
        return [pid for host in self.hosts for pid in self.actors_of(host)]

    def actors_of(self, host: int) -> list[int]:
        return [pid for name in ACTORS for pid in children_of(host, name)]

    def all_of(self, pid: int) -> list[int]:
        """Every process on that host."""
        return [pid, *(each for child in children_of(pid, b"") for each in self.all_of(child))]

    def lost(self, pid: int) -> None:
        """That host was killed: another one comes in its place, in its own time."""
        if pid in self.hosts:
            self.hosts.remove(pid)
            assert self._process.stdin is not None
            self._process.stdin.write(f"{pid}\n".encode())

    async def hear(self) -> bool:
        """Who is there now; False once there is no more to hear."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if line:
            told = json.loads(line)
            self.address, self.hosts = told["address"], told["hosts"]
        return bool(line)

    async def listen(self) -> None:
        while await self.hear():
            pass


@asynccontextmanager
async def hosts(engines: int, log: Path) -> AsyncGenerator[Hosts]:
    """As long as the block."""
    with log.open("ab") as written:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "workshop.rehearsal.chaos.cluster_child", str(engines),
            cwd=ROOT, stdin=PIPE, stdout=PIPE, stderr=written,
        )  # fmt: skip
    there = Hosts(process)
    assert process.stdin is not None
    try:
        async with asyncio.timeout(STARTED_WITHIN_S):
            assert await there.hear(), "the cluster did not start"
        listener = asyncio.create_task(there.listen())
        yield there
        process.stdin.close()
        await listener
    finally:
        process.stdin.close()
        await process.wait()


def children_of(pid: int, named: bytes) -> list[int]:
    """Process ids of those whose command line holds that, read from Linux' process table."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                with contextlib.suppress(OSError):  # it ended in this moment
                    if named in Path(f"/proc/{child}/cmdline").read_bytes():
                        found.append(int(child))
    return found
