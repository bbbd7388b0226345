"""/imagine with attachments, by the real bot process: what is refused unseen, what can't be fetched, who dies when."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from bot.core.asking.refused import InputGone
from bot.texts import problems
from bot.texts.language import ENGLISH
from tests.kit import said
from workshop.rehearsal.bot import Evening, easel_evening, png
from workshop.rehearsal.loopback.driver import Answer, Upload

CAT = png(300, 200)
MASK = png(300, 200, "white")


def upload(data: bytes = CAT, name: str = "cat.png", **faults: Any) -> Upload:
    return Upload(filename=name, bytes=data, **faults)


def inputs(evening: Evening) -> set[str]:
    folder = evening.bot.folder / "data/spool/inputs"
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def text_of(answer: Answer) -> str:
    assert answer.message is not None
    return answer.message.text


def asked(evening: Evening) -> int:
    """How often the CDN was."""
    return len(evening.discord.requests_to("GET", "attachments/"))


async def up(evening: Evening) -> None:
    """The bot runs, and its engine too."""
    before = evening.bot.log().count("engine_ready") if evening.bot.process is not None else 0
    await evening.bot.start()
    await evening.discord.until(lambda: evening.bot.log().count("engine_ready") > before, timeout_s=30)


async def test_a_picture_from_a_picture(tmp_path: Path) -> None:
    """Image and mask reach the request as digests and the spool as bytes; size, messages, info and history follow."""
    async with easel_evening(tmp_path) as evening:
        discord = evening.discord
        await up(evening)
        plain = await evening.imagine(image=upload(), seed=1)
        assert plain.kind == "deferred"
        message = await evening.finished(plain)
        assert "from an image at 0.75" in message.text
        masked = await evening.imagine(image=upload(), mask=upload(MASK, "mask.webp"), strength=0.5, seed=2)
        assert "within a mask of an image at 0.5" in (await evening.finished(masked)).text

        sql = "SELECT request ->> 'image', request ->> 'mask', request ->> 'strength', request ->> 'width', request ->> 'height' FROM job"
        cat, mask = (hashlib.sha256(data).hexdigest() for data in (CAT, MASK))
        assert evening.bot.rows(sql) == [(cat, None, 0.75, 160, 104), (cat, mask, 0.5, 160, 104)]
        assert inputs(evening) == {cat, mask}
        for chosen in ({"size": "64x128"}, {"aspect": "1:1"}):  # beats the image's own shape
            await evening.finished(await evening.imagine(image=upload(), **chosen))
        assert [row[3:] for row in evening.bot.rows(sql)[2:]] == [(64, 128), (128, 128)]
        assert (tmp_path / "data/spool/inputs" / cat).read_bytes() == CAT
        larger = await evening.finished(await evening.imagine(image=upload(), upscale=2, seed=3))
        assert "600×400 · 8 steps" in larger.text
        assert "upscaled 2× at 0.2" in larger.text
        info = await discord.click(evening.alice, masked.message, "Info")
        assert "strength:0.5" in text_of(info)
        assert "Attach the same image and mask to the command." in text_of(info)
        await discord.until(lambda: {*evening.bot.states()} == {"delivered"}, timeout_s=20, what="rows")
        history = await discord.slash(evening.alice, evening.channel, "history")
        assert "600x400, upscaled 2× at 0.2, fake" in text_of(history)
        assert "160x104, within a mask of an image at 0.5, fake" in text_of(history)


async def test_a_photo_is_enlarged_beyond_what_the_model_draws(tmp_path: Path) -> None:
    """With Lanczos, which the message and Info say; what is too large for that is refused with the size that fits."""
    async with easel_evening(tmp_path) as evening:
        await up(evening)
        photo = upload(png(520, 500))
        larger = await evening.finished(await evening.imagine(image=photo, upscale=2))
        assert "1040×1000 · upscaled 2× with Lanczos · fake" in larger.text
        assert "Fake model can't draw 1040x1000, so the image was enlarged with Lanczos alone" in larger.text
        info = await evening.discord.click(evening.alice, larger, "Info")
        assert "sampler:Lanczos model:fake upscale:2" in text_of(info)
        answer = await evening.imagine(image=upload(png(4000, 90)), upscale=2)
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
    async with easel_evening(tmp_path, toml=toml) as evening:
        await up(evening)
        for options, sentence in REFUSED:
            answer = await evening.imagine(**options)
            assert answer.message.ephemeral
            assert sentence in answer.message.text
        await evening.finished(await evening.imagine(images=2))
        await evening.discord.until(lambda: evening.bot.states() == ["delivered"])
        answer = await evening.imagine(image=upload(), images=2)
        assert answer.message.ephemeral
        assert "This costs 2 credits and you have 1 of 3 left" in answer.message.text

        assert asked(evening) == 0
        assert inputs(evening) == set()
        assert len(evening.bot.states()) == 1
        assert "interaction_failed" not in evening.bot.log()


async def test_a_full_hand_is_refused_before_the_download(tmp_path: Path) -> None:
    """Whoever has as many waiting as they may is told so at once."""
    async with easel_evening(tmp_path, fake={"step_s": 1.0}, toml="[limits]\npending = 1\n") as evening:
        await up(evening)
        await evening.imagine()
        answer = await evening.imagine(image=upload())
        assert answer.message.ephemeral
        assert "You have 1 of 1 requests waiting" in answer.message.text
        assert asked(evening) == 0


async def test_what_cannot_be_fetched_costs_nothing(tmp_path: Path) -> None:
    """The deferred answer becomes the sentence; nothing is stored, and the next order works."""
    async with easel_evening(tmp_path, toml="[images_in]\nmax_mb = 1\n") as evening:
        await up(evening)
        elsewhere = "https://cdn.discordapp.com.evil.example/cat.png"
        for file, sentence in (
            (upload(url=elsewhere), "Only pictures that were uploaded to Discord are taken"),
            (upload(moved_to=elsewhere), problems.not_fetched(ENGLISH)),
            (upload(served=bytes(2 << 20)), "The picture is larger than 1 MB"),
        ):
            answer = await evening.imagine(image=file)
            await evening.discord.until(lambda answer=answer: not answer.message.loading)
            assert sentence in answer.message.text
            assert len(evening.discord.messages(evening.channel)) == 1
            answer.message.deleted = True
        evening.discord.fail_next("GET", "attachments/", status=404)
        answer = await evening.imagine(image=upload())
        await evening.discord.until(lambda: answer.message.text == problems.not_fetched(ENGLISH))

        assert evening.bot.rows("SELECT * FROM job") == []
        assert inputs(evening) == set()
        assert "interaction_failed" not in evening.bot.log()
        await evening.finished(await evening.imagine(image=upload()))


async def test_a_reroll_starts_from_the_same_picture_as_long_as_it_is_kept(tmp_path: Path) -> None:
    """Nothing is fetched again; when the file is gone the person is told, and not charged."""
    async with easel_evening(tmp_path) as evening:
        await up(evening)
        message = await evening.finished(await evening.imagine(image=upload()))
        again = await evening.finished(await evening.discord.click(evening.admin, message, "Reroll"))
        assert "from an image at 0.75" in again.text
        assert asked(evening) == 1
        (kept,) = (tmp_path / "data/spool/inputs").iterdir()
        kept.unlink()
        answer = await evening.discord.click(evening.admin, message, "Reroll")
        assert answer.message is not None
        assert answer.message.ephemeral
        assert answer.message.text == said.refusal(InputGone())
        assert evening.bot.rows("SELECT COUNT(*), SUM(charged) FROM job") == [(2, 2)]


# ------------------------------------------------------------------ replies that get lost


async def ends_as_pictures(evening: Evening, count: int) -> None:
    """So many orders, each one picture in a message of its own, for one credit."""
    await evening.discord.until(
        lambda: evening.bot.states() == ["delivered"] * count, timeout_s=30, what=evening.bot.log()
    )
    messages = evening.discord.posted(evening.channel)
    assert [len(message.attachments) for message in messages] == [1] * count
    for message in messages:
        assert message.shown_files == [message.attachments[0].filename]
    assert evening.bot.rows("SELECT charged FROM job") == [(1,)] * count


async def test_a_lost_reply_loses_no_picture(tmp_path: Path) -> None:
    """The reply to the deferral, or the edit that makes it a message, applied or not: one picture for one credit."""
    lost = [("POST", "/callback", True), ("PATCH", "/webhooks/", True), ("PATCH", "/webhooks/", False)]
    async with easel_evening(tmp_path) as evening:
        await up(evening)
        for count, (method, path, applied) in enumerate(lost, 1):
            evening.discord.fail_next(method, path, reset=True, times=1, apply=applied)
            await evening.discord.send_slash(
                evening.alice, evening.channel, "imagine", prompt="a cat", image=upload()
            )
            await ends_as_pictures(evening, count)


async def test_what_cannot_be_answered_costs_nothing(tmp_path: Path) -> None:
    """A deferral that is refused for good: not even a download. Its edit refused for good: refunded, never run."""
    async with easel_evening(tmp_path) as evening:
        await up(evening)
        evening.discord.fail_next("POST", "/callback", status=404)
        await evening.discord.send_slash(
            evening.alice, evening.channel, "imagine", prompt="a cat", image=upload()
        )
        await evening.discord.until(lambda: "deferral_failed" in evening.bot.log())
        await evening.finished(await evening.imagine())
        assert asked(evening) == 0

        evening.discord.fail_next("PATCH", "/webhooks/", status=404)
        await evening.imagine(image=upload())
        await evening.discord.until(
            lambda: evening.bot.states() == ["delivered", "cancelled"], what=evening.bot.log()
        )
        assert evening.bot.rows("SELECT charged FROM job") == [(1,), (0,)]


async def test_an_order_that_comes_twice_is_one_order(tmp_path: Path) -> None:
    """The gateway repeats the interaction while its picture is fetched: one job, one charge, no word about it."""
    async with easel_evening(tmp_path) as evening:
        await up(evening)
        hold = evening.discord.hold_next("GET", "attachments/")
        await evening.imagine(image=upload())
        await evening.discord.until(lambda: hold.entered)
        await evening.discord.replay_last_interaction()
        await evening.discord.until(lambda: asked(evening) == 2)
        await evening.discord.until(lambda: evening.bot.states() == ["delivered"], what=evening.bot.log())
        hold.release()
        await evening.discord.until(lambda: "interaction_repeated" in evening.bot.log())
        await ends_as_pictures(evening, 1)


# ------------------------------------------------------------------ kills between the steps


async def test_killed_while_the_picture_is_fetched(tmp_path: Path) -> None:
    """Nothing was promised, stored or charged; after the restart the same person's order works."""
    async with easel_evening(tmp_path) as evening:
        await up(evening)
        hold = evening.discord.hold_next("GET", "attachments/")
        answer = await evening.imagine(image=upload())
        await evening.discord.until(lambda: hold.entered)
        await evening.bot.kill()
        hold.release()
        assert evening.bot.rows("SELECT * FROM job") == []
        assert inputs(evening) == set()
        await up(evening)
        await evening.finished(await evening.imagine(image=upload()))
        assert answer.message.loading  # Discord itself ends it after 15 minutes
        assert evening.bot.rows("SELECT charged FROM job") == [(1,)]


