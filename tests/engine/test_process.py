"""The engine's process: what it inherits, what it loads, how it ends; with the fake engine, which starts at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from engine import contract, process
from engine.contract import Broken, Cancel, FakeSettings, Ready, Started, Submit
from engine.fake import MODEL
from engine.process import EngineProcess
from tests.kit import engine_child
from tests.kit.engines import recv, recv_endings, recv_until

Start = Callable[..., EngineProcess]


@pytest.fixture(autouse=True)
def spawned(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in use: a fresh interpreter, not one forked from another."""
    monkeypatch.setattr(process, "_context", multiprocessing.get_context("spawn"))


def ready(start: Start, **fake: Any) -> EngineProcess:
    engine = start(model="fake", fake=FakeSettings(**fake))
    recv_until(engine, lambda event: isinstance(event, Ready))
    return engine


def test_secrets_stay_with_the_bot(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the Discord token nor any Easel setting is in the child's environment, not even at its birth."""
    monkeypatch.setenv("DISCORD_TOKEN", "s3cr3t-token")
    monkeypatch.setenv("DISCORD_TOKEN_FILE", "/s3cr3t/file")
    monkeypatch.setenv("EASEL_ANYTHING", "s3cr3t-too")
    monkeypatch.setenv("HF_TOKEN", "needed-for-downloads")
    engine = ready(start)
    environment = Path(f"/proc/{engine.pid}/environ").read_bytes()
    assert b"s3cr3t" not in environment
    assert b"HF_TOKEN=needed-for-downloads" in environment
    assert os.environ["DISCORD_TOKEN"] == "s3cr3t-token"


BOT = """
import os, sys
from engine import process
from engine.contract import EngineSettings, FakeSettings, Ready
engine = process.start(EngineSettings(model="fake", spool=sys.argv[1], fake=FakeSettings()))
while not isinstance(engine.events.recv(), Ready):
    pass
print(os.environ["DISCORD_TOKEN"][::-1], flush=True)
sys.stdin.read()
engine.stop(5)
engine.close()
"""
LOOK = """
import os, re, sys
pid, secret = sys.argv[1], sys.argv[2].encode()[::-1]
def look(file):
    with open(f"/proc/{pid}/{file}", "rb", buffering=0) as opened:
        if file == "environ":
            return secret in opened.read()
        for line in open(f"/proc/{pid}/maps"):
            start, end = (int(part, 16) for part in re.match("(\\w+)-(\\w+) rw", line).groups()) if " rw" in line else (0, 0)
            opened.seek(start)
            if secret in opened.read(end - start):
                return True
    return False
for file in ("environ", "mem"):
    try:
        print(file, look(file))
    except OSError as error:
        print(file, type(error).__name__)
"""


AS_IN_A_CONTAINER = """
import ctypes, os, sys
for capability in (19, 21, 38):  # CAP_SYS_PTRACE, CAP_SYS_ADMIN, CAP_PERFMON: others than root have none of them anyway
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
os.execv(sys.executable, [sys.executable, "-c", *sys.argv[1:]])
"""


def looked_into(code: str, folder: Path, *, by_root: bool = False) -> list[str]:
    """What another process of the same user sees of the token in a bot that runs `code`."""
    secret = "s3cr3t-" + "t0k3n" * 4
    environ = {**os.environ, "PYTHONPATH": str(Path(process.__file__).parents[1]), "DISCORD_TOKEN": secret}
    confined = [sys.executable, "-c", AS_IN_A_CONTAINER]
    with subprocess.Popen(
        [*confined, code, str(folder)], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as bot:
        assert bot.stdout is not None
        assert bot.stdout.readline().strip() == secret[::-1]
        look = [*([sys.executable, "-c"] if by_root else confined), LOOK, str(bot.pid), secret[::-1]]
        seen = subprocess.run(look, capture_output=True, text=True, check=True)
        bot.communicate("")
    return seen.stdout.splitlines()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems show no process's memory to others")
def test_no_process_of_the_same_user_reads_the_bots_secrets(tmp_path: Path) -> None:
    """Neither in the environment that the bot was started with nor in its memory, while the bot itself still has them."""
    assert looked_into(BOT, tmp_path) == ["environ PermissionError", "mem PermissionError"]
    open_bot = BOT.replace("from engine import process", "from engine import process; process._lock_up = int")
    assert looked_into(open_bot, tmp_path) == ["environ True", "mem True"], (
        "the test sees what there is to see"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="other systems show no process's memory to others")
def test_not_even_root_reads_it_in_the_environment(tmp_path: Path) -> None:
    """What the bot was started with is blank, for whoever may look."""
    assert looked_into(BOT, tmp_path, by_root=True)[0] in {"environ False", "environ PermissionError"}


CONSOLE_SCRIPT = """
import sys
import discord, aiosqlite  # as the bot's process has them
from engine import process
from engine.contract import EngineSettings, FakeSettings, Ready

def main():
    engine = process.start(EngineSettings(model="fake", spool=sys.argv[1], fake=FakeSettings()))
    while not isinstance(engine.events.recv(), Ready):
        pass
    print(open(f"/proc/{engine.pid}/maps").read())
    engine.stop(5)
    print("exit", engine.exitcode)
    engine.close()

main()  # no guard on purpose: a program's main module must not run again in the child
"""


def test_the_child_imports_nothing_of_the_bot(tmp_path: Path) -> None:
    """Started from a script that imports discord at its top, the child runs without that script and its imports."""
    script = tmp_path / "script.py"
    script.write_text(CONSOLE_SCRIPT)
    root = Path(process.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "exit 0" in done.stdout
    assert done.stderr == ""
    for module in ("_sqlite3", "aiohttp", "torch", "nacl", "pydantic_core"):
        assert f"/{module}" not in done.stdout, module  # its compiled parts would be mapped


def test_the_childs_modules(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to the choice of an engine the child has loaded neither the bot, discord, SQL, torch nor the tests' runner."""
    import_module("discord")
    import_module("aiosqlite")
    monkeypatch.setattr(process, "_child", engine_child.tell_modules)
    engine = start(model="fake", fake=FakeSettings())
    told = recv(engine)
    assert isinstance(told, Broken)
    loaded = set(told.reason.split())
    assert "engine" in loaded
    assert not loaded & {
        "discord",
        "aiosqlite",
        "sqlite3",
        "bot",
        "torch",
        "diffusers",
        "PIL",
        "pytest",
        "pydantic",
    }


def test_ctrl_c_is_the_bots_business(start: Start) -> None:
    """The engine ignores SIGINT: Ctrl-C reaches both processes, and the bot decides."""
    engine = ready(start)
    os.kill(engine.pid, signal.SIGINT)
    time.sleep(0.2)
    engine.send(Submit(job_id=1, attempt=1, request=MODEL.request(prompt="x", seed=1)))
    recv_endings(engine, 1)
    assert engine.is_alive()


def test_stop_kills_what_does_not_listen(start: Start) -> None:
    """An engine that doesn't leave in time is killed, and stop returns."""
    engine = start(model="fake", fake=FakeSettings(load_s=60))
    recv(engine)
    begin = time.monotonic()
    engine.stop(timeout_s=0.3)
    assert time.monotonic() - begin < 5
    assert engine.exitcode == -signal.SIGKILL


def test_closing_twice_and_using_after(start: Start) -> None:
    """After close everything is harmless: it tells it is dead, keeps its exit code and ignores controls."""
    engine = ready(start)
    pid = engine.pid
    engine.stop(5)
    engine.close()
    engine.close()
    engine.send(Cancel(job_id=1, attempt=1))
    engine.kill()
    engine.stop(1)
    assert (engine.is_alive(), engine.exitcode, engine.pid) == (False, 0, pid)


def test_a_full_queue_to_a_dead_engine_blocks_nobody(start: Start) -> None:
    """Megabytes of controls to a killed engine neither block the sender nor its closing."""
    engine = ready(start)
    engine.kill()
    request = MODEL.request(prompt="x" * 4000, seed=1)
    begin = time.monotonic()
    for number in range(1000):
        engine.send(Submit(job_id=number, attempt=1, request=request))
    engine.close()
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize("attempt", range(3))
def test_end_of_file_while_writing(start: Start, attempt: int) -> None:
    """A reader on a thread of its own sees the end of the pipe at once, even if the child died while it wrote."""
    engine = ready(start, step_s=0.0)
    for number in range(8):
        engine.send(Submit(job_id=number, attempt=1, request=MODEL.request(prompt="x", seed=1, steps=150)))
    ended = threading.Event()

    def read() -> None:
        try:
            while True:
                engine.events.recv()
        except (EOFError, OSError):
            ended.set()

    threading.Thread(target=read, daemon=True).start()
    time.sleep(0.05 * attempt)
    os.kill(engine.pid, signal.SIGKILL)
    assert ended.wait(2)


def test_nobody_reads_any_more(start: Start) -> None:
    """When the reading end is gone the child leaves quietly, with exit code 0."""
    engine = ready(start, step_s=0.01)
    engine.send(Submit(job_id=1, attempt=1, request=MODEL.request(prompt="x", seed=1, steps=150)))
    recv_until(engine, lambda event: isinstance(event, Started))
    engine.events.close()
    engine._process.join(5)
    assert engine.exitcode == 0


def test_a_broken_engine_says_so_and_ends(start: Start) -> None:
    """Broken is the last event, and the exit code tells that another start would not help."""
    engine = start(model="fake", fake=FakeSettings(broken="The model is missing: fetch it."))
    events = recv_until(engine, lambda event: isinstance(event, Broken))
    assert events[-1] == Broken(reason="The model is missing: fetch it.")
    engine._process.join(5)
    assert engine.exitcode == contract.EXIT_BROKEN


def test_a_broken_model_in_a_real_process(start: Start, tmp_path: Path) -> None:
    """The real engine answers a wrong path with Broken before it loads torch, and without a traceback."""
    begin = time.monotonic()
    engine = start(model=str(tmp_path / "nothing"))
    event = recv(engine)
    assert isinstance(event, Broken)
    assert "There is no model folder “nothing”" in event.reason
    assert time.monotonic() - begin < 3
    engine._process.join(5)
    assert engine.exitcode == contract.EXIT_BROKEN


def test_a_spool_that_cannot_be_made(start: Start, tiny: Path, tmp_path: Path) -> None:
    """Where finished pictures can't be put the engine is broken, with a sentence, before it loads anything."""
    (tmp_path / "file").write_text("in the way")
    engine = start(model=str(tiny), spool=str(tmp_path / "file" / "spool"))
    events = recv_until(engine, lambda event: isinstance(event, Broken))
    assert "folder for finished pictures" in str(events[-1])


# ------------------------------------------------------------------ the fake's switches


def test_crash_word(start: Start) -> None:
    """A prompt with the crash word kills the engine at its first step."""
    engine = ready(start)
    engine.send(Submit(job_id=1, attempt=1, request=MODEL.request(prompt="please CRASH", seed=1)))
    with pytest.raises((EOFError, OSError)):
        recv_until(engine, lambda _: False)
    engine._process.join(5)
    assert engine.exitcode == -signal.SIGKILL


def test_hang_word(start: Start) -> None:
    """A hanging request never steps, others pass it, and it can still be cancelled."""
    engine = ready(start)
    engine.send(Submit(job_id=1, attempt=1, request=MODEL.request(prompt="HANG", seed=1)))
    engine.send(Submit(job_id=2, attempt=1, request=MODEL.request(prompt="fine", seed=1)))
    _, events = recv_endings(engine, 2)
    assert max(getattr(event, "step", 0) for event in events if getattr(event, "job_id", 0) == 1) == 0
    engine.send(Cancel(job_id=1, attempt=1))
    endings, _ = recv_endings(engine, 1)
    assert endings[1].done == 0  # type: ignore[union-attr]


def test_flag_word(start: Start, tmp_path: Path) -> None:
    """A flagged picture is told without a path: it lies aside."""
    engine = ready(start)
    engine.send(Submit(job_id=1, attempt=1, request=MODEL.request(prompt="NSFW", seed=1)))
    endings, _ = recv_endings(engine, 1)
    (image,) = endings[1].images  # type: ignore[union-attr]
    assert (image.flagged, image.path) == (True, None)
    assert [str(file) for file in (tmp_path / "spool").iterdir()] == [image.aside]


def test_pace(start: Start) -> None:
    """The timing knobs hold: a picture takes its steps and its decoding, loading tells a growing share."""
    engine = start(model="fake", fake=FakeSettings(load_s=0.3, step_s=0.02, decode_s=0.1))
    loading = recv_until(engine, lambda event: isinstance(event, Ready))[:-1]
    shares: list[float] = [event.fraction for event in loading]  # type: ignore[union-attr]
    assert shares == sorted(shares)
    assert len(shares) > 3
    engine.send(Submit(job_id=1, attempt=1, request=MODEL.request(prompt="x", seed=1, steps=10)))
    endings, _ = recv_endings(engine, 1)
    assert endings[1].seconds >= 0.3  # type: ignore[union-attr]


def test_what_is_computed_behind_is_not_torn_out() -> None:
    """An engine that is told to go while OpenVINO is made ready leaves at once, by its own code."""
    gate = threading.Event()
    behind = threading.Thread(target=gate.wait, name=process.BEHIND, daemon=True)
    assert not process._computes_behind()
    behind.start()
    try:
        assert process._computes_behind()
    finally:
        gate.set()
        behind.join()
    assert not process._computes_behind()
