"""What is counted of the running bot, for Prometheus: happenings, requests to Discord, the loop, files. Asks no database.

A scrape reads what is in memory, and the sizes of files; it may come on any thread, whatever the loop and the database do.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import aiohttp
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from bot import __version__
from bot.core.asking.refused import OneOfSeveral
from bot.core.engines.status import EngineStatus, EngineView
from bot.core.happenings import (
    EngineDied,
    EngineGotReady,
    EngineRests,
    Happening,
    JobAbandoned,
    JobAccepted,
    JobBegun,
    JobCancelled,
    JobDelivered,
    JobEnded,
    JobFailed,
    JobRendered,
    JobRequeued,
    JobReviewed,
    JobUnanswered,
    JobUndeliverable,
    JobWithdrawn,
    ModelRead,
    RequestRefused,
)
from bot.job import Job

SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
"""Up to which a stage is counted together."""
LATE_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
LOOK_EVERY_S = 1.0
_EDIT = re.compile(r"/messages/[^/]+$")
_ANSWER = re.compile(r"/interactions/\d+/[^/]+/callback$")
_ENDS: dict[type[JobEnded], str] = {
    JobDelivered: "delivered",
    JobUndeliverable: "undeliverable",
    JobFailed: "failed",
    JobCancelled: "cancelled",
    JobUnanswered: "unanswered",
    JobWithdrawn: "withdrawn",
    JobAbandoned: "abandoned",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """How the parts are asked; by any thread, so nothing in here waits, reads a database or goes through a list."""

    lengths: Callable[[], tuple[int, int]]
    """(how many wait, how many are in an engine's hands)."""
    engine: Callable[[], EngineStatus]
    engines: Callable[[], Sequence[EngineView]]
    """Each of them."""


class Metrics:
    def __init__(self, database: Path, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._now = monotonic
        self._rendered: dict[int, float] = {}
        """Since when each job's pictures wait to be shown."""
        disable_created_metrics()  # a second series for each, which says when the process began
        self.registry = registry = CollectorRegistry()
        self._moment = _Moment(database)
        registry.register(self._moment)
        ProcessCollector(registry=registry)

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"easel_{name}", what, labels, registry=registry)

        self._requests = counter(
            "requests", "Requests, by what was asked and the verdict", "action", "verdict"
        )
        self._refusals = counter("refusals", "Refused requests, by why", "kind")
        self._ends = counter("jobs_ended", "Jobs that are over, by how", "end")
        self._pictures = counter("pictures", "Pictures that were shown")
        self._requeued = counter("jobs_requeued", "Jobs that are drawn anew, since engine or bot died")
        self._forwards = counter("forwards", "UNet forwards of finished jobs' engines")
        self._rows = counter("rows", "Rows of pictures in these forwards")
        self._loads = counter("model_loads", "Times that a model was read", "model")
        self._deaths = counter("engine_deaths", "Engines that ended unasked", "engine")
        self._pauses = counter(
            "engine_pauses",
            "Times that engines died too often, and none was started for a while",
            "engine",
        )
        self._discord = counter(
            "discord_requests", "HTTP requests to Discord, by what came of them", "kind", "status"
        )
        self._stages = Histogram(
            "easel_stage_seconds", "What jobs take by stage", ("stage",), buckets=SECONDS, registry=registry
        )
        self._late = Histogram(
            "easel_loop_late_seconds", "How late the event loop wakes", buckets=LATE_S, registry=registry
        )

    def look_at(self, gauges: Gauges) -> None:
        """What is asked at each scrape from now on."""
        self._moment.asked = gauges

    # -------------------------------------------------------------- jobs and engines

    def hear(self, happening: Happening) -> None:
        match happening:
            case JobAccepted(job=job):
                self._requests.labels(job.action, "accepted").inc()
            case RequestRefused():
                self._refused(happening)
            case JobBegun(job=job):
                self._waited(job)
            case JobRendered():
                self._drawn(happening)
            case JobReviewed(job=job) if job.id in self._rendered:
                self._rendered[job.id] = self._now()  # till then moderators had it
            case JobRequeued(job=job):
                self._rendered.pop(job.id, None)
                self._requeued.inc()
            case EngineGotReady(ready=ready):
                self._loads.labels(ready.models[0].id).inc()
            case ModelRead(model=model):
                self._loads.labels(model).inc()
            case EngineDied(engine=engine):
                self._deaths.labels(str(engine)).inc()
            case EngineRests(engine=engine):
                self._pauses.labels(str(engine)).inc()
            case _:
                if isinstance(happening, JobEnded):
                    self._ended(happening)

    def _refused(self, refused: RequestRefused) -> None:
        why = refused.why.refused if isinstance(refused.why, OneOfSeveral) else refused.why
        self._requests.labels(refused.what, "refused").inc()
        self._refusals.labels(type(why).__name__).inc()

    def _waited(self, job: Job) -> None:
        """For its first turn: a later one comes of a death."""
        if job.attempt == 1 and job.queued_at is not None and job.started_at is not None:
            self._stages.labels("wait").observe(max(0.0, job.started_at - job.queued_at))

    def _drawn(self, rendered: JobRendered) -> None:
        self._rendered[rendered.job.id] = self._now()
        self._stages.labels("render").observe(rendered.seconds)
        self._forwards.inc(rendered.forwards)
        self._rows.inc(rendered.rows)

    def _ended(self, ended: JobEnded) -> None:
        self._ends.labels(_ENDS[type(ended)]).inc()
        rendered_at = self._rendered.pop(ended.job.id, None)
        if isinstance(ended, JobDelivered):
            self._pictures.inc(len(ended.job.shown_images))
            if rendered_at is not None:  # else by a process before this one
                self._stages.labels("post").observe(self._now() - rendered_at)

    # -------------------------------------------------------------- Discord

    def watch(self, trace: aiohttp.TraceConfig) -> None:
        """Sees every request being answered, through aiohttp."""
        trace.on_request_end.append(self._answered)
        trace.on_request_exception.append(self._lost)

    async def _answered(
        self, _session: aiohttp.ClientSession, _context: SimpleNamespace, about: aiohttp.TraceRequestEndParams
    ) -> None:
        self._discord.labels(kind_of(about.method, about.url.path), str(about.response.status)).inc()

    async def _lost(
        self,
        _session: aiohttp.ClientSession,
        _context: SimpleNamespace,
        about: aiohttp.TraceRequestExceptionParams,
    ) -> None:
        self._discord.labels(kind_of(about.method, about.url.path), "lost").inc()

    # -------------------------------------------------------------- the loop

    async def look_at_loop(self) -> None:
        """Until it is cancelled: how late it is woken."""
        while True:
            due = self._now() + LOOK_EVERY_S
            await asyncio.sleep(LOOK_EVERY_S)
            self._late.observe(max(0.0, self._now() - due))


def kind_of(method: str, path: str) -> str:
    """What a request to Discord is for, as far as anybody wants to know."""
    if method == "PATCH" and _EDIT.search(path):
        return "edit"
    if method == "POST" and path.endswith("/messages"):
        return "message"
    return "answer" if _ANSWER.search(path) else "other"


def _process(pid: int | None) -> Sequence[Metric]:
    """Memory, processor time and files of an engine's process, where it has one on this machine."""
    if pid is None:
        return ()
    return [*ProcessCollector("easel_engine", lambda: str(pid), registry=None).collect()]


class _Moment(Collector):
    """What is so at the moment of a scrape."""

    def __init__(self, database: Path) -> None:
        self.asked: Gauges | None = None
        self._database = database

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("easel_build", "Easel's version", {"version": __version__})
        sizes = GaugeMetricFamily(
            "easel_database_bytes", "Size of the database and of its log", labels=("file",)
        )
        for name, file in (("database", self._database), ("log", Path(f"{self._database}-wal"))):
            with contextlib.suppress(OSError):  # the log comes and goes
                sizes.add_metric((name,), file.stat().st_size)
        yield sizes
        with contextlib.suppress(OSError):
            free = shutil.disk_usage(self._database.parent).free
            yield GaugeMetricFamily("easel_disk_free_bytes", "Room where the data lies", free)
        if self.asked is None:
            return
        waiting, running = self.asked.lengths()
        yield GaugeMetricFamily("easel_jobs_waiting", "Jobs in line", waiting)
        yield GaugeMetricFamily("easel_jobs_running", "Jobs in an engine's hands", running)
        status = self.asked.engine()
        yield GaugeMetricFamily(
            "easel_engine_ready", "1 where an engine is ready to draw", int(status.is_ready)
        )
        yield GaugeMetricFamily("easel_engine_slots", "Pictures that are drawn at a time", status.slots)

        yield from self._of_each(self.asked.engines())

    def _of_each(self, engines: Sequence[EngineView]) -> Iterator[Metric]:
        """One series for each, named by its number."""
        families: dict[str, Metric] = {}
        up = GaugeMetricFamily("easel_engine_up", "1 where that engine is given requests", labels=("engine",))
        jobs = GaugeMetricFamily("easel_engine_jobs", "Jobs in that engine's hands", labels=("engine",))
        for engine in engines:
            label = str(engine.number)
            up.add_metric((label,), int(engine.is_up))
            jobs.add_metric((label,), engine.aboard)
            for family in _process(engine.pid):
                kept = families.setdefault(family.name, family)
                told = [sample._replace(labels={"engine": label}) for sample in family.samples]
                kept.samples = told if kept is family else [*kept.samples, *told]
        yield from (up, jobs, *families.values())
