"""Measures the real bot process on the loopback Discord: `python -m workshop.bench.wire MODEL` prints JSON lines.

One line per figure: {"name", "value", "unit", "goal", "note"}.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from bot.vitals import logs
from workshop.bench import told
from workshop.rehearsal.bot import easel_evening

QUEUED, ASKED, PER_SECOND = 200, 200, 20
IDLE_RUNS = 9
LIMITS = """
[limits]
credits_per_day = 10000
pending = 50
[queue]
max = 1000
"""


def report(name: str, value: float, unit: str, goal: str, note: str = "") -> None:
    print(json.dumps({"name": name, "value": value, "unit": unit, "goal": goal, "note": note}), flush=True)


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


async def measure_start(folder: Path) -> None:
    """A bot whose engine takes long to load: when does it answer, and how large is it?"""
    async with easel_evening(folder, fake={"load_s": 600.0}, toml=LIMITS) as evening:
        begin = time.perf_counter()
        await evening.bot.start()
        await evening.imagine()
        report(
            "start of the bot to its first answer, engine still loading",
            time.perf_counter() - begin,
            "s",
            "≤ 2",
        )
        await asyncio.sleep(1)
        assert evening.bot.process is not None
        process = psutil.Process(evening.bot.process.pid)
        report("memory of the bot's process", process.memory_info().rss / 2**20, "MiB", "≤ 120")
        torch = [entry.path for entry in process.memory_maps() if "torch" in entry.path]
        report("torch libraries in the bot's process", len(torch), "", "0")


async def measure_line(folder: Path) -> None:
    """With 200 jobs queued, 200 more commands at 20 a second: receipt to answer, and the loop's lag."""
    lags = folder / "lags.json"
    async with easel_evening(folder, fake={"load_s": 600.0}, toml=LIMITS) as evening:
        evening.bot.module = ["workshop.bench.wire_child", str(lags)]
        await evening.bot.start()
        people = [evening.discord.add_user(f"user{number}") for number in range(20)]
        for number in range(QUEUED):
            await evening.imagine(people[number % 20])
        answers: list[asyncio.Task[Any]] = []
        for number in range(ASKED):
            answers.append(asyncio.create_task(evening.imagine(people[number % 20])))
            await asyncio.sleep(1 / PER_SECOND)
        times = [answer.ms for answer in await asyncio.gather(*answers)]
        await asyncio.sleep(1.2)
        lag = json.loads(lags.read_text())
        note = f"{QUEUED} jobs queued, {ASKED} commands at {PER_SECOND}/s; the driver shares the machine"
        report("/imagine to its answer, median", statistics.median(times), "ms", "", note)
        report("/imagine to its answer, p99", percentile(times, 0.99), "ms", "≤ 100", note)
        report("event-loop lag, p99", percentile(lag, 0.99), "ms", "≤ 50", f"{len(lag)} samples")


async def measure_overhead(folder: Path, model: str) -> None:
    """The whole stack against a bare pipe() call, in turns, while nothing else is asked."""
    toml = LIMITS + f'[engine]\nmodel = "{model}"\n'
    async with easel_evening(folder, fake=None, toml=toml) as evening:
        begin = time.perf_counter()
        await evening.bot.start()
        await _picture(evening)
        report("start of the bot to its first image", time.perf_counter() - begin, "s", "")
        whole = [await _picture(evening) for _ in range(IDLE_RUNS)]
        seconds = [row[0] for row in evening.bot.rows("SELECT render_seconds FROM job")][1:]
    bare = _bare(model)
    stack, pipe = statistics.median(whole), bare["pipe_s"]
    report("bare pipe() call", pipe, "s", "", f"median of {len(bare['runs'])}")
    report("the engine's own share of a command", statistics.median(seconds), "s", "")
    report("command received to last edit", stack, "s", "", f"median of {IDLE_RUNS}")
    allowed = max(0.1, pipe * 0.1)
    report(
        "overhead of the whole stack",
        (stack - pipe) * 1000,
        "ms",
        f"≤ {allowed * 1000:.0f}",
        f"{stack / pipe:.2f}× pipe()",
    )


async def _picture(evening: Any) -> float:
    """Seconds from the command's receipt to the last edit's arrival."""
    begin = time.perf_counter()
    answer = await evening.imagine(prompt="a red circle", seed=42)
    await evening.finished(answer, timeout_s=120)
    took = time.perf_counter() - begin
    await evening.discord.until(lambda: set(evening.bot.states()) == {"delivered"})
    await asyncio.sleep(0.3)
    return took


def _bare(model: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "workshop.bench.bare", model]
    return json.loads(
        subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    )


async def measure_told(folder: Path, model: str) -> None:
    """What people who wait are told of the time left, against what it was."""
    errors = [100 * share for share in await told.errors_of(folder, model)]
    note = f"{len(errors)} that waited, of {told.ASKED} asked for at once, of three lengths"
    name = "time told to who joins the line, off by"
    report(f"{name}, median", statistics.median(errors), "%", "", note)
    report(f"{name}, p90", percentile(errors, 0.9), "%", "", note)


async def main(model: str) -> None:
    logs.configure("warning")  # to stderr: what is printed are figures
    for measure in (measure_start, measure_line):
        with tempfile.TemporaryDirectory() as folder:
            await measure(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        await measure_overhead(Path(folder), model)
    with tempfile.TemporaryDirectory() as folder:
        await measure_told(Path(folder), model)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
