"""`easel doctor`: what it finds, what it advises, and that it writes nothing."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bot.config import Settings, engine, load
from bot.config.engine import engines_here, engines_of
from bot.shell import child
from bot.shell.child import ask_engine
from bot.shell.cli import app
from bot.shell.doctor import cluster, data, engine_start, listening, online, packages
from bot.shell.doctor import report as doctor
from bot.shell.doctor.finding import Finding, Status
from bot.store import Store
from bot.store.backup import back_up, name_for
from bot.store.db import Database
from engine.openvino import files
from engine.unet import costs
from tests.bot.shell.conftest import Answer, Launch
from tests.kit import books

TOKEN = "MTIzNDU2.GabcdE.aBcDeFgH"
CPU = {"torch": "2.13.0+cpu", "built_for_cuda": None, "cuda": [], "bytes": [], "mps": False, "threads": 2}
CUDA = {**CPU, "torch": "2.13.0", "built_for_cuda": "13.0", "cuda": ["RTX 3060"], "bytes": [12 * 2**30]}


def settings_in(folder: Path, **environ: str) -> Settings:
    return load(None, {"EASEL_DATA_DIR": str(folder), **environ})


def only(findings: Any) -> Finding:
    (finding,) = findings
    return finding


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without an easel.toml."""
    monkeypatch.chdir(tmp_path)


# ------------------------------------------------------------------ the whole report


async def test_a_look_changes_nothing(
    tmp_path: Path, usual_launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every check together, with its own interpreters, neither makes, removes nor changes a file, a database included."""
    monkeypatch.setattr(child, "launch", usual_launch)
    data = tmp_path / "data"
    settings = settings_in(data, DISCORD_TOKEN=TOKEN)
    await (await Database.open(settings.database)).close()
    before = {path: path.stat().st_mtime_ns for path in sorted(tmp_path.rglob("*"))}

    findings = list(doctor.examine(settings, None))

    assert {path: path.stat().st_mtime_ns for path in sorted(tmp_path.rglob("*"))} == before
    assert {finding.name for finding in findings} == {
        *("Settings", "Python", "Packages", "SQLite", "Token", "Data", "Database", "Device", "Model"),
        "Modes",
        "Profile",
    }


def test_a_folder_that_is_not_there_stays_away(tmp_path: Path) -> None:
    """The data folder is not made by looking for it."""
    finding = only(data.check_data(settings_in(tmp_path / "a" / "b")))

    assert finding.status in {Status.OK, Status.WARN}
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("status", "code"), [(Status.OK, 0), (Status.WARN, 0), (Status.BAD, 1)], ids=["ok", "warn", "bad"]
)
def test_only_red_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: Status, code: int
) -> None:
    """The exit code is 1 as soon as one line is red, and 0 with any number of yellow ones."""
    finding = Finding(name="Thing", status=status, text="It is so.", fix="do something")
    monkeypatch.setattr(doctor, "CHECKS", (lambda _settings: iter([finding]),))

    assert doctor.run(Settings()) == code
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.split() == [
        {"ok": "✔", "warn": "!", "bad": "✘"}[status],
        *["Thing", "It", "is", "so.", "Fix:", "do", "something"],
    ]


def test_json_says_the_same(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """--json prints one object with the verdict and every check."""
    finding = Finding(name="Thing", status=Status.BAD, text="It is so.", fix="do something")
    monkeypatch.setattr(doctor, "CHECKS", (lambda _settings: iter([finding]),))
    code = doctor.run(Settings(), Path("/x/easel.toml"), as_json=True)

    report = json.loads(capsys.readouterr().out)
    assert (code, report["ok"]) == (1, False)
    assert report["checks"] == [
        {"name": "Settings", "status": "ok", "text": "/x/easel.toml", "fix": ""},
        {"name": "Thing", "status": "bad", "text": "It is so.", "fix": "do something"},
    ]


# ------------------------------------------------------------------ packages and SQLite


def test_packages_are_compared_with_the_pins(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing package is red, another version than the pinned one yellow, a build tag like +cpu neither."""
    installed = {"torch": "2.13.0+cpu", "aiosqlite": "0.1"}
    monkeypatch.setattr(packages, "_required", lambda: ("torch", "aiosqlite", "Pillow"))
    monkeypatch.setattr(packages, "_installed", installed.get)

    findings = list(packages.check_packages(Settings()))

    assert [(finding.status, finding.text.split()[0]) for finding in findings] == [
        (Status.WARN, "aiosqlite"),
        (Status.BAD, "Pillow"),
    ]
    assert all("pip install -c" in finding.fix for finding in findings)


def test_this_machine_has_all_packages() -> None:
    """The environment the tests run in is the pinned one."""
    assert only(packages.check_packages(Settings())).status is Status.OK


@pytest.mark.parametrize(
    ("version", "is_hit"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 52, 0), False),
    ],
)
def test_the_wal_bug_is_known_by_version(version: tuple[int, int, int], is_hit: bool) -> None:
    """3.7.0 to 3.51.2 have the bug, except the repaired 3.44.6 and 3.50.7 and what follows them in their branch."""
    assert packages.has_wal_bug(version) is is_hit


