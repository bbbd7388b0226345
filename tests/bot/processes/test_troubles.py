"""The real bot process while Discord, its server or its people make trouble: what was promised is kept, once."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from bot.vitals import health
from workshop.rehearsal.bot import Evening, easel_evening

CALLBACK = ("POST", "/callback")


async def start(evening: Evening) -> None:
    """The bot is connected, and its engine is ready: what is asked now is not refused."""
    ready = evening.bot.log().count("engine_ready") if evening.bot.output.is_file() else 0
    await evening.bot.start()
    await evening.discord.until(
        lambda: evening.bot.log().count("engine_ready") > ready, timeout_s=30, what=evening.bot.log()
    )


async def ends(evening: Evening, *states: str, timeout_s: float = 30) -> None:
    """The jobs, in their order, have come to these states."""
    await evening.discord.until(
        lambda: evening.bot.states() == [*states], timeout_s=timeout_s, what=evening.bot.log()
    )


def charges(evening: Evening) -> list[int]:
    return [row[0] for row in evening.bot.rows("SELECT charged FROM job ORDER BY id")]


def shown(evening: Evening, place: Any = None) -> list[Any]:
    """The messages of a channel that show a finished image."""
    messages = evening.discord.posted(place or evening.channel)
    return [m for m in messages if any(name.startswith("easel-") for name in m.shown_files)]


# ------------------------------------------------------------------ the token


async def test_a_token_refused_later_ends_with_78_and_loses_nothing(tmp_path: Path) -> None:
    """401 for the last edit: the process ends at once, and the next start delivers what lies in the spool."""
    async with easel_evening(tmp_path) as evening:
        await start(evening)
        evening.discord.fail_next("PATCH", "/channels/", status=401)
        answer = await evening.imagine()
        assert evening.bot.process is not None
        code = await asyncio.wait_for(evening.bot.process.wait(), 30)

        assert code == 78
        assert "Discord refused the token" in evening.bot.log()
        assert len(evening.discord.requests_to("PATCH", "/channels/")) == 1
        assert evening.bot.states() == ["rendered"]
        await evening.discord.wait_gone()
        await start(evening)
        await evening.finished(answer, timeout_s=30)
        await ends(evening, "delivered")
        assert evening.bot.rows("SELECT attempt FROM job") == [(1,)]


async def test_a_gateway_that_refuses_the_token_ends_with_78(tmp_path: Path) -> None:
    """Close code 4004: one sentence, and no further IDENTIFY."""
    async with easel_evening(tmp_path) as evening:
        await start(evening)
        await evening.discord.drop_gateway(4004)
        assert evening.bot.process is not None
        code = await asyncio.wait_for(evening.bot.process.wait(), 30)

        assert code == 78
        assert "Discord refused the token" in evening.bot.log()
        assert "Traceback" not in evening.bot.log()
        assert len(evening.discord.gateway.identifies) == 1


# ------------------------------------------------------------------ first answers

LATE: list[dict[str, Any]] = [
    {"status": 404, "code": 10062},
    {"status": 400, "code": 40060},
    {"status": 400},
    {"reset": True},
]


async def test_an_answer_that_discord_did_not_take(tmp_path: Path) -> None:
    """Unknown interaction, acknowledged without a message, refused, reset: nobody was told, so nothing is drawn or charged."""
    async with easel_evening(tmp_path) as evening:
        await start(evening)
        for number, fault in enumerate(LATE, 1):
            evening.discord.fail_next(*CALLBACK, **fault)
            await evening.discord.send_slash(evening.alice, evening.channel, "imagine", prompt="a red circle")
            await ends(evening, *["cancelled"] * number, timeout_s=60)

        assert evening.bot.rows("SELECT attempt, charged FROM job") == [(0, 0)] * len(LATE)
        assert evening.discord.messages(evening.channel) == []


LOST: list[dict[str, Any]] = [
    {"status": 400, "code": 40060},
    {"status": 500},
    {"status": 503},
    {"reset": True},
]


async def test_an_answer_that_was_taken_while_its_reply_was_lost(tmp_path: Path) -> None:
    """The message stands there: it is looked up, and the job runs."""
    async with easel_evening(tmp_path) as evening:
        await start(evening)
        for number, fault in enumerate(LOST, 1):
            evening.discord.fail_next(*CALLBACK, apply=True, **fault)
            await evening.discord.send_slash(evening.alice, evening.channel, "imagine", prompt="a red circle")
            await ends(evening, *["delivered"] * number, timeout_s=60)

            assert len(shown(evening)) == len(evening.discord.posted(evening.channel)) == number


async def test_an_answer_later_than_three_seconds(tmp_path: Path) -> None:
    """Discord's own 10062: the answer hung on its way, the person saw a failure, and nothing is drawn."""
    async with easel_evening(tmp_path) as evening:
        await start(evening)
        hold = evening.discord.hold_next(*CALLBACK)
        await evening.discord.send_slash(evening.alice, evening.channel, "imagine", prompt="a red circle")
        await evening.discord.until(lambda: hold.entered)
        evening.discord.advance(4)
        hold.release()
        await ends(evening, "cancelled")

        assert charges(evening) == [0]


