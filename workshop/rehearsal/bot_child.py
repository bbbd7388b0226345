"""The real bot as its own process, pointed at the loopback Discord: `python -m workshop.rehearsal.bot_child FILE [FAKE]`.

FILE is an easel.toml; FAKE is JSON for FakeSettings (without it the configured model is loaded). The token
comes from DISCORD_TOKEN as for anybody.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bot.app import Timings
from bot.config import load
from bot.config.engine import cluster_of
from bot.shell import run
from engine.contract import EngineSettings, FakeSettings
from workshop.rehearsal.redirect import client_options_from_environment


def main(file: str, fake: str | None = None, *, timings: Timings | None = None) -> int:
    settings = load(Path(file))
    engine = None
    if fake is not None:
        values = FakeSettings(**json.loads(fake))
        engine = EngineSettings(
            model="fake",
            spool=str(settings.spool),
            models=str(settings.models_dir),
            preview_every=settings.preview.every,
            cluster=cluster_of(settings),
            fake=values,
        )
    return run.run(settings, engine=engine, client_options=client_options_from_environment, timings=timings)


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
