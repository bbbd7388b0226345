"""What people type inside the prompt of /imagine: flags, wildcards and what is refused, from their side."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.core.asking.wish import Wish
from bot.job import JobState
from tests.bot.chat.conftest import StartWorld
from tests.kit.world import World


async def test_flags_draw_what_the_options_would(world: World) -> None:
    """With a phone's dashes; the message shows the prompt without them, and the wish is kept by option."""
    message = await world.imagined(
        prompt="a red circle —ar 2:1 ––seed 7 --no text, hands --cfg 5 --quick --tile", images=2
    )
    job = await world.job(1)
    request = job.request
    model = world.client.services.catalogue.model()

    assert "`a red circle`" in message.text
    assert (request.prompt, request.negative_prompt, request.seed) == ("a red circle", "text, hands", 7)
    assert (request.width, request.height) == model.size_for("2:1")
    assert (request.guidance_scale, request.images, request.steps) == (5, 2, -(-model.steps // 2))
    assert request.tile
    assert job.wish == {
        "prompt": "a red circle",
        "aspect": "2:1",
        "seed": 7,
        "negative_prompt": "text, hands",
        "guidance": 5.0,
        "quality": "quick",
        "tile": True,
        "images": 2,
    }


async def test_a_wildcards_words_are_drawn_and_the_wish_keeps_what_was_typed(
    start_world: StartWorld, tmp_path: Path
) -> None:
    """The same seed gives the same words, after a restart too; a reroll draws those words with another seed."""
    cards = tmp_path / "wildcards"
    cards.mkdir()
    (cards / "animal.txt").write_text("fox\nwolf\nbear\n")
    world = await start_world()
    message = await world.imagined(prompt="an __animal__", seed=1)
    await world.restart()
    await world.imagined(2, prompt="an __animal__ --seed 1")
    await world.alice.click(message, "Reroll")
    again = await world.reaches(3, JobState.DELIVERED)
    first, second = await world.job(1), await world.job(2)

    assert first.request.prompt == second.request.prompt == again.request.prompt == "an fox"
    assert "`an fox`" in message.text
    assert first.wish is not None
    assert Wish.of(first.wish) == Wish(prompt="an __animal__", seed=1)
    assert again.wish == {"prompt": "an __animal__"}


async def test_a_remix_shows_what_was_typed_and_chooses_words_again(
    start_world: StartWorld, tmp_path: Path
) -> None:
    """By its own seed; with the seed that is kept they are the same. What was meant literally stays so."""
    cards = tmp_path / "wildcards"
    cards.mkdir()
    (cards / "animal.txt").write_text("fox\nwolf\nbear\n")
    world = await start_world()
    message = await world.imagined(prompt=r"an __animal__ \__x__", seed=1)
    form = await world.alice.click(message, "Remix")
    await world.restart()
    await world.alice.submit(form, seed=["keep"])
    kept = await world.reaches(2, JobState.DELIVERED)

    assert kept.wish is not None
    assert kept.wish["prompt"] == r"an __animal__ \__x__"
    assert kept.request.prompt == "an fox __x__"


async def test_infos_command_draws_the_very_prompt_again(world: World) -> None:
    """Signs that were meant literally are still so when the command is pasted."""
    typed = r"a \--weird \{red, blue\} fox \__animal__"
    message = await world.imagined(prompt=typed, seed=7)
    told = await world.admin.click(message, "Info")

    assert (await world.job(1)).request.prompt == "a --weird {red, blue} fox __animal__"
    assert f"/imagine prompt:{typed} " in told.text


@pytest.fixture
async def careful(start_world: StartWorld, tmp_path: Path) -> World:
    cards = tmp_path / "wildcards"
    cards.mkdir()
    (cards / "animal.txt").write_text("fox\n")
    (cards / "loop.txt").write_text("__loop__\n")
    return await start_world()


async def test_what_is_wrong_inside_a_prompt_is_one_sentence(careful: World) -> None:
    """For whoever typed it alone; nothing is stored or charged."""
    world = careful
    wrong: list[tuple[dict[str, object], str]] = [
        ({"prompt": "a --weird thing"}, "There is no flag “--weird”"),
        ({"prompt": "a --seed"}, "“--seed” needs a value"),
        ({"prompt": "a --steps 5", "steps": 9}, "“--steps 5” and “steps:9” contradict"),
        ({"prompt": "a --quick", "steps": 9}, "“quick” chooses the steps itself"),
        ({"prompt": "a --ar 3:2", "size": "64x64"}, "“--ar 3:2” and “size:64x64” contradict"),
        ({"prompt": "a --model nope"}, "There is no model “nope” here"),
        ({"prompt": "a --steps 61"}, "61 steps are above your limit"),
        ({"prompt": "a --strength 0.5"}, "Strength needs an image"),
        ({"prompt": "--seed 7"}, "The prompt is empty"),
        ({"prompt": "{1,2,3,4,5,6,7,8,9,0}" * 9}, "makes more than a million requests"),
        ({"prompt": "a __anmal__"}, "There is no wildcard “anmal” here: use animal"),
        ({"prompt": "a __loop__"}, "“loop” includes itself"),
    ]
    for options, sentence in wrong:
        answer = await world.alice.slash(world.channel, "imagine", **options)
        assert answer.ephemeral, options
        assert sentence in answer.text
    assert await world.jobs_stored() == 0
