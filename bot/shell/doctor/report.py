"""`easel doctor`: checks that write nothing; each red line ends with what fixes it. Asks a child process about torch."""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from bot.config import ConfigError, Settings
from bot.config.engine import STARTER_NOTE
from bot.shell.child import ask_engine
from bot.shell.doctor.finding import Finding, Status, bad, ok, warn
from bot.shell.doctor.online import check_discord
from bot.store import checks, schema
from bot.store.backup import backups, check_whole
from bot.store.errors import Unusable
from engine.contract import STARTER

FREE_BYTES_LOW = 5 * 2**30
CONSTRAINTS = Path(__file__).resolve().parents[1] / "constraints.txt"


PIP = f"{shlex.quote(sys.executable)} -m pip install"
INSTALL = f"{PIP} -c {shlex.quote(str(CONSTRAINTS))} -e {shlex.quote(str(CONSTRAINTS.parent))}"


BACKUP, RESTORE = "easel backup", "stop Easel, then: easel restore"


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
            console.print(_line(finding))  # one by one: asking torch takes seconds
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
                name, f"{where} can't be looked at: {error.strerror or error}.", _own_fix(Path(str(where)))
            )


def _line(finding: Finding) -> Text:
    sign, style = {Status.OK: ("✔", "green"), Status.WARN: ("!", "yellow"), Status.BAD: ("✘", "red")}[
        finding.status
    ]
    fix = f" Fix: {finding.fix}" if finding.fix else ""
    return Text.assemble((f"{sign} ", style), (f"{finding.name:<12}", "bold"), f"{finding.text}{fix}")


# ------------------------------------------------------------------ Python and packages


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
        wishes = metadata.requires("easel") or []
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


# ------------------------------------------------------------------ device and model


def check_device(settings: Settings) -> Iterator[Finding]:
    facts, complaint = ask_engine("torch")
    if facts is None:
        yield bad("Device", f"torch can't be loaded: {complaint}", INSTALL)
    else:
        yield judge_device(settings.engine.device, facts, has_driver=shutil.which("nvidia-smi") is not None)


def judge_device(wanted: str, facts: dict[str, Any], *, has_driver: bool) -> Finding:
    """What the configured device means on a machine with these facts."""
    cards: list[str] = facts["cuda"]
    if wanted.startswith("cuda"):
        number = int(wanted.partition(":")[2] or 0)
        if number >= len(cards):
            text = f"{wanted} is configured, but torch {facts['torch']} sees {len(cards)} CUDA devices."
            return bad("Device", f"{text}{_driver(facts)}", _cuda_fix(facts, has_driver=has_driver))
        return _judge_card(facts, number)
    if wanted == "mps" and not facts["mps"]:
        return bad(
            "Device", "mps is configured, but torch sees no Apple GPU.", 'set device = "auto" under [engine]'
        )
    if wanted == "auto" and cards:
        return _judge_card(facts, 0)
    if wanted == "mps" or (wanted == "auto" and facts["mps"]):
        return ok("Device", f"Apple GPU (mps), torch {facts['torch']}")
    text = f"CPU with {facts['threads']} threads, torch {facts['torch']}: an image takes minutes with a real model."
    is_missed = wanted == "auto" and has_driver
    missed = _driver(facts) if is_missed else ""
    return warn("Device", f"{text}{missed}", _cuda_fix(facts, has_driver=True) if is_missed else "")


def _judge_card(facts: dict[str, Any], number: int) -> Finding:
    """Whether torch was built for the card's generation: else the first kernel fails, long after the start."""
    generations, built_for = facts.get("generations", []), facts.get("built_for", [])
    if number < len(generations) and built_for and not facts.get("hip"):
        major, minor = generations[number]
        if not runs_on(major, minor, built_for):
            text = f"{_card(facts, number)} was built for {', '.join(built_for)}, not for this card's sm_{major}{minor}."
            fix = "a build of torch for this card: https://pytorch.org/get-started/previous-versions"
            return bad("Device", text, f'{fix}; until then device = "cpu" under [engine]')
    return ok("Device", _card(facts, number))


