"""A process that really teaches, seen from the bot: suspended, ended, killed and orphaned. The starter is taught two steps."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from PIL import Image

from bot.core.training.child import Child, Lesson, beginning
from engine.checkpoints.source import Source
from engine.contract import STARTER, EngineSettings
from engine.contract.training import EXIT_STOPPED, EXIT_TAUGHT, Checkpointed, Event, Needs, Stepped, Taught

pytestmark = pytest.mark.timeout(300)


def engine_in(folder: Path) -> EngineSettings:
    models = str(folder / "models")
    return EngineSettings(model=STARTER, spool=str(folder), device="cpu", models=models, hub_offline=True)


def lesson_in(folder: Path, steps: int) -> Lesson:
    pictures = folder / "pictures"
    if not pictures.exists():
        pictures.mkdir()
        for number in range(2):
            Image.new("RGB", (64, 64), ("red", "blue")[number]).save(pictures / f"{number}.png")
    told = {
        "name": "blob", "trigger": "blob toy", "folder": str(pictures), "steps": steps,
        "rank": 2, "batch": 1, "resolution": 64, "sample_every": 0, "save_every": 1000,
    }  # fmt: skip
    return Lesson(model=Source.of(STARTER).id, told=told, folder="chat-1")


@asynccontextmanager
async def begun(folder: Path, steps: int) -> AsyncIterator[tuple[Child, psutil.Process]]:
    child = await beginning(engine_in(folder))(lesson_in(folder, steps))
    (process,) = (each for each in psutil.Process().children() if "engine.training" in each.cmdline())
    try:
        yield child, process
    finally:
        child.kill()
        await child.ended()


async def first(child: Child, kind: type[Event]) -> Event:
    """The next of a kind that it tells."""
    while not isinstance(event := await child.heard(), kind):
        assert event is not None
    return event


async def test_it_stands_still_stops_and_goes_on(tmp_path: Path) -> None:
    """It says what it takes before it learns; suspended it does nothing at all; told to stop while it stands still it keeps its
    step and ends; begun again it goes on with the next one, and leaves the LoRA."""
    async with begun(tmp_path, 5000) as (child, process):
        needs = await first(child, Needs)
        assert isinstance(needs, Needs)
        assert 0 < needs.needed < needs.free
        await first(child, Stepped)
        child.suspend()
        while process.status() != psutil.STATUS_STOPPED:  # noqa: ASYNC110 - the system sets none
            await asyncio.sleep(0.01)
        child.stop()
        kept = await first(child, Checkpointed)
        assert await child.ended() == EXIT_STOPPED
    assert isinstance(kept, Checkpointed)
    async with begun(tmp_path, kept.done + 2) as (child, _):
        step = await first(child, Stepped)
        assert isinstance(step, Stepped)
        assert step.done == kept.done + 1


async def test_its_end_is_the_file(tmp_path: Path) -> None:
    """It tells where the LoRA lies; asked once more, since nobody had noted that, it tells the same and learns nothing."""
    for _ in range(2):
        async with begun(tmp_path, 1) as (child, _process):
            taught = await first(child, Taught)
            assert taught == Taught(file=str(tmp_path / "models" / "loras" / "blob.safetensors"))
            assert await child.ended() == EXIT_TAUGHT
            assert child.kill() is None  # what has ended takes anything


_BOT = """
import asyncio, sys
from pathlib import Path
from tests.bot.core.training.test_child import engine_in, lesson_in
from bot.core.training.child import beginning

async def live():
    child = await beginning(engine_in(Path(sys.argv[1])))(lesson_in(Path(sys.argv[1]), 5000))
    child.suspend()
    print("child", child.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(live())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such rule for what stands still")
def test_no_orphan_is_left(tmp_path: Path) -> None:
    """The bot is killed while the guest stands still: it is gone, too."""
    with subprocess.Popen(
        (sys.executable, "-c", _BOT, str(tmp_path)), stdout=subprocess.PIPE, text=True
    ) as bot:
        try:
            assert bot.stdout is not None
            told = next(line for line in bot.stdout if line.startswith("child "))
            guest = psutil.Process(int(told.split()[1]))
        finally:
            bot.send_signal(signal.SIGKILL)
    gone, alive = psutil.wait_procs([guest], timeout=30)
    for left in alive:
        left.kill()
    assert (len(gone), alive) == (1, [])
