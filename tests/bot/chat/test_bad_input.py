"""Bad input gets its one ephemeral sentence and leaves no job, no charge and no error in the log."""

from __future__ import annotations

from typing import Any

import discord
import pytest

from bot.job import JobState
from engine.contract import FakeSettings
from tests.bot.chat.conftest import StartWorld
from tests.kit.world import World, text_of

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"prompt": " "}, "prompt is empty"),
    ({"prompt": "\u200b\u200d\ufe0f\u2060"}, "prompt is empty"),
    ({"size": "500x512"}, "multiple of 8 pixels: use 496 instead of 500"),
    ({"size": "4096x512"}, "must be 64 to 2048 pixels"),
    ({"size": "8x8"}, "must be 64 to 2048 pixels"),
    ({"size": "big"}, "A size looks like 512x768"),
    ({"size": "512x512", "aspect": "1:1"}, "either a size or an aspect"),
    ({"sampler": "Magic"}, "no sampler “Magic”: use one of Euler"),
    ({"sampler": "LCM", "steps": 60}, "LCM takes 1 to 50 steps"),
    ({"model": "Midjourney"}, "no model “Midjourney” here: use fake"),
    ({"steps": 61}, "above your limit of 60"),
    ({"images": 5}, "above your limit of 4 per request"),
]


@pytest.mark.parametrize(("options", "sentence"), REFUSED, ids=[str(options)[:40] for options, _ in REFUSED])
async def test_bad_options_get_one_sentence(world: World, options: dict[str, Any], sentence: str) -> None:
    """Every impossible option is refused with a sentence that says what to do; nothing is stored."""
    result = await world.imagine(**options)

    assert result.ephemeral
    assert sentence in result.response.content
    assert await world.jobs_stored() == 0
    assert not world.env.errors


@pytest.mark.parametrize(
    "prompt",
    [
        "😀" * 4000,
        "**bold** _it_ ||spoiler|| [x](https://example.org) # big",
        "a\u200bb\u202ec",
        "x" * 4000,
        "`" * 100,
    ],
    ids=["emoji", "markdown", "invisible", "long", "backticks"],
)
async def test_hostile_prompts_are_drawn_and_shown_safely(world: World, prompt: str) -> None:
    """Odd prompts are drawn like any other; the message stays within Discord's limits and the prompt is stored whole."""
    message = await world.imagined(prompt=prompt)
    job = await world.job(1)

    assert job.request.prompt == prompt
    assert message.attachments
    assert len(text_of(message).encode("utf-16-le")) // 2 < 4000
    assert len((message.attachments[0].description or "").encode("utf-16-le")) // 2 <= 1024


@pytest.mark.parametrize(
    ("missing", "name"), [("attach_files", "Attach Files"), ("view_channel", "View Channel")]
)
async def test_where_the_bot_may_not_post_nothing_is_taken(world: World, missing: str, name: str) -> None:
    """In a channel where the bot may not look or attach files the person is told which permission is missing."""
    denied = discord.PermissionOverwrite(**{missing: False})
    channel = world.guild.create_text_channel("closed", overwrites={world.client.user: denied})
    result = await world.alice.slash(channel, "imagine", prompt="a red circle")

    assert result.ephemeral
    assert f"give me {name}" in result.response.content
    assert await world.jobs_stored() == 0


async def test_a_picture_above_the_limit_names_a_size_that_fits(start_world: StartWorld) -> None:
    """Above a person's pixel limit the sentence names the limit and a size that fits."""
    world = await start_world(limits={"max_pixels": 128 * 128})
    result = await world.imagine(size="256x256")

    assert "above your limit of 16,384 pixels: ask for 128x128" in result.response.content


async def test_the_quota_names_what_is_left_and_when_it_renews(start_world: StartWorld) -> None:
    """Over the day's credits the sentence says what it costs, what is left and when it renews; nothing is charged."""
    world = await start_world(limits={"credits_per_day": 3})
    await world.imagined(images=2)
    result = await world.imagine(images=2)

    assert result.ephemeral
    assert "This costs 2 credits and you have 1 of 3 left today; they renew <t:" in result.response.content
    assert await world.jobs_stored() == 1


async def test_too_many_waiting_requests_are_refused(start_world: StartWorld) -> None:
    """The pending limit is named with the number in use."""
    world = await start_world(fake=FakeSettings(load_s=30), limits={"pending": 1})
    await world.imagine()
    result = await world.imagine()

    assert "You have 1 of 1 requests waiting" in result.response.content


async def test_a_full_line_is_refused(start_world: StartWorld) -> None:
    """When the line is full for everybody the sentence says to come back later."""
    world = await start_world(fake=FakeSettings(load_s=30), queue={"max": 1})
    await world.imagine()
    result = await world.imagine(world.admin)

    assert "line is full" in result.response.content


async def test_a_reroll_of_a_model_that_is_gone_says_so(world: World) -> None:
    """An old message's model may not be offered any more: the reroll is refused with the list."""
    message = await world.imagined()
    await world.store.database.write(
        "UPDATE job SET request = json_set(request, '$.model', 'old') WHERE id = 1", {}
    )
    result = await world.alice.click(message, label="Reroll")

    assert "no model “old” here: use fake" in result.response.content
    assert (await world.job(1)).state is JobState.DELIVERED
