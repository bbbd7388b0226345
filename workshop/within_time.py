"""A plugin of pytest for `make check`: no test begins after so many seconds, nor one that may take long. Knows no test."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

USUAL_S = 120
"""What pyproject.toml gives a test."""
_begun = time.monotonic()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seconds", type=float, help="begin no test after so long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    long = [item for item in items if _given_s(item) > USUAL_S]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]


def _given_s(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return USUAL_S if marker is None else marker.args[0]


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    seconds = float(item.config.getoption("--seconds") or 0)
    if nextitem is not None and time.monotonic() - _begun > seconds:
        item.session.shouldstop = "no time is left for the others"
