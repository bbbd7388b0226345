"""`easel backup` and `easel restore` as an owner types them, beside a running bot and without one; who may run at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import IO

import pytest
from filelock import SoftFileLock

import bot
from bot.config import Settings, load
from bot.shell import backup_and_restore, lock
from bot.shell.lock import AlreadyRunning, lock_data
from bot.store import Store, checks
from bot.store.backup import backups
from tests.kit import forked
from tests.kit.books import admitted, delivered

ROOT = str(Path(bot.__file__).parents[1])


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without an easel.toml."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(None, {"EASEL_DATA_DIR": str(tmp_path / "data")})


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    """A database in use, as by a running bot."""
    with lock_data(settings):
        opened = await Store.open(settings.database)
        yield opened
        await opened.close()


def easel(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    """`easel …` in a process of its own."""
    return forked.run(*words, environ={**os.environ, "EASEL_DATA_DIR": str(settings.data_dir)})


def jobs_in(file: Path) -> int:
    with checks.look(file) as connection:
        return connection.execute("SELECT COUNT(*) FROM job").fetchone()[0]


def damage(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:4096] + b"\xa5" * (file.stat().st_size - 4096))


# ------------------------------------------------------------------ backup and restore


async def test_backup_beside_a_running_bot_and_restore_without_it(settings: Settings, store: Store) -> None:
    """A backup made while the bot runs holds what is committed; restoring is refused till the bot has ended."""
    await delivered(store)
    done = easel(settings, "backup")
    assert (done.returncode, done.stderr) == (0, "")
    (made,) = backups(settings.backups)
    assert str(made.path) in done.stdout
    assert jobs_in(made.path) == 1

    await admitted(store)
    refused = easel(settings, "restore")
    assert refused.returncode == 75
    assert "stop it first" in refused.stderr
    assert jobs_in(settings.database) == 2


def test_the_whole_way_through_a_broken_disk(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """A backup, a damaged database, `easel restore`: all is there again, and the damaged file is kept as it was."""
    _fill(settings, 3)
    assert backup_and_restore.back_up(settings, None) == 0
    damage(settings.database)
    broken = settings.database.read_bytes()

    assert backup_and_restore.restore(settings, None) == 0
    told = capsys.readouterr().out
    assert "What was there before is kept as" in told
    assert jobs_in(settings.database) == 3
    (kept,) = settings.data_dir.glob("replaced-*.sqlite3")
    assert kept.read_bytes() == broken


def test_a_damaged_database_ends_the_start_with_78(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`easel sync` on a damaged database writes nothing, says what helps and exits 78."""
    _fill(settings, 3)
    damage(settings.database)
    broken = settings.database.read_bytes()
    monkeypatch.setenv("DISCORD_TOKEN", "a.b.c")

    done = easel(settings, "sync")

    assert done.returncode == 78
    assert done.stderr.endswith("`easel restore` puts the newest backup in its place.\n")
    assert "Traceback" not in done.stderr
    assert settings.database.read_bytes() == broken


def _fill(settings: Settings, count: int) -> None:
    import asyncio

    async def fill() -> None:
        store = await Store.open(settings.database)
        for user in range(count):
            await delivered(store, user=user)
        await store.close()

    asyncio.run(fill())


