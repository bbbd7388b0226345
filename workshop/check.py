"""`make check`: what a change touches, in under a minute: lint, types of changed files, and the tests that belong to them.

    python -m workshop.check                  what differs from main
    python -m workshop.check FILE …           these files
    python -m workshop.check --choose         only says what it would run

Which tests belong to a file is told by names and imports alone, so this can't prove that nothing broke: `make test` can.
"""

from __future__ import annotations

import argparse
import ast
import functools
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUDGET_S = 45.0
"""After so long no further test begins."""
NO_TIME, NO_TESTS = 2, 5
"""Exit codes of pytest that ended before all had their turn, or found none."""
CODE = ("bot", "engine", "workshop", "tests")
ALWAYS = ("tests/rules/test_architecture.py", "tests/rules/test_words.py")
BESIDES: Mapping[str, tuple[str, ...]] = {
    "README.md": ("tests/docs", "tests/rules/test_features.py"),
    "CONTRIBUTING.md": ("tests/docs",),
    "Dockerfile": ("tests/rules/test_containers.py",),
    "Makefile": ("tests/docs/test_commands.py",),
    "bot/config/": ("tests/docs/test_configuration.py",),
    "bot/store/migrations/": ("tests/golden", "tests/bot/store/test_database.py"),
    "bot/texts/": ("tests/bot/texts",),
    "compose.yaml": ("tests/rules/test_containers.py",),
    "constraints.txt": ("tests/rules/test_supply_chain.py",),
    "docs/": ("tests/docs", "tests/rules/test_features.py"),
    "pyproject.toml": ("tests/rules/test_supply_chain.py",),
    "requirements": ("tests/rules/test_supply_chain.py",),
}
"""What the path of a changed file begins with -> tests that neither names nor imports lead to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """What is there to choose from: Python files by their paths from its root, with their text."""

    tests: Mapping[str, str]
    sources: Mapping[str, str]
    """All others."""


def read(root: Path) -> Checkout:
    files = {
        path.relative_to(root).as_posix(): path.read_text("utf-8")
        for package in CODE
        for path in sorted((root / package).rglob("*.py"))
    }
    return Checkout(
        tests={name: text for name, text in files.items() if _is_test(name)},
        sources={name: text for name, text in files.items() if not _is_test(name)},
    )


def chosen(changed: Iterable[str], checkout: Checkout) -> tuple[str, ...]:
    """Tests of these files, the closest first: called like them, importing them, called like what imports them, beside those."""
    closest: list[Sequence[str]] = [[], [], [], []]
    for file in changed:
        ways = _belonging(file, checkout)
        closest = [[*before, *more] for before, more in zip(closest, ways, strict=True)]
    always = [name for name in ALWAYS if name in checkout.tests]
    return tuple(dict.fromkeys([*(name for names in closest for name in names), *always]))


def _belonging(file: str, checkout: Checkout) -> tuple[Sequence[str], ...]:
    besides = [name for start, names in BESIDES.items() if file.startswith(start) for name in names]
    if file in checkout.tests:
        return [file], [], [], besides
    if not file.endswith(".py"):
        return [], [], [], besides
    named, importing = [*_called_like(file, checkout)], [*_importing(file, checkout.tests)]
    if named:
        return named, importing, [], besides
    users = [name for user in _importing(file, checkout.sources) for name in _called_like(user, checkout)]
    folder = Path("tests", file).parent
    return (
        named,
        importing,
        users,
        [*besides, *(name for name in checkout.tests if Path(name).parent == folder)],
    )


def _called_like(file: str, checkout: Checkout) -> Iterator[str]:
    """tests/a/b/test_c.py of a/b/c.py, or the same nearer to the root: several files of a folder may share it."""
    path = Path(file)
    name = path.parent.name if path.stem in {"__init__", "__main__"} else path.stem
    for folder in path.parents:
        candidate = Path("tests", folder, f"test_{name}.py").as_posix()
        if candidate in checkout.tests:
            yield candidate
            return


def _importing(file: str, files: Mapping[str, str]) -> Iterator[str]:
    module = ".".join(Path(file).with_suffix("").parts).removesuffix(".__init__")
    name = module.rpartition(".")[2]
    for path, text in files.items():
        if name in text and any(f"{each}.".startswith(f"{module}.") for each in _imported(text)):
            yield path


@functools.cache
def _imported(text: str) -> tuple[str, ...]:
    """All names that it imports, such as bot.job.Job."""
    found: list[str] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(found)


def _is_test(name: str) -> bool:
    return name.startswith("tests/") and Path(name).name.startswith("test_")


# ------------------------------------------------------------------ what has changed


def changed_files(root: Path) -> list[str]:
    """What differs from where this branch left main, and what git does not know yet; all that is still there."""
    for base in ("origin/HEAD", "origin/main", "main", "HEAD"):
        if left := _git(root, "merge-base", "HEAD", base):
            names = [
                *_git(root, "diff", "--name-only", left[0]),
                *_git(root, "ls-files", "-o", "--exclude-standard"),
            ]
            return sorted({name for name in names if (root / name).is_file()})
    return []


def _git(root: Path, *words: str) -> list[str]:
    done = subprocess.run(["git", "-C", str(root), *words], check=False, capture_output=True, text=True)  # noqa: S607 - whichever git there is
    return done.stdout.splitlines() if done.returncode == 0 else []


# ------------------------------------------------------------------ what is run


def check(changed: Sequence[str], root: Path = ROOT) -> int:
    """The exit code: 0 unless something is wrong."""
    code = [name for name in changed if name.endswith(".py") and name.split("/", 1)[0] in CODE]
    tests = chosen(changed, read(root))
    print(f"{len(changed)} changed: {_few(changed)}\nTests: {_few(tests, 12)}", flush=True)
    begun, tools = time.monotonic(), Path(sys.executable).parent
    if code and any(
        subprocess.run([tools / "ruff", *how, *code], cwd=root, check=False).returncode
        for how in (("check", "--quiet"), ("format", "--quiet", "--check"))
    ):
        print("Lint: see above; `make format` puts most of it right.")
        return 1
    types = (
        subprocess.Popen([tools / "pyright", "--warnings", *code], cwd=root, stdout=subprocess.PIPE)
        if code
        else None
    )
    failed, finished = _tested(tests, root, begun + BUDGET_S)
    if types is not None:
        told, _ = types.communicate()
        if types.returncode:
            print(told.decode())
            failed = True
    verdict = "Something is wrong" if failed else "All well" if finished else "Nothing wrong so far"
    unfinished = "" if finished else ", but not every test had its turn"
    print(f"{verdict}, {time.monotonic() - begun:.0f} s{unfinished}. `make test` is the whole.")
    return int(failed)


def _tested(tests: Sequence[str], root: Path, until: float) -> tuple[bool, bool]:
    """(did any fail, had all their turn)."""
    left_s = str(max(0.0, until - time.monotonic()))
    words = ["-m", "pytest", "-q", "-x", "-p", "workshop.within_time", "--seconds", left_s, *tests]
    code = subprocess.run([sys.executable, *words], cwd=root, check=False).returncode
    return code not in {0, NO_TIME, NO_TESTS}, code != NO_TIME


def _few(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m workshop.check", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help="Changed files (default: what differs from main)."
    )
    parser.add_argument("--choose", action="store_true", help="Only print which tests belong to them.")
    given = parser.parse_args()
    changed = [*given.files] or changed_files(ROOT)
    if not changed:
        print("Nothing differs from main. `make test` is the whole.")
        return 0
    if given.choose:
        print("\n".join(chosen(changed, read(ROOT))))
        return 0
    return check(changed)


if __name__ == "__main__":
    sys.exit(main())
