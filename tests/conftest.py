"""What holds for every test: nothing of the developer's own settings leaks in, and in CI nothing is skipped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

OWN_VARIABLES = ("DISCORD_TOKEN", "DISCORD_TOKEN_FILE", "EASEL_CONFIG")
IN_CI = bool(os.environ.get("EASEL_CI"))

hypothesis.settings.register_profile("local", deadline=None, print_blob=True)
# The same examples every time: a change that broke nothing must not meet yesterday's undiscovered bug.
hypothesis.settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True)
hypothesis.settings.load_profile("ci" if IN_CI else "local")


@pytest.fixture(autouse=True)
def no_settings_of_mine(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests see neither a token nor an easel.toml of the person who runs them."""
    for name in OWN_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    home: Path = tmp_path_factory.getbasetemp() / "configuration"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[None]:  # a generator: pytest takes what it returns for the report
    report = yield
    return _unskipped(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    report = yield
    return _unskipped(report)


def _unskipped(report):
    """Under .ci/run a test that could not run proves nothing, so it counts as failed. Expected failures stay."""
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"EASEL_CI is set, so nothing may be skipped. {why}"
    return report