# ------------------------------------------------------------------ events that come twice


async def test_an_event_delivered_four_times_is_one_job(tmp_path: Path) -> None:
    """Replayed at once and again after its end: one job, one message, and nobody is told of the repetitions."""
    async with easel_evening(tmp_path) as evening:
        discord = evening.discord
        await start(evening)
        sent = await discord.send_slash(evening.alice, evening.channel, "imagine", prompt="a red circle")
        for _ in range(3):
            await discord.replay_last_interaction()
        await discord.until_answered(sent)
        await ends(evening, "delivered")
        await discord.replay_last_interaction()
        await discord.until(
            lambda: evening.bot.log().count("interaction_repeated") == 4, what=evening.bot.log()
        )

        assert len(discord.requests_to(*CALLBACK)) == 1
        assert len(shown(evening)) == len(discord.posted(evening.channel)) == 1
        assert charges(evening) == [1]


async def test_two_presses_at_once_are_one_job(tmp_path: Path) -> None:
    """A double click on Reroll: one image, and the second press hears so, for its person alone."""
    async with easel_evening(tmp_path, fake={"step_s": 0.05}) as evening:
        discord = evening.discord
        await start(evening)
        message = await evening.finished(await evening.imagine())
        presses = [await discord.send_click(evening.alice, message, "Reroll") for _ in range(2)]
        answers = [await discord.until_answered(press) for press in presses]
        await ends(evening, "delivered", "delivered")

        (refused,) = [answer.ephemeral_text for answer in answers if answer.ephemeral_text]
        assert "already pressed this button" in refused
        assert len(shown(evening)) == 2


async def test_the_gateway_is_gone_while_an_image_is_made(tmp_path: Path) -> None:
    """Results need no gateway: they go out meanwhile, and events replayed afterwards are no second job."""
    async with easel_evening(tmp_path, fake={"step_s": 0.1}) as evening:
        discord = evening.discord
        await start(evening)
        answer = await evening.imagine()
        away = discord.fail_next("GET", "/gateway", status=503, times=1_000)
        await discord.drop_gateway()
        await evening.finished(answer)
        assert not discord.gateway.ready
        for _ in range(3):
            await discord.replay_last_interaction()
        await discord.until(lambda: away.hits > 0)
        away.times = 0
        await discord.until(lambda: discord.gateway.ready, timeout_s=60)
        await discord.until(
            lambda: evening.bot.log().count("interaction_repeated") == 3, what=evening.bot.log()
        )
        await evening.finished(await evening.imagine(prompt="a blue square"))

        await ends(evening, "delivered", "delivered")
        assert len(shown(evening)) == 2


async def test_a_command_sent_during_an_outage_comes_too_late(tmp_path: Path) -> None:
    """Discord delivers it after the resume, when its answer is refused (10062): it costs nothing, and the next one works."""
    async with easel_evening(tmp_path) as evening:
        discord = evening.discord
        await start(evening)
        discord.fail_next("GET", "/gateway", status=503)
        await discord.drop_gateway()
        await discord.send_slash(evening.alice, evening.channel, "imagine", prompt="a red circle")
        discord.advance(600)
        await ends(evening, "cancelled", timeout_s=60)
        await evening.finished(await evening.imagine(prompt="a blue square"))

        await ends(evening, "cancelled", "delivered")
        assert charges(evening) == [0, 1]


# ------------------------------------------------------------------ places that go away


async def test_a_message_deleted_meanwhile_is_replaced(tmp_path: Path) -> None:
    """10008: one new message with the image, its buttons work, and history leads there."""
    async with easel_evening(tmp_path, fake={"step_s": 0.1}) as evening:
        discord = evening.discord
        await start(evening)
        answer = await evening.imagine()
        discord.delete_message(answer.message)
        await ends(evening, "delivered")

        (message,) = shown(evening)
        assert evening.bot.rows("SELECT message_id FROM job") == [(message.id,)]
        await evening.finished(await discord.click(evening.alice, message, "Reroll"))