# ------------------------------------------------------------------ token, data, database


def test_no_token_is_red(tmp_path: Path) -> None:
    """Without a token the line says where one comes from."""
    finding = only(data.check_token(settings_in(tmp_path)))

    assert finding.status is Status.BAD
    assert "DISCORD_TOKEN" in finding.fix


@pytest.mark.parametrize(
    ("mode", "status"), [(0o600, Status.OK), (0o400, Status.OK), (0o640, Status.BAD), (0o604, Status.BAD)]
)
def test_a_token_file_is_for_its_owner_alone(tmp_path: Path, mode: int, status: Status) -> None:
    """A token file that group or others may read is red, with the chmod that mends it."""
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(mode)
    finding = only(data.check_token(settings_in(tmp_path, DISCORD_TOKEN_FILE=str(file))))

    assert finding.status is status
    assert (finding.fix == f"chmod 600 {file}") is (status is Status.BAD)


def test_the_token_is_never_printed(tmp_path: Path) -> None:
    """Whatever the token looks like, the report does not repeat it."""
    for token in (TOKEN, "misshapen-token"):
        finding = only(data.check_token(settings_in(tmp_path, DISCORD_TOKEN=token)))
        assert token not in finding.text + finding.fix
        assert finding.status is (Status.OK if token == TOKEN else Status.BAD)


def test_a_data_folder_that_is_a_file_is_red(tmp_path: Path) -> None:
    """A file in the place of the data folder is told."""
    (tmp_path / "data").write_text("")

    assert only(data.check_data(settings_in(tmp_path / "data"))).status is Status.BAD


