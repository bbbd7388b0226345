"""Rules about the source itself: sizes, sentences, import boundaries, and words that must not drift from code."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from bot import config
from bot.job import TRANSITIONS, JobState

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for name in ("bot", "engine", "workshop") for path in (ROOT / name).rglob("*.py"))
TESTS = sorted(
    path for path in (ROOT / "tests").rglob("*.py") if path.name != "__init__.py" or path.stat().st_size
)
EXAMPLE = (ROOT / "bot" / "config" / "example.toml").read_text("utf-8")

FILE_LINES_MAX = 700
"""No size to write for: a file of more than some 350 lines of code is looked at for a second subject."""
FUNCTION_LINES_MAX = 60
FROM_ENGINE = (
    "engine.cluster.head",
    "engine.cluster.link",
    "engine.contract",
    "engine.process",
    "engine.pictures.decoding",
    "engine.pictures.inputs",
    "engine.pictures.metadata",
    "engine.pictures.spool",
)
"""All that the bot may name of the engine."""


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module a file names, inside functions too; `from a import b` counts as a.b, since b may be a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


# ------------------------------------------------------------------ sizes and sentences


def test_files_and_functions_fit_in_the_head() -> None:
    """No source file and no function is beyond what anybody reads at once."""
    too_long: list[str] = []
    for path in SOURCES:
        text = path.read_text("utf-8")
        if len(text.splitlines()) > FILE_LINES_MAX:
            too_long.append(shown(path))
        too_long += [
            f"{shown(path)}: {function.name} has {length} lines"
            for function in functions(ast.parse(text))
            if (length := (function.end_lineno or 0) - function.lineno + 1) > FUNCTION_LINES_MAX
        ]

    assert too_long == []


def test_every_file_says_what_it_is() -> None:
    """Every file begins with a docstring; in the program itself its first line is a whole sentence."""
    silent: list[str] = []
    for path in SOURCES + TESTS:
        first = (path.read_text("utf-8").splitlines() or [""])[0]
        is_sentence = first.removesuffix('"""').rstrip().endswith((".", ":"))
        if not first.startswith('"""') or (path in SOURCES and not is_sentence):
            silent.append(shown(path))

    assert silent == []


def test_every_test_states_a_fact() -> None:
    """A test function has a docstring that says what holds."""
    silent = [
        f"{shown(path)}: {function.name}"
        for path in TESTS
        for function in functions(tree_of(path))
        if function.name.startswith("test_") and not ast.get_docstring(function)
    ]

    assert silent == []


