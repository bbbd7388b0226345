"""What the pages for developers show is done as they say, in a copy of the program: in the end it works for somebody."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from babel.messages.pofile import read_po, write_po

from tests.kit.pages import ROOT, Fence, changed, fences_of

DEVELOP = ROOT / "docs" / "develop"
PACKAGES = ("bot", "engine", "tests", "workshop")
HEAVY = (ROOT / "engine" / "starter" / "weights", ROOT / "tests" / "golden")
"""Stay where they are."""


def copied(folder: Path) -> Path:
    """A checkout of one's own."""
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("weights", "golden"))
    for each in HEAVY:
        (folder / each.relative_to(ROOT)).symlink_to(each)
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / ".venv").mkdir()
    return folder


def do(fence: Fence, folder: Path) -> None:
    """A whole file, or lines of one."""
    assert fence.file is not None, f"{fence.place}: the line above names no file"
    file = folder / fence.file
    if fence.language == "diff":
        file.write_text(changed(file.read_text("utf-8"), fence.text), "utf-8")
    elif fence.language == "po":
        translate(file, fence.text)
    else:
        assert not file.exists(), f"{fence.place}: {fence.file} is there already"
        file.write_text(fence.text, "utf-8")


def translate(file: Path, entries: str) -> None:
    """Fills in what an editor would: sentences that the catalogue has, without a translation."""
    with file.open("rb") as opened:
        catalogue = read_po(opened)
    for told in read_po(entries.encode().splitlines(keepends=True)):
        if told.id:
            message = catalogue.get(told.id, told.context)
            assert message is not None, f"{file.name} knows no {told.id!r}"
            message.string = told.string
    with file.open("wb") as opened:
        write_po(opened, catalogue)


def run(words: Iterable[str | Path], folder: Path) -> str:
    """What a program prints that sees the copy alone."""
    done = subprocess.run(
        [*map(str, words)],
        cwd=folder,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=250,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def passed(folder: Path, fence: Fence) -> int:
    """How many tests its command runs there, all of which pass."""
    program, *words = fence.text.split()
    assert program == ".venv/bin/python", fence.place
    return int(run([sys.executable, *words], folder).splitlines()[-1].partition(" passed")[0])


def catalogues(folder: Path, *actions: str) -> None:
    """What `make catalogues` does, and pybabel by itself."""
    for action in actions:
        run([Path(sys.executable).with_name("pybabel"), "--quiet", *action.split()], folder)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return copied(tmp_path)


def test_a_verb(here: Path) -> None:
    """/lucky answers somebody who types it, in their language."""
    *steps, command = fences_of(DEVELOP / "verb.md")
    for step in steps:
        if step.language != "sh":
            do(step, here)
            continue
        assert step.text == "make catalogues\n"
        catalogues(here, "extract", "update")

    assert passed(here, command) == 3


def test_a_language(here: Path) -> None:
    """Somebody in Brazil reads Portuguese from a catalogue that holds two sentences."""
    made, *steps, command = fences_of(DEVELOP / "language.md")
    assert made.text == "make catalogues\n.venv/bin/pybabel init -l pt_BR\n"
    catalogues(here, "extract", "init -l pt_BR")
    for step in steps:
        do(step, here)

    assert passed(here, command) == 1


@pytest.mark.timeout(560)
def test_a_model_family(here: Path) -> None:
    """A pipeline that the engine does not know draws once the page's lines stand where it says."""
    *steps, command = fences_of(DEVELOP / "family.md")
    for step in steps:
        do(step, here)

    assert passed(here, command) == 5