def test_a_read_only_data_folder_is_red(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder we may not write to is red, with the chown that mends it."""
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    finding = only(data.check_data(settings_in(tmp_path)))

    assert finding.status is Status.BAD
    assert finding.fix.startswith("sudo chown")


@pytest.mark.parametrize(
    ("free", "status"),
    [(2**27, Status.BAD), (2**30, Status.WARN), (2**40, Status.OK)],
    ids=["none", "low", "ample"],
)
def test_a_full_disk_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, status: Status
) -> None:
    """Little room is yellow, next to none red."""
    usage = type("Usage", (), {"free": free})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    assert only(data.check_data(settings_in(tmp_path))).status is status


def test_a_damaged_database_is_red(tmp_path: Path) -> None:
    """A file that is no database is found and named."""
    settings = settings_in(tmp_path)
    settings.database.write_bytes(b"this is no database at all" * 100)
    finding = next(iter(data.check_database(settings)))

    assert finding.status is Status.BAD
    assert str(settings.database) in finding.text


async def test_a_sound_database_is_green(tmp_path: Path) -> None:
    """A database that the store made passes, while it is open too."""
    settings = settings_in(tmp_path)
    database = await Database.open(settings.database)
    assert only(data.check_database(settings)).status is Status.OK
    await database.close()

    assert only(data.check_database(settings)).status is Status.OK


def test_a_newer_database_is_red(tmp_path: Path) -> None:
    """A schema of a newer Easel is told before the bot refuses it."""
    settings = settings_in(tmp_path)
    connection = sqlite3.connect(settings.database)
    connection.execute("PRAGMA user_version=999")
    connection.close()

    assert "999" in next(iter(data.check_database(settings))).text


# ------------------------------------------------------------------ device and model


@pytest.mark.parametrize(
    ("device", "facts", "has_driver", "status", "words"),
    [
        ("auto", CUDA, True, Status.OK, "RTX 3060 (12 GB)"),
        ("cuda", CUDA, True, Status.OK, "RTX 3060"),
        ("cuda:1", CUDA, True, Status.BAD, "sees 1 CUDA devices"),
        ("cuda", CPU, True, Status.BAD, "the build with CUDA"),
        ("cuda", {**CUDA, "cuda": [], "bytes": []}, False, Status.BAD, 'device = "auto"'),
        ("auto", CPU, False, Status.WARN, "CPU with 2 threads"),
        ("auto", CPU, True, Status.WARN, "the build with CUDA"),
        ("cpu", CUDA, True, Status.WARN, "CPU with 2 threads"),
        ("auto", {**CPU, "mps": True}, False, Status.OK, "Apple"),
        ("mps", CPU, False, Status.BAD, "no Apple GPU"),
    ],
)
def test_the_device_is_judged(
    device: str, facts: dict[str, Any], has_driver: bool, status: Status, words: str
) -> None:
    """A configured card that torch can't see is red; a card left unused is yellow, with what would use it."""
    finding = engine_start.judge_device(device, facts, has_driver=has_driver)

    assert finding.status is status
    assert words in finding.text + finding.fix
    assert finding.fix or status is not Status.BAD


TWO = {**CUDA, "cuda": ["RTX 3060", "RTX 3060"], "bytes": [12 * 2**30] * 2}
MIXED = {**CUDA, "cuda": ["RTX 3060", "GTX 1080"], "bytes": [12 * 2**30] * 2}


@pytest.mark.parametrize(
    ("devices", "facts", "statuses", "words"),
    [
        (["auto"], CPU, [], ""),
        (
            ["cuda:0", "cuda:1"],
            TWO,
            [Status.OK],
            "1 (cuda:0), 2 (cuda:1): RTX 3060. They draw the same pixels.",
        ),
        (
            ["cuda:0", "cuda:1"],
            MIXED,
            [Status.WARN],
            "1 (cuda:0): RTX 3060; 2 (cuda:1): GTX 1080. Engines on one kind",
        ),
        (
            ["cuda:0", "cuda:1"],
            CUDA,
            [Status.BAD, Status.OK],
            "there is no cuda:1. engines = 1 under [engine]",
        ),
        (["auto", "auto"], CPU, [Status.WARN], "2 engines share one processor"),
        (["mps", "mps"], {**CPU, "mps": True}, [Status.WARN], "2 engines share one Apple GPU"),
    ],
)
def test_engines_are_judged_together(
    devices: list[str], facts: dict[str, Any], statuses: list[Status], words: str
) -> None:
    """Whether each finds its card, who draws the same pixels as whom, and what several cost on one processor."""
    findings = [*engine_start.judge_engines(devices, facts)]
    assert [finding.status for finding in findings] == statuses
    assert words in " ".join(f"{finding.text} {finding.fix}" for finding in findings)


@pytest.mark.parametrize(
    ("told", "visible", "engines", "devices"),
    [
        ("auto", None, 2, ["cuda:0", "cuda:1"]),
        ("auto", "1", 1, ["auto"]),
        ("auto", "0,-1,1", 1, ["auto"]),
        ("auto", "", 1, ["auto"]),
        ("3", None, 3, ["cuda:0", "cuda:1", "cuda:2"]),
        ("1", None, 1, ["auto"]),
    ],
)
def test_each_card_gets_an_engine(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    told: str,
    visible: str | None,
    engines: int,
    devices: list[str],
) -> None:
    """The driver's program lists the cards, CUDA_VISIBLE_DEVICES hides some, and parts of a card are no cards."""
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\nprintf 'GPU 0: RTX (UUID: a)\\n  MIG 1g Device 0: (UUID: b)\\nGPU 1: RTX (UUID: c)\\n'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    settings = settings_in(tmp_path, EASEL_ENGINE_ENGINES=told)
    assert engines_of(settings) == engines
    assert [each.device for each in engines_here(settings)] == devices
    on_processors = settings_in(tmp_path, EASEL_ENGINE_ENGINES="2", EASEL_ENGINE_DEVICE="cpu")
    assert [(each.device, each.seat) for each in engines_here(on_processors)] == [("cpu", 0), ("cpu", 1)]


def make_model(folder: Path) -> Path:
    """Files that look like a model, with no tensors in them."""
    index: dict[str, Any] = {"_class_name": "StableDiffusionPipeline", "safety_checker": [None, None]}
    for name in ("unet", "vae", "text_encoder", "tokenizer", "scheduler"):
        index[name] = ["some_library", "SomeClass"]
        (folder / name).mkdir(parents=True)
        (folder / name / "config.json").write_text("{}")
    for name in ("tokenizer/tokenizer.json", "scheduler/scheduler_config.json"):
        (folder / name).write_text("{}")
    for name in ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"):
        (folder / f"{name}.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def test_a_complete_model_folder_is_green(tmp_path: Path) -> None:
    """A folder in which the engine's own check misses nothing passes."""
    finding = engine_start.judge_model(str(make_model(tmp_path)), offline=True)

    assert (finding.status, finding.text) == (Status.OK, str(tmp_path))


@pytest.mark.parametrize(
    "lost", ["vae/diffusion_pytorch_model.safetensors", "model_index.json", "unet/config.json"]
)
def test_an_incomplete_model_folder_is_red(tmp_path: Path, lost: str) -> None:
    """A missing file is found and named."""
    folder = make_model(tmp_path / "model")
    (folder / lost).unlink()
    finding = engine_start.judge_model(str(folder), offline=False)

    assert finding.status is Status.BAD
    assert lost in finding.text
    assert finding.fix


def test_a_folder_that_does_not_exist_is_red(tmp_path: Path) -> None:
    """A path that leads nowhere is told by its last part."""
    finding = engine_start.judge_model(str(tmp_path / "nowhere"), offline=False)

    assert finding.status is Status.BAD
    assert "nowhere" in finding.text


@pytest.mark.parametrize(("offline", "status"), [(False, Status.WARN), (True, Status.BAD)])
def test_half_a_download_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: bool, status: Status
) -> None:
    """A broken-off download is finished by the next start, which offline forbids."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--owner--name"
    folder = make_model(repository / "snapshots" / "abc")
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    finding = engine_start.judge_model("owner/name", offline=offline)

    assert finding.status is status
    assert "vae/diffusion_pytorch_model.safetensors" in finding.text
    assert finding.fix == "hf download owner/name"


@pytest.mark.parametrize(("offline", "status"), [(False, Status.WARN), (True, Status.BAD)])
def test_a_hub_model_that_is_not_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: bool, status: Status
) -> None:
    """A model the cache lacks will be downloaded, which offline forbids."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    finding = engine_start.judge_model("owner/name", offline=offline)

    assert finding.status is status
    assert finding.fix == "hf download owner/name"


def test_a_revision_that_is_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command that fetches a pinned model names its revision as that program wants it."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert (
        engine_start.judge_model("owner/name@v1", offline=True).fix == "hf download owner/name --revision v1"
    )


