"""/admin engine, on a bot with two engines: what the operator sees and does, and what people notice of it."""

from __future__ import annotations

from bot.job import JobState
from bot.store.audit import Deed
from bot.store.halts import EVERYWHERE
from engine.contract import FakeSettings
from tests.bot.chat.conftest import StartWorld
from tests.bot.chat.test_admin import ONLY_THE_OPERATOR, audited, operator_of, said

TWO = {"engines": 2}
LAST = "No other engine draws right now: /admin pause with everywhere keeps everybody waiting, and says why."


async def test_engines_are_shown_paused_and_started_anew(start_world: StartWorld) -> None:
    """A pause holds through a restart of the bot, the last engine is never paused, and a restart of all refuses nobody."""
    world = await start_world(fake=FakeSettings(step_s=0.02, slots=1), engine=TWO)
    boss, channel, fleet = operator_of(world), world.channel, world.dispatcher.fleet
    await world.until(lambda: all(engine.is_up for engine in fleet.engines))
    for command in ("engine show", "engine restart"):
        assert await said(world.admin, channel, command) == ONLY_THE_OPERATOR
    line = "draws · no device · 0 requests in its hands · loaded: fake · draws the same pixels as"
    assert await said(boss, channel, "engine show") == f"**Engines**\n**1** · {line} 2\n**2** · {line} 1"
    there = "There is no engine 3: 2 are there, see /admin engine show."
    assert await said(boss, channel, "engine pause", number=3) == there
    assert await said(boss, channel, "engine resume", number=2) == "Engine 2 is not paused."
    paused = "Engine 2 is given nothing more until /admin engine resume; the others draw on."
    assert await said(boss, channel, "engine pause", number=2) == paused
    assert await said(boss, channel, "engine pause", number=2) == "Engine 2 is paused already."
    assert await said(boss, channel, "engine pause", number=1) == LAST
    await world.restart()
    fleet = world.dispatcher.fleet
    await world.until(lambda: all(engine.status.is_ready for engine in fleet.engines))
    assert [engine.is_held for engine in fleet.engines] == [False, True]
    assert "**2** · paused by an admin" in await said(boss, channel, "engine show")
    await world.imagine(prompt="a fox")
    await world.imagine(prompt="a boat", who=world.admin)
    await world.until(lambda: world.dispatcher.running())
    assert [engine.aboard for engine in fleet.engines] == [1, 0]
    assert await said(boss, channel, "engine resume", number=2) == "Engine 2 is given requests again."
    await world.until(lambda: fleet.engines[1].aboard or world.dispatcher.lengths == (0, 0))
    told = await said(boss, channel, "engine restart")
    assert told.startswith("2 engines are started anew one after the other")
    old = [engine.pid for engine in fleet.engines]
    await world.imagine(prompt="a tree")
    await world.until(lambda: all(now.is_up and now.pid not in old for now in fleet.engines))
    for number in (1, 2, 3):
        job = await world.reaches(number, JobState.DELIVERED)
        assert (job.attempt, job.faults) == (1, 0)
    deeds = [Deed.ENGINES_RESTARTED, Deed.ENGINE_RESUMED, Deed.ENGINE_PAUSED]
    assert [deed for deed, _ in await audited(world, EVERYWHERE)] == deeds
