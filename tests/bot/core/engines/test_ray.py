"""Engines in a real Ray cluster of this host alone: drawn there, shown here, lost there, and ended with the bot."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator

import psutil
import pytest

from bot.core.engines.own_cluster import OwnCluster
from bot.job import JobState
from engine.contract import FakeSettings
from engine.pictures import inputs
from tests.kit.rig import MakeRig, Rig, eventually
from workshop.rehearsal.bot import png

STARTED_WITHIN_S = 100.0


@pytest.fixture
async def rig(rig_of: MakeRig) -> AsyncIterator[Rig]:
    """Two engines in a cluster that is started with them."""
    rig = await rig_of(fake=FakeSettings(step_s=0.02), start=False)
    cluster = rig.cluster = OwnCluster(2)
    rig.engines = 2
    try:
        await rig.start(ready=False)
        await eventually(lambda: all(each.is_up for each in rig.fleet.engines), within_s=STARTED_WITHIN_S)
        yield rig
    finally:
        await rig.stop()
        await cluster.stop()


def head_of(rig: Rig) -> int:
    assert rig.cluster is not None
    assert rig.cluster._head is not None
    return rig.cluster._head.pid


def of_the_cluster(rig: Rig) -> list[psutil.Process]:
    head = psutil.Process(head_of(rig))
    return [head, *head.children(recursive=True)]


@pytest.mark.timeout(300)
async def test_engines_of_a_cluster_draw_die_and_end_with_the_bot(rig: Rig) -> None:
    """One cluster for all of it, since it takes long to start.

    Pictures come into the bot's spool, from its inputs; an actor that is killed costs its jobs an attempt, and nobody
    anything; nor does the head, in whose place another one comes; the bot never loads Ray; and nothing of the cluster is left when it has ended.
    """
    digest = inputs.keep(rig.spool / inputs.FOLDER, png(64, 64))
    jobs = [await rig.imagine(user=user, image=digest, strength=0.9) for user in range(1, 9)]
    await eventually(lambda: sum(engine.aboard for engine in rig.fleet.engines) == 8)
    actor = next(each for each in of_the_cluster(rig) if each.name().startswith("ray::RemoteEng"))
    os.kill(actor.pid, signal.SIGKILL)
    rows = await rig.all_ended(jobs)
    assert [row.state for row in rows] == [JobState.DELIVERED] * 8
    assert {row.attempt for row in rows} > {1}
    assert all(row.images[0].path == str(rig.spool / f"{row.id}-{row.attempt}-0.png") for row in rows)
    await eventually(lambda: all(each.is_up for each in rig.fleet.engines), within_s=STARTED_WITHIN_S)
    # Agents of a host that died look for their head for a minute, and then end by themselves.
    old = [each for each in of_the_cluster(rig) if not each.name().startswith("ray::")]
    jobs = [await rig.imagine(user=user) for user in range(11, 15)]
    await eventually(lambda: sum(engine.aboard for engine in rig.fleet.engines) == 4)
    next(each for each in old if each.name() == "gcs_server").kill()
    await eventually(
        lambda: any(each.is_up for each in rig.fleet.engines) and head_of(rig) != old[0].pid,
        within_s=STARTED_WITHIN_S,
    )
    rows = await rig.all_ended(jobs)
    assert [row.state for row in rows] == [JobState.DELIVERED] * 4
    await rig.assert_books()
    mapped = {entry.path for entry in psutil.Process().memory_maps()}
    assert not [path for path in mapped if "/ray/" in path]
    left = [*old, *of_the_cluster(rig)]
    await rig.stop()
    assert rig.cluster is not None
    await rig.cluster.stop()
    assert psutil.wait_procs(left, timeout=30)[1] == []