def test_a_single_file_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is green if its header is; without the hub, the small files of its base must be here, too."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    file = tmp_path / "x.safetensors"
    names = ("cond_stage_model.transformer.text_model.x", "first_stage_model.x")
    shapes = {"model.diffusion_model.input_blocks.0.0.weight": [1, 4, 1, 0], **{name: [0] for name in names}}
    header = {
        name: {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]} for name, shape in shapes.items()
    }
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text)
    assert engine_start.judge_model(str(file), offline=False).status is Status.OK
    finding = engine_start.judge_model(str(file), offline=True)
    assert finding.status is Status.BAD
    assert "needs a few small files of stable-diffusion-v1-5" in finding.text


def test_the_starter_is_told_and_checked(tmp_path: Path) -> None:
    """Without a model the report says what will draw, and that its files are complete."""
    told, checked = engine_start.check_model(settings_in(tmp_path))

    assert told.status is Status.WARN
    assert "starter model" in told.text
    assert checked.status is Status.OK


def test_the_profile_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which profile would hold, and why; where that can't be found out, what is in the way."""
    settings = settings_in(tmp_path, EASEL_ENGINE_PROFILE="low", EASEL_ENGINE_DEVICE="cpu")
    assert only(engine_start.check_profile(settings)).text == "Profile low: as the configuration says."

    monkeypatch.setattr(engine_start, "ask_engine", lambda *_, **__: (None, "no torch here"))
    finding = only(engine_start.check_profile(settings))
    assert (finding.status, finding.text) == (Status.WARN, "Which profile holds is not known: no torch here")


def test_settings_that_the_engine_refuses_are_red(tmp_path: Path) -> None:
    """Nothing else looks at the numbers: here the engine's own word on them is told, without its class."""
    settings = settings_in(tmp_path, EASEL_ENGINE_DTYPE="float16", EASEL_ENGINE_DEVICE="cpu")
    found = only(engine_start.check_profile(settings))
    assert found.status is Status.BAD
    assert found.text.startswith("Processors have no fast float16: set dtype to")


def test_modes_are_told_once_measured(tmp_path: Path) -> None:
    """Before the first start there is nothing to tell; after it, what each mode costs and brings."""
    settings = settings_in(tmp_path, EASEL_ENGINE_MODE="wide")
    assert "first start measures" in only(engine_start.check_modes(settings)).text

    facts = {"model": "starter", "torch": "2"}
    costs.keep(tmp_path, costs.key_of(facts), costs.Costs(seconds={1: 0.1, 2: 0.2, 4: 0.25}), facts)
    exact, wide, fast = engine_start.check_modes(settings)
    assert "200 ms" in exact.text
    assert wide.text.startswith("▶ wide with 4 rows: 1.60x")
    assert "up to 4 rows" in fast.text


def test_what_openvino_brings_is_told(tmp_path: Path) -> None:
    """By what the bot's last start measured, unless torch alone is to draw."""
    folder = files.folder_of(tmp_path, "starter", {}, weights="1")
    folder.parent.mkdir()
    found = costs.Costs(seconds={1: 0.1, 2: 0.12, 4: 0.2, 8: 0.5})
    files.keep(folder, files.Findings(share=0.57, threads=2, rows=4, costs=found, at=1.0))
    told = only(engine_start.check_modes(settings_in(tmp_path))).text
    assert told == (
        "OpenVINO computes this model here: a forward takes 0.57 of torch's time, and up to 4 rows share a forward."
    )
    for other in ({"EASEL_ENGINE_MODE": "exact"}, {"EASEL_ENGINE_RUNTIME": "torch"}):
        assert "first start measures" in only(engine_start.check_modes(settings_in(tmp_path, **other))).text


