"""`easel chaos` on the command line: a wrong word is told at once, before anything is loaded."""

from __future__ import annotations

from enum import StrEnum
from importlib import import_module
from typing import Annotated

import typer

from bot.shell.cli import brought_by


class Fleet(StrEnum):
    LOCAL = "local"
    RAY = "ray"


def chaos(
    jobs: Annotated[int, typer.Option(min=1, help="How many pictures a storm promises.")] = 200,
    kills: Annotated[
        int, typer.Option(min=0, help="How often somebody is killed, stopped or told to end in it.")
    ] = 20,
    seed: Annotated[int, typer.Option(help="Of the first storm; the next ones count on.")] = 1,
    storms: Annotated[int, typer.Option(min=1, help="How many storms, one after the other.")] = 1,
    victims: Annotated[
        str | None,
        typer.Option(
            help="Who may be killed: some of bot,engine,both, with several engines also engines, with ray also "
            "actor,worker,host; all if left out."
        ),
    ] = None,
    fleet: Annotated[Fleet, typer.Option(help="Where engines run.")] = Fleet.LOCAL,
    engines: Annotated[int, typer.Option(min=1, max=16, help="How many the bot has.")] = 1,
) -> None:
    """Kill, stop and end a bot and its engines in a Discord of our own; exit code 1 if a promise was broken."""
    with brought_by("fleet"):
        if fleet is Fleet.RAY:
            import_module("ray")
    with brought_by("rehearsal"):
        from workshop.rehearsal.chaos.plan import Plan, victims_in
        from workshop.rehearsal.chaos.storms import run as run_storms
    try:
        named = victims_in(victims, engines, fleet.value)
    except ValueError as problem:
        raise typer.BadParameter(str(problem), param_hint="'--victims'") from None
    plans = [
        Plan(jobs=jobs, kills=kills, seed=seed + more, victims=named, fleet=fleet.value, engines=engines)
        for more in range(storms)
    ]
    raise typer.Exit(run_storms(plans))
