"""`python -m engine.collection list|add|verify`: the folder of models on a terminal; prints, and leaves the work to others.

Runs as its own process, because what a machine draws with is asked of torch; knows neither Discord nor the bot.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from engine.checkpoints import describe, single_file
from engine.checkpoints.source import Source, SourceKind
from engine.collection import adding, listing, verifying
from engine.contract import EngineSettings
from engine.device import fingerprint
from engine.errors import BrokenModel
from engine.loading import load


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m engine.collection")
    parser.add_argument("action", choices=("list", "add", "verify"))
    parser.add_argument("settings", type=json.loads, help="EngineSettings as JSON")
    parser.add_argument("name", nargs="?")
    options = parser.parse_args()
    settings = EngineSettings(**options.settings)
    fingerprint.prepare_environment(settings)
    try:
        match options.action:
            case "list":
                return show(settings)
            case "add":
                return add(settings, options.name)
            case _:
                return verify(settings, options.name)
    except BrokenModel as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        return 130


def _console() -> Console:
    return Console(markup=False, highlight=False, soft_wrap=True)


def show(settings: EngineSettings) -> int:
    """Prints a table; what can't be used stands below it with its sentence."""
    table = Table("name", "what", "family", "native size", "bytes", box=None)
    found = list(listing.entries(settings))
    for entry in found:
        size = f"{entry.bytes:,}" if entry.path else ""
        table.add_row(entry.name, entry.kind, entry.family, entry.size, size)
    console = _console()
    console.print(table)
    for entry in found:
        if entry.problem:
            console.print(f"✘ {entry.name}: {entry.problem}")
    console.print(f"More belongs into {settings.models}; easel models add SOURCE brings a model there.")
    return 0


def add(settings: EngineSettings, source: str) -> int:
    """Brings a model and says how to use it."""
    with _progress() as progress:
        task = progress.add_task("looking at it", total=None)

        def tell(stage: str, share: float | None) -> None:
            progress.update(
                task, description=stage, total=None if share is None else 1.0, completed=share or 0
            )

        path = adding.add(source, settings, tell)
    added = Source.of(str(path))
    info = describe.describe(added, EngineSettings(model=added.named, spool="", hub_offline=True))
    console = _console()
    try:
        if added.kind is SourceKind.FILE:
            load.bring_base(single_file.read(path), offline=settings.hub_offline)
    except BrokenModel as error:
        console.print(f"! {error}")
    console.print(f"Added {info.id} ({info.family}, {info.width}x{info.height}): it lies in {path}.")
    console.print(
        f"Restart the bot, then choose it with “/imagine model: {info.id}”; to draw with it when nobody "
        f"chooses, set model = {json.dumps(str(path), ensure_ascii=False)} under [engine]."
    )
    return 0


def verify(settings: EngineSettings, name: str | None) -> int:
    """Reads everything, or one thing; 1 if anything is broken."""
    entries = [entry for entry in listing.entries(settings) if name in {None, entry.name}]
    if not entries:
        raise BrokenModel(f"There is nothing called “{name}”: easel models list shows the names.")
    broken = 0
    with _progress() as progress:
        for entry in entries:
            files: list[Path] = listing.weights(entry.path) if entry.path else []
            total = sum(file.stat().st_size for file in files if file.is_file())
            task: Any = progress.add_task(f"reading {entry.name}", total=total)
            for verdict in verifying.verify(entry, lambda count, task=task: progress.advance(task, count)):
                broken += not verdict.is_good
                progress.console.print(f"{'✔' if verdict.is_good else '✘'} {verdict.name}: {verdict.text}")
            progress.remove_task(task)
    return 1 if broken else 0


def _progress() -> Progress:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    console = _console()
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


if __name__ == "__main__":
    sys.exit(main())