def test_a_child_that_fails_gives_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answerless child is no crash of ours: its last line is the complaint."""
    monkeypatch.setattr(child, "REPORT", (sys.executable, "-c", "raise SystemExit('no torch here')"))
    assert ask_engine("torch") == (None, "no torch here")


def test_a_child_gets_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """The token is not handed to children."""
    monkeypatch.setenv("DISCORD_TOKEN", TOKEN)
    code = "import os, json; print(json.dumps({'token': os.environ.get('DISCORD_TOKEN')}))"
    monkeypatch.setattr(child, "REPORT", (sys.executable, "-c", code))
    facts, _ = ask_engine("torch")

    assert facts == {"token": None}


# ------------------------------------------------------------------ deep


async def filled(settings: Settings) -> None:
    store = await Store.open(settings.database)
    for user in range(30):
        await books.delivered(store, user=user)
    await store.close()


def backed_up(settings: Settings, *, hours_ago: float = 1.0) -> Path:
    return back_up(settings.database, settings.backups / name_for(time.time() - hours_ago * 3600))


def deep(settings: Settings) -> dict[str, tuple[Status, str, str]]:
    found = [finding for check in doctor.DEEP_CHECKS for finding in check(settings)]
    return {finding.name: (finding.status, finding.text, finding.fix) for finding in found}


async def test_a_deep_look_at_a_sound_installation_is_green_and_writes_nothing(tmp_path: Path) -> None:
    """Database, books and the newest backup are read completely, and not a byte or a file is changed by that."""
    settings = settings_in(tmp_path / "data")
    await filled(settings)
    backed_up(settings)
    without_log(settings)
    before = {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()}

    findings = deep(settings)

    assert {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()} == before
    assert {name: status for name, (status, _, _) in findings.items()} == dict.fromkeys(
        ("Integrity", "Books", "Backup"), Status.OK
    )
    assert "1 hours old" in findings["Backup"][1]


def without_log(settings: Settings) -> None:
    """What a backup beside an idle database leaves: an empty log, which the next start takes away."""
    for suffix in ("-wal", "-shm"):
        settings.database.with_name(settings.database.name + suffix).unlink(missing_ok=True)


async def test_deep_finds_what_a_quick_look_does_not(tmp_path: Path) -> None:
    """An index that disagrees with its table passes the quick check, and is red in depth with the command that helps."""
    settings = settings_in(tmp_path)
    await filled(settings)
    backed_up(settings)
    with contextlib.closing(sqlite3.connect(settings.database, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute(
            "UPDATE sqlite_schema SET sql = replace(sql, 'charged,', 'cost,') WHERE name = 'job_by_person_and_day'"
        )
    with contextlib.closing(sqlite3.connect(settings.database, isolation_level=None)) as connection:
        connection.execute("UPDATE job SET cost = cost + 1")
    with contextlib.closing(sqlite3.connect(settings.database, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute(
            "UPDATE sqlite_schema SET sql = replace(sql, 'cost,', 'charged,') WHERE name = 'job_by_person_and_day'"
        )
    without_log(settings)

    assert only(data.check_database(settings)).status is Status.OK
    status, text, fix = deep(settings)["Integrity"]
    assert (status, fix) == (Status.BAD, "stop Easel, then: easel restore")
    assert "index" in text


async def test_books_that_disagree_are_red(tmp_path: Path) -> None:
    """A job that contradicts the books is named."""
    settings = settings_in(tmp_path)
    await filled(settings)
    store = await Store.open(settings.database)
    job = await books.running(store, images=2)
    await store.database.write("UPDATE job SET charged = 1 WHERE id = :id", {"id": job.id})
    await store.close()
    status, text, fix = deep(settings)["Books"]
    assert (status, text) == (Status.BAD, f"Job {job.id} is alive but holds less than its cost.")
    assert fix.endswith("easel restore")


async def test_backups_are_judged_by_age_and_by_content(tmp_path: Path) -> None:
    """None, one that is old and one that does not hold are red, each with `easel backup`."""
    settings = settings_in(tmp_path)
    assert deep(settings)["Backup"][0] is Status.OK  # nothing to back up yet
    await filled(settings)
    assert deep(settings)["Backup"] == (Status.BAD, f"There is none in {settings.backups}.", "easel backup")
    made = backed_up(settings, hours_ago=100)
    status, text, fix = deep(settings)["Backup"]
    assert (status, fix) == (Status.BAD, "easel backup")
    assert "100 hours old" in text
    made = backed_up(settings)
    assert deep(settings)["Backup"][0] is Status.OK
    made.write_bytes(made.read_bytes()[:9000])
    status, text, fix = deep(settings)["Backup"]
    assert (status, fix) == (Status.BAD, "easel backup")
    assert "does not hold" in text


def test_an_interrupted_restore_is_red(tmp_path: Path) -> None:
    """Between two databases the way out is named."""
    settings = settings_in(tmp_path)
    for name in ("easel.sqlite3", "easel.sqlite3.restoring"):
        (tmp_path / name).touch()
    finding = only(data.check_database(settings))
    assert finding.status is Status.BAD
    assert "`easel restore` again" in finding.text


def test_deep_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only --deep reads everything."""
    monkeypatch.setattr(doctor, "CHECKS", ())
    assert len(list(doctor.examine(Settings(), None))) == 1
    assert len(list(doctor.examine(Settings(), None, deep=True))) > 1


# ------------------------------------------------------------------ everything that can keep the bot from drawing


