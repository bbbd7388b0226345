"""What holds for every test: none of the developer's own settings, engines that start fast, nothing skipped in CI."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

# As engine.boot does, and before anything loads torch, which reads it then: threads that spin starve parallel tests.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import hypothesis
import pytest
from _pytest.nodeid import NodeId

from bot.store import db
from engine import process
from tests.kit import forked, new_databases

OWN_VARIABLES = ("DISCORD_TOKEN", "DISCORD_TOKEN_FILE", "EASEL_CONFIG")
IN_CI = bool(os.environ.get("EASEL_CI"))

hypothesis.settings.register_profile("local", deadline=None, print_blob=True)
# The same examples every time: a change that broke nothing must not meet yesterday's undiscovered bug.
hypothesis.settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True)
hypothesis.settings.load_profile("ci" if IN_CI else "local")


def roomy_memory() -> Path | None:
    """A file system in memory that takes all that tests write and lets them run programs; None where there is none."""
    folder = Path("/dev/shm")
    if sys.platform != "linux" or not os.access(folder, os.W_OK):
        return None
    found = os.statvfs(folder)
    is_roomy = found.f_bavail * found.f_frsize >= 6 * 2**30
    return folder if is_roomy and not found.f_flag & os.ST_NOEXEC else None


# Thousands of commits that are synced to a disk only cost time: pytest makes the tests' folders there.
if (memory := roomy_memory()) is not None:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))


@pytest.fixture(autouse=True)
def no_settings_of_mine(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests see neither a token nor an easel.toml of the person who runs them."""
    for name in OWN_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    home: Path = tmp_path_factory.getbasetemp() / "configuration"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Workers share the cores: a test that pinned torch to several threads leaves none of them to the next."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def forked_engines() -> Iterator[None]:
    """Engines start fast; how a spawned one comes and goes is told by tests/engine/test_process.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "_context", forked.Context())
        yield


@pytest.fixture(autouse=True, scope="session")
def copied_databases() -> Iterator[None]:
    """New ones are there at once; how one is made is told by tests/bot/store and tests/golden."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(db, "_prepare", new_databases.copying())
        yield


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is given more time than usual starts first: at the end a worker would be alone with it."""
    if getattr(config.option, "loadgroup", False):
        name_groups(items)

    usual_s = float(config.getini("timeout"))

    def is_short(item: pytest.Item) -> bool:
        given = item.get_closest_marker("timeout")
        return given is None or given.args[0] <= usual_s

    items.sort(key=is_short)


def pytest_collection_finish() -> None:
    """What has been imported stays: nobody looks through it for garbage again and again."""
    gc.collect()
    gc.freeze()


def name_groups(items: Iterable[pytest.Item]) -> None:
    """Puts each item's `xdist_group` into its id, by which tests of a group come to one worker and share what they need.

    pytest-xdist 3.8 still writes it into `_nodeid`, which pytest 9.2 reads no more.
    """
    for item in items:
        group = item.get_closest_marker("xdist_group")
        if group is not None and not item.nodeid.endswith(f"@{group.args[0]}"):
            item._id = NodeId.parse(f"{item.nodeid}@{group.args[0]}")


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
