"""Styles and defaults: what is taken where nobody says anything, by whom it is set, and what of it does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.app import create_app
from bot.config import ConfigError, load
from bot.config.engine import engine_settings
from bot.job import JobState
from engine.contract import FakeSettings
from tests.bot.chat.conftest import StartWorld

STYLES = """
[[style]]
name = "Watercolour"
prompt = "{prompt}, watercolour"
negative_prompt = "photo"

[[style]]
name = "sharp"
prompt = "sharp focus"
"""


async def test_a_style_is_put_around_the_words(start_world: StartWorld, tmp_path: Path) -> None:
    """The owner's and a server's, by flag; the wish keeps the words as typed, after a restart too."""
    (tmp_path / "styles.toml").write_text(STYLES)
    world = await start_world()
    await world.admin.slash(world.channel, "style add", name="Pixel", prompt="pixel art")
    for number, (style, prompt, negative) in enumerate(
        [
            ("watercolour", "a fox, watercolour", "blue, photo"),
            ("SHARP", "a fox, sharp focus", "blue"),
            ("pixel", "a fox, pixel art", "blue"),
        ],
        start=1,
    ):
        await world.imagined(number, prompt="a fox --no blue", style=style)
        job = await world.job(number)
        assert (job.request.prompt, job.request.negative_prompt) == (prompt, negative)
        assert (job.wish or {})["prompt"] == "a fox"
    await world.restart()
    form = await world.alice.click(world.message(1), "Remix")
    await world.alice.submit(form, prompt="a cat")
    assert (await world.reaches(4, JobState.DELIVERED)).request.prompt == "a cat, watercolour"


async def test_styles_are_listed_tried_and_removed(start_world: StartWorld, tmp_path: Path) -> None:
    """By everybody but for adding and removing; a name that is there, or not, is one sentence."""
    (tmp_path / "styles.toml").write_text(STYLES)
    world = await start_world()
    add = {"name": "Pixel", "prompt": "pixel art of {prompt}"}
    assert "manage this server" in (await world.alice.slash(world.channel, "style add", **add)).text
    assert "`pixel art of a red fox`" in (await world.admin.slash(world.channel, "style add", **add)).text
    for name in ("PIXEL", "sharp"):
        told = await world.admin.slash(world.channel, "style add", name=name, prompt="x")
        assert "already: take another name" in (told.ephemeral_text or "")
    listed = (await world.alice.slash(world.channel, "style list")).text
    assert all(f"**{name}**" in listed for name in ("Pixel", "Watercolour", "sharp"))
    tried = await world.alice.slash(world.channel, "style preview", name="watercolour", prompt="a cat")
    assert "`a cat, watercolour`" in (tried.ephemeral_text or "")
    offered = await world.alice.autocomplete(world.channel, "style preview", "name", "wat")
    assert [choice["value"] for choice in offered] == ["Watercolour"]
    for command, name in (("style preview", "nope"), ("style remove", "sharp")):
        told = await world.admin.slash(world.channel, command, name=name)
        assert ("no style “nope”" in told.text) or ("No style “sharp” was added" in told.text)
    assert "is gone" in (await world.admin.slash(world.channel, "style remove", name="pixel")).text
    refused = await world.imagine(prompt="a fox --style pixel")
    assert "There is no style “pixel” here: use" in (refused.ephemeral_text or "")
    assert await world.jobs_stored() == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (STYLES + '[[style]]\nname="SHARP"\nprompt="x"', "stands there twice"),
        ('[[style]]\nname="x"', "says nothing"),
        ('[[style]]\nprompt="x"', "needs a name"),
        ('[[style]]\nname="x"\nprompt=3', "something else than a text"),
        ('[[style]]\nname="x"\nlora="y"', "has “lora”"),
        ("styles = 3", "begins with [[style]]"),
        ("[[style", "is not TOML"),
    ],
)
def test_a_wrong_file_of_styles_is_told_at_the_start(tmp_path: Path, text: str, words: str) -> None:
    """One sentence with the file's name, to whoever runs the bot and not to who names a style."""
    (tmp_path / "styles.toml").write_text(text)
    (tmp_path / "easel.toml").write_text(f'[data]\ndir = "{tmp_path}"')
    settings = load(tmp_path / "easel.toml", environ={})
    with pytest.raises(ConfigError, match=r"styles\.toml") as caught:
        create_app(settings, engine_settings(settings))
    assert words in str(caught.value)


async def test_what_is_left_out_is_as_somebody_prefers(start_world: StartWorld) -> None:
    """One's own words come first, then the channel, oneself, the server, the model; what does not fit is left alone."""
    world = await start_world(fake=FakeSettings(others=("second",)))
    told = await world.alice.slash(world.channel, "settings", model="second", aspect="3:2", images=2)
    assert "aspect **3:2**, images **2**, model **second**" in (told.ephemeral_text or "")
    await world.imagined(1)
    first = (await world.job(1)).request
    assert (first.model, first.images) == ("second", 2)
    assert first.width > first.height
    refused = await world.alice.slash(
        world.channel, "channel", images=1, spoiler=True, despite_permissions=True
    )
    assert "manage this server" in (refused.ephemeral_text or "")
    await world.admin.slash(world.channel, "channel", images=1, quality="quick", spoiler=True)
    await world.restart()
    message = await world.imagined(2, size="64x64")
    second = await world.job(2)
    assert (second.request.images, second.request.size, second.request.steps) == (1, "64x64", 4)
    assert world.spoilers(message) == [True]
    await world.imagined(3, images=3, steps=6, model="fake")
    third = (await world.job(3)).request
    assert (third.images, third.steps, third.model) == (3, 6, "fake")
    told = await world.admin.slash(world.channel, "channel", quality="high", images=4, everywhere=True)
    assert "on this server have: images **4**, quality **high**" in (told.ephemeral_text or "")
    elsewhere = await world.place("elsewhere")
    await world.alice.slash(elsewhere, "settings", reset=True)
    await world.alice.slash(elsewhere, "imagine", prompt="a fox")
    fourth = await world.reaches(4, JobState.DELIVERED)
    assert (fourth.request.model, fourth.request.images, fourth.spoiler) == ("fake", 4, False)
    assert fourth.request.steps == 12
    told = await world.admin.slash(elsewhere, "channel", everywhere=True, reset=True)
    assert "This server prefers nothing" in (told.ephemeral_text or "")
    await world.alice.slash(elsewhere, "imagine", prompt="a fox")
    assert (await world.reaches(5, JobState.DELIVERED)).request.images == 1


async def test_a_preferred_model_that_is_gone_is_nobodys(start_world: StartWorld) -> None:
    """After the owner took it away, the first one draws; who names what there is not is told at once."""
    world = await start_world(fake=FakeSettings(others=("second",)))
    await world.alice.slash(world.channel, "settings", model="second")
    for options, words in (({"model": "third"}, "no model “third”"), ({"style": "x"}, "no style “x”")):
        told = await world.alice.slash(world.channel, "settings", **options)
        assert words in (told.ephemeral_text or "")
    world.fake = FakeSettings()
    await world.restart()
    await world.imagined(1)
    assert (await world.job(1)).request.model == "fake"
