"""No sentence, report, log line or traceback shows what looks like a token, wherever somebody pasted it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import bot
from bot.config import KEYS, SECTIONS, VARIABLES, ConfigError, load
from bot.config.wrong_settings import shown
from bot.redaction import REMOVED, cleaned
from bot.shell.doctor.data import check_token
from bot.shell.doctor.finding import bad, ok, warn
from tests.kit import forked

TOKEN = "MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.ZnCjm1XVW7vRze4b7Cq4se7kKWs"
TOKENS = (
    TOKEN,
    "MTE5OTk5OTk5OTk5OTk5OTk5OQ.GxYzAb.abcdefghijklmnopqrstuvwxyz0123456789_-",
    "hf_" + "aB3" * 11,
    "mfa." + "x_9-" * 21,
)
PIECE = TOKEN[:40]
"""What is left of a token that was cut."""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of our own, and nobody's own settings."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("EASEL_", "DISCORD_"))]:
        monkeypatch.delenv(name)


def easel(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """A real `easel …` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "bot", *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(bot.__file__).parents[1]), **environ},
    )


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("key", KEYS)
def test_a_token_in_any_key_is_told_by_the_key_alone(key: str, token: str, tmp_path: Path) -> None:
    """Whichever setting a token was pasted into, and in whatever shape, the problem names the key and no more."""
    section, _, name = key.partition(".")
    for value in (f'"{token}"', f'"a/{token}/b"', f'["{token}"]', f'{{ a = "{token}" }}'):
        file = tmp_path / "easel.toml"
        file.write_text(f"[{section}]\n{name} = {value}\n")
        with pytest.raises(ConfigError) as caught:
            load(file, {})
        (problem,) = caught.value.problems
        assert problem.startswith(f"{key}: ")
        assert "DISCORD_TOKEN" in problem
        assert token[:20] not in str(caught.value)


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_token_in_any_variable_is_told_by_its_name_alone(variable: str) -> None:
    """The same for the environment."""
    with pytest.raises(ConfigError) as caught:
        load(None, {variable: TOKEN})

    assert caught.value.problems[0].startswith(f"{variable}: ")
    assert TOKEN[:20] not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        f'{TOKEN} = "x"',
        f'["{TOKEN}"]\nx = 1',
        f'"{TOKEN}" = 1',
        f'engine = "{TOKEN}"',
        *(f'[{section}]\n"{TOKEN}" = 1' for section in SECTIONS),
        f"[engine]\nslots.{TOKEN} = 1",
        f'engine = ["{"x" * 20} {TOKEN}"]',
    ],
)
def test_a_token_anywhere_in_the_file_is_not_repeated(text: str, tmp_path: Path) -> None:
    """Nor as a key, a section, half a table, or cut in the middle."""
    (tmp_path / "easel.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(None, {})

    assert TOKEN[30:50] not in str(caught.value)
    assert PIECE not in str(caught.value)


def test_a_token_instead_of_its_file_is_not_shown() -> None:
    """Pasted as DISCORD_TOKEN_FILE, it is told without being shown, by the bot and by doctor."""
    for token in (TOKEN, f"./{TOKEN}", f"~/{TOKEN}"):
        settings = load(None, {"DISCORD_TOKEN_FILE": token})
        with pytest.raises(ConfigError, match="DISCORD_TOKEN_FILE holds a token") as caught:
            settings.discord.read_token()
        assert PIECE not in str(caught.value)
        (finding,) = check_token(settings)
        assert PIECE not in finding.text + finding.fix


@pytest.mark.parametrize("name", ["EASEL_CONFIG", "--config"])
def test_a_token_instead_of_the_settings_file_is_not_shown(name: str, tmp_path: Path) -> None:
    """Nor as the path of the settings, there or not."""
    for there in (False, True):
        if there:
            (tmp_path / TOKEN).write_text("[engine]\nslots = 0\n")
        with pytest.raises(ConfigError) as caught:
            load(Path(TOKEN) if name == "--config" else None, {"EASEL_CONFIG": TOKEN})
        assert PIECE not in str(caught.value)


@pytest.mark.parametrize("token", ["a token\nof two lines", "Bot abc.def.ghi", "abc.déf.ghi"])
def test_what_no_header_takes_is_told_before_the_login(token: str) -> None:
    """A token with white space or strange letters in it can't be one; it is not shown either."""
    with pytest.raises(ConfigError, match="copy it again") as caught:
        load(None, {"DISCORD_TOKEN": token}).discord.read_token()

    assert "abc" not in str(caught.value)


def test_reports_are_cleaned() -> None:
    """Each line of doctor's, whichever check made it."""
    for finding in (ok("A", TOKEN), warn("A", "x", TOKEN), bad("A", TOKEN, TOKEN)):
        assert PIECE not in finding.text + finding.fix
        assert REMOVED in finding.text + finding.fix


def test_a_value_is_cleaned_before_it_is_cut() -> None:
    """Half a token has no shape that could be known."""
    for before in range(60):
        assert TOKEN[:30] not in shown("x" * before + " " + TOKEN)


@pytest.mark.parametrize(
    "words",
    [
        [TOKEN],
        ["imagine", "x", "--image", TOKEN],
        ["imagine", "x", "--model", TOKEN],
        ["imagine", "x", "--device", TOKEN],
        ["imagine", "x", "--size", TOKEN],
        ["imagine", "x", "--steps", TOKEN],
        ["imagine", "x", "--sampler", TOKEN],
        ["imagine", "x", "--lora", TOKEN],
        ["imagine", "x", "--out", f"{TOKEN}/x.png"],
        ["imagine", "x", "--config", TOKEN],
        ["init", TOKEN],
        ["init", "--token-file", TOKEN, "--model", "starter"],
        ["init", "--token-file", "-", "--model", TOKEN],
        ["info", TOKEN],
        ["backup", f"/proc/{TOKEN}"],
        ["restore", TOKEN],
        ["models", "add", TOKEN],
        ["models", "verify", TOKEN],
        ["bench", "--json", f"{TOKEN}/x"],
        ["chaos", "--victims", TOKEN],
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_token_on_the_command_line_is_not_repeated(words: list[str], encoding: str) -> None:
    """Whatever a command says about what was typed, also where its terminal is a poor one."""
    done = forked.run(*words, environ={**os.environ, "PYTHONIOENCODING": encoding})

    assert done.returncode != 0
    assert done.stderr
    assert "Traceback" not in done.stderr
    assert TOKEN[30:50] not in done.stdout + done.stderr
    assert PIECE not in done.stdout + done.stderr


def test_not_even_a_traceback_shows_it(tmp_path: Path) -> None:
    """What nobody foresaw is printed by Python itself, through the same streams; a token of any shape is known there."""
    for secret in (TOKEN, "not-even-shaped-like-one"):
        program = f"from bot.shell import cli\ncli.app = lambda: int({secret!r})\ncli.main()"
        done = subprocess.run(
            [sys.executable, "-c", program],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "PYTHONPATH": str(Path(bot.__file__).parents[1]), "DISCORD_TOKEN": secret},
        )
        assert "ValueError: invalid literal" in done.stderr
        assert secret not in done.stderr


def test_ordinary_text_is_left_alone() -> None:
    """Versions, file names, digests and ids are no tokens."""
    text = (
        "torch 2.13.0+cpu easel-20261129T033110Z-before-schema-2.sqlite3 sd_xl_base_1.0_0.9vae.safetensors "
        "/home/me/a-folder-with-a-long-name.d/another.toml 0123456789abcdef0123456789abcdef a.b.c"
    )
    assert cleaned(text) == text
