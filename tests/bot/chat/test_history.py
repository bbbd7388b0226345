"""/history searched: words, filters, pages after a restart, small pictures, and whose pictures anybody may see."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from PIL import Image

from bot.chat.delivery.thumbnails import SIDE, thumbnails
from bot.job import JobState
from tests.kit.world import World, custom_ids
from workshop.rehearsal.loopback.driver import Answer, Permission
from workshop.rehearsal.loopback.world import MEMBER_DEFAULT, walk


async def look(world: World, **options: object) -> Answer:
    return await world.alice.slash(world.channel, "history", **options)


async def test_pages_keep_what_was_searched_for_after_a_restart(world: World) -> None:
    """Nine of ten pictures are found, eight a page; the buttons know the search in the next process, and for its person alone."""
    for number in range(1, 11):
        prompt = f"a red circle {number}" if number != 4 else "a blue square"
        await world.imagined(number, prompt=prompt)
    result = await look(world, words="circle RED")
    assert "**Your images** 1–8 of 9\n-# 🔎 `circle RED`" in result.text
    assert custom_ids(result.message or world.message(1)) == [
        "easel:1:history:newer:0:1",
        "easel:1:history:older:8:1",
    ]
    await world.restart()
    await world.alice.click(result.message, "Older ▶")
    assert "9–9 of 9" in result.text
    assert "a red circle 1`" in result.text
    assert "blue" not in result.text
    await world.alice.click(result.message, "◀ Newer")
    assert "1–8 of 9" in result.text
    await world.store.database.write("UPDATE job SET deleted_at = 1 WHERE id = 10", {})
    await world.alice.click(result.message, "Older ▶")
    assert "1–8 of 8" in result.text
    await world.store.database.write("UPDATE job SET deleted_at = NULL", {})
    again = await look(world, words="circle RED")
    assert "1–8 of 9" in again.text
    await world.store.database.write("DELETE FROM search", {})
    gone = await world.alice.click(again.message, "Older ▶")
    assert gone.text == "What this page was searched by is not kept any more: use /history again."


async def test_words_that_are_typed(world: World) -> None:
    """Phrases, quotes, operators, too much and nothing: what fits is found, the rest is one sentence."""
    await world.imagined(1, prompt="a lighthouse in a storm", negative_prompt="blur")
    await world.imagined(2, prompt="storm and a lighthouse")
    found = {
        "lighthouse storm": 2,
        "light": 2,
        '"a lighthouse in"': 1,
        "“storm and”": 1,
        "blur": 1,
        'storm" AND (OR NOT NEAR': 0,
        "-lighthouse* prompt:storm {tags}": 0,
        "storm OR nothing": 0,
        "absent": 0,
    }
    for words, count in found.items():
        result = await look(world, words=words)
        assert result.ephemeral
        if count:
            assert f"of {count}\n" in result.text, words
        else:
            assert result.text == "No picture was found: try fewer or other words.", words
    for words in ("… ! 🎈", '"'):
        assert (
            await look(world, words=words)
        ).text == "Words consist of letters or digits: type at least one."
    sent = await world.discord.send_slash(
        world.alice.user, world.channel, "history", unchecked=True, words="x" * 10_000
    )
    refused = await world.discord.until_answered(sent, 10)
    assert refused.text == "No picture was found: try fewer or other words."
    assert "Your images" in (await look(world, words="  ")).text


async def test_a_page_brings_small_pictures_of_what_is_kept(world: World) -> None:
    """Each entry stands beside a JPEG of its own as far as its original is there; every page replaces them."""
    for number in range(1, 10):
        await world.imagined(number, images=2 if number == 9 else 1)
    Path(str((await world.job(8)).images[0].path)).unlink()
    Path(str((await world.job(7)).images[0].path)).write_bytes(b"no picture")
    result = await look(world)
    assert result.message is not None
    assert result.message.shown_files == [f"small-{number}.jpg" for number in (9, 6, 5, 4, 3, 2)]
    with Image.open(BytesIO(result.message.attachments[0].bytes)) as image:
        assert (image.format, max(image.size) <= SIDE) == ("JPEG", True)
    assert len(list(walk(result.message.components))) <= 40
    assert result.text.count("https://discord.com/channels/") == 8
    await world.alice.click(result.message, "Older ▶")
    assert [each.filename for each in result.message.attachments] == ["small-1.jpg"]
    await world.store.favourites.toggle(9, 1, user_id=world.alice.id, now=1.0)
    starred = await look(world, favourites=True)
    assert "⭐ image 2" in starred.text


def test_small_pictures_do_not_hold_the_answer_up(tmp_path: Path) -> None:
    """Those that are not made in time are left out."""
    file = tmp_path / "a.png"
    Image.new("RGBA", (600, 300)).save(file)
    assert [*thumbnails({1: file, 2: file})] == [1, 2]
    assert thumbnails({1: file, 2: file}, within_s=-1) == {}


async def test_everybodys_pictures_where_admins_share_them(world: World) -> None:
    """Refused until an admin allows it; then those in channels that one can see, with whose they are; never what was not posted."""
    den = await world.place("den", app_permissions=MEMBER_DEFAULT)
    bens = world.person("ben")
    await world.imagined(1, prompt="a red circle of hers")
    await bens.slash(world.channel, "imagine", prompt="a red circle of his")
    await bens.slash(den, "imagine", prompt="a red circle in the den")
    for number in (2, 3):
        await world.reaches(number, JobState.DELIVERED)
    refused = await look(world, words="circle", server="everybody")
    assert "let people look through their own pictures alone" in refused.text
    answer = await world.admin.slash(world.channel, "gallery sharing", on="on")
    assert answer.text.startswith("People here may look through everybody's pictures")
    everybodys = await look(world, words="circle", server="everybody")
    assert "**Everybody's images** 1–3 of 3" in everybodys.text
    assert f"<@{bens.id}>: [`a red circle of his`]" in everybodys.text
    assert "1 of 1" in (await look(world, words="circle", server="mine")).text

    den.member_permissions[world.alice.id] = MEMBER_DEFAULT & ~Permission.VIEW_CHANNEL
    await world.discord.announce(world.guild)
    await world.restart()
    everybodys = await look(world, server="everybody")
    assert "1–2 of 2" in everybodys.text
    assert "den" not in everybodys.text
    await world.admin.slash(world.channel, "gallery sharing", on="off")
    assert "their own pictures alone" in (await look(world, server="everybody")).text


async def test_pictures_of_one_model(world: World) -> None:
    """By its title or id, suggested as it is typed; one that is gone still finds what it drew."""
    await world.imagined(1, prompt="a red circle")
    await world.imagined(2, prompt="a blue square")
    await world.store.database.write(
        "UPDATE job SET request = json_set(request, '$.model', 'gone/model-v1.5') WHERE id = 1", {}
    )
    choices = await world.alice.autocomplete(world.channel, "history", "model", "FA")
    assert [choice["value"] for choice in choices] == ["fake"]
    assert "a blue square" in (by_model := (await look(world, model="FAKE")).text)
    assert "a red circle" not in by_model
    assert "a red circle" in (await look(world, model="gone/model-v1.5")).text
    assert (await look(world, model="gone")).text == "No picture was found: try fewer or other words."
