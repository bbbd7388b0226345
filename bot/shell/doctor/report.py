"""`easel doctor`: checks that write nothing; each red line ends with what fixes it. Asks a child process about torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.text import Text

from bot.config import ConfigError, Settings
from bot.shell.doctor.cluster import check_cluster
from bot.shell.doctor.data import (
    check_backup_folder,
    check_backups,
    check_data,
    check_database,
    check_integrity,
    check_token,
    check_wildcards,
    own_fix,
)
from bot.shell.doctor.engine_start import (
    check_device,
    check_model,
    check_models,
    check_modes,
    check_preview,
    check_profile,
)
from bot.shell.doctor.finding import Finding, Status, bad, ok
from bot.shell.doctor.listening import check_metrics
from bot.shell.doctor.online import check_discord
from bot.shell.doctor.packages import check_packages, check_python, check_sqlite


def run(
    settings: Settings,
    file: Path | None = None,
    *,
    as_json: bool = False,
    deep: bool = False,
    online: bool = False,
) -> int:
    """Prints the report; 0 when nothing is red, else 1. `file` is where the settings come from."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    findings: list[Finding] = []
    for finding in examine(settings, file, deep=deep, online=online):
        findings.append(finding)
        if not as_json:
            console.print(line(finding))  # one by one: asking torch takes seconds
    is_fine = all(finding.status is not Status.BAD for finding in findings)
    if as_json:
        report = {"ok": is_fine, "checks": [asdict(finding) for finding in findings]}
        print(json.dumps(report, indent=2, ensure_ascii=False))
    return 0 if is_fine else 1


def examine(
    settings: Settings, file: Path | None, *, deep: bool = False, online: bool = False
) -> Iterator[Finding]:
    yield ok("Settings", str(file) if file else "no easel.toml: every setting has its default")
    checks = (*CHECKS, *(DEEP_CHECKS if deep else ()), *((check_discord,) if online else ()))
    homeless = False
    for check in checks:
        try:
            yield from check(settings)
        except ConfigError as error:  # no home: most checks meet that
            if not homeless:
                yield bad("Data", error.problems[0], "set dir under [data]")
            homeless = True
        except OSError as error:
            name = check.__name__.removeprefix("check_").capitalize()
            where = error.filename or "A file"
            yield bad(
                name, f"{where} can't be looked at: {error.strerror or error}.", own_fix(Path(str(where)))
            )


def line(finding: Finding) -> Text:
    """As it is shown on a terminal."""
    sign, style = {Status.OK: ("✔", "green"), Status.WARN: ("!", "yellow"), Status.BAD: ("✘", "red")}[
        finding.status
    ]
    fix = f" Fix: {finding.fix}" if finding.fix else ""
    return Text.assemble((f"{sign} ", style), (f"{finding.name:<12}", "bold"), f"{finding.text}{fix}")


# ------------------------------------------------------------------ deep: everything is read


DEEP_CHECKS: Sequence[Callable[[Settings], Iterator[Finding]]] = (check_integrity, check_backups)
CHECKS: Sequence[Callable[[Settings], Iterator[Finding]]] = (
    check_python,
    check_packages,
    check_sqlite,
    check_token,
    check_data,
    check_database,
    check_backup_folder,
    check_metrics,
    check_cluster,
    check_device,
    check_model,
    check_models,
    check_wildcards,
    check_preview,
    check_profile,
    check_modes,
)
