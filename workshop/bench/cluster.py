"""What a Ray cluster costs: `python -m workshop.bench.cluster` prints JSON lines; its hosts are all on this machine.

What an event and a picture take from the engine's host into the bot's spool, how pictures a second grow with engines, how
soon what a lost host had aboard is begun elsewhere, and the memory of a link. Engines without torch, at a real clock; no
line, no store and no chat.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from bot.core.engines.engine_client import EngineClient, Paused
from bot.core.engines.generation import Lost
from engine.cluster import link
from engine.contract import (
    ClusterSettings,
    EngineSettings,
    Event,
    FakeSettings,
    Finished,
    Started,
    Stepped,
    Submit,
)
from workshop.bench import timed_engine
from workshop.bench.wire import percentile, report
from workshop.rehearsal.chaos.hosts import Hosts, hosts
from workshop.rehearsal.props import picture

PICTURES, EACH, ABOARD = 40, 8, 8
SIDE = 512
STEP_S, STEPS = 0.1, 8


class _Crew:
    """Engines on hosts, and what was heard of them."""

    def __init__(self, folder: Path, address: str, engines: int, *, step_s: float = STEP_S) -> None:
        self.heard: list[tuple[float, int, Event | Lost | Paused]] = []
        self._moved = asyncio.Event()
        spool = folder / "spool"
        spool.mkdir(exist_ok=True)
        self.clients = [
            EngineClient(
                EngineSettings(
                    model="fake",
                    spool=str(spool),
                    fake=FakeSettings(step_s=step_s, slots=2 * ABOARD),
                    cluster=ClusterSettings(
                        address=address, namespace=f"easel-bench-{folder.name}", number=number
                    ),
                ),
                number=number,
            )
            for number in range(1, engines + 1)
        ]

    async def start(self) -> None:
        for at, client in enumerate(self.clients):
            client.start(lambda event, at=at: self._hear(at, event))
        await self.until(lambda: all(client.status.is_ready for client in self.clients))

    async def stop(self) -> None:
        await asyncio.gather(*(client.stop() for client in self.clients))

    def _hear(self, at: int, event: Event | Lost | Paused) -> None:
        self.heard.append((time.monotonic(), at, event))
        self._moved.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._moved.clear()
            await self._moved.wait()

    def of(self, kind: type[Event | Lost]) -> list[tuple[float, Event | Lost | Paused]]:
        return [(at, event) for at, _, event in self.heard if isinstance(event, kind)]


async def measure_events(folder: Path, there: Hosts) -> None:
    """From the moment in which the actor has an event to that in which the link's bot has it."""
    crew = _Crew(folder, there.address, 1, step_s=0.01)
    await crew.start()
    pid = crew.clients[0].pid
    request = picture(width=SIDE, height=SIDE)
    for job in range(1, PICTURES + 1):
        crew.clients[0].send(Submit(job_id=job, attempt=1, request=request))
        await crew.until(lambda job=job: len(crew.of(Finished)) == job)
    steps = [at - (event.seconds_left or at) for at, event in crew.of(Stepped) if isinstance(event, Stepped)]
    ends = [at - event.seconds for at, event in crew.of(Finished) if isinstance(event, Finished)]
    size = max(path.stat().st_size for path in (folder / "spool").glob("*.png"))
    for name, values, goal in (("step event", steps, "p99 ≤ 2"), ("picture", ends, "≤ 30")):
        note = f"{len(values)} of them" + (f", of {size // 1024} KiB" if name == "picture" else "")
        report(f"{name} through Ray, median", 1000 * percentile(values, 0.5), "ms", "", note)
        report(f"{name} through Ray, p99", 1000 * percentile(values, 0.99), "ms", goal, note)
    held = psutil.Process(pid).memory_full_info()
    note = f"{held.uss / 2**20:.0f} MiB of it no other process shares; one for each engine, beside the bot"
    report("memory of a link", held.rss / 2**20, "MiB", "", note)
    await crew.stop()


async def measure_scaling(folder: Path, there: Hosts, numbers: Sequence[int]) -> None:
    first = 0.0
    for engines in numbers:
        crew = _Crew(folder, there.address, engines)
        await crew.start()
        begin, job = time.monotonic(), 0
        for client in crew.clients:
            for _ in range(EACH):
                job += 1
                client.send(Submit(job_id=job, attempt=1, request=picture(steps=STEPS)))
        await crew.until(lambda job=job, crew=crew: len(crew.of(Finished)) == job)
        rate = job / (time.monotonic() - begin)
        first = first or rate
        report(f"pictures a second of {engines} engines", rate, "1/s", "", f"{rate / first:.2f} × of one")
        await crew.stop()


async def measure_loss(folder: Path, there: Hosts) -> None:
    """A host is killed with eight jobs aboard; the other engine gets them as soon as it is known."""
    crew = _Crew(folder, there.address, 2)
    await crew.start()
    request = picture(steps=100)
    for client in crew.clients:
        for job in range(1, ABOARD + 1):
            client.send(Submit(job_id=job, attempt=1, request=request))
    await crew.until(lambda: len(crew.of(Started)) == 2 * ABOARD)
    struck = next(host for host in there.hosts if there.actors_of(host))
    begin = time.monotonic()
    for pid in there.all_of(struck):
        with contextlib.suppress(ProcessLookupError):  # it went with those before it
            os.kill(pid, signal.SIGKILL)
    await crew.until(lambda: bool(crew.of(Lost)))
    report("a killed host is known to be lost after", time.monotonic() - begin, "s", "")
    lost = next(at for _, at, event in crew.heard if isinstance(event, Lost))
    crew.clients[1 - lost].send(Submit(job_id=1, attempt=2, request=request))
    await crew.until(lambda: len(crew.of(Started)) > 2 * ABOARD)
    report("its first job is begun elsewhere after", time.monotonic() - begin, "s", "≤ 5")
    await crew.stop()


async def main() -> None:
    link.run = timed_engine.run
    with tempfile.TemporaryDirectory(prefix="easel-cluster-") as name:
        folder = Path(name)
        async with hosts(4, folder / "cluster.out") as there:
            await measure_events(folder, there)
            await measure_scaling(folder, there, (1, 2, 4))
            await measure_loss(folder, there)


if __name__ == "__main__":
    asyncio.run(main())
