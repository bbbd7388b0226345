"""The real bot process against a loopback Discord: real sockets, real gateway, real kill -9."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from bot.store.backup import backups
from bot.store.checks import verify
from bot.vitals import health
from workshop.rehearsal.bot import Bot, Evening, easel_evening


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


async def exit_code(bot: Bot) -> int:
    assert bot.process is not None
    return await asyncio.wait_for(bot.process.wait(), 30)


def charges(evening: Evening) -> list[int]:
    return [row[0] for row in evening.bot.rows("SELECT charged FROM job ORDER BY id")]


def shown(evening: Evening, place: Any = None) -> list[Any]:
    """The messages of a channel that show a finished image."""
    messages = evening.discord.posted(place or evening.channel)
    return [m for m in messages if any(name.startswith("easel-") for name in m.shown_files)]


async def test_a_whole_evening(tmp_path: Path) -> None:
    """Login, sync, /imagine, progress, previews that come and go, image, button, restart, and the old button again."""
    async with easel_evening(
        tmp_path, fake={"step_s": 0.2}, toml='[preview]\nevery = 1\n[moderation]\npictures = "post"\n'
    ) as evening:
        discord, bot = evening.discord, evening.bot
        await start(evening)
        answer = await evening.imagine(prompt="a red circle", seed=42)
        assert f"<@{evening.alice.id}> `a red circle`" in answer.message.text
        assert answer.message.allowed_mentions == {"parse": []}
        await discord.until(lambda: answer.message.shown_files == ["preview.jpg"], what=bot.log())
        assert answer.message.attachments[0].bytes.startswith(b"\xff\xd8")
        message = await evening.finished(answer)

        assert set(discord.commands) >= {"imagine", "help", "quota", "history", "queue", "limits", "gallery"}
        (file,) = message.attachments
        assert file.filename == "easel-1-42.png"
        assert file.bytes.startswith(b"\x89PNG")
        assert file.description == "a red circle"
        assert message.shown_files == ["easel-1-42.png"]
        assert max(len(edit.filenames) for edit in message.history) == 1
        assert any("step" in edit.text for edit in message.history)
        # progress goes through the interaction's webhook, the end through the bot's own token
        progress, ends = (
            discord.requests_to("PATCH", "/webhooks/"),
            discord.requests_to("PATCH", "/channels/"),
        )
        assert progress
        assert all(not request.auth for request in progress)
        assert len(ends) == 1
        assert ends[0].auth

        bot.fake = {"step_s": 0.01}
        again = await evening.finished(await discord.click(evening.admin, message, "Reroll"))
        assert again.attachments[0].filename.startswith("easel-2-")
        assert await bot.stop() == 0

        await start(evening)
        third = await evening.finished(await discord.click(evening.alice, message, "Reroll"))
        assert third.attachments[0].filename.startswith("easel-3-")
        assert discord.syncs == 1
        await discord.until(lambda: bot.states() == ["delivered"] * 3)


async def test_a_killed_bot_resumes_everything(tmp_path: Path) -> None:
    """After kill -9 the running and the waiting job end as one image each, in the messages that were promised."""
    async with easel_evening(tmp_path, fake={"step_s": 0.3, "slots": 1}) as evening:
        await start(evening)
        answers = [await evening.imagine(prompt=prompt) for prompt in ("first", "second")]
        await evening.discord.until(lambda: "running" in evening.bot.states())
        await evening.bot.kill()
        evening.bot.fake = {"step_s": 0.01}
        await evening.bot.start()
        messages = [await evening.finished(answer) for answer in answers]
        await evening.discord.until(lambda: evening.bot.states() == ["delivered"] * 2)

        assert [len(message.attachments) for message in messages] == [1, 1]
        assert len(evening.discord.posted(evening.channel)) == 2
        assert evening.bot.rows("SELECT faults FROM job") == [(0,), (0,)]


async def test_a_running_bot_is_well_alone_and_backed_up(tmp_path: Path) -> None:
    """`easel health` ends with 0, there is a verified backup, a second bot leaves with 75; a token refused later: 78."""
    async with easel_evening(tmp_path) as evening:
        discord, bot, data = evening.discord, evening.bot, tmp_path / "data"
        await start(evening)
        await discord.until((data / health.FILE).exists, timeout_s=20)
        assert health.look(data, now=time.time()) == []
        await discord.until(lambda: "backup_made" in bot.log())
        (made,) = backups(data / "backups")
        assert verify(made.path) == []

        second = Bot(discord=discord, folder=tmp_path)
        await second.start(ready=False)
        assert await exit_code(second) == 75
        assert "Another Easel already uses" in second.log()

        await discord.drop_gateway(4004)
        assert await exit_code(bot) == 78
        assert "Discord refused the token" in bot.log()
        assert "Traceback" not in bot.log()
        assert len(discord.gateway.identifies) == 1


async def test_a_token_refused_later_ends_with_78_and_loses_nothing(tmp_path: Path) -> None:
    """401 for the last edit: the process ends at once, and the next start delivers what lies in the spool."""
    async with easel_evening(tmp_path) as evening:
        await start(evening)
        evening.discord.fail_next("PATCH", "/channels/", status=401)
        answer = await evening.imagine()
        assert await exit_code(evening.bot) == 78
        assert "Discord refused the token" in evening.bot.log()
        assert len(evening.discord.requests_to("PATCH", "/channels/")) == 1
        assert evening.bot.states() == ["rendered"]
        await evening.discord.wait_gone()
        await start(evening)
        await evening.finished(answer, timeout_s=30)
        await ends(evening, "delivered")
        assert evening.bot.rows("SELECT attempt FROM job") == [(1,)]


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


async def test_in_no_server_it_prints_how_to_invite_it(tmp_path: Path) -> None:
    """With exactly the permissions it needs; and whatever the application's page allows, its commands are for servers."""
    async with easel_evening(tmp_path) as evening:
        await evening.discord.remove_bot(evening.guild)
        await evening.bot.start()
        await evening.discord.until(lambda: "oauth2/authorize" in evening.bot.log())
        assert "permissions=274877942784" in evening.bot.log()
        assert "scope=bot+applications.commands" in evening.bot.log()
        (pushed,) = evening.discord.requests_to("PUT", "/commands")
        assert {(*c["integration_types"], "of", *c["contexts"]) for c in pushed.json["_"]} == {(0, "of", 0)}
