"""A Ray cluster whose hosts are all on this machine, so that each of them can be lost; judges nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

STORE_BYTES = 80 * 2**20
ACTOR = b"ray::RemoteEngine"


class Hosts:
    """A head on which the bot is, and as many others as there are engines, with room for one each."""

    def __init__(self, engines: int) -> None:
        self._engines = engines
        self._cluster: Any = None
        self._nodes: list[Any] = []
        self._comings: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        return self._cluster.address

    def start(self) -> None:
        """Blocking."""
        cluster: Any = import_module("ray.cluster_utils").Cluster
        self._cluster = cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False},
        )
        for _ in range(self._engines):
            self._add()

    def stop(self) -> None:
        """Blocking."""
        self._cluster.shutdown()

    def _add(self) -> None:
        self._nodes.append(self._cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES))

    # -------------------------------------------------------------- who is there to be struck

    @property
    def nodes(self) -> list[int]:
        """Process ids of the hosts' raylets, which stand for them: all that runs there ends with one."""
        return [node.all_processes["raylet"][0].process.pid for node in self._nodes]

    @property
    def actors(self) -> list[int]:
        return [pid for node in self.nodes for pid in children_of(node, ACTOR)]

    def lost(self, pid: int) -> None:
        """That host was killed: another one comes in its place, in its own time."""
        gone = next(
            (node for node in self._nodes if node.all_processes["raylet"][0].process.pid == pid), None
        )
        if gone is not None:
            self._nodes.remove(gone)
            self._comings.add(asyncio.create_task(self._come_back(gone)))

    async def _come_back(self, gone: Any) -> None:
        await asyncio.to_thread(self._cluster.remove_node, gone, False)
        await asyncio.to_thread(self._add)

    async def all_there(self) -> None:
        await asyncio.gather(*self._comings)


@asynccontextmanager
async def hosts(engines: int) -> AsyncGenerator[Hosts]:
    """As long as the block."""
    there = Hosts(engines)
    await asyncio.to_thread(there.start)
    try:
        yield there
    finally:
        with contextlib.suppress(Exception):
            await there.all_there()
        for pid in there.nodes:  # one that is stopped would not hear that it is over
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        await asyncio.to_thread(there.stop)


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
