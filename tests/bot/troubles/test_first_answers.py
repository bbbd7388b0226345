"""The first answer to a command is lost, refused, late or comes twice: who was told is served, and nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.kit.troubled import trouble

CALLBACK = ("POST", "/callback")


# ------------------------------------------------------------------ taken or not


LATE: list[dict[str, Any]] = [
    {"status": 404, "code": 10062},
    {"status": 400, "code": 40060},
    {"status": 400},
    {"reset": True},
]


async def test_an_answer_that_discord_did_not_take(tmp_path: Path) -> None:
    """Unknown interaction, acknowledged without a message, refused, reset: nobody was told, so nothing is drawn or charged."""
    async with trouble(tmp_path) as world:
        await world.come()
        for number, fault in enumerate(LATE, 1):
            world.discord.fail_next(*CALLBACK, **fault)
            await world.asks()
            await world.ends(*["cancelled"] * number)

        assert world.rows("SELECT attempt, charged FROM job") == [(0, 0)] * len(LATE)
        assert world.discord.posted(world.channel) == []


LOST: list[dict[str, Any]] = [
    {"status": 400, "code": 40060},
    {"status": 500},
    {"status": 503},
    {"reset": True},
]


async def test_an_answer_that_was_taken_while_its_reply_was_lost(tmp_path: Path) -> None:
    """The message stands there: it is looked up, and the job runs."""
    async with trouble(tmp_path) as world:
        await world.come()
        for number, fault in enumerate(LOST, 1):
            world.discord.fail_next(*CALLBACK, apply=True, **fault)
            await world.asks()
            await world.ends(*["delivered"] * number)

            assert len(world.shown()) == len(world.discord.posted(world.channel)) == number


async def test_an_answer_later_than_three_seconds(tmp_path: Path) -> None:
    """Discord's own 10062: the answer hung on its way, the person saw a failure, and nothing is drawn."""
    async with trouble(tmp_path) as world:
        await world.come()
        hold = world.discord.hold_next(*CALLBACK)
        await world.asks()
        await world.hears(lambda: hold.entered)
        world.discord.advance(4)
        hold.release()
        await world.ends("cancelled")

        assert world.charges() == [0]


async def test_an_answer_is_looked_for_until_discord_is_back(tmp_path: Path) -> None:
    """The reply to the answer is lost and Discord is away for a moment: the message that stands there is served."""
    async with trouble(tmp_path) as world:
        await world.come()
        world.discord.fail_next("POST", "/callback", reset=True, times=1, apply=True)
        away = world.discord.fail_next("GET", "/messages/", reset=True, times=2, apply=False)
        await world.asks()
        await world.hears(lambda: world.states() == ["delivered"])

        assert away.hits == 2


async def test_a_single_slip_of_discord_ends_nothing(tmp_path: Path) -> None:
    """One 40060 without a message is refunded as ever, and a lost reply that is repeated proves nothing."""
    async with trouble(tmp_path) as world:
        await world.come()
        for fault in (
            {"status": 400, "code": 40060},
            {"status": 500, "apply": True},
            {"status": 503, "apply": True},
        ):
            world.discord.fail_next(*CALLBACK, **fault)  # type: ignore[arg-type]
            await world.asks()
        await world.ends("cancelled", "delivered", "delivered")
        await world.finished(await world.imagine())


RAW = [
    ({"steps": 0}, "DPM++ 2M takes 1 to 150 steps, not 0"),
    ({"steps": 9999}, "takes 1 to 150 steps, not 9999"),
    ({"guidance": 99.0}, "Guidance goes from 1 to 30, not 99"),
    ({"guidance": -1.0}, "Guidance goes from 1 to 30, not -1"),
    ({"seed": -2}, "from 0 to 4294967295, or -1 for a random one"),
    ({"seed": 2**32}, "from 0 to 4294967295, or -1 for a random one"),
    ({"images": 0}, "makes 1 to 10 images, not 0"),
    ({"prompt": ""}, "prompt is empty"),
    ({"prompt": "x" * 4001}, "has 4001 characters: shorten it to at most 4000"),
    ({"aspect": "7:1"}, "no aspect “7:1”"),
]


