"""`easel bench`: figures of this machine beside the goals they should meet. Starts processes, imports no torch.

First the bot's own figures, then the engine's beside plain diffusers, which `python -m workshop.bench` measures.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bot.config import Settings
from bot.job import Action, Asker, NewJob, Origin
from bot.limits import Limits
from bot.redaction import environment
from bot.shell.exit_codes import EXIT_FAILED
from bot.store import Store
from engine import process
from engine.contract import Broken, EngineSettings, GenerationRequest, HubTries, ModelInfo, Ready

ROWS = 1_000_000
ADMISSIONS = 500
HUB = HubTries(limit_s=30.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    name: str
    value: float
    unit: str
    goal: str = ""
    """"≤ N" or a number; empty where there is none."""
    note: str = ""

    @property
    def met(self) -> bool | None:
        return self.value <= float(self.goal.removeprefix("≤ ")) if self.goal else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be measured, and where it is to be written besides the terminal."""

    quick: bool = False
    """Fewer repetitions."""
    engine_only: bool = False
    compile: bool = False
    json_path: Path | None = None
    plot_path: Path | None = None


class CannotMeasure(Exception):
    """The engine does not start with these settings; its text is a sentence."""


def main(settings: Settings, wanted: Wanted) -> int:
    """Measures, prints tables, and writes JSON and a plot where asked. Returns the exit code."""
    try:
        figures = [] if wanted.engine_only else measure_bot(settings.engine.model, quick=wanted.quick)
    except (CannotMeasure, EOFError) as error:
        print(str(error) or "The engine ended unexpectedly: its own message stands above.", file=sys.stderr)
        return EXIT_FAILED
    if figures:
        _print(figures)
    with tempfile.TemporaryDirectory(prefix="easel-bench-") as folder:
        found = Path(folder) / "engine.json"
        code = subprocess.run(
            engine_command(settings, wanted, found), check=False, env=_environment()
        ).returncode
        engine = json.loads(found.read_text("utf-8")) if found.exists() else None
    if wanted.json_path is not None:
        values = {"bot": [asdict(figure) for figure in figures], "engine": engine}
        wanted.json_path.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return code


def engine_command(settings: Settings, wanted: Wanted, found: Path) -> list[str]:
    """The child that measures the engine; it loads torch, and writes what it finds to `found`."""
    engine = settings.engine
    switches = {
        "--quick": wanted.quick,
        "--compile": wanted.compile,
        "--offline": engine.offline,
        "--channels-last": engine.channels_last == "on",
        "--fused-qkv": engine.fused_qkv == "on",
    }
    plot = [] if wanted.plot_path is None else ["--plot", str(wanted.plot_path)]
    words = [
        "--model",
        engine.model,
        "--device",
        engine.device,
        "--dtype",
        engine.dtype,
        "--json",
        str(found),
    ]
    chosen = [switch for switch, is_on in switches.items() if is_on]
    return [sys.executable, "-m", "workshop.bench", *words, *chosen, *plot]


def _environment() -> dict[str, str]:
    """Without the bot's token: no engine gets it. What its terminal can't show is written as an escape."""
    told = {"PYTHONIOENCODING": f"{sys.stdout.encoding}:backslashreplace", "TRANSFORMERS_VERBOSITY": "error"}
    return {**environment(), **told}


def measure_bot(model: str, *, quick: bool) -> list[Figure]:
    """The figures of the bot, its database and its start."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="easel-bench-") as folder:
        figures += measure_engine_start(model, Path(folder), runs=1 if quick else 3)
        figures += asyncio.run(measure_admission(Path(folder) / "bench.sqlite3", rows=ROWS))
    return figures + measure_wire(model)


def measure_engine_start(model: str, folder: Path, *, runs: int, hub: HubTries = HUB) -> list[Figure]:
    """Seconds from spawn to Ready, the model loaded."""
    seconds: list[float] = []
    for _ in range(runs):
        begin = time.perf_counter()
        engine = process.start(EngineSettings(model=model, spool=str(folder), device="cpu", hub=hub))
        try:
            while not isinstance(event := engine.events.recv(), Ready):
                if isinstance(event, Broken):
                    raise CannotMeasure(event.reason)
            seconds.append(time.perf_counter() - begin)
        finally:
            engine.stop(10)
            engine.close()
    return [Figure(name="engine: spawn to Ready", value=statistics.median(seconds), unit="s", goal="≤ 8")]


# ------------------------------------------------------------------ admission


async def measure_admission(path: Path, *, rows: int) -> list[Figure]:
    """The one admitting statement, with many jobs in the table, as p50 and p99 in milliseconds."""
    store = await Store.open(path)
    try:
        await asyncio.to_thread(_fill, path, rows)
        times: list[float] = []
        for number in range(ADMISSIONS):
            admission = _admission(number)
            begin = time.perf_counter()
            await store.jobs.admit(admission, time.time())
            times.append((time.perf_counter() - begin) * 1000)
    finally:
        await store.close()
    times.sort()
    name = f"admission with {rows:,} jobs stored"
    return [
        Figure(name=f"{name}, median", value=times[len(times) // 2], unit="ms"),
        Figure(name=f"{name}, p99", value=times[int(len(times) * 0.99)], unit="ms", goal="≤ 5"),
    ]


def _fill(path: Path, rows: int) -> None:
    """Finished jobs of a thousand people over a hundred days, the last ones today."""
    request = json.dumps(_request().to_dict())
    image = json.dumps([{"seed": 1, "path": "x.png"}])
    now = time.time()
    connection = sqlite3.connect(path)
    try:
        connection.executemany(
            """INSERT INTO job (state, attempt, request, action, user_id, guild_id, channel_id, message_id,
                                interaction_id, application_id, cost, charged, created_at, queued_at, started_at,
                                finished_at, images)
               VALUES ('delivered', 1, ?, 'imagine', ?, ?, 3, 4, ?, 5, 1, 1, ?, 1, 1, 1, ?)""",
            (
                (request, 1000 + n % 1000, n % 10, n, now - 8_640_000 * (1 - n / rows), image)
                for n in range(rows)
            ),
        )
        connection.commit()
    finally:
        connection.close()


def _request() -> GenerationRequest:
    return ModelInfo(id="bench", title="Bench").request(prompt="a red circle on a blue background", seed=42)


def _admission(number: int) -> NewJob:
    return NewJob(
        request=_request(),
        asker=Asker(user_id=1000 + number % 1000, guild_id=number % 10),
        origin=Origin(interaction_id=10**15 + number, application_id=5, token="t", channel_id=3),
        action=Action.IMAGINE,
        parent_id=None,
        cost=1,
        limits=Limits(
            credits_per_day=1000,
            credits_per_night=1000,
            pending=1000,
            max_pixels=1,
            max_steps=1,
            max_images=1,
        ),
        credits=1000,
        window_start=time.time() - 86_400,
        queue_max=10_000,
    )


# ------------------------------------------------------------------ the bot on the loopback Discord


def measure_wire(model: str) -> list[Figure]:
    """The bot's process on a loopback Discord."""
    command = [sys.executable, "-m", "workshop.bench.wire", model]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return [Figure(**json.loads(line)) for line in done.stdout.splitlines()]


def _print(figures: list[Figure]) -> None:
    table = Table("figure", "measured", "goal", "", "note")
    for figure in figures:
        met = {True: "✔", False: "✘", None: ""}[figure.met]
        table.add_row(figure.name, f"{figure.value:.2f} {figure.unit}".strip(), figure.goal, met, figure.note)
    Console().print(table)
