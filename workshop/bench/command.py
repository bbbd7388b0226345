"""`easel bench` on the command line; what it takes is looked for before anything is measured."""

from __future__ import annotations

import os
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.shell.cli import ConfigOption, brought_by, with_settings

if TYPE_CHECKING:
    from bot.config import Settings


class Fleet(StrEnum):
    LOCAL = "local"


RANDOM_MODELS = ("sd15-random", "sdxl-random")
"""What `easel bench --engine-only` makes itself: architectures with random weights."""


def writable_file(file: Path | None) -> Path | None:
    """A file that can be written, as far as its folder tells: minutes of work must not end in an error."""
    if file is not None and not os.access(file.absolute().parent, os.W_OK):
        there = "can't be written to" if file.absolute().parent.is_dir() else "is not there"
        raise typer.BadParameter(f"The folder {file.absolute().parent} {there}.")
    if file is not None and file.is_dir():
        raise typer.BadParameter(f"{file.absolute()} is a folder: name a file in it.")
    return file


def numbers_of_engines(text: str) -> str:
    """Such as 1,2,4."""
    from bot.config.engine import ENGINES_MAX

    if not all(word.strip().isdecimal() and 1 <= int(word) <= ENGINES_MAX for word in text.split(",")):
        raise typer.BadParameter(
            f"“{text}” is no list of numbers from 1 to {ENGINES_MAX} with commas between them, such as 1,2,4."
        )
    return text


def bench(
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer repetitions: some minutes, and rough numbers.")
    ] = False,
    engine_only: Annotated[
        bool, typer.Option("--engine-only", help="Only the engine beside plain diffusers, not the bot.")
    ] = False,
    compile_too: Annotated[bool, typer.Option("--compile", help="Also measure compiled models.")] = False,
    json_path: Annotated[
        Path | None,
        typer.Option("--json", callback=writable_file, help="Also write the figures to this file."),
    ] = None,
    plot_path: Annotated[
        Path | None,
        typer.Option(
            "--plot", callback=writable_file, help="Also draw latency and throughput against load (PNG)."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Instead of the configured model; with --engine-only also sd15-random and sdxl-random."
        ),
    ] = None,
    fleet: Annotated[Fleet | None, typer.Option(help="Only how its engines scale, which run there.")] = None,
    engines: Annotated[
        str, typer.Option(callback=numbers_of_engines, help="Of that fleet, such as 1,2,4.")
    ] = "1,2,4",
    config: ConfigOption = None,
) -> None:
    """Measure Easel on this machine, beside plain diffusers."""
    if fleet is not None:
        with brought_by("bench"):
            from workshop.bench import scaling
        raise typer.Exit(scaling.main([int(number) for number in engines.split(",")], json_path))
    is_random = engine_only and model in RANDOM_MODELS
    with brought_by("bench"):
        if plot_path is not None:
            import_module("matplotlib")
        if not engine_only:
            import_module("workshop.bench.wire")

    def body(settings: Settings) -> int:
        from workshop.bench import bot_figures as bot_bench

        if is_random:
            settings = settings.model_copy(
                update={"engine": settings.engine.model_copy(update={"model": model})}
            )
        wanted = bot_bench.Wanted(
            quick=quick,
            engine_only=engine_only,
            compile=compile_too,
            json_path=json_path,
            plot_path=plot_path,
        )
        return bot_bench.main(settings, wanted)

    with_settings(config, body, model=None if is_random else model)