async def test_values_beyond_what_discord_lets_through(tmp_path: Path) -> None:
    """Discord's client stops these values, but the bot does not rely on it: one sentence, no job, no error logged."""
    async with trouble(tmp_path) as world:
        await world.come()
        for options, sentence in RAW:
            values: dict[str, Any] = {"prompt": "x", "sampler": "DPM++ 2M", **options}
            interaction = await world.asks(unchecked=True, **values)
            answer = await world.discord.until_answered(interaction, 10)
            assert sentence in (answer.ephemeral_text or ""), options
        assert world.states() == []
        assert "interaction_failed" not in world.log()


# ------------------------------------------------------------------ events that come twice, or late


async def test_an_event_delivered_four_times_is_one_job(tmp_path: Path) -> None:
    """Replayed at once and again after its end: one job, one message, and nobody is told of the repetitions."""
    async with trouble(tmp_path) as world:
        discord = world.discord
        await world.come()
        sent = await world.asks()
        for _ in range(3):
            await discord.replay_last_interaction()
        await discord.until_answered(sent)
        await world.ends("delivered")
        await discord.replay_last_interaction()
        await world.hears(lambda: world.log().count("interaction_repeated") == 4)

        assert len(discord.requests_to(*CALLBACK)) == 1
        assert len(world.shown()) == len(discord.posted(world.channel)) == 1
        assert world.charges() == [1]


async def test_two_presses_at_once_are_one_job(tmp_path: Path) -> None:
    """A double click on Reroll: one image, and the second press hears so, for its person alone."""
    async with trouble(tmp_path, step_s=0.05) as world:
        discord = world.discord
        await world.come()
        message = await world.finished(await world.imagine())
        presses = [await discord.send_click(world.alice.user, message, "Reroll") for _ in range(2)]
        answers = [await discord.until_answered(press) for press in presses]
        await world.ends("delivered", "delivered")

        (refused,) = [answer.ephemeral_text for answer in answers if answer.ephemeral_text]
        assert "already pressed this button" in refused
        assert len(world.shown()) == 2


async def test_replayed_commands_are_no_second_bot(tmp_path: Path) -> None:
    """Discord may deliver an event again: what we have answered ourselves is nobody else's."""
    async with trouble(tmp_path) as world:
        await world.come()
        for _ in range(4):
            await world.alice.slash(world.channel, "quota")
            await world.discord.replay_last_interaction()
        await world.finished(await world.imagine())
        assert "answered_by_another" not in world.log()


async def test_the_gateway_is_gone_while_an_image_is_made(tmp_path: Path) -> None:
    """Results need no gateway: they go out meanwhile, and events replayed afterwards are no second job."""
    async with trouble(tmp_path, step_s=0.1) as world:
        discord = world.discord
        await world.come()
        answer = await world.imagine()
        away = discord.fail_next("GET", "/gateway", status=503, times=1_000)
        await discord.drop_gateway()
        await world.finished(answer)
        assert not discord.gateway.ready
        for _ in range(3):
            await discord.replay_last_interaction()
        await world.hears(lambda: away.hits > 0)
        away.times = 0
        await world.hears(lambda: discord.gateway.ready)
        await world.hears(lambda: world.log().count("interaction_repeated") == 3)
        await world.finished(await world.imagine(prompt="a blue square"))

        await world.ends("delivered", "delivered")
        assert len(world.shown()) == 2


async def test_a_command_sent_during_an_outage_comes_too_late(tmp_path: Path) -> None:
    """Discord delivers it after the resume, when its answer is refused (10062): it costs nothing, and the next one works."""
    async with trouble(tmp_path) as world:
        discord = world.discord
        await world.come()
        discord.fail_next("GET", "/gateway", status=503)
        await discord.drop_gateway()
        await world.asks()
        discord.advance(600)
        await world.ends("cancelled")
        await world.finished(await world.imagine(prompt="a blue square"))

        await world.ends("cancelled", "delivered")
        assert world.charges() == [0, 1]
