"""The real bot process against a loopback Discord: real sockets, real gateway, real kill -9."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from workshop.rehearsal.bot import easel_evening
from workshop.rehearsal.loopback.driver import Permission


async def test_a_whole_evening(tmp_path: Path) -> None:
    """Login, sync, /imagine, progress, image, button, restart, and the old button again."""
    async with easel_evening(tmp_path, fake={"step_s": 0.1}) as evening:
        discord, bot = evening.discord, evening.bot
        await bot.start()
        answer = await evening.imagine(prompt="a red circle", seed=42)
        assert f"<@{evening.alice.id}> `a red circle`" in answer.message.text
        assert answer.message.allowed_mentions == {"parse": []}
        message = await evening.finished(answer)

        assert set(discord.commands) >= {"imagine", "help", "quota", "history", "queue", "limits", "gallery"}
        assert message.attachments[0].filename == "easel-1-42.png"
        assert message.attachments[0].bytes.startswith(b"\x89PNG")
        assert message.attachments[0].description == "a red circle"
        assert message.shown_files == ["easel-1-42.png"]
        assert any("step" in edit.text for edit in message.history)
        again = await evening.finished(await discord.click(evening.admin, message, "Reroll"))
        assert again.attachments[0].filename.startswith("easel-2-")
        assert await bot.stop() == 0

        await bot.start()
        third = await evening.finished(await discord.click(evening.alice, message, "Reroll"))
        assert third.attachments[0].filename.startswith("easel-3-")
        assert discord.syncs == 1
        await discord.until(lambda: bot.states() == ["delivered"] * 3)


async def test_previews_come_and_go(tmp_path: Path) -> None:
    """While the image is made its newest preview stands in the message, and with the image it is gone."""
    async with easel_evening(tmp_path, fake={"step_s": 0.3}, toml="[preview]\nevery = 1\n") as evening:
        await evening.bot.start()
        answer = await evening.imagine(seed=42)
        await evening.discord.until(lambda: answer.message.shown_files == ["preview.jpg"])
        assert answer.message.attachments[0].bytes.startswith(b"\xff\xd8")
        message = await evening.finished(answer)

        assert [item.filename for item in message.attachments] == message.shown_files == ["easel-1-42.png"]
        assert max(len(edit.filenames) for edit in message.history) == 1


async def test_progress_and_end_use_different_doors(tmp_path: Path) -> None:
    """Progress goes through the interaction's webhook, the end through the bot's own token, and no follow-up is made that others see."""
    async with easel_evening(tmp_path, fake={"step_s": 0.1}) as evening:
        await evening.bot.start()
        await evening.finished(await evening.imagine())
        progress = evening.discord.requests_to("PATCH", "/webhooks/")
        ends = evening.discord.requests_to("PATCH", "/channels/")

        assert progress
        assert all(not request.auth for request in progress)
        assert len(ends) == 1
        assert ends[0].auth
        assert all(each.ephemeral for each in evening.discord.followups)


async def test_a_killed_bot_resumes_everything(tmp_path: Path) -> None:
    """After kill -9 the running and the waiting job end as one image each, in the messages that were promised."""
    async with easel_evening(tmp_path, fake={"step_s": 0.3, "slots": 1}) as evening:
        await evening.bot.start()
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


async def test_killed_between_discords_acceptance_and_ours(tmp_path: Path) -> None:
    """Killed after Discord took the first answer but before its id was stored: the message is found and the job runs."""
    async with easel_evening(tmp_path) as evening:
        discord = evening.discord
        await evening.bot.start()
        hold = discord.hold_next("POST", "/callback", apply=True)
        await discord.send_slash(evening.alice, evening.channel, "imagine", prompt="a red circle")
        await discord.until(lambda: hold.entered)
        await evening.bot.kill()
        hold.release()

        assert evening.bot.states() == ["accepted"]
        await evening.bot.start()
        await discord.until(lambda: evening.bot.states() == ["delivered"], what=evening.bot.log())

        assert discord.posted(evening.channel)[0].attachments


async def test_an_answer_is_looked_for_until_discord_is_back(tmp_path: Path) -> None:
    """The reply to the answer is lost and Discord is away for a moment: the message that stands there is served."""
    async with easel_evening(tmp_path) as evening:
        await evening.bot.start()
        evening.discord.fail_next("POST", "/callback", reset=True, times=1, apply=True)
        away = evening.discord.fail_next("GET", "/messages/", reset=True, times=2, apply=False)
        await evening.discord.send_slash(evening.alice, evening.channel, "imagine", prompt="a red circle")
        await evening.discord.until(
            lambda: evening.bot.states() == ["delivered"], timeout_s=30, what=evening.bot.log()
        )

        assert away.hits == 2


async def test_images_that_may_not_be_posted_any_more_go_to_their_person(tmp_path: Path) -> None:
    """Attach Files is taken away while the image is made: it comes as a direct message, and the channel's says so."""
    async with easel_evening(tmp_path, fake={"step_s": 0.2}) as evening:
        discord = evening.discord
        await evening.bot.start()
        answer = await evening.imagine()
        usual = evening.channel.app_permissions
        await discord.set_app_permissions(evening.channel, usual & ~Permission.ATTACH_FILES)
        await discord.until(lambda: "direct message" in answer.message.text, timeout_s=20)
        (sent,) = discord.messages(discord.dm(evening.alice))

        assert [name.startswith("easel-1-") for name in sent.shown_files] == [True]
        await discord.until(lambda: evening.bot.rows("SELECT state, charged FROM job") == [("delivered", 1)])


