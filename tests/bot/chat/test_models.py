"""/models and what is chosen from it: models, LoRAs and embeddings with what their files and neighbours tell, and pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import torch
from PIL import Image

from bot.chat.look import offer_view
from bot.chat.look.picture_info import describe
from bot.core.asking.offer import called, offers
from bot.job import JobState
from bot.texts.language import ENGLISH
from engine.contract import AdapterInfo, FakeSettings, ModelInfo
from tests.bot.chat.conftest import StartWorld
from tests.kit.adapters import write
from tests.kit.world import World, custom_ids
from workshop.rehearsal.loopback import checks
from workshop.rehearsal.loopback.driver import Answer
from workshop.rehearsal.loopback.world import COMPONENTS_V2, walk

LAYER = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
THUMBNAIL = 11


def a_lora(width: int = 768) -> dict[str, Any]:
    return {
        f"{LAYER}.lora_A.weight": torch.zeros(4, width),
        f"{LAYER}.lora_B.weight": torch.zeros(8, 4),
    }


def collection(models: Path) -> None:
    """A folder for models as people have it: files, what web UIs keep beside them, and pictures."""
    loras, embeddings, checkpoints = (models / name for name in ("loras", "embeddings", "checkpoints"))
    write(loras, "ink", a_lora(), {"modelspec.trigger_phrase": "ink wash"})
    notes = {"activation text": "ink, wash", "description": "Brush and <b>ink</b> on *rice paper*"}
    (loras / "ink.json").write_text(json.dumps(notes), encoding="utf-8")
    Image.new("RGB", (600, 400), "teal").save(loras / "ink.preview.png")
    write(loras, "for-xl", a_lora(2048), {"modelspec.description": "of another kind"})
    write(embeddings, "BadHands", {"emb_params": torch.zeros(3, 768)})
    (embeddings / "BadHands.description.txt").write_text("what hands should not be", encoding="utf-8")
    (embeddings / "BadHands.png").write_bytes(b"no picture at all")
    checkpoints.mkdir(parents=True)
    Image.new("RGB", (64, 64), "red").save(checkpoints / "fake.webp")


@pytest.fixture
async def stocked(start_world: StartWorld, tmp_path: Path) -> World:
    """A world with that folder, and two models."""
    collection(tmp_path / "models")
    return await start_world(fake=FakeSettings(step_s=0.01, others=("second",)))


async def card(world: World, name: str) -> Answer:
    answer = await world.alice.slash(world.channel, "models", name=name)
    await world.until(lambda: answer.text)
    assert answer.ephemeral
    return answer


async def test_all_that_can_be_drawn_with_is_listed(stocked: World) -> None:
    """By kind, with trigger words and description; what fits no model here is left out. For one pair of eyes."""
    told = await stocked.alice.slash(stocked.channel, "models")

    assert told.ephemeral
    assert (
        "**Fake model** coloured shapes from the seed; obeys no prompt · used where none is named"
        in told.text
    )
    assert "**second** coloured shapes" in told.text
    assert "**ink** ink, wash · Brush and ink on \\*rice paper\\*" in told.text
    assert "**cat-toy** a toy cat in bright colours" in told.text
    assert "**BadHands** what hands should not be" in told.text
    assert "for-xl" not in told.text
    assert told.message is not None
    assert custom_ids(told.message) == []


async def test_one_is_shown_with_its_picture(stocked: World) -> None:
    """Description, trigger words, models it fits, how to ask for it, and the picture beside its file, made small."""
    ink = await card(stocked, "INK")
    model = await card(stocked, "Fake model")
    without = await card(stocked, "badhands")

    for words in ("**ink** · LoRA", "`ink`, `wash`", "For: Fake model, second", "`/imagine lora:ink`"):
        assert words in ink.text
    for words in ("**Fake model** · model", "128×128 · 8 steps", "`/imagine model:fake`"):
        assert words in model.text
    for words in ("what hands should not be", "`/imagine embedding:BadHands`", "with `-` before it"):
        assert words in without.text
    assert [thumbnails(answer) for answer in (ink, model, without)] == [
        ["lora.jpg"],
        ["model.jpg"],
        [],
    ]
    assert ink.message is not None
    (picture,) = ink.message.attachments
    with Image.open(BytesIO(picture.bytes)) as small:
        assert (small.format, small.size) == ("JPEG", (256, 171))


def thumbnails(answer: Answer) -> list[str]:
    """Names of the files beside the texts."""
    assert answer.message is not None
    urls = (part["media"]["url"] for part in walk(answer.message.components) if part["type"] == THUMBNAIL)
    return [urlsplit(url).path.rsplit("/", 1)[-1] for url in urls]


async def test_what_can_not_be_used_or_is_not_there(stocked: World) -> None:
    """Why, in a sentence."""
    other = await card(stocked, "for-xl")
    nothing = await stocked.alice.slash(stocked.channel, "models", name="nope")

    assert "It can be used with no model here: it was made for Stable Diffusion XL." in other.text
    assert "/imagine" not in other.text
    assert nothing.ephemeral_text == "There is no model, LoRA or embedding “nope” here: `/models` lists them."


async def test_what_may_be_looked_at_is_suggested(stocked: World) -> None:
    """By name, trigger words and description, whatever kind it is."""

    async def suggested(typed: str) -> list[str]:
        choices = await stocked.alice.autocomplete(stocked.channel, "models", "name", typed)
        return [choice["value"] for choice in choices]

    assert (await suggested(""))[:3] == ["fake", "second", "detail"]
    assert await suggested("RICE") == ["ink"]
    assert await suggested("16 bit") == ["pixel"]
    assert await suggested("hands") == ["BadHands"]


async def test_embeddings_are_suggested_after_each_comma(stocked: World) -> None:
    """With what is said of them, by which they are found too; a minus is kept, and none comes twice."""

    async def offered(typed: str) -> list[tuple[str, str]]:
        choices = await stocked.alice.autocomplete(stocked.channel, "imagine", "embedding", typed)
        return [(choice["name"], choice["value"]) for choice in choices]

    cat = "cat-toy – a toy cat in bright colours"
    assert await offered("cat") == await offered("BRIGHT") == [(cat, "cat-toy")]
    assert await offered("-hand") == [("-BadHands – what hands should not be", "-BadHands")]
    assert await offered("cat-toy, -badh") == [
        ("cat-toy, -BadHands – what hands should not be", "cat-toy, -BadHands")
    ]
    assert "cat-toy" not in [value for _, value in await offered("-Cat-Toy, ")]
    assert await offered("sdxl") == []


async def test_chosen_embeddings_are_words_of_the_prompts(stocked: World) -> None:
    """By option or flag, as their files are called, once; ℹ️ Info and a reroll keep them."""
    message = await stocked.imagined(
        1, prompt="a fox on a shelf", negative_prompt="fog", embedding="Cat-Toy, -badhands"
    )
    await stocked.alice.click(message, "Reroll")
    await stocked.reaches(2, JobState.DELIVERED)
    await stocked.imagined(3, prompt="(cat-toy:1.2) box --embedding cat-toy, -badhands --seed 5")

    wanted = ("a fox on a shelf, cat-toy", "fog, BadHands")
    for number in (1, 2):
        request = (await stocked.job(number)).request
        assert (request.prompt, request.negative_prompt) == wanted
    flagged = (await stocked.job(3)).request
    assert (flagged.prompt, flagged.negative_prompt) == ("(cat-toy:1.2) box", "BadHands")
    _, command = describe(await stocked.job(1), ENGLISH)
    assert "prompt:a fox on a shelf, cat-toy negative_prompt:fog, BadHands" in command
    assert (await stocked.job(1)).wish == {
        "prompt": "a fox on a shelf",
        "negative_prompt": "fog",
        "embedding": "Cat-Toy, -badhands",
    }


async def test_remixed_embeddings_stand_in_the_form(stocked: World) -> None:
    """As words of both prompts, so that they can be changed; what is left there counts."""
    message = await stocked.imagined(1, prompt="a fox", embedding="cat-toy, -badhands")
    form = await stocked.alice.click(message, "Remix")
    filled = stocked.filled_in(form)
    assert (filled["prompt"], filled["negative"]) == ("a fox, cat-toy", "BadHands")
    await stocked.alice.submit(form, prompt="a fox", model=["second"])
    again = (await stocked.reaches(2, JobState.DELIVERED)).request
    assert (again.prompt, again.negative_prompt, again.model) == ("a fox", "BadHands", "second")


@pytest.mark.parametrize(
    ("embedding", "sentence"),
    [
        ("cat-toi", "There is no embedding “cat-toi” for Fake model here: use cat-toy."),
        ("cat-toy, -nope", "There is no embedding “nope” for Fake model here: use cat-toy, easynegative."),
        ("sdxl-toy", "“sdxl-toy” can't be used with Fake model: it was made for another kind of model."),
    ],
)
async def test_an_embedding_that_cannot_be_used_is_refused(
    world: World, embedding: str, sentence: str
) -> None:
    """For one pair of eyes, and nothing is charged."""
    result = await world.imagine(embedding=embedding)

    assert result.ephemeral
    assert sentence in result.text
    assert await world.jobs_stored() == 0


def test_all_of_it_fits_into_a_message() -> None:
    """However many there are and whatever their files say; what is left out is counted, and cards of one name share a message."""
    files = tuple(
        AdapterInfo(name=f"{'x' * 70}{n}", words=("*" * 60,) * 6, description="`@everyone` " * 40)
        for n in range(300)
    )
    models = [
        ModelInfo(
            id=f"m{n}",
            title="*" * 200,
            description="@here " * 90,
            words=("w" * 60,) * 6,
            loras=files,
            embeddings=files,
        )
        for n in range(40)
    ]
    found = offers(models)
    same: Mapping[str, Any] = {"loras": (AdapterInfo(name="one"),), "embeddings": (AdapterInfo(name="ONE"),)}
    twins = called("one", offers([ModelInfo(id="one", title="One", **same)]))
    for view in (
        offer_view.overview(found, ENGLISH),
        *(offer_view.cards([offer], {}, ENGLISH) for offer in found[::50]),
        offer_view.cards(twins, {}, ENGLISH),
    ):
        shown: list[Any] = view.to_components()
        checks.check(checks.Draft(components=shown, flags=COMPONENTS_V2), 0)
        told = "\n".join(part.get("content", "") for part in walk(shown))
        assert "@everyone" not in told
    assert len(twins) == 3
