"""`python -m workshop.bench.recovery`: an engine whose device fails in the middle of a picture is replaced, and draws it again.

The real bot on the loopback Discord with a real engine; knows two pictures and the fault between them.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import io
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

from bot.app import Timings
from bot.chat.client import EaselClient
from bot.config import Settings
from bot.core.engines.restarts import Patience
from bot.job import JobState
from bot.vitals import logs
from engine.contract import STARTER, EngineSettings
from workshop.bench import strike, told
from workshop.rehearsal.loopback.driver import Channel, LoopbackDiscord, User
from workshop.rehearsal.loopback.world import Attachment

WITHIN_S = 300.0
TIMINGS = Timings(patience=Patience(backoff_s=(0.1,)))
"""One death is no reason to let the device rest; what is measured is the engine."""
EXIT_FAILED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """The same picture before the fault and through it."""

    fault: str
    """What was done to the device; "" if nothing was."""
    before_s: float
    """From the command to the picture, nothing failing."""
    through_s: float
    """The same with the fault in it: it is noticed, an engine starts, and draws."""
    attempts: int
    """Of the second picture."""
    is_equal: bool
    """Whether both have the same pixels."""

    @property
    def holds(self) -> bool:
        return bool(self.fault) and self.attempts > 1 and self.is_equal


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code; prints JSON."""
    parser = argparse.ArgumentParser(prog="python -m workshop.bench.recovery", description=__doc__)
    parser.add_argument("--model", default=STARTER, help="hub id, folder or file")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    logs.configure("warning")  # to stderr: what is printed is JSON
    with tempfile.TemporaryDirectory(prefix="easel-recovery-") as folder:
        found = asyncio.run(recovered(Path(folder), options.model, options.device))
    text = json.dumps({**asdict(found), "holds": found.holds}, indent=1)
    print(text)
    if options.json:
        options.json.write_text(f"{text}\n", encoding="utf-8")
    return 0 if found.holds else EXIT_FAILED


async def recovered(
    folder: Path, model: str, device: str, *, engine: EngineSettings | None = None
) -> Recovery:
    """`engine`: another than the one for this model."""
    settings = Settings.model_validate(
        {"data": {"dir": str(folder)}, "engine": {"model": model, "device": device, "mode": "exact"}}
    )
    spool = Path(engine.spool) if engine else settings.spool
    with strike.prepared():
        async with (
            LoopbackDiscord() as discord,
            told.running(discord, settings, engine, TIMINGS) as client,
        ):
            guild = discord.add_guild()
            channel, who = discord.add_channel(guild), discord.add_user("user")
            await discord.announce(guild)
            before_s, first, _ = await _picture(discord, client, who, channel, 1)
            strike.arm(spool)
            through_s, second, attempts = await _picture(discord, client, who, channel, 2)
    return Recovery(
        fault=strike.told(spool),
        before_s=before_s,
        through_s=through_s,
        attempts=attempts,
        is_equal=first == second,
    )


async def _picture(
    discord: LoopbackDiscord, client: EaselClient, who: User, channel: Channel, job_id: int
) -> tuple[float, str, int]:
    """(seconds, digest of the pixels, attempts) of the same request each time."""
    begin = time.monotonic()
    answer = await discord.slash(who, channel, "imagine", prompt="a red circle", seed=42)
    line, jobs = client.services.dispatcher, client.services.store.jobs

    def finished() -> list[Attachment]:
        is_busy = line.line() or line.running() or line.errands
        return [] if is_busy or answer.message is None else answer.message.attachments

    (file,) = await discord.until(finished, WITHIN_S, "a picture")
    seconds = time.monotonic() - begin
    row = await jobs.get(job_id)
    assert row is not None  # this database has no other jobs
    if row.state is not JobState.DELIVERED:
        return seconds, f"job {row.id} is {row.state}", row.attempt
    with Image.open(io.BytesIO(file.bytes)) as image:
        return seconds, hashlib.sha256(image.convert("RGB").tobytes()).hexdigest(), row.attempt


if __name__ == "__main__":
    sys.exit(main())
