"""What the demo's people do by themselves, on the demo's own stage with a fake engine; nobody waits between two acts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from simcord.actors import MemberActor
from simcord.builders import ChannelHandle
from typer.testing import CliRunner

from bot.app import create_app
from bot.chat.client import EaselClient
from bot.config import Settings, WrongOption
from bot.job import Action, Job, JobState
from bot.shell import demo, stage
from bot.shell.cli import app
from bot.shell.live_page import LiveEnv, LivePage
from bot.shell.scripts import EVENING, GRETA, KOFI, MONA, SCRIPTS, THEO, WELCOME, Asks, Presses, Says, Script
from bot.shell.stage import CutShort, Stage
from engine.contract import EngineSettings, FakeSettings
from tests.kit.world import settings_for

EXAMPLE = "a red circle"


@dataclass(slots=True)
class Scene:
    env: LiveEnv
    page: LivePage
    stage: Stage
    people: dict[str, MemberActor]
    channel: ChannelHandle

    @property
    def client(self) -> EaselClient:
        assert isinstance(self.env.bot, EaselClient)
        return self.env.bot

    async def jobs(self) -> list[Job]:
        """All there are, the oldest first."""
        found, get = [], self.client.services.store.jobs.get
        while (job := await get(len(found) + 1)) is not None:
            found.append(job)
        return found

    def written(self) -> list:
        return sorted(self.env.backend.messages[self.channel.id].values(), key=lambda message: message.id)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    settings = settings_for(tmp_path)
    engine = EngineSettings(model="fake", spool=str(settings.spool), fake=FakeSettings(step_s=0.01))

    def bot() -> EaselClient:
        return create_app(settings, engine, supervised=False, fetch=demo.from_simulation(lambda: env.bot))

    async def restart() -> None:
        await page.restart(bot())
        await scene.client.services.dispatcher.fleet.described.wait()

    client = bot()
    env = LiveEnv(client)
    demo.measure_images(env)
    await env.start()
    channel, people = demo._people(env, EXAMPLE)
    greeting = await demo._greet(env, client, channel, people[THEO], EXAMPLE)
    preview = env.preview(channel, viewers=[*people.values()], layout="channel", port=0)
    page = LivePage(env, preview, title="A test")
    stage = Stage(page, channel, people, greeting=greeting, restart=restart)
    scene = Scene(env=env, page=page, stage=stage, people=people, channel=channel)
    async with preview:
        await client.services.dispatcher.fleet.described.wait()
        yield scene
    await scene.client.close()
    await env.shutdown()


async def test_the_demo_is_lived_in(scene: Scene) -> None:
    """People talk and draw: what they drew are jobs like any other, whose buttons work; topic, pin and the last message
    say what to type."""
    await scene.stage.play(SCRIPTS[WELCOME])

    jobs = await scene.jobs()
    assert {job.state for job in jobs} == {JobState.DELIVERED}
    assert {job.user_id for job in jobs} == {scene.people[name].id for name in (KOFI, GRETA, THEO)}
    assert sum(job.request.images for job in jobs) <= 8
    greeting, pinning, *talk = scene.written()
    topic = scene.env.backend.get_channel(scene.channel.id).topic
    assert topic is not None
    assert EXAMPLE in topic
    assert greeting.pinned
    assert EXAMPLE in greeting.content
    assert pinning.author_id == scene.people[THEO].id
    said = [act.text for act in SCRIPTS[WELCOME].acts if isinstance(act, Says)]
    assert [message.content for message in talk if message.content in said] == said
    assert talk[-1].content == said[-1]
    assert "/imagine" in said[-1]

    await scene.stage.play(Script(acts=(Presses(who=MONA, label="Reroll", pictures=1),)))
    (again,) = (await scene.jobs())[len(jobs) :]
    assert (again.action, again.user_id) == (Action.REROLL, scene.people[MONA].id)


async def test_the_evening_replays_itself(scene: Scene) -> None:
    """It begins when a browser asks for the page, which then looks on as whoever acts; the bot is restarted in it, and
    all but what was cancelled is drawn."""
    own = scene.page._preview._python
    evening = replace(SCRIPTS[EVENING], pause_s=0.0)
    playing = asyncio.create_task(scene.stage.play(evening))
    await asyncio.sleep(0)
    assert not await scene.jobs()

    await scene.page.publish()
    await playing

    jobs = await scene.jobs()
    drawn = sum(job.request.images for job in jobs if job.state is JobState.DELIVERED)
    taken_out = 1
    assert drawn + taken_out == sum(act.pictures for act in evening.acts if isinstance(act, Asks))
    assert [job.state for job in jobs if job.state is not JobState.DELIVERED] == [JobState.CANCELLED]
    assert scene.env.generation == 2
    assert own.viewer is scene.people[GRETA]


async def test_a_script_that_cant_go_on_says_so(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody on the page deleted what it would press, say."""
    monkeypatch.setattr(stage, "WITHIN_S", 0.0)
    with pytest.raises(CutShort, match="Reroll"):
        await scene.stage.play(Script(acts=(Presses(who=MONA, label="Reroll"),)))


def test_which_scripts_there_are() -> None:
    """Another model than the starter is kept busy by nobody; what nobody wrote is refused with what there is."""
    starter, another = Settings(), Settings.model_validate({"engine": {"model": "owner/name"}})
    assert demo._script(WELCOME, starter).acts
    assert not demo._script(WELCOME, another).acts
    with pytest.raises(WrongOption, match="starter"):
        demo._script(EVENING, another)

    told = CliRunner().invoke(app, ["demo", "--script", "morning"])
    assert told.exit_code == 2
    assert "There is no script 'morning', only welcome, evening, empty." in " ".join(told.stderr.split())
