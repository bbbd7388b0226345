"""`python -m workshop.rehearsal.simulation --seeds 5000`: so many schedules, and every one that broke a promise."""

from __future__ import annotations

import argparse
import logging
import sys
import time

import structlog

from workshop.rehearsal.simulation.play import play


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m workshop.rehearsal.simulation", description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=1000)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    begin, failed = time.monotonic(), 0
    for seed in range(options.first, options.first + options.seeds):
        try:
            broken = play(seed)
        except Exception as error:  # noqa: BLE001 - a simulation that falls over is a finding too
            broken = [repr(error)]
        failed += bool(broken)
        for sentence in broken:
            print(f"seed {seed}: {sentence}", flush=True)
    seconds = time.monotonic() - begin
    print(
        f"{options.seeds} schedules in {seconds:.1f} s, {60 * options.seeds / seconds:.0f} a minute; {failed} broke a promise"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