async def test_a_channel_deleted_meanwhile_leads_to_a_direct_message(tmp_path: Path) -> None:
    """10003: the image goes to its person, once, and is charged."""
    async with easel_evening(tmp_path, fake={"step_s": 0.1}) as evening:
        await start(evening)
        await evening.imagine()
        await evening.discord.delete_channel(evening.channel)
        await ends(evening, "delivered")

        (message,) = shown(evening, evening.discord.dm(evening.alice))
        assert "The channel is gone." in message.text
        assert charges(evening) == [1]


async def test_what_nobody_takes_is_refunded_and_kept_in_the_history(tmp_path: Path) -> None:
    """Channel gone and direct messages shut: nothing is charged until its person fetches the image, which costs it once."""
    async with easel_evening(tmp_path, fake={"step_s": 0.1}) as evening:
        discord = evening.discord
        evening.alice.takes_dms = False
        await start(evening)
        await evening.imagine(seed=42)
        await discord.delete_channel(evening.channel)
        await ends(evening, "failed")
        assert evening.bot.rows("SELECT charged, reason_code FROM job") == [(0, "channel_gone")]

        elsewhere = discord.add_channel(evening.guild, "elsewhere")
        await discord.announce(evening.guild)
        history: Any = (await discord.slash(evening.alice, elsewhere, "history")).message
        assert "could not be posted, not charged: 📥 1 for 1 credit" in history.text
        for _ in range(2):
            fetched: Any = await discord.click(evening.alice, history, "Show 1")
            await discord.until(lambda shown=fetched: shown.message.shown_files == ["easel-1-42.png"])
            assert fetched.message.ephemeral
            assert charges(evening) == [1]
        history = (await discord.slash(evening.alice, elsewhere, "history")).message
        assert "could not be posted: 📥 1" in history.text

        (file,) = (tmp_path / "data" / "spool").glob("*.png")
        file.unlink()
        gone = await discord.click(evening.alice, history, "Show 1")
        assert "not kept any more" in (gone.ephemeral_text or "")


async def test_what_was_refunded_is_not_handed_out_for_nothing(tmp_path: Path) -> None:
    """Three pictures that nobody took, drawn with one day's credit: one can be fetched, for that credit, and no other."""
    limits = "[limits]\ncredits_per_day = 1\n[ceilings]\ncredits_per_day = 1\n"
    async with easel_evening(tmp_path, fake={"step_s": 0.1}, toml=limits) as evening:
        discord = evening.discord
        evening.alice.takes_dms = False
        await start(evening)
        rooms = [discord.add_channel(evening.guild, f"room-{number}") for number in range(3)]
        await discord.announce(evening.guild)
        for number, room in enumerate(rooms, 1):
            await discord.slash(evening.alice, room, "imagine", prompt="a red circle")
            await discord.delete_channel(room)
            await ends(evening, *["failed"] * number)
        history: Any = (await discord.slash(evening.alice, evening.channel, "history")).message
        presses = (1, 2, 3, 1)
        fetched: list[Any] = [await discord.click(evening.alice, history, f"Show {n}") for n in presses]
        for answer in fetched[::3]:
            await discord.until(lambda shown=answer: shown.message.shown_files)
        for answer in fetched[1:3]:
            await discord.until(lambda told=answer: "used up" in told.message.text)
            assert not answer.message.shown_files
        assert charges(evening) == [1, 0, 0]


async def test_an_outage_outlived_by_a_restart(tmp_path: Path) -> None:
    """The bot is killed while Discord takes nothing: the next process posts the same files, drawn once."""
    async with easel_evening(tmp_path) as evening:
        await start(evening)
        outage = evening.discord.fail_next("PATCH", "/channels/", status=503, times=10_000)
        answer = await evening.imagine()
        await evening.discord.until(lambda: outage.hits >= 2, what=evening.bot.log())
        await evening.bot.kill()
        assert evening.bot.states() == ["rendered"]
        outage.times = 0
        await start(evening)
        await evening.finished(answer)

        await ends(evening, "delivered")
        assert evening.bot.rows("SELECT attempt, faults FROM job") == [(1, 0)]


# ------------------------------------------------------------------ a server that is left


async def test_a_server_that_is_left_gets_nothing_and_pays_nothing(tmp_path: Path) -> None:
    """Kicked with one job running and two waiting: all are cancelled, refunded and unposted."""
    async with easel_evening(tmp_path, fake={"step_s": 0.3, "slots": 1}) as evening:
        discord = evening.discord
        await start(evening)
        for _ in range(3):
            await evening.imagine()
        await discord.until(lambda: "running" in evening.bot.states())
        await discord.remove_bot(evening.guild)
        await ends(evening, "cancelled", "cancelled", "cancelled")

        assert charges(evening) == [0, 0, 0]
        assert discord.requests_to("PATCH", "/channels/") == discord.requests_to("POST", "/channels") == []
        reasons = evening.bot.rows("SELECT DISTINCT reason_code FROM job")
        assert reasons == [("removed",)]


