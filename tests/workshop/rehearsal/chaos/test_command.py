"""`easel chaos` at the command line: what it prints, its exit codes, and that it leaves the owner's own folder alone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

import bot
from bot.shell.cli import app
from workshop.rehearsal.chaos import storms
from workshop.rehearsal.chaos.plan import Plan, victims_in
from workshop.rehearsal.chaos.strikes import Strike
from workshop.rehearsal.chaos.verdict import Verdict

PACKAGES = str(Path(bot.__file__).parents[1])
PLAN = Plan(jobs=1, kills=0, seed=7)


def in_process(folder: Path, code: str, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """A process of its own in an empty folder; no repository is its working directory."""
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=110,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": PACKAGES, **environ},
    )


def test_a_storm_from_the_command_line(tmp_path: Path) -> None:
    """It prints a line and exits 0; it neither heeds the owner's variables nor touches the folder of data they name."""
    done = in_process(
        tmp_path,
        "from bot.shell.cli import main; main()",
        *("chaos", "--jobs", "4", "--kills", "1", "--seed", "5", "--engines", "2", "--victims", "engines"),
        EASEL_DATA_DIR=str(tmp_path / "data"),
        EASEL_QUEUE_MAX="not a number",
        DISCORD_TOKEN_FILE=str(tmp_path / "token"),
    )

    assert (done.returncode, done.stderr) == (0, ""), done
    assert re.fullmatch(
        r"seed 5: \d+ asked, .* delivered, .*; killed \{'engines': 1\} by \{'SIG[\w ]+': 1\} in \{'\w+': 1\}; "
        r"\d+ s; every promise kept\n",
        done.stdout,
    )
    assert list(tmp_path.iterdir()) == []


def test_told_to_stop_it_leaves_nothing_behind(tmp_path: Path) -> None:
    """Stopped by SIGTERM, as by Ctrl-C, it ends its bot, removes its folders and prints no traceback."""
    chaos = subprocess.Popen(
        [sys.executable, "-m", "bot", "chaos"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": PACKAGES, "TMPDIR": str(tmp_path)},
    )
    children = Path(f"/proc/{chaos.pid}/task/{chaos.pid}/children")
    while not list(tmp_path.glob("easel-chaos-1-*/data/easel.sqlite3")):
        assert chaos.poll() is None
        time.sleep(0.02)
    bots = children.read_text().split()
    chaos.send_signal(signal.SIGTERM)
    out, err = chaos.communicate(timeout=60)

    assert (chaos.returncode, out, err) == (130, "", "")
    assert len(bots) == 1
    assert [bot for bot in bots if Path(f"/proc/{bot}").exists()] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--jobs", "0"], "Input should be greater"),
        (["--kills", "-1"], "Input should be greater"),
        (["--storms", "0"], "Input should be greater"),
        (["--seed", "x"], "Input should be a valid integer"),
        (["--victims", "bot,cat"], "Nothing is called “cat” here: name some of bot, engine, both"),
        (["--victims", "engines"], "Nothing is called “engines” here: name some of bot, engine, both"),
        (["--engines", "0"], "Input should be greater"),
        (["--fleet", "slurm"], "Value error, 'slurm' is not one of 'local', 'ray'."),
        (["--victims", ""], "Nothing is called “” here: name some of bot, engine, both"),
    ],
)
def test_wrong_values_are_refused(words: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence says what is wrong with which option, the exit code is 2, and no storm begins."""
    monkeypatch.setattr(storms, "play", lambda _: pytest.fail("a storm began"))
    result = CliRunner().invoke(app, ["chaos", *words])

    assert result.exit_code == 2
    assert f"Invalid value for '{words[0]}': {sentence}" in result.stderr


def test_victims_are_named_with_commas() -> None:
    """One or several of the three, spaces allowed."""
    assert victims_in("bot") == ("bot",)
    assert victims_in("both, engine") == ("both", "engine")
    assert victims_in(None) == ("bot", "engine", "both")
    assert victims_in(None, engines=3) == ("bot", "engine", "engines", "both")
    assert victims_in(None, engines=3, fleet="ray")[-3:] == ("actor", "worker", "host")


@pytest.mark.parametrize(
    ("command", "package", "extra"),
    [
        ("chaos --fleet ray", "ray", "fleet"),
        ("chaos", "cryptography", "rehearsal"),
        ("demo", "simcord", "demo"),
        ("bench", "cryptography", "bench"),
    ],
)
def test_a_missing_extra_is_told(tmp_path: Path, command: str, package: str, extra: str) -> None:
    """Where an extra's package is not installed, the command names it and what brings it, and exits 1."""
    code = f"import sys; sys.modules[{package!r}] = None; from bot.shell.cli import main; main()"
    done = in_process(tmp_path, code, *command.split())

    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr
        == f"This command needs {package}: install it with pip install 'easel-imagine[{extra}]'.\n"
    )


# ------------------------------------------------------------------ what is printed when it goes wrong


@pytest.fixture
def loud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Logs stay on for the tests after this one, and the folders of storms lie in ours."""
    monkeypatch.setattr(storms.logging, "disable", lambda _: None)
    monkeypatch.setattr(storms.tempfile, "tempdir", str(tmp_path))


@pytest.mark.usefixtures("loud")
def test_one_broken_promise_of_several_storms_exits_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All storms are played, each broken promise is a line, and only that storm's folder is kept."""

    async def one(plan: Plan, _folder: Path) -> tuple[Verdict, list[Strike]]:
        broken = ("job 3 (queued, attempt 1): has not ended",) if plan.seed == 1 else ()
        verdict = Verdict(asked=9, unanswered=1, delivered=8, cancelled=0, refunded=0, broken=broken)
        strikes = [Strike(victim="bot", how=how, moment="start") for how in ("SIGKILL", "SIGTERM")]
        return verdict, strikes

    monkeypatch.setattr(storms, "one", one)
    code = storms.run([Plan(jobs=9, kills=2, seed=seed) for seed in (1, 2)])
    lines = capsys.readouterr().out.splitlines()

    assert code == 1
    assert lines[0].endswith(
        "killed {'bot': 2} by {'SIGKILL': 1, 'SIGTERM': 1} in {'start': 2}; 0 s; 1 PROMISES BROKEN"
    )
    assert lines[1] == "  job 3 (queued, attempt 1): has not ended"
    assert [lines[2]] == [f"  kept for a look: {kept}" for kept in tmp_path.iterdir()]
    assert lines[3].endswith("every promise kept")


@pytest.mark.usefixtures("loud")
def test_a_storm_without_an_end_exits_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was waited for in vain is told, without a traceback."""

    async def one(_plan: Plan, _folder: Path) -> tuple[Verdict, list[Strike]]:
        raise AssertionError("not within 180 s: a client identified")

    monkeypatch.setattr(storms, "one", one)

    assert storms.run([PLAN]) == 1
    out = capsys.readouterr().out
    assert out.startswith(
        "seed 7: came to no end: not within 180 s: a client identified\n  kept for a look: /"
    )


def test_it_needs_the_process_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without /proc nobody could be found to be killed: a sentence instead of minutes of waiting."""
    monkeypatch.setattr(storms, "PROCESSES", tmp_path / "proc")

    assert storms.run([PLAN]) == 1
    assert capsys.readouterr().err.endswith("(/proc): run it on Linux.\n")
