"""What README and docs tell people to type: run here, parsed by the real command line, or marked with why not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from bot.config import load
from bot.shell.cli import app
from bot.store import Store
from tests.kit.documented_commands import (
    HOW_TO_MARK,
    MARKED_ONLY,
    OTHER_NAMES,
    PERFORMED,
    SHELL,
    Becomes,
    Command,
    commands,
    counted,
    documented,
)
from tests.kit.pages import ROOT, Fence, fences, fences_of, pages

MAY_FAIL = frozenset({"doctor", "health"})
"""Their exit code says how it is, and here no bot runs."""
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")


def names(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a page is followed: photo.jpg, mask.png, a database, and the starter model on the processor."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "EASEL_DATA_DIR": str(tmp_path / "data"),
        "EASEL_ENGINE_DEVICE": "cpu",
        "EASEL_ENGINE_OFFLINE": "true",
    }.items():
        monkeypatch.setenv(name, value)
    Image.new("RGB", (128, 128), "green").save("photo.jpg")
    Image.new("L", (128, 128), 255).save("mask.png")
    return tmp_path


# ------------------------------------------------------------------ pages


@pytest.mark.parametrize("page", pages(), ids=names)
def test_every_command_is_accounted_for(page: Path) -> None:
    """Shells are called sh, and what this test does not know is marked."""
    problems = [problem for fence in fences_of(page) for problem in wrong_with(fence)]

    assert problems == [], "\n".join(problems)


def wrong_with(fence: Fence) -> Iterator[str]:
    if fence.language in OTHER_NAMES:
        yield f"{fence.place}: call this fence {SHELL}, so that its commands are looked at"
    if not fence.language and re.match(r"\$ |(\S*/)?(easel|make|pip|python3?|docker) ", fence.text):
        yield f"{fence.place}: call this fence {SHELL} (commands) or text (what is printed)"
    if fence.language == SHELL or fence.language in MARKED_ONLY:
        try:
            unknown = [each for each in commands(fence) if each.becomes is Becomes.UNKNOWN]
        except ValueError as error:
            yield f"{error}: write it more simply, {HOW_TO_MARK}"
            return
        for each in {each.typed: each for each in unknown}.values():
            yield f"{each.place}: nobody tries {each.typed!r}: name the test that does in PERFORMED, {HOW_TO_MARK}"


@pytest.mark.parametrize("page", pages(), ids=names)
def test_every_command_of_ours_is_understood(page: Path) -> None:
    """Subcommands, options, targets, modules and files exist: of those that are marked, too."""
    problems = [
        f"{command.place}: {command.typed!r}: {problem}"
        for command in documented([page])
        if (problem := misunderstood(command)) is not None
    ]

    assert problems == [], "\n".join(problems)


def misunderstood(command: Command) -> str | None:
    if (said := command.easel) is not None:
        told = CliRunner().invoke(app, [*said, "--help"])
        return None if told.exit_code == 0 else told.stderr.strip()
    if command.program == "make":
        return _unmade(command.words[1:])
    module = command.module or ""
    if module == "pytest" and command.becomes is not Becomes.PERFORMED:
        files = [word.partition("::")[0] for word in command.words[3:] if word.startswith("tests/")]
        missing = [file for file in files if not (ROOT / file).exists()]
        return f"{', '.join(missing)}: not there" if missing else None
    if module.partition(".")[0] in {"workshop", "tests"}:
        options = {word.partition("=")[0] for word in command.words[3:] if word.startswith("--")}
        return _unknown_options(module, options)
    return None


def _unmade(words: tuple[str, ...]) -> str | None:
    for word in words:
        variable = word.partition("=")[0]
        if variable == word and not word.startswith("-"):
            if not re.search(rf"(?m)^{re.escape(word)}:", MAKEFILE):
                return f"the Makefile has no {word}"
        elif variable != word and not re.search(rf"(?m)^{re.escape(variable)} \??:?=", MAKEFILE):
            return f"the Makefile knows no {variable}"
    return None


def _unknown_options(module: str, options: set[str]) -> str | None:
    path = ROOT.joinpath(*module.split("."))
    if not (path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()):
        return f"there is no module {module} to run"
    known = _help_of(module) if options else ""
    unknown = [option for option in sorted(options) if not re.search(rf"{option}\b", known)]
    return f"{module} knows no {', '.join(unknown)}" if unknown else None


@cache
def _help_of(module: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=ROOT, check=True, capture_output=True, text=True, timeout=110, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return done.stdout


def runs(path: Path) -> list[Command]:
    return [command for command in documented([path]) if command.becomes is Becomes.RUN]


@pytest.mark.timeout(800)
@pytest.mark.parametrize("page", [page for page in pages() if runs(page)], ids=names)
async def test_commands_do_what_the_page_says(page: Path, desk: Path) -> None:
    """One after the other, in one folder, with the starter model: each ends well, without a traceback."""
    store = await Store.open(load().database)
    await store.close()
    for command in runs(page):
        assert command.easel is not None
        done = CliRunner().invoke(app, command.easel)
        allowed = {0, 1} if MAY_FAIL & {*command.easel} else {0}
        assert done.exit_code in allowed, f"{command.place}: {command.typed}\n{done.output}\n{done.stderr}"
    shutil.rmtree(desk / "data")


def test_counts() -> None:
    """Printed by python -m tests.kit.documented_commands; without any, these tests would look at nothing."""
    found = counted()

    assert found[Becomes.RUN] >= 3
    assert found[Becomes.PARSED] >= 3
    assert Becomes.UNKNOWN not in found


def test_what_is_run_elsewhere_is_run() -> None:
    """Each page and command in the table is there, and so is its test."""
    typed = {command.typed for command in documented(pages())}
    for what, test in PERFORMED.items():
        file, _, name = test.partition("::")
        assert what in typed or (ROOT / what).is_file(), what
        assert f"def {name}(" in (ROOT / file).read_text("utf-8"), test


# ------------------------------------------------------------------ how pages are read


PAGE = """\
1. First:

   ```sh
   easel imagine "a # b" --seed 1 -o out.png   # and then
   A=1 make demo PORT=8700 && easel run | tee log
   ```