def test_no_two_tests_of_a_file_share_a_name() -> None:
    """A second function of the same name would silently replace the first."""
    for path in TESTS:
        names = [
            node.name
            for node in tree_of(path).body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        assert sorted(names) == sorted(set(names)), path


# ------------------------------------------------------------------ boundaries


def test_imports_inside_functions_stay_within_bounds_too() -> None:
    """Import-linter may be told to ignore what only types need; here every name counts, wherever it is imported."""
    strangers: list[str] = []
    for path in SOURCES:
        home = path.relative_to(ROOT).parts[0]
        for name in imported(tree_of(path)):
            first = name.partition(".")[0]
            if home == "bot" and first == "engine" and not name.startswith(FROM_ENGINE):
                strangers.append(f"{shown(path)}: {name}")
            if home == "bot" and first in {"workshop", "tests", "rehearsal"}:
                strangers.append(f"{shown(path)}: {name}")
            if home == "engine" and first in {"bot", "workshop", "discord", "aiosqlite", "sqlite3"}:
                strangers.append(f"{shown(path)}: {name}")
            if home == "engine" and first == "socket" and path.parent.name != "cluster":
                strangers.append(f"{shown(path)}: {name}")
            if first == "sqlite3" and "store" not in path.parts and home == "bot":
                strangers.append(f"{shown(path)}: {name}")

    assert strangers == []


# ------------------------------------------------------------------ states


def test_states_agree_everywhere() -> None:
    """JobState, the table of transitions and the CHECK in the schema know the same states."""
    states = {state.value for state in JobState}

    assert {state.value for state in TRANSITIONS} == states
    assert {state.value for targets in TRANSITIONS.values() for state in targets} <= states
    assert checked("state") == states


def checked(column: str) -> set[str]:
    """Words of the constraint job_<column>_is_known."""
    schema = (ROOT / "bot/store/migrations/0004_first.sql").read_text("utf-8")
    match = re.search(rf"CONSTRAINT job_{column}_is_known CHECK \(\s*{column} IN \(([^)]*)\)", schema)
    assert match is not None
    return set(re.findall(r"'(\w+)'", match[1]))


# ------------------------------------------------------------------ the example configuration


def example_keys() -> Iterator[tuple[str, str, bool]]:
    """(key, value, is commented out) of every key in the example, commented or not."""
    section = ""
    for line in EXAMPLE.splitlines():
        if match := re.fullmatch(r"\[(\w+)\]", line):
            section = match[1]
        elif match := re.fullmatch(r"(# )?(\w+) = (.+)", line):
            yield f"{section}.{match[2]}", match[3], bool(match[1])


def test_the_example_shows_every_key_once() -> None:
    """Every setting appears in example.toml, and nothing else does."""
    assert sorted(key for key, _, _ in example_keys()) == sorted(config.KEYS)


def test_the_example_shows_the_defaults(tmp_path: Path) -> None:
    """Uncommenting every line changes no setting that has a default in code, but for the one shown active."""
    shown = tmp_path / "easel.toml"
    shown.write_text(re.sub(r"(?m)^# (\w+ = .+)$", r"\1", EXAMPLE), "utf-8")
    loaded, defaults = config.load(shown, {}), config.Settings()

    for key in (key for key, _, is_comment in example_keys() if is_comment):
        section, _, name = key.partition(".")
        default = getattr(getattr(defaults, section), name)
        if default is not None:
            assert getattr(getattr(loaded, section), name) == default, key


def test_the_example_explains_every_key() -> None:
    """Right above each key stands a comment that says what it does, and each range in it is the real one."""
    lines = EXAMPLE.splitlines()
    for key, _, _ in example_keys():
        section, _, name = key.partition(".")
        start = lines.index(f"[{section}]")
        number = next(n for n in range(start, len(lines)) if re.match(rf"(# )?{name} = ", lines[n]))
        above: list[str] = []
        for line in reversed(lines[start + 1 : number]):
            if not line.startswith("# "):
                break
            above.append(line.removeprefix("# "))
        text = " ".join(reversed(above))
        allowed = config.allowed(config.SECTIONS[section].model_fields[name])

        assert len(text) >= 20, f"{key} is not explained"
        if bounds := re.search(r"from ([\d.]+) to ([\d.]+)", allowed):
            low, high = (f"{float(bound):g}" if "." in bound else bound for bound in bounds.groups())
            assert f"{low} to {high}" in text, f"{key} says {text!r}, but takes {allowed}"


def test_one_key_of_the_example_is_active() -> None:
    """The example changes the model and nothing else."""
    assert [key for key, _, is_comment in example_keys() if not is_comment] == ["engine.model"]


# ------------------------------------------------------------------ packaging


def test_every_dependency_is_pinned() -> None:
    """constraints.txt names an exact version of everything pyproject.toml asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wished = [
        *project["dependencies"],
        *(wish for extra in project["optional-dependencies"].values() for wish in extra),
    ]
    pins = re.findall(r"(?m)^([\w.-]+)==\S+$", (ROOT / "constraints.txt").read_text("utf-8"))
    pinned = {re.sub(r"[-_.]+", "-", name).lower() for name in pins}
    names = {re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", wish, maxsplit=1)[0]).lower() for wish in wished}

    assert names - pinned == set()


def test_torch_is_pinned_without_a_build() -> None:
    """The pin fits the CUDA build and the CPU build alike."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()

    assert "torch==2.13.0" in lines
    assert [line for line in lines if not line.startswith("#") and ("@" in line or "+" in line)] == []
