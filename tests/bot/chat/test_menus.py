"""A message's menu: whose pictures tell how they were made, to whom, and what is never fetched."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import cast

import discord
import pytest

from bot.chat.client import Interaction
from bot.chat.errors import UserError
from bot.chat.features import menus
from bot.chat.ids import Verb, button
from bot.core.asking.picture_facts import LeftOut, Part
from bot.core.asking.wish import Wish
from bot.job import JobState
from bot.texts import commands, pictures
from bot.texts.language import ENGLISH
from tests.kit.foreign_pictures import A1111, CODES, GRAPH, PICTURES, named_png, png, with_exif
from tests.kit.world import World
from workshop.rehearsal.bot import png as plain_png
from workshop.rehearsal.loopback.driver import Message, Upload

INFO = commands.IMAGE_INFO
NO_PICTURE = "No PNG, JPEG or WebP picture is attached to this message."
FORGE = ("castle.png", png(parameters=A1111))


def fetched(world: World) -> int:
    return len(world.discord.requests_to("GET", "attachments/"))


# ------------------------------------------------------------------ Image info


async def test_how_a_posted_picture_was_made(world: World) -> None:
    """Whichever program made it and whoever posted it, for the eyes of who asks; and the same after a restart."""
    eve = world.person("eve")
    message = eve.posts(world.channel, FORGE, text="look!")
    for _ in range(2):
        told = await world.alice.menu(message, INFO)
        await world.until(lambda told=told: told.text)
        assert told.ephemeral
        assert told.text == (
            "**castle.png**, made with Forge\n"
            "`a castle, 漢字 é`\n"
            "Negative prompt: `fog`\n"
            "seed `5` · 640×512 · 30 steps · guidance 7 · DPM++ 2M Karras · dream\n"
            "-# Lora hashes: a: 1, b: 2, Version: f2.0.1"
        )
        await world.restart()
    for name, data in (
        ("a.webp", with_exif("WEBP", {}, CODES["little"](A1111))),
        ("b.jpg", with_exif("JPEG", {0x0110: f"prompt:{json.dumps(GRAPH)}"})),
        *((f"{kind}.png", PICTURES[kind][1]) for kind in ("InvokeAI", "SwarmUI's PNG", "NovelAI's PNG")),
    ):
        told = await world.alice.menu(eve.posts(world.channel, (name, data)), INFO)
        await world.until(lambda told=told: "a castle" in told.text)
        assert "640×512" in told.text
    assert await world.jobs_stored() == 0


async def test_our_own_message_tells_its_job(world: World) -> None:
    """The menu of a message of ours answers as its button Info does, fetches nothing, and knows what was deleted."""
    message = await world.imagined(prompt="a red circle", seed=7)
    by_button = await world.alice.click(message, "Info")
    by_menu = await world.alice.menu(message, INFO)
    assert by_menu.ephemeral
    assert by_menu.text == by_button.text
    assert "seed:7" in by_menu.text

    await world.store.jobs.mark_deleted(1, now=world.clock.now(), by_user_id=1)
    assert (await world.alice.menu(message, INFO)).text == "That image was deleted."
    await world.store.database.write("UPDATE job SET guild_id = 1 WHERE id = 1", {})
    told = await world.alice.menu(await world.post(button(Verb.INFO, 1)), INFO)  # another server's
    assert told.text == NO_PICTURE
    assert fetched(world) == 0


async def test_our_own_picture_posted_by_somebody(world: World) -> None:
    """It tells by itself what it was asked for with, forwarded too."""
    message = await world.imagined(prompt="a red circle", seed=7, steps=5)
    posted = world.alice.posts(world.channel, ("mine.png", message.attachments[0].bytes))
    forwarded = world.discord.forward(world.alice.user, await world.place("elsewhere"), posted)
    for each in (posted, forwarded):
        told = await world.admin.menu(each, INFO)
        await world.until(lambda told=told: told.text)
        assert told.text.startswith("**mine.png**, made with Easel ")
        assert "`a red circle`\nseed `7` · 128×128 · 5 steps" in told.text


async def test_a_message_without_a_picture(world: World) -> None:
    """One sentence at once, and no address in a text is ever fetched."""
    for files, text in (
        ((), "https://cdn.discordapp.com/attachments/1/2/castle.png?ex=1&is=1&hm=1"),
        ((("a.gif", FORGE[1]), ("notes.txt", A1111.encode()), ("a.mp4", b"")), "look"),
    ):
        told = await world.alice.menu(world.alice.posts(world.channel, *files, text=text), INFO)
        assert (told.ephemeral_text, told.kind) == (NO_PICTURE, "message")
    assert fetched(world) == 0


SHY = "@everyone **x**.png"
UNTOLD = "tells nothing of how it was made: that gets lost where a picture is edited or saved anew."


async def test_pictures_that_tell_nothing(world: World) -> None:
    """Plain, broken, too large, hostile or not on Discord: one sentence each, whatever they are called."""
    large = 11 << 20
    cases: dict[Upload, str] = {
        Upload(filename="a.png", bytes=plain_png(64, 64)): f"a.png {UNTOLD}",
        Upload(filename="a.webp", bytes=with_exif("WEBP", {0x010F: "Apple"})): f"a.webp {UNTOLD}",
        Upload(
            filename="a_*b*.png", bytes=b"not a picture"
        ): "a\\_\\*b\\*.png is damaged, or no picture at all.",
        Upload(filename="a.jpg", bytes=b""): "a.jpg is damaged, or no picture at all.",
        Upload(filename="b.png", bytes=b"", served=bytes(large)): (
            "The picture is larger than 10 MB: attach a smaller one."
        ),
        Upload(filename="c.png", bytes=FORGE[1], url="https://evil.example/c.png"): (
            "Only pictures that were uploaded to Discord are taken: attach it as a file."
        ),
        Upload(filename="d.png", bytes=FORGE[1], moved_to="https://evil.example/c.png"): (
            "The picture could not be fetched from Discord and nothing was charged: attach it again."
        ),
        Upload(filename="e.png", bytes=FORGE[1][:60] + b"\xff" * 60): f"e.png {UNTOLD}",
        Upload(filename="f.png", bytes=png(parameters="x" * (1 << 20))): (
            "f.png holds more text than is read of a picture, and what is read tells nothing of how it was made."
        ),
    }
    for upload, sentence in cases.items():
        told = await world.alice.menu(world.alice.posts(world.channel, upload), INFO)
        await world.until(lambda told=told: told.text)
        assert told.ephemeral_text == sentence
    assert await world.jobs_stored() == 0


async def test_several_pictures_and_long_ones(world: World) -> None:
    """The first four are told within one message, the whole texts of long ones as files, and of the rest their number."""
    long = ("long.png", png(parameters=f"{'a castle, ' * 400}\n{A1111}"))
    message = world.alice.posts(
        world.channel,
        FORGE,
        ("notes.txt", b"x"),
        long,
        ("none.png", plain_png(64, 64)),
        ("graph.png", png(prompt=json.dumps(GRAPH))),
        *((f"{n}.png", FORGE[1]) for n in range(2)),
    )
    told = await world.alice.menu(message, INFO)
    await world.until(lambda: told.text)
    assert told.message is not None
    assert [told.text.index(f"{name}.png") for name in ("castle", "long", "none", "graph")] == sorted(
        told.text.index(f"{name}.png") for name in ("castle", "long", "none", "graph")
    )
    assert told.text.endswith("\n\nAnd 2 more pictures.")
    files = {file.filename: file.bytes.decode() for file in told.message.attachments}
    assert sorted(files) == ["settings-2.txt", "settings-4.txt"]
    assert "a castle, " * 400 in files["settings-2.txt"]
    assert json.dumps(GRAPH) in files["settings-4.txt"]
    assert fetched(world) == 4


async def test_a_hostile_picture_says_nothing_of_its_own(world: World) -> None:
    """Mentions, markdown, links and invisible signs in its words are shown as they are, within one message."""
    nasty = "@everyone `x` https://evil.example \u202e" + "*" * 3000
    line = f"{nasty}\nNegative prompt: {nasty}\nSteps: 1, Sampler: @everyone, Seed: 5, Model: [x](https://evil.example), a{'*' * 90}: 1"
    told = await world.alice.menu(world.alice.posts(world.channel, ("n.png", png(parameters=line))), INFO)
    await world.until(lambda: told.text)
    assert len(told.text) <= 2000
    assert told.text.startswith("**n.png**\n`@everyone ˋxˋ https://evil.example *")
    assert told.text.count("`") % 2 == 0
    outside = "".join(told.text.split("`")[::2])
    assert "@everyone" not in outside
    assert "evil.example" not in outside
    assert "\u202e" not in told.text


# ------------------------------------------------------------------ Use these settings


async def seen(world: World, message: Message) -> discord.Message:
    """As a menu hands it to the bot."""
    channel = world.client.get_partial_messageable(world.channel.id, guild_id=world.guild.id)
    return await channel.fetch_message(message.id)


def interaction(world: World) -> Interaction:
    return cast("Interaction", SimpleNamespace(client=world.client))


async def test_settings_become_a_wish(world: World) -> None:
    """Of the first picture that tells them; what there is none of here is left out and said in one sentence."""
    message = world.alice.posts(
        world.channel, ("no.png", plain_png(64, 64)), ("bad.png", b"x"), FORGE, ("late.png", b"x")
    )
    taken = await menus.settings_of(interaction(world), await seen(world, message))
    assert taken.wish == Wish(
        prompt="a castle, 漢字 é",
        negative_prompt="fog",
        steps=30,
        guidance=7.0,
        seed=5,
        sampler="DPM++ 2M Karras",
        size="640x512",
    )
    assert [each.part for each in taken.left_out] == [Part.MODEL]
    sentence = pictures.left_out(taken.left_out, ENGLISH, shown=str.upper)
    assert sentence == "Not taken over, as it can't be had here: the model “DREAM”."
    assert fetched(world) == 3


async def test_messages_whose_settings_can_not_be_used(world: World) -> None:
    """Without a picture, of pictures that tell nothing or only who made them, and slower than a form may wait: a sentence."""

    async def refusal(*files: tuple[str, bytes], within_s: float = 20) -> str:
        message = await seen(world, world.alice.posts(world.channel, *files, text="x"))
        with pytest.raises(UserError) as caught:
            await menus.settings_of(interaction(world), message, within_s=within_s)
        return str(caught.value)

    assert await refusal() == NO_PICTURE
    assert await refusal(("a.png", plain_png(64, 64)), ("b.png", b"x")) == f"a.png {UNTOLD}"
    graph = ("c.png", png(workflow=json.dumps({"nodes": []})))
    assert await refusal(graph) == "c.png tells no settings, only what made it: ComfyUI."
    hold = world.discord.hold_next("GET", "attachments/")
    assert await refusal(FORGE, within_s=0.2) == (
        "This picture could not be read in time: try again in a moment."
    )
    hold.release()


@pytest.mark.parametrize("count", [1, 9, 12])
def test_what_is_left_out_is_one_sentence(count: int) -> None:
    """However much it is."""
    parts = [LeftOut(part=Part.LORA, value=f"n{n}") for n in range(count)]
    sentence = pictures.left_out(parts, ENGLISH, shown=str)
    assert sentence.startswith("Not taken over, as it can't be had here: the LoRA “n0”")
    assert sentence.count("LoRA") == min(count, 8)
    assert ("more" in sentence) == (count > 8)
    assert pictures.left_out([], ENGLISH, shown=str) == ""


# ------------------------------------------------------------------ what is made of a posted picture


async def test_a_strangers_settings_are_drawn_with(world: World) -> None:
    """The form holds them as one text with flags; sent after a restart, they are drawn, but for what can't be had here."""
    message = world.person("eve").posts(world.channel, FORGE)
    form = await world.alice.menu(message, commands.USE_SETTINGS)
    filled = world.filled_in(form)
    assert filled["prompt"].startswith("a castle, 漢字 é --size 640x512 --seed 5 --steps 30 --cfg 7")
    assert filled["negative"] == "fog"
    assert "Not taken over" in str(form.modal)
    await world.restart()
    await world.alice.submit(form, prompt=filled["prompt"])
    drawn = (await world.reaches(1, JobState.DELIVERED)).request
    assert (drawn.prompt, drawn.negative_prompt, drawn.size) == ("a castle, 漢字 é", "fog", "640x512")
    assert (drawn.seed, drawn.steps, drawn.sampler) == (5, 30, "DPM++ 2M Karras")
    refused = await world.alice.submit(form, prompt="a castle --nope 3")
    assert "--nope" in (refused.ephemeral_text or "")
    assert await world.jobs_stored() == 1


