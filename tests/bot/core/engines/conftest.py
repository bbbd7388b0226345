"""Tests marked `virtual` run in the simulation's loop, all others in a usual one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

from workshop.rehearsal.simulation.loop import VirtualLoop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.get_closest_marker("virtual") is not None:
        return {"virtual": VirtualLoop}
    return {"usual": asyncio.new_event_loop}
