"""`easel init`: what is asked, what is written, and that nothing is where somebody stopped."""

from __future__ import annotations

import getpass
import os
import pty
import stat
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import bot
from bot.config import Settings, load
from bot.shell.cli import app
from bot.shell.doctor import online, report
from bot.shell.init import questions, service
from bot.shell.init.service import CannotServe, unit_text
from tests.bot.shell.conftest import Answer

TOKEN = "MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.ZnCjm1XVW7vRze4b7Cq4se7kKWs"
FLAGS = ["--token-file", "secret", "--model", "starter"]
STORY = ["Token:", "Which draws?", "direct messages", "a day?"]
"""The questions, in their order."""
Discord = tuple[dict[str, Answer], list[tuple[str, str | None]]]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of our own, nobody's own settings, a Discord out of reach, and a doctor who finds nothing."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("EASEL_", "DISCORD_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "elsewhere" / "data"))
    monkeypatch.setattr(online, "API", "http://127.0.0.1:9")
    monkeypatch.setattr(report, "CHECKS", ())


@pytest.fixture
def secret() -> Path:
    """A file that holds the token."""
    file = Path("secret")
    file.write_text(f"{TOKEN}\n")
    return file


class Person:
    """Somebody at a terminal: answers in turn, and what they were asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: list[str | type[BaseException]] = []
        self.asked: list[str] = []
        monkeypatch.setattr(questions, "is_terminal", lambda: True)
        monkeypatch.setattr("builtins.input", self._answer)
        monkeypatch.setattr(getpass, "getpass", self._answer)

    def _answer(self, question: str) -> str:
        self.asked.append(question)
        answer = self.answers.pop(0)
        if isinstance(answer, str):
            return answer
        raise answer


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> Person:
    return Person(monkeypatch)


def easel_init(*words: str, given: str = "") -> Any:
    return CliRunner().invoke(app, ["init", *words], input=given)


def there() -> set[str]:
    return {str(path) for path in Path().rglob("*")}


# ------------------------------------------------------------------ asked


def test_answers_become_settings_and_a_hidden_token(person: Person, discord: Discord) -> None:
    """What is refused or makes no sense is asked again; the rest of the file is the example, which explains every key."""
    discord[0]["/users/@me"] = (401, {})
    person.answers = [
        "",
        "a token",
        "wrong.wrong.wrong",
        TOKEN,
        "0",
        "nope",
        "1",
        "perhaps",
        "y",
        "-1",
        "20000",
    ]
    asked = person._answer

    def answer(question: str) -> str:
        if person.answers[0] == TOKEN:
            discord[0].update(
                {"/users/@me": (200, {"id": "1", "username": "easel"}), "/gateway/bot": (200, {})}
            )
        return asked(question)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(getpass, "getpass", answer)
        done = easel_init()

    assert done.exit_code == 0, done.output
    assert "It refuses the token." in done.output
    assert "the token is that of easel" in done.output
    assert there() == {"easel.toml", "token"}
    assert Path("token").read_text() == f"{TOKEN}\n"
    assert stat.S_IMODE(Path("token").stat().st_mode) == 0o600
    found = load(Path("easel.toml"), {})
    assert found.discord.read_token() == TOKEN
    assert (found.engine.model, found.discord.direct_messages) == ("starter", True)
    assert found.limits.credits_per_day == found.ceilings.credits_per_day == 20_000
    example = (Path(bot.__file__).parent / "config" / "example.toml").read_text("utf-8").splitlines()
    changed = [line for line in Path("easel.toml").read_text().splitlines() if line not in example]
    assert sorted(changed) == [
        *["credits_per_day = 20000"] * 2,
        *("direct_messages = true", 'model = "starter"', 'token_file = "token"'),
    ]
    assert TOKEN not in done.output
    assert "wrong.wrong.wrong" not in done.output


@pytest.mark.parametrize("how", [KeyboardInterrupt, EOFError])
@pytest.mark.parametrize("question", range(4))
def test_an_interruption_leaves_nothing(question: int, how: type[BaseException], person: Person) -> None:
    """At each question, by Ctrl-C and by the end of what is typed: one sentence, and nothing is there."""
    person.answers = [*[TOKEN, "1", "n", "5"][:question], how]
    done = easel_init("--service", "--compose")

    assert STORY[question] in person.asked[-1]
    assert (done.exit_code, done.stderr.strip()) == (130, "Nothing was written: easel init begins anew.")
    assert there() == set()


@pytest.mark.parametrize("answer", [KeyboardInterrupt, EOFError, "n", ""])
def test_what_is_there_is_kept_unless_somebody_says_yes(
    answer: str | type[BaseException], person: Person
) -> None:
    """Asked before anything else; neither file changes."""
    Path("easel.toml").write_text("[queue]\nmax = 7\n")
    person.answers = [answer]
    done = easel_init()

    assert "easel.toml. Overwrite it?" in person.asked[0]
    assert done.exit_code == (1 if isinstance(answer, str) else 130)
    assert there() == {"easel.toml"}
    assert load(Path("easel.toml"), {}).queue.max == 7


def test_models_that_fit_are_offered(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known ones by their memory and those on this disk; on a machine with a card the first is a real one, and it is the usual answer."""
    facts = {
        "device": "cuda",
        "known": [("a/b", "A B", "It fits.")],
        "own": [("/m/c.safetensors", "c", "sd, 512x512")],
    }
    monkeypatch.setattr("bot.shell.init.wizard.ask_engine", lambda *_, **__: (facts, ""))
    person.answers = [TOKEN, "", "", ""]
    done = easel_init()

    offered = [line.strip() for line in done.output.splitlines() if line.startswith("  ")]
    assert [line.split()[:2] for line in offered[:3]] == [["1", "A"], ["2", "c,"], ["3", "Easel's"]]
    assert load(Path("easel.toml"), {}).engine.model == "a/b"
    assert load(Path("easel.toml"), {}).limits == Settings().limits