def runs_on(major: int, minor: int, built_for: Sequence[str]) -> bool:
    """By NVIDIA's rules: kernels run on their own generation from their minor number on, PTX on all later ones.

    https://docs.nvidia.com/cuda/cuda-c-programming-guide/#binary-compatibility; letters after a number (sm_90a) tie a
    kernel to exactly that one.
    """
    for name in built_for:
        match = re.fullmatch(r"(sm|compute)_(\d+)(\d)([a-z]?)", name)
        if match is None:
            continue
        built, is_exact = (int(match[2]), int(match[3])), bool(match[4])
        if is_exact or match[1] == "sm":
            if built == (major, minor) or (not is_exact and built[0] == major and built[1] <= minor):
                return True
        elif built <= (major, minor):
            return True
    return False


def _driver(facts: dict[str, Any]) -> str:
    """What torch says of the driver, which it compares with its own list."""
    return f" It says: {facts['complaint'].rstrip('.')}." if facts.get("complaint") else ""


def _card(facts: dict[str, Any], number: int) -> str:
    return f"{facts['cuda'][number]} ({facts['bytes'][number] / 2**30:.0f} GB), torch {facts['torch']}"


def _cuda_fix(facts: dict[str, Any], *, has_driver: bool) -> str:
    if not facts["built_for_cuda"]:
        return f"{PIP} --force-reinstall torch==2.13.0 (the build with CUDA)"
    if "driver" in facts.get("complaint", "") and "too old" in facts["complaint"]:
        return f"a newer NVIDIA driver (this torch takes CUDA {facts['built_for_cuda']}): https://www.nvidia.com/drivers"
    return "nvidia-smi (does it list the card?)" if has_driver else 'set device = "auto" under [engine]'


def check_model(settings: Settings) -> Iterator[Finding]:
    model = settings.engine.model
    if model == STARTER:
        yield warn("Model", STARTER_NOTE)
    yield judge_model(model, offline=settings.engine.offline, folder=settings.models_dir)


def judge_model(model: str, *, offline: bool, folder: Path | None = None) -> Finding:
    """Whether a model in `folder`, elsewhere, or in the hub's cache is complete. The engine's own check decides."""
    name, _, revision = model.partition("@")
    fetch = shlex.join(["hf", "download", name, *(["--revision", revision] if revision else [])])
    facts, complaint = ask_engine(
        "model", model=model, models=None if folder is None else str(folder), offline=offline
    )
    if facts is None:
        return bad("Model", f"the model can't be checked: {complaint}", INSTALL)
    if facts["folder"] is None:
        if offline:
            return bad("Model", f"{model} is not on this disk, and offline = true.", fetch)
        return warn("Model", f"{model} is not on this disk yet: the first start downloads it.", fetch)
    if not facts["problem"]:
        return ok("Model", model if facts["folder"] == model else f"{model}, in {facts['folder']}")
    if facts["is_id"] and not offline:
        return warn("Model", f"{facts['problem']} The next start tries that.", fetch)
    return bad("Model", facts["problem"], fetch if facts["is_id"] else "set another model under [engine]")


def check_models(settings: Settings) -> Iterator[Finding]:
    """What lies in the folder of models, as the engine sees it at its start."""
    folder = settings.models_dir
    if not os.path.lexists(folder):
        if settings.models.dir is not None:
            yield bad("Models", f"{folder} is not there.", f"mkdir -p {shlex.quote(str(folder))}")
        return
    if not folder.is_dir():
        yield bad("Models", f"{folder} is not a folder.", "set another dir under [models]")
        return
    if not os.access(folder, os.R_OK | os.X_OK):
        yield bad("Models", f"{folder} can't be read.", _own_fix(folder))
        return
    facts, complaint = ask_engine("models", model=settings.engine.model, models=str(folder))
    if facts is None:
        yield warn("Models", f"What lies in {folder} is not known: {complaint}")
        return
    for name, problem in facts["problems"]:
        yield warn("Models", f"{name} is left out: {problem}", f"take it out of {folder}, or mend it")
    if facts["sound"] or not facts["problems"]:
        yield ok("Models", f"{facts['sound']} further files and folders to draw with in {folder}")