async def test_a_server_left_while_the_bot_was_away(tmp_path: Path) -> None:
    """Kicked while it was down: at its next start the jobs of that server are cancelled and refunded, nothing is sent there."""
    async with easel_evening(tmp_path, fake={"step_s": 0.3, "slots": 1}) as evening:
        discord = evening.discord
        await start(evening)
        for _ in range(2):
            await evening.imagine()
        await evening.bot.kill()
        await discord.remove_bot(evening.guild)
        evening.bot.fake = {"load_s": 60.0}
        await evening.bot.start()
        await ends(evening, "cancelled", "cancelled")

        assert charges(evening) == [0, 0]
        assert discord.requests_to("PATCH", "/channels/") == discord.requests_to("POST", "/channels") == []


async def test_a_server_in_an_outage_is_not_left(tmp_path: Path) -> None:
    """Discord sends the same event, marked as unavailable: jobs go on and are delivered."""
    async with easel_evening(tmp_path, fake={"step_s": 0.1, "slots": 1}) as evening:
        await start(evening)
        for _ in range(2):
            await evening.imagine()
        await evening.discord.lose_guild(evening.guild)
        await ends(evening, "delivered", "delivered")

        assert len(shown(evening)) == 2


# ------------------------------------------------------------------ told to stop


async def test_what_is_being_drawn_is_finished_first(tmp_path: Path) -> None:
    """SIGTERM: the running picture is delivered, the waiting one keeps its place, the next start goes on; exit 0."""
    async with easel_evening(tmp_path, fake={"step_s": 0.15, "slots": 1}) as evening:
        await start(evening)
        answers = [await evening.imagine(prompt=prompt) for prompt in ("first", "second")]
        await evening.discord.until(lambda: "running" in evening.bot.states())
        assert await evening.bot.stop() == 0
        assert evening.bot.states() == ["delivered", "queued"]
        assert "your place in line is kept" in answers[1].message.text
        evening.bot.fake = {"step_s": 0.01}
        await evening.bot.start()
        await ends(evening, "delivered", "delivered")
        assert len(shown(evening)) == 2


async def test_nothing_new_is_taken_while_it_stops(tmp_path: Path) -> None:
    """Who asks during the last seconds is told to come back, and is charged nothing."""
    async with easel_evening(tmp_path, fake={"step_s": 0.3, "slots": 1}) as evening:
        await start(evening)
        await evening.imagine(prompt="first")
        await evening.discord.until(lambda: "running" in evening.bot.states())
        assert evening.bot.process is not None
        evening.bot.process.terminate()
        await evening.discord.until(lambda: "draining" in evening.bot.log())
        answer = await evening.imagine(prompt="second")
        assert "restarted: ask again in a minute" in (answer.ephemeral_text or "")
        assert await asyncio.wait_for(evening.bot.process.wait(), 30) == 0
        assert evening.bot.states() == ["delivered"]


async def test_told_twice_it_ends_at_once(tmp_path: Path) -> None:
    """A second SIGTERM does not wait for the picture, which goes back to its place."""
    toml = "[queue]\ndrain_s = 600\n"
    async with easel_evening(tmp_path, fake={"step_s": 5.0, "slots": 1}, toml=toml) as evening:
        await start(evening)
        await evening.imagine()
        await evening.discord.until(lambda: "running" in evening.bot.states())
        assert evening.bot.process is not None
        evening.bot.process.terminate()
        await evening.discord.until(lambda: "draining" in evening.bot.log())
        assert evening.bot.process.returncode is None
        assert await evening.bot.stop() == 0
        assert evening.bot.states() == ["running"]


async def test_the_limit_holds(tmp_path: Path) -> None:
    """A picture that would take too long is not waited for."""
    toml = "[queue]\ndrain_s = 0.5\n"
    async with easel_evening(tmp_path, fake={"step_s": 5.0, "slots": 1}, toml=toml) as evening:
        await start(evening)
        await evening.imagine()
        await evening.discord.until(lambda: "running" in evening.bot.states())
        assert await evening.bot.stop() == 0
        assert evening.bot.states() == ["running"]


async def test_a_running_bot_says_that_it_is_well(tmp_path: Path) -> None:
    """Its file says so while it runs, and `easel health` ends with 0."""
    async with easel_evening(tmp_path) as evening:
        await start(evening)
        file = evening.bot.folder / "data" / health.FILE
        await evening.discord.until(file.exists, timeout_s=20)
        assert health.look(file.parent, now=time.time()) == []