def test_restore_passes_over_what_does_not_hold(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """The newest backup is damaged: it is named, and the one before is taken."""
    _fill(settings, 1)
    settings.backups.mkdir()
    good = settings.backups / "easel-20260101T000000Z.sqlite3"
    bad = settings.backups / "easel-20260102T000000Z.sqlite3"
    for target in (good, bad):
        assert backup_and_restore.back_up(settings, target) == 0
    damage(bad)
    assert backup_and_restore.restore(settings, None) == 0
    told = capsys.readouterr()
    assert f"is now the backup {good}." in told.out
    assert told.err.startswith(f"{bad} is passed over:")

    damage(good)
    before = settings.database.read_bytes()
    assert backup_and_restore.restore(settings, None) == 1
    assert "can be used: name another file" in capsys.readouterr().err
    assert settings.database.read_bytes() == before


def test_a_file_can_be_named(settings: Settings, tmp_path: Path) -> None:
    """`easel backup FILE` and `easel restore FILE` take any place, from where one stands."""
    _fill(settings, 2)
    assert easel(settings, "backup", "mine.sqlite3").returncode == 0
    _fill(settings, 1)
    assert easel(settings, "restore", "mine.sqlite3").returncode == 0
    assert jobs_in(settings.database) == 2


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_without_anything_there_is_a_sentence(settings: Settings, command: str) -> None:
    """Nothing to copy or to bring back: one sentence, exit 1, and no database out of nothing."""
    done = easel(settings, command)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert not settings.database.exists()


def test_an_interrupted_restore_is_told_by_everybody(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """Between two databases there is neither a backup nor a start; repeating the restore is the way out."""
    _fill(settings, 1)
    assert backup_and_restore.back_up(settings, None) == 0
    settings.database.with_name("easel.sqlite3.restoring").write_bytes(b"x")
    assert backup_and_restore.back_up(settings, None) == 78
    assert "run `easel restore` again" in capsys.readouterr().err
    assert backup_and_restore.restore(settings, None) == 0
    assert backup_and_restore.back_up(settings, None) == 0


# ------------------------------------------------------------------ one at a time

RACER = """
import sys
from bot.shell import run
from bot.config import load


async def serve(*_):
    print("running", flush=True)
    sys.stdin.readline()
    return 0


run._serve = serve
settings = load(None)
print("loaded", flush=True)
for _ in sys.stdin:
    print(f"ended {run.run(settings)}", flush=True)
"""
ROUNDS = 40


class Racer:
    """A process that starts the bot, up to its connection with Discord, whenever it is told to."""

    def __init__(self, settings: Settings) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": ROOT,
            "EASEL_DATA_DIR": str(settings.data_dir),
            "DISCORD_TOKEN": "a.b.c",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", RACER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def say(self) -> None:
        stdin: IO[str] | None = self.process.stdin
        assert stdin is not None
        stdin.write("\n")
        stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def racers(settings: Settings) -> Iterator[list[Racer]]:
    both = [Racer(settings), Racer(settings)]
    try:
        assert [racer.hear() for racer in both] == ["loaded"] * 2
        yield both
    finally:
        for racer in both:
            racer.end()


def test_of_two_bots_exactly_one_runs_however_often_they_race(racers: list[Racer]) -> None:
    """Both start at once, forty times: one runs, the other has ended with 75 before that one is told to stop."""
    winners = set()
    for number in range(ROUNDS):
        for racer in racers if number % 2 else racers[::-1]:
            racer.say()
        answers = [racer.hear() for racer in racers]
        assert sorted(answers) == ["ended 75", "running"]
        winner = answers.index("running")
        winners.add(winner)
        racers[winner].say()
        assert racers[winner].hear() == "ended 0"
    print(f"{ROUNDS} races, won by {sorted(winners)}")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows removes no file that is in use")
def test_the_lock_survives_the_loss_of_its_file(
    settings: Settings, racers: list[Racer], tmp_path: Path
) -> None:
    """Removed, replaced or emptied beneath a running bot, by whatever path: a second one ends with 75, also a restore."""
    first, second = racers
    first.say()
    assert first.hear() == "running"
    file = settings.data_dir / "easel.lock"
    (tmp_path / "link").symlink_to(settings.data_dir)
    for harm in (file.unlink, file.touch, lambda: file.write_text("x"), lambda: file.rename(tmp_path / "x")):
        harm()
        second.say()
        assert second.hear() == "ended 75"
    file.unlink(missing_ok=True)
    assert backup_and_restore.restore(load(None, {"EASEL_DATA_DIR": str(tmp_path / "link")}), None) == 75
    first.say()
    assert first.hear() == "ended 0"
    second.say()
    assert second.hear() == "running"


def test_a_file_system_without_locks_on_folders_has_the_files(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the file's lock is what there is, as before."""
    import fcntl

    def refuses(*_: object) -> None:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(fcntl, "flock", refuses)
    monkeypatch.setattr(lock, "FileLock", SoftFileLock)
    with lock_data(settings), pytest.raises(AlreadyRunning):
        lock_data(settings)
    with lock_data(settings):
        pass


def test_a_killed_bot_leaves_no_lock_behind(racers: list[Racer], settings: Settings) -> None:
    """After kill -9 of the one that runs the other may start at once."""
    first, second = racers
    first.say()
    assert first.hear() == "running"
    with pytest.raises(AlreadyRunning):
        lock_data(settings)
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    second.say()
    assert second.hear() == "running"