@pytest.mark.parametrize(
    ("generation", "built_for", "runs"),
    [
        ((8, 6), ["sm_80"], True),
        ((8, 6), ["sm_86"], True),
        ((8, 0), ["sm_86"], False),
        ((6, 1), ["sm_75", "sm_80", "sm_90"], False),
        ((12, 0), ["sm_80", "sm_90"], False),
        ((12, 0), ["sm_80", "sm_120"], True),
        ((12, 1), ["sm_120"], True),
        ((12, 0), ["sm_80", "compute_90"], True),
        ((8, 0), ["compute_90"], False),
        ((9, 0), ["sm_90a"], True),
        ((10, 0), ["sm_90a", "compute_90a"], False),
        ((7, 5), [], True),
    ],
)
def test_the_cards_generation_is_compared_with_torchs_own_list(
    generation: tuple[int, int], built_for: list[str], runs: bool
) -> None:
    """A card that torch was not built for is red, with what it was built for: else the first picture would say so."""
    facts = {**CUDA, "generations": [list(generation)], "built_for": built_for}
    for device in ("auto", "cuda", "cuda:0"):
        finding = engine_start.judge_device(device, facts, has_driver=True)
        assert (finding.status is Status.OK) is runs
        if not runs:
            assert finding.status is Status.BAD
            assert f"sm_{generation[0]}{generation[1]}" in finding.text
            assert ", ".join(built_for) in finding.text
            assert "pytorch.org" in finding.fix
    assert engine_start.judge_device("cpu", facts, has_driver=True).status is Status.WARN


def test_a_driver_that_is_too_old_is_told_in_torchs_words() -> None:
    """What torch finds wrong with the driver stands in the line, and a newer driver is the fix, not another torch."""
    complaint = "The NVIDIA driver on your system is too old (found version 11040). Please update it."
    facts = {**CUDA, "cuda": [], "bytes": [], "generations": [], "complaint": complaint}
    for device, status in (("cuda", Status.BAD), ("auto", Status.WARN)):
        finding = engine_start.judge_device(device, facts, has_driver=True)
        assert finding.status is status
        assert "too old (found version 11040)" in finding.text
        assert "a newer NVIDIA driver" in finding.fix


