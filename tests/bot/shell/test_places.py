"""Folders, terminals and users as people really have them: one sentence, an honest exit code, never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path

import pytest
from PIL import Image

import bot
from bot.config import KEYS, ConfigError, Settings, load
from bot.config.engine import engine_settings
from bot.store import Store
from engine.checkpoints import hub
from engine.pictures.metadata import encode_png
from tests.bot.shell.test_cli import REQUEST
from tests.kit import forked
from tests.kit.rights import without_rights

ROOT = str(Path(bot.__file__).parents[1])
TOKEN = "a.b.c"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of our own, and nobody's own settings."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("EASEL_", "DISCORD_"))]:
        monkeypatch.delenv(name)


def easel(
    *words: str, environ: Mapping[str, str] | None = None, start: Sequence[str] = ("-m", "bot")
) -> subprocess.CompletedProcess[str]:
    """A real `easel …` in a process of its own."""
    return subprocess.run(
        [sys.executable, *start, *words],
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
        env={**os.environ, "PYTHONPATH": ROOT, "DISCORD_TOKEN": TOKEN, **(environ or {})},
        preexec_fn=without_rights if sys.platform == "linux" else None,
    )


def easel_forked(
    *words: str, environ: Mapping[str, str] | None = None, before: Callable[[], None] = forked.as_a_person
) -> subprocess.CompletedProcess[str]:
    """The same without a start of its own, where how an interpreter starts and ends does not matter."""
    told = {**os.environ, "DISCORD_TOKEN": TOKEN, **(environ or {})}
    return forked.run(*words, environ=told, before=before, draws=list(words) in SLOW)


async def filled(data: Path) -> None:
    store = await Store.open(data / "easel.sqlite3")
    await store.close()


def is_a_file(data: Path) -> None:
    data.write_text("in the way")


def lies_below_a_file(data: Path) -> None:
    data.parent.write_text("in the way")


def is_read_only(data: Path) -> None:
    data.mkdir(parents=True)
    data.chmod(0o500)


def is_anothers(data: Path) -> None:
    data.mkdir(parents=True)
    data.chmod(0o000)


def lies_in_anothers(data: Path) -> None:
    data.parent.mkdir(parents=True)
    data.parent.chmod(0o000)


def points_nowhere(data: Path) -> None:
    data.symlink_to(data.parent / "gone" / "away")


def points_to_itself(data: Path) -> None:
    data.symlink_to(data)


HARMS = (
    is_a_file,
    lies_below_a_file,
    is_read_only,
    is_anothers,
    lies_in_anothers,
    points_nowhere,
    points_to_itself,
)


def one_sentence(done: subprocess.CompletedProcess[str], path: Path) -> None:
    """What only the owner can mend is said in one line that names the place in full; supervisors wait."""
    assert done.returncode == 78, (done.stdout, done.stderr)
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert str(path) in done.stderr
    assert not {word for word in ("Errno", "Traceback", "Discord") if word in done.stderr}


@pytest.mark.skipif(sys.platform != "linux", reason="rights are taken away as Linux knows them")
@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("command", ["run", "sync", "restore", "backup"])
def test_a_data_folder_that_is_out_of_order_is_a_sentence_and_78(
    harm: Callable[[Path], None], command: str, tmp_path: Path
) -> None:
    """Missing, a file, read-only, another user's: whatever it is, before anybody logs in."""
    data = tmp_path / "place" / "data"
    if harm is not lies_below_a_file:
        data.parent.mkdir()
    if harm is lies_in_anothers:
        data.parent.rmdir()
    harm(data)
    done = easel_forked(command, environ={"EASEL_DATA_DIR": str(data)})
    if command == "backup" and harm in (is_read_only, points_nowhere):  # nothing is written there
        assert (done.returncode, "nothing to back up" in done.stderr) == (1, True)
    else:
        one_sentence(done, data.parent if harm in (lies_below_a_file, lies_in_anothers) else data)


