"""Tests that share what takes long to make are run by one worker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from xdist.scheduler import LoadGroupScheduling

from tests.conftest import name_groups


@pytest.mark.xdist_group("together")
def test_a_group_comes_to_one_worker(request: pytest.FixtureRequest) -> None:
    """Its name is in the id, where pytest-xdist's scheduler looks for it, whatever pytest and pytest-xdist call that."""
    node: Any = request.node
    item: Any = SimpleNamespace(
        nodeid=node.nodeid.removesuffix("@together"), get_closest_marker=node.get_closest_marker
    )
    name_groups([item])
    nodeid: Any = pytest.Item.nodeid
    scope: Any = LoadGroupScheduling._split_scope
    assert scope(None, nodeid.fget(item)) == "together"
