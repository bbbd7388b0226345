"""What a server's admins forbid is drawn for nobody there, whichever way it is asked for."""

from __future__ import annotations

from typing import Any

from bot.job import JobState
from tests.bot.chat.conftest import StartWorld


async def test_forbidden_words_are_drawn_for_nobody(start_world: StartWorld) -> None:
    """In prompt, negative prompt, flags, several at once, a remix and a reroll of what was drawn before; nothing is charged."""
    world = await start_world()
    bob = world.person("bob")
    message = await world.imagined(1, prompt="a nudibranch in the sea")
    refused = await world.alice.slash(world.channel, "mod words add", words="x", despite_permissions=True)
    assert "manage this server" in (refused.ephemeral_text or "")
    told = await world.admin.slash(world.channel, "mod words add", words="nud*, Red Circle, *", allowed=False)
    assert "2 entries are new" in (told.ephemeral_text or "")
    assert "Left out" in (told.ephemeral_text or "")
    asked: tuple[dict[str, Any], ...] = (
        {"prompt": "a NUDE"},
        {"prompt": "n u d e"},
        {"prompt": "a red   circle"},
        {"prompt": "a fox", "negative_prompt": "nudity"},
        {"prompt": "a fox --no nudes"},
        {"prompt": "a {fox, nude} in the snow"},
    )
    for options in asked:
        answer = await world.imagine(**options)
        assert "rules forbid something" in (answer.ephemeral_text or ""), options
        assert "nud" not in (answer.ephemeral_text or "").replace("a nude in the snow", "")
    answer = await bob.click(message, "🔄")
    assert "rules forbid something" in (answer.ephemeral_text or "")
    assert await world.jobs_stored() == 1
    await world.admin.slash(world.channel, "mod words add", words="nudibranch", allowed=True)
    await bob.click(message, "🔄")
    assert (await world.reaches(2, JobState.DELIVERED)).request.prompt == "a nudibranch in the sea"


async def test_which_word_is_told_where_admins_want_that(start_world: StartWorld) -> None:
    """Lists are kept through restarts, shown as files, and emptied; one server's are not another's."""
    world = await start_world()
    told = await world.admin.slash(world.channel, "mod words show")
    assert "Nothing is forbidden here yet" in (told.ephemeral_text or "")
    await world.admin.slash(world.channel, "mod words add", words="ink*, sketch")
    told = await world.admin.slash(world.channel, "mod words tell", on=True)
    assert "told which" in (told.ephemeral_text or "")
    await world.restart()
    answer = await world.imagine(prompt="an inked fox")
    assert "forbid “ink*”" in (answer.ephemeral_text or "")
    shown = await world.admin.slash(world.channel, "mod words show")
    assert "2 entries are forbidden in prompts, and 0 allowed" in (shown.ephemeral_text or "")
    told = await world.admin.slash(world.channel, "mod words remove", words="pen")
    assert "“pen” is not on this list" in (told.ephemeral_text or "")
    told = await world.admin.slash(world.channel, "mod words remove", words="SKETCH")
    assert "1 entry is gone" in (told.ephemeral_text or "")
    await world.imagined(1, prompt="a sketch")
    await world.admin.slash(world.channel, "mod words remove", words="all")
    await world.imagined(2, prompt="an inked fox")


async def test_a_whole_list_comes_from_a_file(start_world: StartWorld) -> None:
    """In the place of the old one; what is too long, too large or no text is refused with a sentence, and changes nothing."""
    world = await start_world()
    await world.admin.slash(world.channel, "mod words add", words="ink")
    for data, words in (
        (b"\xff\xfe\x00", "no text file"),
        (b"# nothing\n", "Name at least one word"),
        ("\n".join(f"word{number}" for number in range(5001)).encode(), "at most 5,000 entries"),
        (b"x" * (513 << 10), "may have 512 KB"),
    ):
        told = await world.admin.slash(world.channel, "mod words load", file=("list.txt", data))
        await world.until(lambda told=told: told.text)
        assert words in (told.ephemeral_text or ""), words
    refused = await world.imagine(prompt="ink")
    assert "rules forbid" in (refused.ephemeral_text or "")
    many = "\n".join(f"word{number}" for number in range(5000)).encode()
    told = await world.admin.slash(world.channel, "mod words load", file=("list.txt", b"\xef\xbb\xbf" + many))
    await world.until(lambda: told.text)
    assert "5000 entries are new" in (told.ephemeral_text or "")
    await world.imagined(1, prompt="ink")
    refused = await world.imagine(prompt="a word4999")
    assert "rules forbid" in (refused.ephemeral_text or "")
    refused = await world.admin.slash(world.channel, "mod words add", words="one more")
    assert "at most 5,000 entries" in (refused.ephemeral_text or "")


async def test_a_file_may_take_longer_than_an_answer(start_world: StartWorld) -> None:
    """Discord hands it out when it likes; what came of it is told all the same."""
    world = await start_world()
    hold = world.discord.hold_next("GET", "attachments/")
    told = await world.admin.slash(world.channel, "mod words load", file=("list.txt", b"ink"))
    assert (told.kind, told.ephemeral) == ("deferred", True)
    world.advance(4)
    hold.release()
    await world.until(lambda: told.text == "1 entry is new on the list.")
    assert "rules forbid" in (await world.imagine(prompt="ink")).text