@pytest.mark.skipif(sys.platform != "linux", reason="rights are taken away as Linux knows them")
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *product(["folder", "closed"], ["easel.sqlite3", "easel.lock"]),
        *product(["file", "closed"], ["spool"]),
    ],
)
def test_what_lies_in_it_is_told_too(name: str, kind: str, tmp_path: Path) -> None:
    """A database, lock or spool that is something else, or another's."""
    place = tmp_path / "data" / name
    place.parent.mkdir()
    if kind == "folder":
        place.mkdir()
    else:
        place.write_bytes(b"")
        place.chmod(0o000 if kind == "closed" else 0o600)
    one_sentence(easel_forked("run", environ={"EASEL_DATA_DIR": str(place.parent)}), place)


@pytest.mark.skipif(sys.platform != "linux", reason="rights are taken away as Linux knows them")
@pytest.mark.parametrize("harm", HARMS)
async def test_a_backup_folder_that_is_out_of_order_is_a_sentence_and_78(
    harm: Callable[[Path], None], tmp_path: Path
) -> None:
    """Configured, or named on the command line."""
    data, folder = tmp_path / "data", tmp_path / "place" / "backups"
    await filled(data)
    if harm not in (lies_below_a_file, lies_in_anothers):
        folder.parent.mkdir()
    harm(folder)
    environ = {"EASEL_DATA_DIR": str(data), "EASEL_BACKUP_DIR": str(folder)}
    for words in (["backup"], ["backup", str(folder / "copy.sqlite3")]):
        one_sentence(easel_forked(*words, environ=environ), folder)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
@pytest.mark.parametrize("command", ["run", "sync", "restore"])
def test_a_place_where_nothing_can_be_made(command: str) -> None:
    """A path nobody can make."""
    for place in ("/proc/easel/data", f"/tmp/{'x' * 300}"):
        done = easel_forked(command, environ={"EASEL_DATA_DIR": place})
        one_sentence(done, Path(place).parent if place.startswith("/proc") else Path(place))


# ------------------------------------------------------------------ users without a home or a name


NAMELESS = """
import os, pwd, sys
for name in ("HOME", "USER", "LOGNAME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
    os.environ.pop(name, None)
def unknown(*_):
    raise KeyError("uid not found")
pwd.getpwuid = pwd.getpwnam = unknown
from bot.shell import cli
cli.main()
"""
COMMANDS = (
    ["run"],
    ["sync"],
    ["health"],
    ["backup"],
    ["restore"],
    ["doctor"],
    ["models", "list"],
    ["info", "a.png", "--check"],
)


@pytest.fixture
def picture() -> Path:
    Path("a.png").write_bytes(
        encode_png(Image.new("RGB", (8, 8)), request=REQUEST, fingerprint={"device": "cpu"})
    )
    return Path("a.png")