def check_preview(settings: Settings) -> Iterator[Finding]:
    """The decoder of previews, where one is configured: without it the engine does not start."""
    folder = settings.preview.model
    if folder is None or not settings.preview.every:
        return
    facts, complaint = ask_engine("preview", folder=str(folder))
    if facts is None:
        yield bad("Preview", f"{folder} can't be checked: {complaint}", INSTALL)
    elif facts["problem"]:
        yield bad("Preview", f"{folder}: {facts['problem']}", "set another model under [preview], or none")
    else:
        yield ok("Preview", f"{folder}")


def check_profile(settings: Settings) -> Iterator[Finding]:
    """How much of the model would lie on the device, if the engine were started now."""
    engine = settings.engine
    facts, complaint = ask_engine(
        "profile",
        model=engine.model,
        models=str(settings.models_dir.absolute()),
        device=engine.device,
        dtype=engine.dtype,
        profile=engine.profile,
        mode=engine.mode,
    )
    if facts is None:
        yield warn("Profile", f"Which profile holds is not known: {complaint}")
    elif facts["problem"]:
        yield bad("Profile", facts["problem"], "change that under [engine]: the engine can't start with it")
    else:
        yield ok("Profile", facts["why"])


def check_modes(settings: Settings) -> Iterator[Finding]:
    """What each mode costs and brings here, as the engine measured it at its first start."""
    own = settings.engine
    facts, complaint = ask_engine(
        "modes",
        model=own.model,
        mode=own.mode,
        rows=own.rows,
        slots=own.slots,
        compile=own.compile,
        data=str(settings.data_dir),
    )
    if facts is None:
        yield warn("Modes", f"What the modes bring is not known: {complaint}")
    elif not facts["sentences"]:
        yield ok("Modes", f"{own.mode}; the bot's first start measures what the others would bring")
    else:
        for sentence in facts["sentences"]:
            yield ok("Modes", sentence)


# ------------------------------------------------------------------ configuration and data


def check_token(settings: Settings) -> Iterator[Finding]:
    discord = settings.discord
    try:
        token = discord.read_token()
    except ConfigError as error:
        portal = "https://discord.com/developers/applications"
        yield bad("Token", error.problems[0], f"export DISCORD_TOKEN=… (from {portal}, Bot, Reset Token)")
        return
    path = discord.token_path
    if path is not None and os.name == "posix" and (mode := stat.S_IMODE(path.stat().st_mode)) & 0o077:
        yield bad("Token", f"{path} can be read by others (mode {mode:04o}).", f"chmod 600 {path}")
    elif token.count(".") != 2:
        yield warn("Token", "What is there does not look like a bot's token (three parts with dots between).")
    else:
        yield ok("Token", f"in {path}" if path else "in DISCORD_TOKEN")


def _own_fix(place: Path) -> str:
    return f'sudo chown -R "$USER" {shlex.quote(str(place))}'


def _not_writable(name: str, folder: Path, section: str) -> Finding | None:
    """What keeps files from being made in the folder, or the folder from being made."""
    existing = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
    if not existing.is_dir():
        return bad(name, f"{existing} is not a folder.", f"set another dir under [{section}]")
    if not os.access(existing, os.W_OK | os.X_OK | os.R_OK):
        return bad(name, f"{existing} can't be written to.", _own_fix(existing))
    return None


