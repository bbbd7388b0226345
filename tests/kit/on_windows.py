"""What a person does first, in a Python that lacks what Windows lacks (`as_windows` calls it): prints what came of it."""

from __future__ import annotations

import asyncio
import json
import queue
import signal
from pathlib import Path

from bot.config import Settings, load
from bot.config.engine import engine_settings
from bot.shell import demo, lock
from bot.shell.doctor import report
from bot.shell.init.service import CannotServe, user
from bot.shell.lock import AlreadyRunning, lock_data
from engine import boot
from engine.contract import Control, Event, Finished, GenerationRequest, Ready, Shutdown, Submit


def everything(folder: str) -> None:
    """Doctor, lock, the demo's signals, a refused service, and a picture whose engine is this very process."""
    settings = load(None, {"EASEL_DATA_DIR": folder, "DISCORD_TOKEN": "a.b.c"})
    told = {
        "platform": [lock.sys.platform, lock.os.name],
        "doctor": report.run(settings, None),
        "locked": locked(settings),
        "signal": asyncio.run(ended_by(signal.SIGTERM)),
        "service": refused(),
        "picture": draw(settings),
    }
    print(json.dumps(told))


def locked(settings: Settings) -> bool:
    """Whether a second Easel is kept out."""
    with lock_data(settings):
        try:
            lock_data(settings)
        except AlreadyRunning:
            return True
    return False


async def ended_by(number: int) -> bool:
    signals = demo._Signals()
    signal.raise_signal(number)
    await signals.next()
    return signals.over.is_set()


def refused() -> str:
    try:
        return str(user())
    except CannotServe as error:
        return str(error)


def draw(settings: Settings) -> str:
    controls = queue.SimpleQueue[Control]()
    files: list[str] = []

    def emit(event: Event) -> None:
        if isinstance(event, Ready):
            request = GenerationRequest(
                prompt="a red circle", model=event.models[0].id, width=128, height=128, steps=2,
                guidance_scale=4.0, sampler="Euler", seed=7,
            )  # fmt: skip
            controls.put(Submit(job_id=1, attempt=1, request=request))
        elif isinstance(event, Finished):
            files.extend(str(image.path) for image in event.images)
            controls.put(Shutdown())

    spool = Path(settings.data_dir) / "spool"
    spool.mkdir(parents=True, exist_ok=True)
    assert boot.run(engine_settings(settings, spool=spool), controls, emit) == 0
    (file,) = files
    return str(spool / file)