def test_this_machine_is_asked_what_fits(person: Person) -> None:
    """By the engine's own packages; the starter is always there."""
    person.answers = [TOKEN, KeyboardInterrupt]
    done = easel_init()

    assert "Easel's starter" in done.output
    assert "There is no graphics card" in done.output


def test_a_real_terminal_does_not_show_the_token(tmp_path: Path) -> None:
    """What is typed stays hidden, Ctrl-C ends it with one sentence, and the terminal shows again what is typed."""
    ours, theirs = pty.openpty()
    name = os.ttyname(theirs)
    shown = b""
    code = """
import os, sys
os.open(sys.argv.pop(1), os.O_RDWR)
import bot.shell.doctor.online as online
online.API = "http://127.0.0.1:9"
import bot.shell.cli as cli
cli.main()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, name, "init"],
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(Path(bot.__file__).parents[1])},
    )  # fmt: skip

    def until(words: bytes) -> None:
        nonlocal shown
        while words not in shown:
            shown += os.read(ours, 4096)

    try:
        until(b"Token: ")
        os.write(ours, f"{TOKEN}\n".encode())
        until(b"Which draws?")
        os.write(ours, b"\x03\n")  # the end of the line wakes a read that began right after the signal
        until(b"Nothing was written")
        assert process.wait(60) == 130
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)
    assert TOKEN[:20].encode() not in shown
    assert there() == set()


# ------------------------------------------------------------------ without a terminal


@pytest.mark.parametrize(
    ("words", "missing"),
    [
        ([], "--token-file and --model"),
        (["--model", "starter"], "--token-file "),
        (["--token-file", "-"], "--model "),
        (["--service"], "--token-file and --model"),
    ],
)
def test_without_a_terminal_flags_are_needed(words: list[str], missing: str) -> None:
    """One sentence names them, with the exit code of wrong usage."""
    done = easel_init(*words)

    assert (done.exit_code, done.stdout) == (2, "")
    (sentence,) = done.stderr.splitlines()
    assert f"say {missing}" in sentence
    assert there() == set()


@pytest.mark.parametrize("way", ["file", "stdin", "DISCORD_TOKEN", "DISCORD_TOKEN_FILE"])
def test_flags_say_everything(way: str, secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token from a file, standard input or the environment, never from a word of the command line."""
    words = ["--model", "owner/name@main", "--direct-messages", "--credits", "0"]
    match way:
        case "file":
            words += ["--token-file", str(secret)]
        case "stdin":
            words += ["--token-file", "-"]
        case _:
            monkeypatch.setenv(way, TOKEN if way == "DISCORD_TOKEN" else str(secret))
    done = easel_init("made/deep", *words, given=f"{TOKEN}\n")

    assert done.exit_code == 0, done.output
    assert "It can't be reached" in done.output
    found = load(Path("made/deep/easel.toml"), {})
    assert found.discord.read_token() == TOKEN
    assert stat.S_IMODE(Path("made/deep/token").stat().st_mode) == 0o600
    assert (found.engine.model, found.discord.direct_messages) == ("owner/name@main", True)
    assert found.limits.credits_per_day == 0
    assert TOKEN not in done.output


