"""What was done is done, though the answer to the press or command gets lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.kit.troubled import Troubled, trouble

LOST: dict[str, dict[str, Any]] = {
    "reset before": {"reset": True, "apply": False},
    "reset behind": {"reset": True, "apply": True},
    "too late": {"status": 404, "apply": False, "code": 10062},
}
"""How the answer to a press or command gets lost."""


async def lose(world: Troubled, how: str) -> Any:
    return world.discord.fail_next("POST", "/callback", times=1, **LOST[how])


async def untold(world: Troubled, times: int) -> None:
    """So often what was done could not be told."""
    await world.hears(lambda: world.log().count("done_but_not_told") == times)


async def test_a_cancel_is_taken_from_the_first_answer_on(tmp_path: Path) -> None:
    """Pressed while the reply to the answer is still on its way to the bot: cancelled, free, and the message says so."""
    async with trouble(tmp_path) as world:
        discord = world.discord
        await world.come()
        hold = discord.hold_next("POST", "/callback", apply=True)
        await world.asks()
        await world.hears(lambda: hold.entered and discord.posted(world.channel))
        (message,) = discord.posted(world.channel)
        assert world.states() == ["accepted"]
        pressed = await world.alice.click(message, "Cancel")
        assert pressed.ephemeral_text is None
        hold.release()

        await world.hears(lambda: "Cancelled by" in message.text)
        assert world.rows("SELECT state, charged, attempt FROM job") == [("cancelled", 0, 0)]


async def test_a_done_delete_stays_done(tmp_path: Path) -> None:
    """The picture is gone though the answer to the press is lost, in whichever way."""
    async with trouble(tmp_path) as world:
        await world.come()
        for times, how in enumerate(LOST, 1):
            message = await world.finished(await world.imagine())
            await world.ends(*["delivered"] * times)
            lost = await lose(world, how)
            await world.discord.send_click(world.alice.user, message, "Delete")
            await world.hears(lambda lost=lost: lost.hits)
            await untold(world, times)
            assert world.discord.posted(world.channel) == [], how
        world.assert_nothing_went_wrong()


async def test_a_done_cancel_stays_done(tmp_path: Path) -> None:
    """The job is cancelled though the answer to the press is lost, in whichever way."""
    async with trouble(tmp_path, step_s=0.3) as world:
        await world.come()
        for times, how in enumerate(LOST, 1):
            answer = await world.imagine(images=4)
            await world.hears(lambda: "running" in world.states())
            await lose(world, how)
            await world.discord.send_click(world.alice.user, answer.message, "Cancel")
            await world.ends(*["cancelled"] * times)
            await untold(world, times)
        world.assert_nothing_went_wrong()


SETTINGS: list[tuple[str, dict[str, Any], str, Any]] = [
    ("limits set", {"credits": 7}, "SELECT value FROM limits", 7),
    ("limits reset", {}, "SELECT COUNT(*) FROM limits", 0),
    ("limits timezone", {"zone": "Europe/Berlin"}, "SELECT time_zone FROM guild", "Europe/Berlin"),
    ("limits set", {"credits": 8}, "SELECT value FROM limits", 8),
    ("limits reset", {}, "SELECT COUNT(*) FROM limits", 0),
    ("limits timezone", {"zone": "Asia/Tokyo"}, "SELECT time_zone FROM guild", "Asia/Tokyo"),
]
"""Commands of an admin in turn, and what the database holds after each."""


async def test_a_setting_stays_set(tmp_path: Path) -> None:
    """What an admin set holds though the answer is lost, in two ways, and nothing says that it went wrong."""
    async with trouble(tmp_path) as world:
        await world.come()
        for times, (command, options, sql, held) in enumerate(SETTINGS, 1):
            await lose(world, "reset before" if times <= 3 else "too late")
            await world.discord.send_slash(world.admin.user, world.channel, command, **options)
            await untold(world, times)
            assert world.rows(sql) == [(held,)], command
        world.assert_nothing_went_wrong()


async def test_a_lost_connection_is_no_mistake_of_ours(tmp_path: Path) -> None:
    """Where a question's answer is lost on the way, the person reads that Discord was out of reach."""
    async with trouble(tmp_path) as world:
        await world.come()
        await world.finished(await world.imagine())
        await world.ends("delivered")
        for command in ("history", "quota", "queue"):
            await lose(world, "reset before")
            answer = await world.alice.slash(world.channel, command)
            assert "did not answer Easel in time" in (answer.ephemeral_text or ""), command
        world.assert_nothing_went_wrong()


async def test_a_delete_in_an_outage_is_done_when_it_ends(tmp_path: Path) -> None:
    """Discord cuts every deletion for a while: the press is taken, and the message goes once Discord is back."""
    async with trouble(tmp_path) as world:
        discord = world.discord
        await world.come()
        message = await world.finished(await world.imagine(seed=42))
        await world.ends("delivered")
        outage = discord.fail_next("DELETE", "/channels/", reset=True, times=10_000, apply=False)
        pressed = await world.alice.click(message, "Delete")
        assert pressed.ephemeral_text is None
        assert outage.hits
        history = await world.alice.slash(world.channel, "history")
        assert "You have no images here yet" in (history.ephemeral_text or "")
        outage.times = 0
        await world.hears(lambda: message not in discord.posted(world.channel))
        await world.hears(lambda: not world.spooled())
        world.assert_nothing_went_wrong()


async def test_a_delete_that_discord_refuses_changes_nothing(tmp_path: Path) -> None:
    """Where the bot may not look any more, Delete says so, and the image stays what it was."""
    async with trouble(tmp_path) as world:
        discord = world.discord
        await world.come()
        message = await world.finished(await world.imagine())
        await world.hears(lambda: world.states() == ["delivered"])
        discord.fail_next("DELETE", "/channels/", status=403, times=1, apply=False)
        answer = await world.alice.click(message, "Delete")

        assert "may not delete" in (answer.ephemeral_text or "")
        assert world.rows("SELECT deleted_at FROM job") == [(None,)]
        assert "interaction_failed" not in world.log()