def test_torch_tells_what_is_judged(usual_launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child's answer holds all that the judgement needs, on this machine too; its interpreter is its own."""
    monkeypatch.setattr(child, "launch", usual_launch)
    facts, complaint = ask_engine("torch")
    assert facts is not None, complaint
    assert {"generations", "built_for", "complaint", "built_for_cuda", "hip"} <= set(facts)


def test_a_preview_model_is_looked_at_as_the_engine_does(tmp_path: Path) -> None:
    """A folder without an AutoencoderTiny, or with something else, is red by its whole path; none is no line."""
    from diffusers import AutoencoderTiny

    assert list(engine_start.check_preview(settings_in(tmp_path))) == []
    place = tmp_path / "taesd"

    def look() -> Finding:
        return only(engine_start.check_preview(settings_in(tmp_path, EASEL_PREVIEW_MODEL=str(place))))

    assert (look().status, str(place) in look().text) == (Status.BAD, True)
    place.mkdir()
    (place / "config.json").write_text("{}")
    assert look().status is Status.BAD
    assert "[preview]" in look().fix
    AutoencoderTiny(
        encoder_block_out_channels=(8,),
        decoder_block_out_channels=(8,),
        num_encoder_blocks=(1,),
        num_decoder_blocks=(1,),
    ).save_pretrained(place)  # type: ignore[reportCallIssue]
    assert look().status is Status.OK
    assert (
        list(
            engine_start.check_preview(
                settings_in(tmp_path, EASEL_PREVIEW_MODEL="x", EASEL_PREVIEW_EVERY="0")
            )
        )
        == []
    )


def test_a_folder_of_models_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Configured and missing, a file, closed: red. What in it can't be used is yellow, by its name and with why."""
    place = tmp_path / "models"

    def look() -> list[Finding]:
        return list(engine_start.check_models(settings_in(tmp_path, EASEL_MODELS_DIR=str(place))))

    assert list(engine_start.check_models(settings_in(tmp_path))) == []
    assert (only(look()).status, only(look()).fix) == (Status.BAD, f"mkdir -p {place}")
    place.write_text("in the way")
    assert "is not a folder" in only(look()).text
    place.unlink()
    (place / "checkpoints").mkdir(parents=True)
    (place / "loras").mkdir()
    assert only(look()).status is Status.OK
    (place / "checkpoints" / "half.safetensors").write_bytes(b"x")
    (place / "loras" / "old.ckpt").write_bytes(b"x")
    told = look()
    assert [finding.status for finding in told] == [Status.WARN] * 2
    assert "half is left out: " in told[0].text
    assert "old is left out: " in told[1].text
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "can't be read" in only(look()).text


def test_lists_of_words_are_looked_at(tmp_path: Path) -> None:
    """What people would be refused is told before, list by list; a named folder has to be there."""
    place = tmp_path / "words"

    def look(**environ: str) -> list[Finding]:
        return list(data.check_wildcards(settings_in(tmp_path, **environ)))

    assert look() == []
    assert only(look(EASEL_WILDCARDS_DIR=str(place))).status is Status.BAD
    place.mkdir()
    lists = {"animal": "fox", "loop": "__loop__", "lost": "__gone__", "empty": "", "above": "__empty__"}
    for name, text in lists.items():
        (place / f"{name}.txt").write_text(text)
    told = [finding.text for finding in look(EASEL_WILDCARDS_DIR=str(place))]
    assert told == [
        "__above__ is refused: the file of __empty__ is empty, too large or can't be read.",
        "__empty__ is refused: the file of __empty__ is empty, too large or can't be read.",
        "__loop__ is refused: it includes itself (loop → loop).",
        "__lost__ is refused: it holds __gone__, which is not there.",
        f"lists of words in {place}: 1",
    ]


def test_where_numbers_are_told_is_looked_at(tmp_path: Path) -> None:
    """Nothing where they are told nowhere; green on loopback, yellow where others reach it, or somebody listens."""

    def found(**environ: str) -> list[Finding]:
        return list(listening.check_metrics(settings_in(tmp_path, **environ)))

    assert found() == []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        busy = only(found(EASEL_METRICS_LISTEN=f"127.0.0.1:{port}"))
        assert (busy.status, "Somebody listens" in busy.text) == (Status.WARN, True)
    assert only(found(EASEL_METRICS_LISTEN=f"localhost:{port}")).status is Status.OK
    public = only(found(EASEL_METRICS_LISTEN=f"0.0.0.0:{port}"))
    assert (public.status, "without a password" in public.text) == (Status.WARN, True)
    strange = only(found(EASEL_METRICS_LISTEN=f"192.0.2.1:{port}"))
    assert (strange.status, strange.fix) == (Status.BAD, 'listen = "127.0.0.1:9464" under [metrics]')


def test_a_folder_of_backups_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup that can't be written is told before the disk is lost; so is that none are made."""
    place = tmp_path / "backups"

    def look(**environ: str) -> Finding:
        environ = {"EASEL_BACKUP_DIR": str(place), **environ}
        return only(data.check_backup_folder(settings_in(tmp_path, **environ)))

    assert look().status is Status.OK
    assert not place.exists()
    assert look(EASEL_BACKUP_EVERY_HOURS="0").status is Status.WARN
    place.write_text("in the way")
    assert (look().status, "[backup]" in look().fix) == (Status.BAD, True)
    place.unlink()
    place.symlink_to(place)
    assert look().status is Status.BAD
    place.unlink()
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "can't be written to" in look().text


def test_a_check_that_may_not_look_is_red_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that we may not even look into ends no report."""

    def check_closed(_: Settings) -> Iterator[Finding]:
        (tmp_path / "gone").stat()
        yield doctor.ok("never", "")

    monkeypatch.setattr(doctor, "CHECKS", (check_closed, lambda _: iter([doctor.ok("Next", "looked")])))
    told = list(doctor.examine(settings_in(tmp_path), None))
    assert [(finding.name, finding.status) for finding in told[1:]] == [
        ("Closed", Status.BAD),
        ("Next", Status.OK),
    ]
    assert str(tmp_path / "gone") in told[1].text
    assert "Errno" not in told[1].text


USER, GATEWAY = {"id": "1", "username": "easel"}, {"session_start_limit": {"remaining": 990}}


@pytest.mark.parametrize(
    ("answers", "status", "words"),
    [
        (
            {"/users/@me": (200, USER), "/gateway/bot": (200, GATEWAY)},
            Status.OK,
            "the token is that of easel",
        ),
        ({"/users/@me": (401, {"message": "401: Unauthorized"})}, Status.BAD, "refuses the token"),
        (
            {
                "/users/@me": (200, USER),
                "/gateway/bot": (200, {"session_start_limit": {"remaining": 0, "reset_after": 7_200_000}}),
            },
            Status.BAD,
            "wait 2.0 hours",
        ),
        ({"/users/@me": (429, {"message": "You are being blocked"})}, Status.BAD, "You are being blocked"),
        ({"/users/@me": (403, "error code: 1015")}, Status.BAD, "403"),
        ({"/users/@me": (503, "")}, Status.WARN, "discordstatus.com"),
        ({"/users/@me": (200, "<html>Log in to the hotel's network</html>")}, Status.BAD, "is not Discord"),
        ({}, Status.BAD, "is not Discord"),
    ],
)
def test_discord_is_asked_when_wanted(
    discord: Any, answers: dict[str, Answer], status: Status, words: str, tmp_path: Path
) -> None:
    """Whether it is in reach, takes the token and lets the bot start; the token itself is never shown."""
    discord[0].update(answers)
    finding = only(online.check_discord(settings_in(tmp_path, DISCORD_TOKEN=TOKEN)))

    assert finding.status is status
    assert words in finding.text + finding.fix
    assert TOKEN not in finding.text + finding.fix
    assert discord[1][0] == ("/users/@me", f"Bot {TOKEN}")


def test_discord_is_asked_without_a_token_and_out_of_reach(
    discord: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a token the way out is tried all the same; what can't be reached is red with the reason."""
    finding = only(online.check_discord(settings_in(tmp_path)))
    assert (finding.status, discord[1]) == (Status.OK, [("/gateway", None)])
    monkeypatch.setattr(online, "API", "http://127.0.0.1:9")
    finding = only(online.check_discord(settings_in(tmp_path, DISCORD_TOKEN=TOKEN)))
    assert (finding.status, "can't be reached" in finding.text) == (Status.BAD, True)


def test_online_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing leaves the machine unless it is asked for."""
    monkeypatch.setattr(doctor, "CHECKS", ())
    monkeypatch.setattr(doctor, "check_discord", lambda _: iter([doctor.ok("Discord", "asked")]))
    assert "asked" not in CliRunner().invoke(app, ["doctor"]).stdout
    assert "asked" in CliRunner().invoke(app, ["doctor", "--online"]).stdout


SOUND: dict[str, Any] = {
    "hosts": [{"name": "one", "same_easel": True, "cards": ["H100"], "has_model": True, "clock_off_s": 0.1}],
    "silent": [],
    "other_bots": 0,
    "gpus": 1,
    "cpus": 8,
}


@pytest.mark.parametrize(
    ("changed", "host", "statuses", "words"),
    [
        ({}, {}, [Status.OK], "1 hosts, 1 GPUs, 8 processors"),
        ({}, {"same_easel": False}, [Status.OK, Status.BAD], "install the same Easel on one"),
        ({}, {"has_model": False}, [Status.OK, Status.BAD], "The model does not lie on one."),
        ({}, {"clock_off_s": 3600.0}, [Status.OK, Status.WARN], "The clock of one is +3600 s off"),
        ({}, {"cards": ["H100", "A10"]}, [Status.OK, Status.WARN], "A10, H100: different kinds of card"),
        ({"other_bots": 1}, {}, [Status.OK, Status.WARN], "1 other bots have engines here"),
        ({"silent": ["two"]}, {}, [Status.OK, Status.BAD], "two gives no answer"),
        (
            {"gpus": 0, "cpus": 0},
            {},
            [Status.OK, Status.WARN],
            "there are 0 places: the others wait for a host",
        ),
    ],
)
def test_a_cluster_is_judged(
    changed: dict[str, Any], host: dict[str, Any], statuses: list[Status], words: str
) -> None:
    """One sentence for each thing that keeps engines from their places, or is good to know."""
    facts = {**SOUND, **changed, "hosts": [{**SOUND["hosts"][0], **host}]}
    findings = [*cluster.judge_cluster(1, "auto", facts)]
    assert [finding.status for finding in findings] == statuses
    assert words in " ".join(f"{finding.text} {finding.fix}" for finding in findings)


def test_a_cluster_that_is_open_or_away_is_red(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reaches it runs programs there, so beyond loopback it asks for a token; and where nobody answers is told."""
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    address = "127.0.0.1:1"
    asked = settings_in(tmp_path, EASEL_ENGINE_FLEET="ray", EASEL_ENGINE_ADDRESS=address)
    (away,) = cluster.check_cluster(asked)
    assert away.status is Status.BAD
    assert f"The cluster at {address} can't be reached" in away.text
    strange = settings_in(tmp_path, EASEL_ENGINE_FLEET="ray", EASEL_ENGINE_ADDRESS="10.0.0.2:6379")
    monkeypatch.setattr(cluster, "survey", lambda *_: {"problem": "", **SOUND})
    is_open, *_ = cluster.check_cluster(strange)
    assert is_open.status is Status.BAD
    assert "RAY_AUTH_MODE is not “token”" in is_open.text
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    assert all(each.status is Status.OK for each in cluster.check_cluster(strange))


def test_a_local_fleet_asks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray is not looked for where nobody wants it."""
    monkeypatch.setattr(cluster, "survey", lambda *_: pytest.fail("it was looked for"))
    assert [*cluster.check_cluster(settings_in(tmp_path))] == []


def test_as_many_engines_as_the_cluster_has_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is told its number and its bot's own name; one where the cluster can't be asked, a number as it stands."""
    told = {"EASEL_ENGINE_FLEET": "ray", "EASEL_ENGINE_ADDRESS": "10.0.0.2:6379"}
    monkeypatch.setattr(engine, "survey", lambda *_: {"problem": "", **SOUND, "gpus": 3})
    found = engines_here(settings_in(tmp_path, **told))
    assert [each.cluster and each.cluster.number for each in found] == [1, 2, 3]
    assert len({each.cluster and each.cluster.namespace for each in found}) == 1
    other = engines_here(settings_in(tmp_path / "other", **told))
    assert {each.cluster and each.cluster.namespace for each in found}.isdisjoint(
        each.cluster and each.cluster.namespace for each in other
    )
    monkeypatch.setattr(engine, "survey", lambda *_: {"problem": "away"})
    assert engines_of(settings_in(tmp_path, **told)) == 1
    assert engines_of(settings_in(tmp_path, **told, EASEL_ENGINE_ENGINES="5")) == 5