async def test_killed_between_discords_edit_and_ours(tmp_path: Path) -> None:
    """Discord made the deferred answer a message, and the bot died before it knew: it is found, and the job runs."""
    async with easel_evening(tmp_path) as evening:
        await up(evening)
        hold = evening.discord.hold_next("PATCH", "/webhooks/", apply=True)
        await evening.imagine(image=upload())
        await evening.discord.until(lambda: hold.entered)
        await evening.bot.kill()
        hold.release()
        assert evening.bot.states() == ["accepted"]
        await up(evening)
        await ends_as_pictures(evening, 1)


async def test_a_deferred_answer_is_no_promise_after_its_token(tmp_path: Path) -> None:
    """The bot comes back after 15 minutes, when nobody can fill the answer any more: refunded, never run."""
    async with easel_evening(tmp_path) as evening:
        await up(evening)
        hold = evening.discord.hold_next("PATCH", "/webhooks/")
        await evening.imagine(image=upload())
        await evening.discord.until(lambda: hold.entered)
        await evening.bot.kill()
        hold.release()
        evening.discord.advance(901)
        await up(evening)
        await evening.discord.until(lambda: evening.bot.states() == ["cancelled"], what=evening.bot.log())
        assert evening.bot.rows("SELECT charged FROM job") == [(0,)]
