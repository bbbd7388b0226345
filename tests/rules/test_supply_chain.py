"""What is installed with Easel: pinned by version and by hash, and under licences that let anybody use it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from bot import DISTRIBUTION

ROOT = Path(__file__).parents[2]
ALL, WITHOUT_TORCH = "requirements.lock", "requirements-without-torch.lock"
LICENCES = ROOT / "docs" / "develop" / "licences.md"
EXTRAS = ("demo", "bench", "fleet", "rehearsal")
"""What people install beside Easel itself; developers' tools are not handed on."""
ALLOWED = {
    *("0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0"),
    *("CC0-1.0", "CNRI-Python", "ISC", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Zlib"),
}
"""By the names of https://spdx.org/licenses: they let anybody use and hand on unchanged copies, with notices alone."""
NVIDIA = "NVIDIA's own"
"""What torch's CUDA build brings: free to use, not to change."""
SAID = {
    "Apache": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "3-Clause BSD License": "BSD-3-Clause",
    "BSD 3-Clause License": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "ISC License": "ISC",
    "MIT License": "MIT",
    "OSI Approved :: Apache Software License": "Apache-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The MIT License (MIT)": "MIT",
}
"""What older metadata says -> the name that is meant; of these packages' BSD licences each was looked up."""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(file: str) -> dict[str, str]:
    """Name -> version."""
    found = re.findall(r"(?m)^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)", (ROOT / file).read_text("utf-8"))
    return {normal(name): version for name, version in found}


def installed_with(name: str, extras: tuple[str, ...] = ()) -> set[str]:
    """Everything that this package needs here, itself left out."""
    found: set[str] = set()
    waiting = [Requirement(f"{name}[{','.join(extras)}]" if extras else name)]
    while waiting:
        wish = waiting.pop()
        for line in metadata.requires(wish.name) or []:
            needed = Requirement(line)
            applies = needed.marker is None or any(
                needed.marker.evaluate({"extra": extra}) for extra in ("", *wish.extras)
            )
            is_new = normal(needed.name) not in found or needed.extras
            if applies and is_new and normal(needed.name) not in {normal(DISTRIBUTION), "torchvision"}:
                found.add(normal(needed.name))
                waiting.append(needed)
    return found


def licence_of(name: str) -> str:
    told: Any = metadata.metadata(name)
    if expression := told.get("License-Expression"):
        return expression
    lines = (told.get("License") or "").strip().splitlines()
    classes = [
        line.rpartition(" :: ")[2]
        for line in told.get_all("Classifier") or []
        if line.startswith("License :: ")
    ]
    for said in (*(lines if len(lines) == 1 else ()), *classes):
        if said in SAID or set(terms(said)) <= ALLOWED:
            return SAID.get(said, said)
    return f"unknown: {lines[:1]} {classes}"


def terms(expression: str) -> list[str]:
    return re.split(r" (?:AND|OR) ", expression.replace("(", "").replace(")", ""))


def listed() -> Mapping[str, str]:
    rows = re.findall(r"(?m)^\| `([^`]+)` \| (.+) \|$", LICENCES.read_text("utf-8"))
    assert len(rows) > 80
    return dict(rows)


# ------------------------------------------------------------------ hashes


def entries(file: str) -> Iterator[tuple[str, list[str]]]:
    """(a pin with its marker, its hashes)."""
    text = (ROOT / file).read_text("utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        if line and not line.startswith(("#", "-r ")):
            pin, *hashes = re.split(r"\s+--hash=", line.strip())
            yield pin, hashes


@pytest.mark.parametrize("file", [ALL, WITHOUT_TORCH])
def test_each_pin_has_its_hashes(file: str) -> None:
    """A file that somebody exchanged is not installed."""
    found = list(entries(file))

    assert len(found) > 10
    assert [pin for pin, hashes in found if not hashes] == []
    assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for _, hashes in found for each in hashes)


def test_the_locks_have_the_versions_of_the_constraints() -> None:
    """`make lock` was run since the last change of constraints.txt; nothing is in both files."""
    locked, base, pinned = pins(ALL), pins(WITHOUT_TORCH), pins("constraints.txt")

    assert f"-r {WITHOUT_TORCH}" in (ROOT / ALL).read_text("utf-8").splitlines()
    assert locked.keys() & base.keys() == set()
    assert {
        name: (version, pinned.get(name))
        for name, version in (locked | base).items()
        if version != pinned.get(name)
    } == {}
    assert "torch" in locked


def test_the_locks_hold_all_that_runs_easel() -> None:
    """Whatever Easel needs on this machine is in them, spandrel included, and of the tools of developers none."""
    needed = installed_with(DISTRIBUTION) | {"spandrel"} | installed_with("spandrel")
    locked = pins(ALL) | pins(WITHOUT_TORCH)

    assert needed - locked.keys() == set()
    assert locked.keys() & {"pytest", "ruff", "pyright", "simcord", "uv"} == set()


def test_pip_takes_the_lock_where_all_of_it_is_installed() -> None:
    """As documented, by pip itself in its mode of hashes, without asking any index."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--dry-run",
        "--no-index",
        "--no-deps",
        "--require-hashes",
    ]
    done = subprocess.run(
        [*command, "-r", str(ROOT / WITHOUT_TORCH)], check=False, capture_output=True, text=True, timeout=110
    )

    assert done.returncode == 0, done.stderr
    assert "Would install" not in done.stdout


# ------------------------------------------------------------------ licences


def test_every_licence_is_listed() -> None:
    """docs/develop/licences.md names each package that is installed with Easel and its extras, on whatever machine, and no other."""
    needed = installed_with(DISTRIBUTION, EXTRAS) | pins(ALL).keys() | pins(WITHOUT_TORCH).keys()

    assert sorted(listed()) == sorted(needed)


def test_every_licence_is_the_one_that_its_package_tells() -> None:
    """Of those that are installed here; one that nobody knows fails."""
    wrong: dict[str, tuple[str, str]] = {}
    for name, licence in listed().items():
        try:
            told = licence_of(name)
        except metadata.PackageNotFoundError:  # for other machines
            continue
        if told != licence:
            wrong[name] = (licence, told)

    assert wrong == {}


def test_every_licence_lets_anybody_use_it() -> None:
    """Or it is NVIDIA's, of what torch's CUDA build alone brings."""
    strange = {
        name: licence
        for name, licence in listed().items()
        if not (name in pins(ALL) and name.startswith(("nvidia-", "cuda-")) and licence == NVIDIA)
        and not set(terms(licence)) <= ALLOWED
    }

    assert strange == {}