async def test_a_strangers_picture_is_varied_enlarged_and_edited(world: World) -> None:
    """From the file itself, with its own words where it tells them; the form's picture is found again after a restart."""
    message = world.person("eve").posts(
        world.channel, ("castle.png", named_png({"parameters": A1111}, side=64))
    )
    await world.alice.menu(message, commands.VARY)
    varied = (await world.reaches(1, JobState.DELIVERED)).request
    assert (varied.prompt, varied.strength) == ("a castle, 漢字 é", 0.75)
    assert (world.settings.inputs / str(varied.image)).read_bytes() == message.attachments[0].bytes
    await world.alice.menu(message, commands.UPSCALE)
    assert (await world.reaches(2, JobState.DELIVERED)).request.size == "128x128"
    form = await world.alice.menu(message, commands.EDIT_WITH_WORDS)
    await world.restart()
    await world.alice.submit(form, words="a blue castle")
    edited = (await world.reaches(3, JobState.DELIVERED)).request
    assert (edited.prompt, edited.image) == ("a blue castle", varied.image)
    message.deleted = True
    told = await world.alice.submit(form, words="a blue castle")
    assert "can't read that message any more" in (told.ephemeral_text or "")
    assert await world.jobs_stored() == 3


async def test_menus_on_our_own_messages_are_as_their_buttons(world: World) -> None:
    """Of a set nobody can know which picture is meant, and that is said."""
    one = await world.imagined(1, seed=3)
    for number, menu in enumerate((commands.VARY, commands.UPSCALE), start=2):
        await world.alice.menu(one, menu)
        assert (await world.reaches(number, JobState.DELIVERED)).parent_id == 1
    assert world.filled_in(await world.alice.menu(one, commands.USE_SETTINGS))["model"] == "fake"
    assert world.filled_in(await world.alice.menu(one, commands.EDIT_WITH_WORDS)) == {"words": "a red circle"}
    two = await world.imagined(4, images=2)
    told = await world.alice.menu(two, commands.VARY)
    assert "press U and a number" in (told.ephemeral_text or "")
    nothing = await world.alice.menu(world.person("eve").posts(world.channel, text="hi"), commands.UPSCALE)
    assert nothing.ephemeral_text == NO_PICTURE