@pytest.mark.parametrize("words", COMMANDS)
def test_without_a_home_nothing_is_a_traceback(words: list[str], picture: Path, tmp_path: Path) -> None:
    """No HOME and a user without a name, as in containers: one says which setting to make, and none makes a folder “~”."""
    if words == ["run"]:  # imports all that others do
        done = easel(*words, start=("-c", NAMELESS))
    else:
        done = easel_forked(*words, before=forked.as_nobody)
    assert "Traceback" not in done.stderr + done.stdout
    told = done.stdout if words == ["doctor"] else done.stderr
    assert "There is no home folder to keep data in: set dir under [data], or HOME." in told
    assert done.returncode == (1 if words == ["doctor"] else 78)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_without_a_home_what_needs_none_works(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture's settings are shown, and an engine is told of no folder where it could not have one."""
    assert easel("info", "a.png", start=("-c", NAMELESS)).returncode == 0
    told = easel("health", start=("-c", NAMELESS), environ={"EASEL_DATA_DIR": "data"})
    assert "No Easel has run in" in told.stdout
    monkeypatch.setattr(Settings, "has_data_dir", False)
    assert (
        engine_settings(Settings(), spool=Path()).data,
        engine_settings(Settings(), spool=Path()).models,
    ) == (None, None)


def test_without_a_home_a_picture_is_drawn(tmp_path: Path) -> None:
    """By the engine's process, which has no name either."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(NAMELESS.partition("from bot")[0])
    done = easel("imagine", "x", "-o", "y.png", environ={"PYTHONPATH": f"{tmp_path / 'site'}:{ROOT}"})
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"site", "y.png"}


@pytest.mark.parametrize("key", [key for key in KEYS if key.endswith((".dir", ".model", "_file"))])
def test_a_path_from_a_home_that_is_not_there(
    key: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each setting that names a path says so, and no folder is called “~”."""
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    section, _, name = key.partition(".")
    (tmp_path / "easel.toml").write_text(f'[{section}]\n{name} = "~/x"\n')
    with pytest.raises(ConfigError, match=f"{key}: this user has no home folder"):
        load(None, {})


def test_the_hubs_cache_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is where huggingface_hub itself has it then, relative to where we stand."""
    for name in ("HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: str(path))
    assert hub.cached("owner/name") is None
    assert str(hub._cache()) == "~/.cache/huggingface/hub"


def test_where_we_stand_was_removed(tmp_path: Path) -> None:
    """A shell in a folder that is gone gets a sentence too."""
    gone = tmp_path / "gone"
    gone.mkdir()
    code = (
        f"import os; os.chdir({str(gone)!r}); os.rmdir({str(gone)!r}); from bot.shell import cli; cli.main()"
    )
    done = easel("health", start=("-c", code), environ={"EASEL_DATA_DIR": str(tmp_path / "data")})
    assert (done.returncode, done.stderr) == (1, "")
    assert "No Easel has run in" in done.stdout


# ------------------------------------------------------------------ terminals


POOR = (
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "latin-1:strict"},
    {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
)
SLOW = ["doctor"], ["info", "a.png", "--check"]
"""They ask torch: one poor terminal says enough."""
STARTED = ["health"], ["--help"], ["info", "ä€.png"], ["imagine", "x", "--size", "“"]
"""What only an interpreter's start knows of is the same for all commands: these print, and are told, in each way."""


@pytest.mark.parametrize(
    ("words", "environ"),
    [
        (words, environ)
        for words, environ in product(
            [
                *COMMANDS,
                ["--help"],
                ["imagine", "--help"],
                ["info", "ä€.png"],
                ["imagine", "x", "--size", "“"],
            ],
            POOR,
        )
        if (words not in SLOW or environ is POOR[0]) and (words in STARTED or environ is not POOR[2])
    ],
)
def test_a_terminal_without_our_signs_gets_others(
    words: list[str],
    environ: Mapping[str, str],
    picture: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever a terminal can't say is said otherwise, by every command."""
    start = easel if "LC_ALL" in environ else easel_forked
    done = start(*words, environ={**environ, "EASEL_DATA_DIR": str(tmp_path / "data"), "DISCORD_TOKEN": ""})
    assert "Traceback" not in done.stderr + done.stdout
    assert "UnicodeEncodeError" not in done.stderr + done.stdout
    assert done.stdout + done.stderr
    if words == ["doctor"]:
        assert "\n+ Python" in done.stdout or "\n✔ Python" in done.stdout


CLOSED = (">&-", ">&- 2>&-", "<&- >&- 2>&-", "| true", "2>&1 | true", "> /dev/full")


@pytest.mark.parametrize(
    ("words", "closed"),
    [
        *product([["info", "a.png"]], CLOSED),
        # What prints otherwise than by our own line: closed, gone and full are told apart there, too.
        *product([["--help"], ["models", "list"], ["health"]], (">&-", "2>&1 | true", "> /dev/full")),
    ],
)
def test_a_reader_who_has_gone_is_no_traceback(
    words: list[str], closed: str, picture: Path, tmp_path: Path
) -> None:
    """Closed, piped into something that reads nothing, or onto a full disk: no traceback, and nothing hangs."""
    if closed == "> /dev/full" and not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    command = " ".join([sys.executable, "-m", "bot", *words])
    done = subprocess.run(
        ["sh", "-c", f"({command}) {closed}"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": ROOT, "EASEL_DATA_DIR": str(tmp_path / "data")},
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert "Errno" not in done.stderr
    if closed == "> /dev/full" and words != ["models", "list"]:
        assert done.returncode == 1
        assert done.stderr.endswith("What was to be printed could not be written: No space left on device.\n")