def check_data(settings: Settings) -> Iterator[Finding]:
    folder = settings.data_dir
    if (problem := _not_writable("Data", folder, "data")) is not None:
        yield problem
        return
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(existing).free
    text = f"{folder}{'' if folder.exists() else ' (made at the first start)'}, {free / 2**30:.1f} GB free"
    if free >> 20 < settings.data.free_mb:
        yield bad(
            "Data",
            f"{text}: less than free_mb = {settings.data.free_mb}, so nothing new is taken.",
            "set another dir, or fewer retention_days, under [data]",
        )
    elif free < FREE_BYTES_LOW:
        yield warn("Data", f"{text}: little for images.")
    else:
        yield ok("Data", text)


def check_backup_folder(settings: Settings) -> Iterator[Finding]:
    """Whether backups could be written; what is in them is read with --deep."""
    folder = settings.backups
    if not settings.backup.every_hours:
        yield warn("Backups", "none are made: every_hours = 0 under [backup].")
    elif (problem := _not_writable("Backups", folder, "backup")) is not None:
        yield problem
    elif settings.backup.dir is not None:  # else the line on the data folder says it
        yield ok("Backups", f"every {settings.backup.every_hours} hours, to {folder}")


def check_database(settings: Settings) -> Iterator[Finding]:
    path = settings.database
    if not path.exists():
        yield ok("Database", "none yet: made at the first start")
        return
    try:
        check_whole(path)
        problems = checks.check(path)
    except Unusable as problem:
        problems = [str(problem)]
    for problem in problems:
        yield bad("Database", problem, RESTORE)
    if not problems:
        yield ok("Database", f"{path}, {path.stat().st_size / 2**20:.1f} MB")


# ------------------------------------------------------------------ deep: everything is read


def check_integrity(settings: Settings) -> Iterator[Finding]:
    path = settings.database
    if not path.exists():
        return
    try:
        problems = checks.damage(path, thorough=True)
        for problem in problems[:20]:
            yield bad("Integrity", f"{path}: {problem}.", RESTORE)
        if not problems:
            yield ok("Integrity", "every page, index and reference of the database agrees")
            yield from _books(path)
    except checks.Error as error:
        yield bad("Integrity", f"{path} can't be read: {error}.", RESTORE)


def _books(path: Path) -> Iterator[Finding]:
    if checks.version(path) != schema.newest():
        yield warn(
            "Books", "The schema is another one than this program's: they are audited after `easel run`."
        )
        return
    problems = checks.audit(path)
    for problem in problems:
        yield bad("Books", problem, RESTORE)
    if not problems:
        yield ok("Books", "every job's state, cost and images agree")


def check_backups(settings: Settings) -> Iterator[Finding]:
    known = backups(settings.backups)
    if not known:
        if settings.database.exists():
            yield bad("Backup", f"There is none in {settings.backups}.", BACKUP)
        else:
            yield ok("Backup", f"none needed yet; they will be in {settings.backups}")
        return
    newest = known[0]
    hours = (time.time() - newest.made_at) / 3600
    text = f"{newest.path}, {hours:.0f} hours old"
    late = max(2 * settings.backup.every_hours, 48)
    if problems := checks.verify(newest.path):
        yield bad("Backup", f"{text}, does not hold: {problems[0]}.", BACKUP)
    elif hours > late:
        yield bad("Backup", f"{text}: no newer one was made for more than {late} hours.", BACKUP)
    else:
        yield ok("Backup", f"{text}, opened, checked and audited")


DEEP_CHECKS: Sequence[Callable[[Settings], Iterator[Finding]]] = (check_integrity, check_backups)
CHECKS: Sequence[Callable[[Settings], Iterator[Finding]]] = (
    check_python,
    check_packages,
    check_sqlite,
    check_token,
    check_data,
    check_database,
    check_backup_folder,
    check_device,
    check_model,
    check_models,
    check_preview,
    check_profile,
    check_modes,
)
