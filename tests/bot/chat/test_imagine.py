"""From /imagine to the picture and its buttons, on the loopback Discord."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.chat.look.picture_info import describe
from bot.core.engines.status import Phase
from bot.job import JobState
from bot.texts.language import ENGLISH
from engine.contract import FakeSettings, Lora
from tests.bot.chat.conftest import StartWorld
from tests.kit.world import World, labels


async def test_imagine_answers_with_the_place_in_line_and_a_cancel_button(start_world: StartWorld) -> None:
    """The answer is a real message that names the person, the prompt, the place in line and offers to cancel."""
    world = await start_world(fake=FakeSettings(step_s=0.2))
    result = await world.imagine(prompt="a red circle")
    await world.until(lambda: "step" in world.message(1).text)

    assert not result.ephemeral
    assert f"<@{world.alice.id}> `a red circle`" in world.message(1).text
    assert labels(world.message(1)) == ["Cancel"]


async def test_the_second_person_sees_their_place(start_world: StartWorld) -> None:
    """Somebody who comes while another's image is made reads that they are next in line."""
    world = await start_world(fake=FakeSettings(step_s=0.2, slots=1))
    await world.imagine()
    await world.until(lambda: world.dispatcher.running())
    result = await world.imagine(world.admin, prompt="a blue square")

    assert "Next in line" in result.text


async def test_the_image_arrives_in_the_same_message(world: World) -> None:
    """The message becomes a gallery with seed, settings, seconds and alt text; nothing more is posted."""
    message = await world.imagined(prompt="a red circle", seed=42)

    assert [attachment.filename for attachment in message.attachments] == ["easel-1-42.png"]
    assert "Cancel" not in labels(message)
    assert "seed `42`" in message.text
    assert "128×128 · 8 steps · guidance 7.5" in message.text
    assert message.attachments[0].description == "a red circle"
    assert len(world.messages()) == 1


async def test_several_images_have_consecutive_seeds(world: World) -> None:
    """Image i of a request has seed + i, wrapping at 2^32."""
    await world.imagined(images=3, seed=2**32 - 2)
    job = await world.job(1)

    assert [image.seed for image in job.images] == [2**32 - 2, 2**32 - 1, 0]
    assert len(world.message(1).attachments) == 3


@pytest.mark.parametrize("seed", [None, -1])
async def test_a_seed_left_out_is_random_and_shown(world: World, seed: int | None) -> None:
    """Without a seed, or with -1, two requests get two seeds, and each message names its own."""
    options = {} if seed is None else {"seed": seed}
    first = await world.imagined(1, **options)
    second = await world.imagined(2, **options)
    seeds = {(await world.job(number)).request.seed for number in (1, 2)}

    assert len(seeds) == 2
    assert all(f"seed `{seed}`" in first.text + second.text for seed in seeds)


async def test_progress_is_shown_while_the_image_is_made(start_world: StartWorld) -> None:
    """The message shows a bar with steps and seconds, and moves on."""
    world = await start_world(fake=FakeSettings(step_s=0.15))
    await world.imagine()
    seen: set[str] = set()

    def moved() -> bool:
        if world.messages() and "step" in world.message(1).text:
            seen.add(world.message(1).text)
        return len(seen) >= 3

    await world.until(moved)
    assert any("█" in text for text in seen)


async def test_the_result_comes_after_the_token_expired(start_world: StartWorld) -> None:
    """A result that comes 20 virtual minutes later is delivered by editing its message with the bot's own token."""
    world = await start_world(fake=FakeSettings(step_s=0.4))
    await world.imagine()
    await world.until(lambda: world.dispatcher.running())
    world.advance(20 * 60)
    await world.reaches(1, JobState.DELIVERED)

    last = [request for request in world.discord.requests if request.method == "PATCH"][-1]
    assert last.path.startswith("/channels/")
    assert len(world.message(1).attachments) == 1


async def test_an_engine_that_loads_is_named_in_the_answer(start_world: StartWorld) -> None:
    """While the engine loads, the request is taken and its message says what is going on."""
    world = await start_world(fake=FakeSettings(load_s=3.0))
    await world.imagine()
    await world.reaches(1, JobState.DELIVERED)
    answers = [call for call in world.discord.requests if call.path.endswith("/callback")]

    assert "The image engine is loading: loading the fake model" in str(answers[0].json)


async def test_a_broken_engine_is_named_instead_of_queueing(start_world: StartWorld) -> None:
    """With an engine that can't work nothing is queued: the person reads why."""
    world = await start_world(fake=FakeSettings(broken="The file x is missing: download it again."))
    await world.until(lambda: world.engine.status.phase is Phase.BROKEN)
    result = await world.imagine()

    assert result.ephemeral
    assert "The file x is missing" in result.text
    assert await world.jobs_stored() == 0


async def test_flagged_images_are_withheld(world: World) -> None:
    """An image that the safety checker flags is not posted and not charged, and the message says so."""
    await world.imagine(prompt="NSFW")
    job = await world.reaches(1, JobState.DELIVERED)

    assert job.charged == 0
    assert not world.message(1).attachments
    assert "safety checker" in world.message(1).text


async def test_a_failed_job_is_refunded_with_its_reason(world: World) -> None:
    """The message of a failed job says why in a sentence and that nothing was charged."""
    await world.imagine(prompt="FAIL")
    job = await world.reaches(1, JobState.FAILED)

    assert job.charged == 0
    assert "asked to fail" in world.message(1).text
    assert "Nothing was charged" in world.message(1).text


