"""The Dockerfile and the compose file: what they name exists, and what they promise stands in them. Builds nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.config import FILE_NAME, VARIABLES
from bot.config.load import OTHER_VARIABLES
from bot.shell.init.service import COMPOSE, IMAGE_USER
from bot.shell.init.wizard import TOKEN

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / COMPOSE).read_text("utf-8"))["services"]


def instructions() -> Iterator[tuple[str, list[str]]]:
    """(its name, its words), continued lines joined."""
    for line in DOCKERFILE.replace("\\\n", " ").splitlines():
        if line and not line.startswith("#"):
            name, *words = line.split()
            yield name, words


def stage_words(stage: str) -> dict[str, list[list[str]]]:
    """Instructions of a stage and of those it stands on, by their names."""
    stages: dict[str, tuple[str, list[tuple[str, list[str]]]]] = {}
    name = ""
    for instruction, words in instructions():
        if instruction == "FROM":
            name = words[-1]
            stages[name] = (words[0], [])
        else:
            stages[name][1].append((instruction, words))
    found: dict[str, list[list[str]]] = {}
    while stage in stages:
        base, own = stages[stage]
        for instruction, words in own:
            found.setdefault(instruction, []).append(words)
        stage = base
    return found


def test_hadolint_finds_nothing() -> None:
    """The rules that others keep, and shellcheck's for what is run."""
    tool = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [tool, ROOT / "Dockerfile"], check=False, capture_output=True, text=True, timeout=60
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_is_copied_is_there_and_let_in() -> None:
    """Each source of a COPY exists, and .dockerignore, which leaves out all else, names it."""
    let_in = re.findall(r"(?m)^!(.+)$", (ROOT / ".dockerignore").read_text("utf-8"))
    copied = {
        source
        for instruction, words in instructions()
        if instruction == "COPY" and not words[0].startswith("--")
        for source in words[:-1]
    }

    assert copied == set(let_in)
    assert [source for source in copied if not (ROOT / source).exists()] == []


def test_bases_are_pinned() -> None:
    """To a minor version of Python on a named Debian, the same everywhere."""
    bases = {words[0] for instruction, words in instructions() if instruction == "FROM"}
    stages = {words[-1] for instruction, words in instructions() if instruction == "FROM"}

    assert [re.fullmatch(r"python:3\.\d+-slim-[a-z]+", base) is not None for base in bases - stages] == [True]


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_an_image_is_nobodys_in_particular(target: str) -> None:
    """Not root's, without a compiler, with a health check, and all that it writes is in one volume."""
    found = stage_words(target)

    assert found["USER"] == [[f"{IMAGE_USER}:{IMAGE_USER}"]]
    assert found["HEALTHCHECK"][0][-3:] == ["CMD", '["easel",', '"health"]']
    assert found["VOLUME"] == [["/data"]]
    assert not re.search(r"apt-get|gcc|build-essential", DOCKERFILE)
    variables = dict(word.split("=", 1) for words in found["ENV"] for word in words)
    assert variables["EASEL_DATA_DIR"].startswith("/data/")
    assert variables["HF_HOME"].startswith("/data/")


def test_packages_are_installed_by_their_hashes() -> None:
    """But for the CPU build of torch, whose index is not PyPI's; nothing is built from source."""
    installs = [
        command for instruction, words in instructions() if instruction == "RUN"
        if (command := " ".join(words)).startswith("pip install")
    ]  # fmt: skip
    by_hash = [command for command in installs if "--require-hashes" in command]

    assert len(by_hash) == 2
    assert all("--only-binary :all:" in command or "/wheels/" in command for command in installs)
    rest = [command for command in installs if command not in by_hash and "/wheels/" not in command]
    assert [command.endswith('--index-url "$TORCH_INDEX" torch') for command in rest] == [True]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_fits_its_image(name: str) -> None:
    """Its target, what `easel init` writes, a root that can't be written to, and settings that exist."""
    service = SERVICES[name]
    whole: dict[str, Any] = yaml.safe_load((ROOT / COMPOSE).read_text("utf-8"))

    assert {service["build"]["target"]} == set(service["profiles"])
    assert stage_words(service["build"]["target"])["HEALTHCHECK"]
    assert (service["read_only"], service["tmpfs"], service["volumes"]) == (True, ["/tmp"], ["data:/data"])
    assert service["user"] == f"${{PUID:-{IMAGE_USER}}}:${{PGID:-{IMAGE_USER}}}"
    assert whole["secrets"]["token"]["file"] == f"./{TOKEN}"
    assert whole["configs"]["settings"]["file"] == f"./{FILE_NAME}"
    assert service["environment"]["EASEL_CONFIG"] == service["configs"][0]["target"]
    told = {name for name in service["environment"] if name.startswith("EASEL_")}
    assert told <= VARIABLES.keys() | OTHER_VARIABLES