def test_a_token_that_is_there_already_is_used(secret: Path) -> None:
    """Named as its own file it is neither copied nor asked about."""
    secret.rename("token")
    assert easel_init("--token-file", "token", "--model", "starter").exit_code == 0
    assert load(Path("easel.toml"), {}).discord.read_token() == TOKEN


def test_a_refused_token_writes_nothing(secret: Path, discord: Discord) -> None:
    """Nobody can be asked for another: exit 78, and where to get one."""
    discord[0]["/users/@me"] = (401, {})
    done = easel_init("made", *FLAGS)

    assert done.exit_code == 78
    assert "It refuses the token. To mend it, copy the token again" in done.stderr
    assert not Path("made").exists()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([*FLAGS[:3], "nope"], 2, "nope is not there"),
        (["--token-file", "gone", *FLAGS[2:]], 78, "gone can't be read"),
        (["--token-file", "-", *FLAGS[2:]], 2, "That is no token"),
        ([*FLAGS, "--credits", "-1"], 2, "--credits"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_written(
    words: list[str], code: int, told: str, secret: Path
) -> None:
    """A sentence, and no folder."""
    done = easel_init("made", *words, given="two words\n")

    assert (done.exit_code, told in done.stderr) == (code, True), done.output
    assert not Path("made").exists()


def test_nothing_is_overwritten_without_force(secret: Path) -> None:
    """Neither settings nor a token; with --force both are new, and the token's mode with it."""
    Path("made").mkdir()
    for name in ("easel.toml", "token"):
        Path("made", name).write_text("mine")
        done = easel_init("made", *FLAGS)
        assert (done.exit_code, f"made/{name}" in done.stderr) == (1, True)
        assert Path("made", name).read_text() == "mine"
    assert easel_init("made", *FLAGS, "--force").exit_code == 0
    assert load(Path("made/easel.toml"), {}).discord.read_token() == TOKEN
    assert stat.S_IMODE(Path("made/token").stat().st_mode) == 0o600


def test_what_can_not_be_written_is_a_sentence(secret: Path) -> None:
    """A folder in a file's place: the other file does not come alone."""
    Path("made/easel.toml").mkdir(parents=True)
    done = easel_init("made", *FLAGS, "--force")

    assert done.exit_code == 1
    assert "easel.toml can't be used: it is a folder." in done.stderr
    assert [path.name for path in Path("made").iterdir()] == ["easel.toml"]


def test_doctor_has_the_last_word(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks at what was written, and its verdict is the exit code; the files stay."""
    seen: list[Settings] = []

    def check(settings: Settings) -> Iterator[Any]:
        seen.append(settings)
        yield report.bad("Thing", "It is broken.", "mend it")

    monkeypatch.setattr(report, "CHECKS", (check,))
    done = easel_init("made", *FLAGS)

    assert (done.exit_code, "Thing       It is broken. Fix: mend it" in done.stdout) == (1, True)
    assert [settings.discord.token_path for settings in seen] == [Path("made/token").absolute()]
    assert "Start it: easel run --config" in done.stdout


# ------------------------------------------------------------------ what keeps it running


def unit(text: str) -> dict[str, str]:
    parser = ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return {**parser["Unit"], **parser["Service"], **parser["Install"]}


def test_the_unit_has_this_machines_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the user who set it up, who owns what it may write; signs that mean something to systemd are escaped."""
    monkeypatch.setattr(service, "program", lambda: Path("/opt/my easel/bin/easel"))
    monkeypatch.setenv("HF_HOME", "/big/hub")
    settings = load(None, {"EASEL_DATA_DIR": "/var/50% data", "EASEL_BACKUP_DIR": "/mnt/disk"})
    found = unit(unit_text(Path("/home/me/a %b"), settings, "me"))

    assert found["ExecStart"] == '"/opt/my easel/bin/easel" run'
    assert found["WorkingDirectory"] == "/home/me/a %%b"
    assert (found["User"], "DynamicUser" in found) == ("me", False)
    assert found["ReadWritePaths"] == '"/var/50%% data" /mnt/disk /big/hub'
    assert found["Environment"] == "HF_HOME=/big/hub"
    assert found["RestartPreventExitStatus"] == "75 78"


def test_root_gets_a_user_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The token is handed over from root's file; what that user could not read is refused before anything is written."""
    monkeypatch.setattr(service, "program", lambda: Path("/opt/easel/.venv/bin/easel"))
    found = unit(unit_text(Path("/etc/easel"), Settings(), None))
    assert (found["DynamicUser"], found["ProtectHome"]) == ("yes", "yes")
    assert found["LoadCredential"] == "token:/etc/easel/token"
    with pytest.raises(CannotServe, match="can't look into /root/easel: install Easel in /opt/easel"):
        unit_text(Path("/root/easel"), Settings(), None)


def test_a_token_elsewhere_is_where_its_settings_say(
    secret: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What was set up by hand may keep it in any file: root's unit, the compose file and the advice name that one."""
    Path("made").mkdir()
    Path("made/easel.toml").write_text('[discord]\ntoken_file = "../secret"\n')
    monkeypatch.setattr(service, "program", lambda: Path("/opt/easel/.venv/bin/easel"))
    monkeypatch.setattr(service, "user", lambda: None)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    done = easel_init("made", "--service", "--compose")

    assert done.exit_code == 0, done.output
    where = load(Path("made/easel.toml"), {}).discord.token_file
    assert where is not None
    assert where.resolve() == secret.resolve()
    assert unit(Path("made/easel.service").read_text())["LoadCredential"] == f"token:{where}"
    assert f'secrets:\n  token:\n    file: "{where}"\n' in Path("made/compose.yaml").read_text()
    assert f"chown 10001:10001 {where}" in done.stdout
    monkeypatch.setattr(service, "CHECKOUT", Path("made").resolve())
    refused = easel_init("made", "--compose")
    assert (refused.exit_code, f"not from {where}" in refused.stderr) == (78, True)


def test_a_service_for_what_is_set_up_already(
    secret: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """--service alone asks nothing and leaves settings and token as they are; the folders it may write to are made."""
    monkeypatch.setattr(service, "user", lambda: "me")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    assert easel_init("made", *FLAGS).exit_code == 0
    before = Path("made/easel.toml").stat()
    done = easel_init("made", "--service")

    assert done.exit_code == 0, done.output
    assert Path("made/easel.toml").stat() == before
    assert unit(Path("made/easel.service").read_text())["WorkingDirectory"] == str(Path("made").absolute())
    assert f"sudo cp {Path('made').absolute()}/easel.service /etc/systemd/system/easel.service" in done.stdout
    assert (tmp_path / "elsewhere" / "data" / "easel").is_dir()
    again = easel_init("made", "--service")
    assert (again.exit_code, "--force" in again.stderr) == (1, True)


def test_a_compose_file_for_another_folder(secret: Path) -> None:
    """It builds the image from the checkout; a model that a container does not see is refused."""
    done = easel_init("made", *FLAGS, "--compose")
    assert done.exit_code == 0, done.output
    text = Path("made/compose.yaml").read_text()
    assert f'context: "{service.CHECKOUT}"' in text
    assert "context: ." not in text
    assert "docker compose --profile cpu up" in done.stdout
    Path("own.safetensors").write_bytes(b"")
    refused = easel_init("other", "--token-file", "secret", "--model", "own.safetensors", "--compose")
    assert (refused.exit_code, "A container does not see" in refused.stderr) == (78, True)
    assert not Path("other").exists()


def test_the_checkout_has_its_compose_file(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In it none is written; without one there is nothing that an image could be built from."""
    Path("made").mkdir()
    monkeypatch.setattr(service, "CHECKOUT", Path("made").resolve())
    gone = easel_init("made", *FLAGS, "--compose")
    assert (gone.exit_code, "installed without one" in gone.stderr) == (78, True)
    Path("made/compose.yaml").write_text("services: {}\n")
    assert easel_init("made", *FLAGS, "--compose").exit_code == 0
    assert Path("made/compose.yaml").read_text() == "services: {}\n"
