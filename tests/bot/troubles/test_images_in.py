"""/imagine with attachments: what is refused unseen, what can't be fetched, what is lost on the way."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from bot.core.asking.refused import InputGone
from bot.texts import problems
from bot.texts.language import ENGLISH
from tests.kit import said
from tests.kit.troubled import Troubled, trouble
from workshop.rehearsal.bot import png
from workshop.rehearsal.loopback.driver import Answer, Upload

CAT = png(300, 200)


MASK = png(300, 200, "white")


def upload(data: bytes = CAT, name: str = "cat.png", **faults: Any) -> Upload:
    return Upload(filename=name, bytes=data, **faults)


def inputs(world: Troubled) -> set[str]:
    folder = world.settings.inputs
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def text_of(answer: Answer) -> str:
    assert answer.message is not None
    return answer.message.text


def asked(world: Troubled) -> int:
    """How often the CDN was."""
    return len(world.discord.requests_to("GET", "attachments/"))


async def test_a_picture_from_a_picture(tmp_path: Path) -> None:
    """Image and mask reach the request as digests and the spool as bytes; size, messages, info and history follow."""
    async with trouble(tmp_path) as world:
        await world.come()
        plain = await world.imagine(image=upload(), seed=1)
        assert plain.kind == "deferred"
        message = await world.finished(plain)
        assert "from an image at 0.75" in message.text
        masked = await world.imagine(image=upload(), mask=upload(MASK, "mask.webp"), strength=0.5, seed=2)
        assert "within a mask of an image at 0.5" in (await world.finished(masked)).text

        sql = "SELECT request ->> 'image', request ->> 'mask', request ->> 'strength', request ->> 'width', request ->> 'height' FROM job"
        cat, mask = (hashlib.sha256(data).hexdigest() for data in (CAT, MASK))
        assert world.rows(sql) == [(cat, None, 0.75, 160, 104), (cat, mask, 0.5, 160, 104)]
        assert inputs(world) == {cat, mask}
        shapes: tuple[dict[str, Any], ...] = ({"size": "64x128"}, {"aspect": "1:1"})
        for chosen in shapes:  # beats the image's own shape
            await world.finished(await world.imagine(image=upload(), **chosen))
        assert [row[3:] for row in world.rows(sql)[2:]] == [(64, 128), (128, 128)]
        assert (world.settings.inputs / cat).read_bytes() == CAT
        larger = await world.finished(await world.imagine(image=upload(), upscale=2, seed=3))
        assert "600×400 · 8 steps" in larger.text
        assert "upscaled 2× at 0.2" in larger.text
        info = await world.alice.click(masked.message, "Info")
        assert "strength:0.5" in text_of(info)
        assert "Attach the same image and mask to the command." in text_of(info)
        await world.hears(lambda: {*world.states()} == {"delivered"})
        history = await world.alice.slash(world.channel, "history")
        assert "600x400, upscaled 2× at 0.2, fake" in text_of(history)
        assert "160x104, within a mask of an image at 0.5, fake" in text_of(history)


async def test_a_photo_is_enlarged_beyond_what_the_model_draws(tmp_path: Path) -> None:
    """With Lanczos, which the message and Info say; what is too large for that is refused with the size that fits."""
    async with trouble(tmp_path) as world:
        await world.come()
        photo = upload(png(520, 500))
        larger = await world.finished(await world.imagine(image=photo, upscale=2))
        assert "1040×1000 · upscaled 2× with Lanczos · fake" in larger.text
        assert "Fake model can't draw 1040x1000, so the image was enlarged with Lanczos alone" in larger.text
        info = await world.alice.click(larger, "Info")
        assert "sampler:Lanczos model:fake upscale:2" in text_of(info)
        answer = await world.imagine(image=upload(png(4000, 90)), upscale=2)
        assert (
            "4000x90 can't be made 2 times as large here: take an image of at most 2048"
            in answer.message.text
        )


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"image": upload(CAT, "cat.gif")}, "image has to be a PNG, JPEG or WebP picture"),
    ({"image": upload(b"MZ", "cat.exe")}, "image has to be a PNG, JPEG or WebP picture"),
    ({"image": upload(CAT + bytes(1 << 20))}, "picture is larger than 1 MB"),
    ({"image": upload(), "mask": upload(MASK, "mask.gif")}, "mask has to be a PNG, JPEG or WebP picture"),
    ({"image": upload(), "mask": upload(MASK + bytes(1 << 20))}, "picture is larger than 1 MB"),
    (
        {"image": upload(), "mask": upload(png(200, 300))},
        "mask has 200×300 pixels and the image 300×200 pixels: make",
    ),
    (
        {"image": upload(), "mask": upload(b"no picture")},
        "mask has a size that Discord can't read and the image 300×200",
    ),
    ({"mask": upload(MASK)}, "A mask needs an image"),
    ({"strength": 0.5}, "Strength needs an image"),
    ({"image": upload(), "strength": 0.1}, "Of 8 steps none is left at strength 0.1"),
    ({"upscale": 2}, "Upscaling needs an image"),
    ({"image": upload(), "upscale": 2, "aspect": "1:1"}, "leave out size and aspect"),
    ({"image": upload(), "upscale": 2, "mask": upload(MASK)}, "leave out the mask"),
    ({"image": upload(), "upscale": 4}, "300x200 can't be made 4 times as large here: ask for 3 times."),
    ({"image": upload(b"no picture", "cat.png"), "upscale": 2}, "Discord can't tell how large this image is"),
    ({"image": upload(), "steps": 61}, "above your limit of 60"),
    ({"image": upload(), "images": 4, "steps": 60}, "This costs 4 credits and your day has 3 credits"),
]


async def test_what_is_known_before_is_refused_before(tmp_path: Path) -> None:
    """One sentence for one pair of eyes; nothing is fetched, stored or charged."""
    toml = "[images_in]\nmax_mb = 1\n[limits]\ncredits_per_day = 3\n"
    async with trouble(tmp_path, toml=toml) as world:
        await world.come()
        for options, sentence in REFUSED:
            answer = await world.imagine(**options)
            assert answer.message.ephemeral
            assert sentence in answer.message.text
        await world.finished(await world.imagine(images=2))
        await world.hears(lambda: world.states() == ["delivered"])
        answer = await world.imagine(image=upload(), images=2)
        assert answer.message.ephemeral
        assert "This costs 2 credits and you have 1 of 3 left" in answer.message.text

        assert asked(world) == 0
        assert inputs(world) == set()
        assert len(world.states()) == 1
        assert "interaction_failed" not in world.log()


async def test_a_full_hand_is_refused_before_the_download(tmp_path: Path) -> None:
    """Whoever has as many waiting as they may is told so at once."""
    async with trouble(tmp_path, toml="[limits]\npending = 1\n", step_s=1.0) as world:
        await world.come()
        await world.imagine()
        answer = await world.imagine(image=upload())
        assert answer.message.ephemeral
        assert "You have 1 of 1 requests waiting" in answer.message.text
        assert asked(world) == 0


async def test_what_cannot_be_fetched_costs_nothing(tmp_path: Path) -> None:
    """The deferred answer becomes the sentence; nothing is stored, and the next order works."""
    async with trouble(tmp_path, toml="[images_in]\nmax_mb = 1\n") as world:
        await world.come()
        elsewhere = "https://cdn.discordapp.com.evil.example/cat.png"
        for file, sentence in (
            (upload(url=elsewhere), "Only pictures that were uploaded to Discord are taken"),
            (upload(moved_to=elsewhere), problems.not_fetched(ENGLISH)),
            (upload(served=bytes(2 << 20)), "The picture is larger than 1 MB"),
        ):
            answer = await world.imagine(image=file)
            await world.hears(lambda answer=answer: not answer.message.loading)
            assert sentence in answer.message.text
            assert len(world.discord.posted(world.channel)) == 1
            answer.message.deleted = True
        world.discord.fail_next("GET", "attachments/", status=404)
        answer = await world.imagine(image=upload())
        await world.hears(lambda: answer.message.text == problems.not_fetched(ENGLISH))

        assert world.rows("SELECT * FROM job") == []
        assert inputs(world) == set()
        assert "interaction_failed" not in world.log()
        await world.finished(await world.imagine(image=upload()))


async def test_a_reroll_starts_from_the_same_picture_as_long_as_it_is_kept(tmp_path: Path) -> None:
    """Nothing is fetched again; when the file is gone the person is told, and not charged."""
    async with trouble(tmp_path) as world:
        await world.come()
        message = await world.finished(await world.imagine(image=upload()))
        again = await world.finished(await world.admin.click(message, "Reroll"))
        assert "from an image at 0.75" in again.text
        assert asked(world) == 1
        (kept,) = (world.settings.inputs).iterdir()
        kept.unlink()
        answer = await world.admin.click(message, "Reroll")
        assert answer.message is not None
        assert answer.message.ephemeral
        assert answer.message.text == said.refusal(InputGone())
        assert world.rows("SELECT COUNT(*), SUM(charged) FROM job") == [(2, 2)]


# ------------------------------------------------------------------ replies that get lost


async def ends_as_pictures(world: Troubled, count: int) -> None:
    """So many orders, each one picture in a message of its own, for one credit."""
    await world.hears(lambda: world.states() == ["delivered"] * count)
    messages = world.discord.posted(world.channel)
    assert [len(message.attachments) for message in messages] == [1] * count
    for message in messages:
        assert message.shown_files == [message.attachments[0].filename]
    assert world.rows("SELECT charged FROM job") == [(1,)] * count


async def test_a_lost_reply_loses_no_picture(tmp_path: Path) -> None:
    """The reply to the deferral, or the edit that makes it a message, applied or not: one picture for one credit."""
    lost = [("POST", "/callback", True), ("PATCH", "/webhooks/", True), ("PATCH", "/webhooks/", False)]
    async with trouble(tmp_path) as world:
        await world.come()
        for count, (method, path, applied) in enumerate(lost, 1):
            world.discord.fail_next(method, path, reset=True, times=1, apply=applied)
            await world.asks(prompt="a cat", image=upload())
            await ends_as_pictures(world, count)


async def test_what_cannot_be_answered_costs_nothing(tmp_path: Path) -> None:
    """A deferral that is refused for good: not even a download. Its edit refused for good: refunded, never run."""
    async with trouble(tmp_path) as world:
        await world.come()
        world.discord.fail_next("POST", "/callback", status=404)
        await world.asks(prompt="a cat", image=upload())
        await world.hears(lambda: "deferral_failed" in world.log())
        await world.finished(await world.imagine())
        assert asked(world) == 0

        world.discord.fail_next("PATCH", "/webhooks/", status=404)
        await world.imagine(image=upload())
        await world.hears(lambda: world.states() == ["delivered", "cancelled"])
        assert world.rows("SELECT charged FROM job") == [(1,), (0,)]


async def test_an_order_that_comes_twice_is_one_order(tmp_path: Path) -> None:
    """The gateway repeats the interaction while its picture is fetched: one job, one charge, no word about it."""
    async with trouble(tmp_path) as world:
        await world.come()
        hold = world.discord.hold_next("GET", "attachments/")
        await world.imagine(image=upload())
        await world.hears(lambda: hold.entered)
        await world.discord.replay_last_interaction()
        await world.hears(lambda: asked(world) == 2)
        await world.hears(lambda: world.states() == ["delivered"])
        hold.release()
        await world.hears(lambda: "interaction_repeated" in world.log())
        await ends_as_pictures(world, 1)
