"""Bad input gets its one ephemeral sentence and leaves no job, no charge and no error in the log."""

from __future__ import annotations

from typing import Any

from structlog.testing import capture_logs

from bot.job import JobState
from engine.contract import FakeSettings
from tests.bot.chat.conftest import StartWorld
from tests.kit.world import World
from workshop.rehearsal.loopback.driver import Permission
from workshop.rehearsal.loopback.world import MEMBER_DEFAULT

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


HOSTILE = {
    "emoji": "😀" * 4000,
    "markdown": "**bold** _it_ ||spoiler|| [x](https://example.org) # big",
    "invisible": "a\u200bb\u202ec",
    "long": "x" * 4000,
    "backticks": "`" * 100,
}


async def test_bad_options_get_one_sentence(world: World) -> None:
    """Every impossible option is refused with a sentence that says what to do; nothing is stored."""
    with capture_logs() as lines:
        told = {str(options): await world.imagine(**options) for options, _ in REFUSED}

    for options, sentence in REFUSED:
        assert sentence in (told[str(options)].ephemeral_text or "")
    assert await world.jobs_stored() == 0
    assert [line for line in lines if line["log_level"] == "error"] == []


async def test_hostile_prompts_are_drawn_and_shown_safely(world: World) -> None:
    """Odd prompts are drawn like any other; the message stays within Discord's limits and the prompt is stored whole."""
    for number, (name, prompt) in enumerate(HOSTILE.items(), start=1):
        message = await world.imagined(number, prompt=prompt)
        assert (await world.job(number)).request.prompt == prompt, name
        assert len(message.text.encode("utf-16-le")) // 2 < 4000, name
        (file,) = message.attachments
        assert len((file.description or "").encode("utf-16-le")) // 2 <= 1024, name


async def test_where_the_bot_may_not_post_nothing_is_taken(world: World) -> None:
    """In a channel where the bot may not look or attach files the person is told which permission is missing."""
    for missing, name in (
        (Permission.ATTACH_FILES, "Attach Files"),
        (Permission.VIEW_CHANNEL, "View Channel"),
    ):
        channel = await world.place("closed", app_permissions=MEMBER_DEFAULT & ~missing)
        result = await world.alice.slash(channel, "imagine", prompt="a red circle")
        assert f"give me {name}" in (result.ephemeral_text or "")
    assert await world.jobs_stored() == 0


async def test_a_picture_above_the_limit_names_a_size_that_fits(start_world: StartWorld) -> None:
    """Above a person's pixel limit the sentence names the limit and a size that fits."""
    world = await start_world(limits={"max_pixels": 128 * 128})
    result = await world.imagine(size="256x256")

    assert "above your limit of 16,384 pixels: ask for 128x128" in result.text


async def test_the_quota_names_what_is_left_and_when_it_renews(start_world: StartWorld) -> None:
    """Over the day's credits the sentence says what it costs, what is left and when it renews; nothing is charged."""
    world = await start_world(limits={"credits_per_day": 3})
    await world.imagined(images=2)
    result = await world.imagine(images=2)

    assert result.ephemeral
    assert "This costs 2 credits and you have 1 of 3 left today; they renew <t:" in result.text
    assert await world.jobs_stored() == 1


async def test_too_many_waiting_requests_are_refused(start_world: StartWorld) -> None:
    """The pending limit is named with the number in use."""
    world = await start_world(fake=FakeSettings(load_s=30), limits={"pending": 1})
    await world.imagine()
    result = await world.imagine()

    assert "You have 1 of 1 requests waiting" in result.text


async def test_a_full_line_is_refused(start_world: StartWorld) -> None:
    """When the line is full for everybody the sentence says to come back later."""
    world = await start_world(fake=FakeSettings(load_s=30), queue={"max": 1})
    await world.imagine()
    result = await world.imagine(world.admin)

    assert "line is full" in result.text


async def test_a_reroll_of_a_model_that_is_gone_says_so(world: World) -> None:
    """An old message's model may not be offered any more: the reroll is refused with the list."""
    message = await world.imagined()
    await world.store.database.write(
        "UPDATE job SET request = json_set(request, '$.model', 'old') WHERE id = 1", {}
    )
    result = await world.alice.click(message, "Reroll")

    assert "no model “old” here: use fake" in result.text
    assert (await world.job(1)).state is JobState.DELIVERED
