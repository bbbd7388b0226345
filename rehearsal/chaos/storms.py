"""`python -m rehearsal.chaos --jobs 200 --kills 20 --seed 1`: one storm after the other, a line for each; exit 1 if one is lost."""

from __future__ import annotations

import argparse
import asyncio
import logging
import shutil
import sys
import tempfile
import time
from pathlib import Path

from rehearsal.chaos.storm import VICTIMS, Plan, storm
from rehearsal.chaos.verdict import Verdict, judge


async def one(plan: Plan, folder: Path) -> tuple[Verdict, dict[str, int]]:
    """The verdict on one storm, and what was killed in it."""
    async with storm(folder, plan) as run:
        verdict = judge(run)
        return verdict, run.kills


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m rehearsal.chaos", description=__doc__)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="of the first storm; the next ones count on")
    parser.add_argument("--storms", type=int, default=1)
    parser.add_argument("--victims", default=",".join(VICTIMS), help="some of bot,engine,both")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    return max(
        play(
            Plan(jobs=options.jobs, kills=options.kills, seed=seed, victims=tuple(options.victims.split(",")))
        )
        for seed in range(options.seed, options.seed + options.storms)
    )


def play(plan: Plan) -> int:
    folder, begin = Path(tempfile.mkdtemp(prefix=f"easel-chaos-{plan.seed}-")), time.monotonic()
    verdict, kills = asyncio.run(one(plan, folder))
    print(
        f"seed {plan.seed}: {verdict.asked} asked, {verdict.unanswered} never answered and free, "
        f"{verdict.delivered} delivered, {verdict.cancelled} cancelled, {verdict.refunded} refunded; "
        f"killed {kills}; {time.monotonic() - begin:.0f} s; "
        + ("every promise kept" if verdict.is_kept else f"{len(verdict.broken)} PROMISES BROKEN"),
        flush=True,
    )
    for sentence in verdict.broken:
        print(f"  {sentence}")
    if verdict.is_kept:
        shutil.rmtree(folder)
        return 0
    print(f"  kept for a look: {folder}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
