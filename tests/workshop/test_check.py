"""`make check`: which tests belong to a change, and what is said of them."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from workshop import check
from workshop.check import Checkout

CHECKOUT = Checkout(
    tests={
        "tests/bot/test_verbs.py": "from bot.app import create_app",
        "tests/bot/chat/test_queue.py": "from bot.chat import order\nfrom tests.kit.world import World",
        "tests/bot/chat/test_vary.py": "from bot.chat.pressed import cancel",
        "tests/bot/store/test_search.py": "from bot.store import Store",
        "tests/rules/test_words.py": "",
    },
    sources={
        "bot/chat/features/queue.py": "from bot.chat import pressed\nfrom bot.chat.look.safe import cut",
        "bot/chat/pressed.py": "from bot.store.jobs import Jobs",
        "bot/store/__init__.py": "from bot.store.rows import Row",
        "tests/kit/world.py": "import bot.app",
    },
)


@pytest.mark.parametrize(
    ("changed", "tests"),
    [
        ("tests/bot/chat/test_vary.py", ["tests/bot/chat/test_vary.py"]),
        (
            "bot/chat/features/queue.py",
            ["tests/bot/chat/test_queue.py"],
        ),  # called like it, nearer to the root
        ("bot/app.py", ["tests/bot/test_verbs.py"]),  # imports a name of it
        ("bot/chat/pressed.py", ["tests/bot/chat/test_vary.py", "tests/bot/chat/test_queue.py"]),
        ("bot/chat/look/safe.py", ["tests/bot/chat/test_queue.py"]),  # called like what imports it
        ("bot/store/rows.py", ["tests/bot/store/test_search.py"]),  # beside it
        ("tests/kit/world.py", ["tests/bot/chat/test_queue.py"]),
        ("docs/index.md", ["tests/docs", "tests/rules/test_features.py"]),
        ("bot/texts/locales/de/LC_MESSAGES/easel.po", ["tests/bot/texts"]),
        ("LICENSE", []),
    ],
)
def test_tests_belong_to_what_changed(changed: str, tests: list[str]) -> None:
    """By name, by import, by the mirrored folder; rules over all files always."""
    found = check.chosen([changed], CHECKOUT)

    assert [*found[: len(tests)], found[-1]] == [*tests, "tests/rules/test_words.py"]


def test_the_closest_come_first() -> None:
    """Of several files, too: what is named like one comes before what imports another; each once."""
    found = check.chosen(
        ["bot/chat/order.py", "bot/chat/vary.py", "docs/x.md", "tests/bot/test_verbs.py"], CHECKOUT
    )

    assert found[:3] == (
        "tests/bot/chat/test_vary.py",
        "tests/bot/test_verbs.py",
        "tests/bot/chat/test_queue.py",
    )
    assert len(set(found)) == len(found)


def test_what_is_named_is_there() -> None:
    """Of this checkout: what is chosen without names and imports exists."""
    named = {name for names in check.BESIDES.values() for name in names}

    assert [name for name in {*named, *check.ALWAYS} if not (check.ROOT / name).exists()] == []
    assert "tests/bot/core/line/test_fairness.py" in check.chosen(
        ["bot/core/line/fairness.py"], check.read(check.ROOT)
    )


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True)


def test_changes_are_those_since_main(tmp_path: Path) -> None:
    """Committed or not, known to git or not, but not what main did meanwhile, and nothing that is gone."""
    for name in ("kept", "gone", "edited", "theirs"):
        (tmp_path / name).write_text("1")
    git(tmp_path, "init", "-b", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "one")
    git(tmp_path, "checkout", "-b", "mine")
    (tmp_path / "committed").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "two")
    (tmp_path / "edited").write_text("2")
    (tmp_path / "new").write_text("2")
    (tmp_path / "gone").unlink()

    assert check.changed_files(tmp_path) == ["committed", "edited", "new"]


def test_a_change_is_looked_at(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Lint first; then types and tests, which are named, and what this can't tell."""
    source, test = tmp_path / "bot" / "queue.py", tmp_path / "tests" / "bot" / "test_queue.py"
    for file in (source, test):
        file.parent.mkdir(parents=True)
    test.write_text("def test_a() -> None:\n    assert True\n")
    source.write_text("import os\n")
    assert check.check(["bot/queue.py"], tmp_path) == 1
    assert "`os` imported but unused" in capfd.readouterr().out

    source.write_text('"""Who waits."""\n\nWAITING: int = 0\n')
    assert check.check(["bot/queue.py"], tmp_path) == 0
    told = capfd.readouterr().out
    assert told.startswith("1 changed: bot/queue.py\nTests: tests/bot/test_queue.py\n")
    assert "All well, " in told
    assert "`make test` is the whole." in told


def test_a_failure_and_an_end_of_time_are_told_apart(tmp_path: Path) -> None:
    """Whoever has had no turn when the minute is over is not counted as well; what is given long is left out."""
    (tmp_path / "test_wrong.py").write_text("def test_a() -> None:\n    assert False\n")
    (tmp_path / "test_two.py").write_text(
        "def test_a() -> None: ...\n\ndef test_b() -> None:\n    assert False\n"
    )
    long = "import pytest\n\n@pytest.mark.timeout(400)\ndef test_a() -> None:\n    assert False\n"
    (tmp_path / "test_long.py").write_text(long)

    assert check._tested(["test_wrong.py"], tmp_path, time.monotonic() + 60) == (True, True)
    assert check._tested(["test_long.py", "test_two.py"], tmp_path, time.monotonic()) == (False, False)