<!-- not run: needs a token -->
```sh
easel sync \\
  --force
```

<!-- not run: too far above -->

```sh
reboot
```

```powershell
wsl --install
```
"""


def test_commands_are_found() -> None:
    """In lists, behind && and |, with comments, over several lines; a mark counts right before its fence alone."""
    found = [command for fence in fences(PAGE, "page.md") for command in commands(fence)]

    assert [(command.words, command.becomes) for command in found] == [
        (("easel", "imagine", "a # b", "--seed", "1", "-o", "out.png"), Becomes.RUN),
        (("make", "demo", "PORT=8700"), Becomes.PARSED),
        (("easel", "run"), Becomes.PARSED),
        (("tee", "log"), Becomes.UNKNOWN),
        (("easel", "sync", "--force"), Becomes.MARKED),
        (("reboot",), Becomes.UNKNOWN),
        (("wsl", "--install"), Becomes.UNKNOWN),
    ]
    with pytest.raises(ValueError, match=r"page.md:1: this fence is never closed"):
        list(fences("```sh\nmake", "page.md"))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("easel imagine x --sead 1", "No such option: --sead"),
        ("easel imagined", "No such command 'imagined'"),
        ("make deemo", "the Makefile has no deemo"),
        ("make demo PROT=1", "the Makefile knows no PROT"),
        ("python -m workshop.gone", "there is no module workshop.gone to run"),
        ("python -m workshop.rehearsal.simulation --sedes 1", "knows no --sedes"),
        ("python -m pytest tests/gone", "tests/gone: not there"),
        ("easel imagine x --seed 1", None),
        ("make demo PORT=1", None),
        ("python -m workshop.rehearsal.simulation --seeds 1", None),
    ],
)
def test_what_is_wrong_is_told(line: str, problem: str | None) -> None:
    """An option that is gone, a target that was renamed, a module that moved."""
    (command,) = (each for fence in fences(f"```sh\n{line}\n```", "page.md") for each in commands(fence))
    told = misunderstood(command)

    assert (told is None) if problem is None else (problem in (told or ""))


@pytest.mark.parametrize("language", ["bash", ""])
def test_no_command_hides_behind_another_name(language: str) -> None:
    """Or behind none."""
    (fence,) = fences(f"```{language}\neasel run\n```", "page.md")

    assert len([*wrong_with(fence)]) == 1
