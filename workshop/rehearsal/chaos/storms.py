"""`easel chaos`: one storm after the other, a line for each and every broken promise below it; kills nothing itself."""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from workshop.rehearsal.chaos.plan import Plan
from workshop.rehearsal.chaos.storm import storm
from workshop.rehearsal.chaos.strikes import Strike, told
from workshop.rehearsal.chaos.verdict import Verdict, judge

PROCESSES = Path("/proc/self/task")


def run(plans: Iterable[Plan]) -> int:
    """Plays them all, one or more. Returns 0 if every promise was kept, else 1."""
    if not PROCESSES.is_dir():
        print(
            "easel chaos finds the engine in Linux' process table (/proc): run it on Linux.", file=sys.stderr
        )
        return 1
    logging.disable(logging.CRITICAL)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as by Ctrl-C, the bot as well
    try:
        return max(play(plan) for plan in plans)
    finally:
        signal.signal(signal.SIGTERM, before)


def play(plan: Plan) -> int:
    """One storm in a folder of its own, which stays for a look if a promise was broken."""
    folder, begin = Path(tempfile.mkdtemp(prefix=f"easel-chaos-{plan.seed}-")), time.monotonic()
    try:
        verdict, strikes = asyncio.run(one(plan, folder))
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)  # its processes have just been killed
        raise
    except AssertionError as problem:  # what was waited for never came
        print(f"seed {plan.seed}: came to no end: {problem}\n  kept for a look: {folder}", flush=True)
        return 1
    print(
        f"seed {plan.seed}: {verdict.asked} asked, {verdict.unanswered} never answered and free, "
        f"{verdict.delivered} delivered, {verdict.cancelled} cancelled, {verdict.refunded} refunded; "
        f"{told(strikes)}; {time.monotonic() - begin:.0f} s; "
        + ("every promise kept" if verdict.is_kept else f"{len(verdict.broken)} PROMISES BROKEN"),
        flush=True,
    )
    for sentence in verdict.broken:
        print(f"  {sentence}")
    if verdict.is_kept:
        shutil.rmtree(folder)
        return 0
    print(f"  kept for a look: {folder}", flush=True)
    return 1


async def one(plan: Plan, folder: Path) -> tuple[Verdict, list[Strike]]:
    """The verdict on one storm, and whom it struck."""
    async with storm(folder, plan) as run:
        verdict = judge(run)
        return verdict, run.striker.strikes
