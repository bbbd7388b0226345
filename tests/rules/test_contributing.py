"""What people meet who want to help: forms, hooks and pages that fit the checkout."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
KINDS = {"checkboxes", "dropdown", "input", "markdown", "textarea"}
"""What GitHub's forms may hold."""
HOOKS: list[dict[str, Any]] = [
    hook
    for repository in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    for hook in repository["hooks"]
]


@pytest.mark.parametrize("file", FORMS, ids=lambda file: file.stem)
def test_a_form_is_one_that_the_platform_takes(file: Path) -> None:
    """With a name, fields of its kinds, each with an id of its own and a label, and something that has to be filled in."""
    form: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
    fields = [field for field in form["body"] if field["type"] != "markdown"]

    assert form["name"]
    assert form["description"]
    assert {field["type"] for field in form["body"]} <= KINDS
    assert len({field["id"] for field in fields}) == len(fields)
    assert all(field["attributes"]["label"] for field in fields)
    assert any(field.get("validations", {}).get("required") for field in fields)


@pytest.mark.parametrize(
    "hook", [hook for hook in HOOKS if hook.get("pass_filenames", True)], ids=lambda hook: hook["id"]
)
def test_a_hook_runs_here(hook: dict[str, Any]) -> None:
    """As git would be made to run it, on a file that is well."""
    words = hook["entry"].split()
    done = subprocess.run(
        [*words, "bot/__init__.py"], cwd=ROOT, check=False, capture_output=True, text=True, timeout=60
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_hooks_fetch_nothing() -> None:
    """All are tools of .venv, on files that are there."""
    assert [hook["id"] for hook in HOOKS if not (ROOT / hook["entry"].split()[0]).is_file()] == []
    named = {word for hook in HOOKS for word in hook["entry"].split() if word.startswith("tests/")}
    assert [name for name in named if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md"])
def test_what_is_linked_is_there(page: str) -> None:
    """Files, and headings in them; addresses of the platform begin with ../../."""
    targets = re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text("utf-8"))
    for target in targets:
        if target.startswith(("https://", "../../")):
            continue
        name, _, heading = target.partition("#")
        assert (ROOT / name).is_file(), target
        titles = re.findall(r"(?m)^#+ (.+)$", (ROOT / name).read_text("utf-8"))
        slugs = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
        assert not heading or heading in slugs, target