async def test_autocomplete_suggests_samplers_and_models(world: World) -> None:
    """Typing part of a name offers what matches."""
    samplers = await world.alice.autocomplete(world.channel, "imagine", "sampler", "karras")
    models = await world.alice.autocomplete(world.channel, "imagine", "model", "fa")

    assert {choice["value"] for choice in samplers} == {"DPM++ 2M Karras", "DPM++ 2M SDE Karras"}
    assert [choice["value"] for choice in models] == ["fake"]


async def test_autocomplete_suggests_loras_after_each_comma(world: World) -> None:
    """With their trigger words, by which they are found too; what was typed before stays, and none comes twice."""

    async def offered(typed: str) -> list[tuple[str, str]]:
        choices = await world.alice.autocomplete(world.channel, "imagine", "lora", typed)
        return [(choice["name"], choice["value"]) for choice in choices]

    pixel = "pixel – pixel art, 16 bit"
    assert await offered("") == [("detail – finely drawn", "detail"), (pixel, "pixel")]
    assert await offered("16 b") == [(pixel, "pixel")]
    assert await offered("det") == [("detail – finely drawn", "detail")]
    assert await offered("Detail:0.8, ") == [(f"Detail:0.8, {pixel}", "Detail:0.8, pixel")]
    assert await offered("detail:0.8,pix:0.5") == [
        ("detail:0.8, pixel:0.5 – pixel art, 16 bit", "detail:0.8, pixel:0.5")
    ]
    assert await offered("pix:") == [(pixel, "pixel")]
    assert await offered("other") == []
    assert await offered("x" * 99 + ", ") == []


async def test_loras_are_drawn_with_and_told(world: World) -> None:
    """From option and tag alike; the message, ℹ️ Info, the command to copy and a reroll tell and keep them."""
    message = await world.imagined(1, prompt="a fox <lora:PIXEL:-0.5>", lora="detail:0.8")
    first = await world.job(1)
    await world.alice.click(message, "Reroll")
    await world.reaches(2, JobState.DELIVERED)
    again = await world.job(2)

    assert first.request.prompt == "a fox"
    assert first.request.loras == (Lora(name="detail", weight=0.8), Lora(name="pixel", weight=-0.5))
    assert again.request.loras == first.request.loras
    assert "Euler a · detail:0.8, pixel:-0.5 · fake" in message.text
    text, command = describe(first, ENGLISH)
    assert "detail:0.8, pixel:-0.5" in text
    assert "lora:detail:0.8, pixel:-0.5" in command


@pytest.mark.parametrize(
    ("lora", "sentence"),
    [
        ("detail:3", "The weight of a LoRA goes from -2 to 2, not 3."),
        ("detial", "There is no LoRA “detial” for Fake model here: use detail."),
        ("other", "“other” can't be used with Fake model: it was made for Stable Diffusion XL."),
    ],
)
async def test_a_lora_that_cannot_be_used_is_refused(world: World, lora: str, sentence: str) -> None:
    """For one pair of eyes, and nothing is charged."""
    result = await world.imagine(lora=lora)

    assert result.ephemeral
    assert sentence in result.text
    assert not world.messages()


async def test_a_further_model_is_named_and_draws(start_world: StartWorld) -> None:
    """With several models /imagine offers them all, the named one draws, and a wrong name lists them."""
    world = await start_world(fake=FakeSettings(others=("owner/second", "third")))
    models = await world.alice.autocomplete(world.channel, "imagine", "model", "")
    await world.imagined(model="Owner/Second")
    unknown = await world.imagine(model="fourth")

    assert [choice["value"] for choice in models] == ["fake", "owner/second", "third"]
    job = await world.job(1)
    assert (job.request.model, job.state) == ("owner/second", JobState.DELIVERED)
    assert "There is no model “fourth” here: use fake, owner/second, third." in unknown.text


async def test_samplers_are_those_of_the_named_model(world: World) -> None:
    """Autocomplete offers what the model already filled in works with, and all while its name is still being typed."""
    engine = world.engine
    await world.until(lambda: engine.status.phase is Phase.READY)
    model = engine.status.models[0]
    other = replace(model, id="other", samplers=("Euler", "DDIM"))
    engine.status = replace(engine.status, models=(model, other))

    async def offered(**filled: str) -> set[str]:
        found = await world.alice.autocomplete(world.channel, "imagine", "sampler", "", **filled)
        return {choice["value"] for choice in found}

    assert await offered(model="other") == {"Euler", "DDIM"}
    assert await offered() == set(model.samplers) == await offered(model="oth")


async def test_a_sampler_is_known_whatever_its_capitals(world: World) -> None:
    """People type "dpm++ 2m karras"; the message shows the sampler's own spelling."""
    message = await world.imagined(sampler="dpm++ 2m karras")

    assert "DPM++ 2M Karras" in message.text


async def test_a_prompt_cannot_ping_or_format(world: World) -> None:
    """@everyone, markdown, back ticks and bidi controls are shown as text in code marks and ping nobody."""
    message = await world.imagined(prompt="@everyone **bold** `x` \u202eevil")

    assert "`@everyone **bold** ˋxˋ evil`" in message.text
    assert message.allowed_mentions == {"parse": []}
