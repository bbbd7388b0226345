"""Is this Python, with its packages and its SQLite, what Easel was tested with? Imports none of them."""

from __future__ import annotations

import platform
import re
import shlex
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from bot import DISTRIBUTION, __version__
from bot.config import Settings
from bot.shell.doctor.finding import Finding, bad, ok, warn
from bot.store import checks

CONSTRAINTS = Path(__file__).resolve().parents[3] / "constraints.txt"


PIP = f"{shlex.quote(sys.executable)} -m pip install"


INSTALL = (
    f"{PIP} -c {shlex.quote(str(CONSTRAINTS))} -e {shlex.quote(str(CONSTRAINTS.parent))}"
    if CONSTRAINTS.is_file()
    else f"{PIP} --force-reinstall {DISTRIBUTION}=={__version__}"
)


def check_python(_settings: Settings) -> Iterator[Finding]:
    yield ok("Python", f"{platform.python_version()}, {sys.executable}")


def check_packages(_settings: Settings) -> Iterator[Finding]:
    pinned, wrong, fix = _pins(), 0, INSTALL
    names = _required()
    for name in names:
        found, wanted = _installed(name), pinned.get(_normal(name))
        if found is None:
            wrong += 1
            yield bad("Packages", f"{name} is not installed.", fix)
        elif wanted and found.partition("+")[0] != wanted:
            wrong += 1
            yield warn("Packages", f"{name} is {found}, but Easel was tested with {wanted}.", fix)
    if not wrong:
        how = (
            "as pinned in constraints.txt" if pinned else "(there is no constraints.txt here to compare with)"
        )
        yield ok("Packages", f"all {len(names)} {how}")


def _required() -> tuple[str, ...]:
    """Names of the packages that Easel itself asks for, extras left out."""
    try:
        wishes = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:  # run from a checkout that was never installed
        return ("discord.py", "aiosqlite", "pydantic", "torch", "diffusers", "transformers")
    plain = [wish for wish in wishes if "extra ==" not in wish]
    return tuple(re.split(r"[^A-Za-z0-9._-]", wish, maxsplit=1)[0] for wish in plain)


def _pins() -> dict[str, str]:
    if not CONSTRAINTS.is_file():
        return {}
    pairs = (line.partition("==") for line in CONSTRAINTS.read_text("utf-8").splitlines() if "==" in line)
    return {_normal(name): version.strip() for name, _, version in pairs if not name.startswith("#")}


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def check_sqlite(_settings: Settings) -> Iterator[Finding]:
    version = ".".join(map(str, checks.SQLITE_VERSION))
    if has_wal_bug(checks.SQLITE_VERSION):
        # https://sqlite.org/wal.html#walresetbug: needs two connections that write and checkpoint at the same moment
        yield warn(
            "SQLite",
            f"{version} has the WAL-reset bug; Easel avoids it by writing through one connection only.",
        )
    else:
        yield ok("SQLite", version)


def has_wal_bug(version: tuple[int, ...]) -> bool:
    """3.7.0 to 3.51.2, but for the two branches it was repaired in: 3.44.6 and 3.50.7."""
    repaired = {(3, 44): 6, (3, 50): 7}.get((version[0], version[1]))
    return (3, 7, 0) <= version <= (3, 51, 2) and not (repaired is not None and version[2] >= repaired)
