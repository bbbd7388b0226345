"""docs/run/configuration.md: made of the settings' own descriptions, and of nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bot.config import KEYS, VARIABLES
from workshop.docs import configuration

PAGE = Path(__file__).parents[2] / "docs" / "run" / "configuration.md"


def sections() -> dict[str, str]:
    """Each key's part of the page."""
    _, *parts = re.split(r"(?m)^### (.+)$", PAGE.read_text("utf-8"))
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_the_page_is_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody wrote into it; after a change: python -m workshop.docs.configuration >docs/run/configuration.md."""
    configuration.main()

    assert capsys.readouterr().out == PAGE.read_text("utf-8")


def test_every_setting_has_its_place() -> None:
    """With its variable, its kind, its bounds and its default, in the order of example.toml."""
    found = sections()

    assert set(found) == set(KEYS)
    assert all(f"`{variable}`" in found[key] for variable, key in VARIABLES.items())
    assert "| `EASEL_LIMITS_PENDING` | whole number | 1 to 1000 | `3` |" in found["limits.pending"]
    assert (
        '| `EASEL_ENGINE_ROWS` | text or whole number | "auto", 2, 4, 8, 16 | `"auto"` |'
        in found["engine.rows"]
    )
    assert "| `EASEL_DATA_DIR` | path | the path of a folder | none |" in found["data.dir"]
    assert "| `EASEL_ENGINE_OFFLINE` | switch | true or false | `false` |" in found["engine.offline"]


def test_words_are_the_keys_own() -> None:
    """What is said of a whole section stands above its keys, and signs of Markdown stay what they are."""
    text = "# About\n# settings.\n\n[a]\n# Of all.\n\n# Of `_x_` and __y__.\n# x = 1\n"
    example = configuration.read(text)

    assert (example.introduction, example.sections) == ("About settings.", {"a": "Of all."})
    assert [(key.name, key.words, key.line) for key in example.keys] == [
        ("a.x", "Of `_x_` and __y__.", "x = 1")
    ]
    assert r"\_\_animal\_\_ in a prompt" in sections()["wildcards.dir"]