async def test_a_delete_that_discord_refuses_changes_nothing(tmp_path: Path) -> None:
    """Where the bot may not look any more, Delete says so, and the image stays what it was."""
    async with easel_evening(tmp_path) as evening:
        discord = evening.discord
        await evening.bot.start()
        message = await evening.finished(await evening.imagine())
        await discord.until(lambda: evening.bot.states() == ["delivered"])
        discord.fail_next("DELETE", "/channels/", status=403, times=1, apply=False)
        answer = await discord.click(evening.alice, message, "Delete")

        assert "may not delete" in (answer.ephemeral_text or "")
        assert evening.bot.rows("SELECT deleted_at FROM job") == [(None,)]
        assert "interaction_failed" not in evening.bot.log()


async def test_without_a_network_the_bot_waits_for_it(tmp_path: Path) -> None:
    """Discord can't be reached at start: one sentence a try, no traceback, and 0 when it is told to stop."""
    async with easel_evening(tmp_path) as evening:
        evening.bot.address = "127.0.0.1:1"
        await evening.bot.start(ready=False)
        await evening.discord.until(
            lambda: evening.bot.log().count("Discord can't be reached") == 2, timeout_s=40
        )

        assert "Trying again in 4 s." in evening.bot.log()
        assert await evening.bot.stop() == 0
        assert "Traceback" not in evening.bot.log()


async def test_the_end_is_delivered_once_through_bad_weather(tmp_path: Path) -> None:
    """The last edit is repeated until Discord has it; the channel holds one message with one image."""
    async with easel_evening(tmp_path) as evening:
        await evening.bot.start()
        outage = evening.discord.fail_next("PATCH", "/channels/", status=503, times=2)
        lost = evening.discord.fail_next("PATCH", "/channels/", reset=True, apply=True)
        await evening.finished(await evening.imagine(), timeout_s=40)
        await evening.discord.until(
            lambda: evening.bot.states() == ["delivered"], timeout_s=40, what=evening.bot.log()
        )
        messages = evening.discord.posted(evening.channel)

        assert (outage.hits, lost.hits) == (2, 1)
        assert len(messages) == 1
        assert len(messages[0].shown_files) == 1


async def test_the_last_edit_waits_for_a_running_one(tmp_path: Path) -> None:
    """A progress edit that hangs in Discord is waited for, so it can't arrive after the gallery and wipe it."""
    async with easel_evening(tmp_path, fake={"step_s": 0.02}) as evening:
        discord = evening.discord
        await evening.bot.start()
        hold = discord.hold_next("PATCH", "/webhooks/", apply=False)
        answer = await evening.imagine()
        await discord.until(lambda: hold.entered)
        await discord.until(lambda: evening.bot.states() == ["rendered"])
        assert discord.requests_to("PATCH", "/channels/") == []
        hold.release()
        message = await evening.finished(answer)
        await discord.until(lambda: evening.bot.states() == ["delivered"])

        assert message.shown_files == [message.attachments[0].filename]


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
    async with easel_evening(tmp_path) as evening:
        await evening.bot.start()
        for options, sentence in RAW:
            values: dict[str, Any] = {"prompt": "x", "sampler": "DPM++ 2M", **options}
            interaction = await evening.discord.send_slash(
                evening.alice, evening.channel, "imagine", unchecked=True, **values
            )
            answer = await evening.discord.until_answered(interaction, 10)
            assert sentence in (answer.ephemeral_text or ""), options
        assert evening.bot.states() == []
        assert "interaction_failed" not in evening.bot.log()


async def test_a_wrong_token_ends_with_78_and_a_sentence(tmp_path: Path) -> None:
    """No retry loop that burns logins: one refusal, exit 78, and what to do about it."""
    async with easel_evening(tmp_path) as evening:
        await evening.bot.start(token="not.the.token", ready=False)
        assert evening.bot.process is not None
        code = await asyncio.wait_for(evening.bot.process.wait(), 20)

        assert code == 78
        assert "Discord refused the token" in evening.bot.log()
        assert "Traceback" not in evening.bot.log()
        assert "not.the.token" not in evening.bot.log()


async def test_a_second_bot_on_the_same_data_ends_with_75(tmp_path: Path) -> None:
    """Two bots can't share a data directory: the second says so and leaves."""
    async with easel_evening(tmp_path) as evening:
        await evening.bot.start()
        first, evening.bot.process = evening.bot.process, None
        try:
            await evening.bot.start(ready=False)
            assert evening.bot.process is not None
            code = await asyncio.wait_for(evening.bot.process.wait(), 20)
        finally:
            assert first is not None
            first.kill()
            await first.wait()

        assert code == 75
        assert "Another Easel already uses" in evening.bot.log()


async def test_the_invite_link_is_printed_while_in_no_server(tmp_path: Path) -> None:
    """A bot that is in no server prints the link that invites it, with exactly the permissions it needs."""
    async with easel_evening(tmp_path) as evening:
        await evening.discord.remove_bot(evening.guild)
        await evening.bot.start()
        await evening.discord.until(lambda: "oauth2/authorize" in evening.bot.log())

        assert "permissions=274877942784" in evening.bot.log()
        assert "scope=bot+applications.commands" in evening.bot.log()
