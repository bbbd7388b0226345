"""What is made of a picture that is there: taken out, varied, enlarged, shown again; by buttons that live for ever."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bot.chat.ids import Verb, button
from bot.job import Action, JobState
from engine.contract import FakeSettings
from tests.bot.chat.conftest import StartWorld
from tests.kit.world import World, custom_ids, labels
from workshop.rehearsal.bot import png


def spooled(world: World, job_id: int) -> list[Path]:
    return sorted(world.settings.spool.glob(f"{job_id}-*.png"))


async def test_a_set_offers_each_of_its_pictures(world: World) -> None:
    """U1–U4 and V1–V4 beside 🔄, the rest in one menu; above four pictures two menus take their place."""
    four = await world.imagined(images=4)
    assert labels(four) == ["U1", "U2", "U3", "U4", "Reroll", "V1", "V2", "V3", "V4"]
    assert [option["label"] for option in world.options(four, "easel:1:more:1")] == [
        "Remix",
        "Edit",
        "Favourite",
        "Send to me",
        "Info",
        "Report",
        "Delete",
    ]


async def test_a_larger_set_has_menus(start_world: StartWorld) -> None:
    """Six pictures are too many for buttons: they are chosen in a menu, which works as those do."""
    world = await start_world(limits={"max_images": 6})
    six = await world.imagined(images=6, seed=7)
    assert labels(six) == ["Reroll"]
    taken = await world.alice.select(six, "easel:1:take:1", "5")
    await world.until(lambda: taken.message and taken.message.attachments)
    assert taken.message is not None
    assert taken.message.attachments[0].filename == "easel-1-12.png"
    await world.alice.select(six, "easel:1:vary_strong:1", "2")
    assert (await world.reaches(2, JobState.DELIVERED)).parent_image == 2


async def test_one_picture_offers_everything(world: World) -> None:
    """What can be made of it stands under it, with nothing left to a menu."""
    one = await world.imagined()
    assert labels(one) == [
        "Vary (Subtle)", "Vary (Strong)", "2×", "4×", "Reroll",
        "Remix", "Edit",
        "Favourite", "Send to me", "Info", "Delete",
    ]  # fmt: skip


async def test_taken_out_at_once_with_buttons_of_its_own(world: World) -> None:
    """U2 posts the second picture as it is, draws and charges nothing, and what is pressed there is about that picture."""
    four = await world.imagined(images=4, seed=10)
    await world.restart()
    taken = await world.admin.click(four, "U2")
    await world.until(lambda: taken.message and taken.message.attachments)
    copy = taken.message
    assert copy is not None
    assert not copy.ephemeral
    assert copy.attachments[0].bytes == four.attachments[1].bytes
    assert "seed `11`" in copy.text
    assert f"posted by <@{world.admin.id}>" in copy.text
    assert await world.jobs_stored() == 1

    await world.restart()
    await world.alice.click(copy, "Vary (Subtle)")
    varied = await world.reaches(2, JobState.DELIVERED)
    assert (varied.action, varied.parent_id, varied.parent_image) == (Action.VARY_SUBTLE, 1, 1)


async def test_a_variation_starts_from_the_kept_original(world: World) -> None:
    """Image to image from the picture itself, by the settings of its time, as many as the set has, with a new seed."""
    four = await world.imagined(images=4, seed=10, steps=6, negative_prompt="blue")
    await world.admin.click(four, "V3")
    varied = await world.reaches(2, JobState.DELIVERED)

    first = await world.job(1)
    assert varied.request.image == first.images[2].sha256
    assert (world.settings.inputs / str(varied.request.image)).read_bytes() == four.attachments[2].bytes
    assert (varied.request.strength, varied.request.images, varied.request.steps) == (0.75, 4, 6)
    assert varied.request.negative_prompt == "blue"
    assert varied.request.seed != 10
    assert (varied.user_id, varied.parent_id, varied.parent_image) == (world.admin.id, 1, 2)
    assert varied.wish is not None
    assert "seed" not in varied.wish


async def test_of_few_steps_a_variation_takes_one_at_least(world: World) -> None:
    """A subtle variation of a picture of one or two steps still redraws something."""
    message = await world.imagined(steps=1)
    await world.alice.click(message, "Vary (Subtle)")
    varied = await world.reaches(2, JobState.DELIVERED)
    assert varied.request.steps_taken == 1


async def test_upscaled_from_the_kept_original(world: World) -> None:
    """Twice and four times as large; under what was enlarged nothing is offered that can't be made of it."""
    message = await world.imagined(seed=3)
    await world.alice.click(message, "2×")
    twice = await world.reaches(2, JobState.DELIVERED)
    assert (twice.request.size, twice.request.upscale, twice.action) == ("256x256", 2, Action.UPSCALE_2)
    assert twice.request.image == (await world.job(1)).images[0].sha256
    await world.alice.click(message, "4×")
    assert (await world.reaches(3, JobState.DELIVERED)).request.size == "512x512"
    assert "Vary (Strong)" not in labels(world.message(2))


async def test_of_what_is_kept_no_more_the_seed_is_left(world: World) -> None:
    """Past its retention nothing can start from it: one sentence, and the same picture from its seed, to go on with."""
    four = await world.imagined(images=4, seed=10)
    for path in spooled(world, 1):
        path.unlink()
    for number, press in enumerate(("V2", "U2"), start=2):
        await world.alice.click(four, press)
        again = await world.reaches(number, JobState.DELIVERED)
        assert (again.action, again.request.seed, again.request.images) == (Action.REDRAW, 11, 1)
        assert again.request.image is None
        assert again.wish is not None
        assert (again.wish["seed"], again.wish["images"]) == (11, 1)
        assert "no longer kept, so it was redrawn from its seed" in world.message(number).text
    assert world.message(2).attachments[0].bytes == four.attachments[1].bytes


async def test_what_cannot_be_made_of_it_is_said(world: World) -> None:
    """A picture that isn't there, one that was deleted, a model that takes none or is gone: one sentence, no job."""
    message = await world.imagined(seed=3)
    strange = await world.post(button(Verb.VARY_STRONG, 1, 7), button(Verb.TAKE, 1, 7))
    for custom_id in custom_ids(strange):
        told = await world.alice.click(strange, custom_id)
        assert "has no such picture" in (told.ephemeral_text or "")
    await world.store.database.write("UPDATE job SET request = json_set(request, '$.model', 'old')", {})
    told = await world.alice.click(message, "Vary (Strong)")
    assert "no model “old” here: use fake" in (told.ephemeral_text or "")
    await world.store.jobs.mark_deleted(1, now=world.clock.now(), by_user_id=1)
    for label in ("Vary (Subtle)", "2×"):
        told = await world.alice.click(message, label)
        assert "was deleted" in (told.ephemeral_text or "")
    assert await world.jobs_stored() == 1


async def test_copies_are_deleted_alone_or_with_the_job(world: World) -> None:
    """🗑️ on a copy takes that message away and nothing else; 🗑️ on the job takes every copy with it, after a restart too."""
    four = await world.imagined(images=4)
    first, second = [await world.admin.click(four, name) for name in ("U1", "U2")]
    await world.until(lambda: all(each.message and each.message.attachments for each in (first, second)))
    assert first.message is not None
    assert second.message is not None
    stranger = await world.person("eve").click(first.message, "Delete")
    assert "may delete it" in (stranger.ephemeral_text or "")
    await world.admin.click(first.message, "Delete")
    assert first.message.deleted
    assert not four.deleted
    assert (await world.job(1)).deleted_at is None

    await world.restart()
    await world.alice.select(four, "easel:1:more:1", "delete")
    await world.until(lambda: second.message is not None and second.message.deleted)
    assert four.deleted
    await world.until(lambda: spooled(world, 1) == [])


async def test_shown_again_and_along_the_chain(world: World) -> None:
    """/show posts it with live buttons; from there to what was made of it, and back, in the same message."""
    four = await world.imagined(images=4, prompt="a red circle")
    await world.alice.click(four, "V1")
    await world.reaches(2, JobState.DELIVERED)
    elsewhere = await world.place("elsewhere")
    shown = await world.admin.slash(elsewhere, "show", number=1)
    await world.until(lambda: shown.message and len(shown.message.attachments) == 4)
    message = shown.message
    assert message is not None
    assert "image 1, posted by" in message.text

    await world.restart()
    await world.admin.select(message, "easel:1:child:1", "2")
    await world.until(lambda: "image 2" in message.text and len(message.attachments) == 4)
    assert message.attachments[0].bytes == world.message(2).attachments[0].bytes
    await world.admin.click(message, "Made from")
    await world.until(lambda: "image 1" in message.text)
    choices = await world.alice.autocomplete(elsewhere, "show", "number", "circle")
    assert {choice["value"] for choice in choices} == {1, 2}


async def test_nobody_is_shown_what_they_may_not_see(world: World) -> None:
    """Another channel's pictures are for those who can read there, and a number that isn't there is one sentence."""
    closed = await world.place("closed")
    eve = world.person("eve")
    closed.member_permissions[eve.id] = 0
    await world.discord.announce(world.guild)
    await world.alice.slash(closed, "imagine", prompt="a secret")
    await world.reaches(1, JobState.DELIVERED)
    hidden = await eve.slash(world.channel, "show", number=1)
    assert "in a channel that you can't see" in (hidden.ephemeral_text or "")
    missing = await world.alice.slash(world.channel, "show", number=99)
    assert "no image of that number" in (missing.ephemeral_text or "")


async def test_a_menu_does_what_its_buttons_would(start_world: StartWorld) -> None:
    """Info, chosen in the menu under a set, is Info."""
    world = await start_world(fake=FakeSettings())
    two = await world.imagined(images=2, seed=5)
    info = await world.alice.select(two, "easel:1:more:1", "info")
    assert info.ephemeral
    assert "Seeds: 5, 6" in info.text
    assert "`/show number:1`" in info.text


# ------------------------------------------------------------------ remix


async def test_the_form_holds_what_is_there(start_world: StartWorld) -> None:
    """Prompt, what to keep out, size and model as they were; sent without a change it is the same but for its seed."""
    world = await start_world(fake=FakeSettings(others=("second",)))
    message = await world.imagined(
        prompt="a red circle", negative_prompt="blue", seed=7, steps=6, aspect="3:2"
    )
    form = await world.admin.click(message, "Remix")
    assert world.filled_in(form) == {
        "prompt": "a red circle",
        "negative": "blue",
        "size": "3:2",
        "model": "fake",
        "seed": "new",
    }
    await world.admin.submit(form)
    again = await world.reaches(2, JobState.DELIVERED)
    first = await world.job(1)
    assert again.request == replace(first.request, seed=again.request.seed)
    assert again.request.seed != 7
    assert (again.action, again.parent_id, again.user_id) == (Action.REMIX, 1, world.admin.id)


async def test_remixed_after_a_restart(start_world: StartWorld) -> None:
    """A form that was opened before a restart changes words, size and model, and keeps the seed where that is wanted."""
    world = await start_world(fake=FakeSettings(others=("second",)))
    four = await world.imagined(prompt="a red circle", seed=7, images=4, steps=6, sampler="Euler")
    form = await world.alice.select(four, "easel:1:more:1", "remix")
    await world.restart()
    filled = {
        "prompt": "a blue circle --cfg 5 --images 2",
        "size": "96x64",
        "model": ["second"],
        "seed": ["keep quick"],
    }
    await world.alice.submit(form, **filled)
    remixed = await world.reaches(2, JobState.DELIVERED)
    request = remixed.request
    assert (request.prompt, request.size, request.model, request.seed) == (
        "a blue circle",
        "96x64",
        "second",
        7,
    )
    assert (request.images, request.steps, request.sampler, request.guidance_scale) == (2, 4, "Euler a", 5)


async def test_what_a_form_cannot_become_is_one_sentence(start_world: StartWorld) -> None:
    """A size, an empty prompt or a value above one's limit: nothing is stored, and the old picture stays."""
    world = await start_world(limits={"max_pixels": 128 * 128})
    message = await world.imagined()
    for fields, sentence in (
        ({"size": "big"}, "A size looks like 512x768"),
        ({"size": "1:77"}, "There is no aspect “1:77”"),
        ({"size": "256x256"}, "above your limit"),
        ({"prompt": " "}, "prompt is empty"),
    ):
        answer = await world.alice.submit(await world.alice.click(message, "Remix"), **fields)
        assert sentence in (answer.ephemeral_text or "")
    assert await world.jobs_stored() == 1


# ------------------------------------------------------------------ edit


async def test_edited_by_words_after_a_restart(world: World) -> None:
    """🖌️ asks for words; without a model that follows instructions they are the prompt of an image to image, which is said."""
    message = await world.imagined(prompt="a red circle", seed=7)
    form = await world.alice.click(message, "Edit")
    assert form.modal is not None
    assert "No model here follows instructions" in str(form.modal)
    assert world.filled_in(form) == {"words": "a red circle"}
    await world.restart()
    await world.alice.submit(form, words="a blue circle")
    edited = await world.reaches(2, JobState.DELIVERED)
    first = await world.job(1)
    assert (edited.action, edited.parent_id, edited.request.prompt) == (Action.EDIT, 1, "a blue circle")
    assert (edited.request.image, edited.request.size) == (first.images[0].sha256, "128x128")
    assert edited.request.strength == 0.75


async def test_a_model_that_follows_instructions_edits(start_world: StartWorld) -> None:
    """It gets the words as an instruction about the picture, by button and by /edit, there about several at once."""
    world = await start_world(fake=FakeSettings(others=("editor",), editing=("editor",)))
    message = await world.imagined(prompt="a red circle", seed=7)
    form = await world.alice.click(message, "Edit")
    assert world.filled_in(form) == {"words": ""}
    await world.alice.submit(form, words="make it blue")
    edited = await world.reaches(2, JobState.DELIVERED)
    picture = (await world.job(1)).images[0].sha256
    assert (edited.request.model, edited.request.references, edited.request.image) == (
        "editor",
        (picture,),
        None,
    )
    assert (edited.request.prompt, edited.request.size) == ("make it blue", "128x128")
    form = await world.alice.click(world.message(2), "Remix")
    await world.alice.submit(form, prompt="make it green", model=["editor"])
    assert (await world.reaches(3, JobState.DELIVERED)).request.references == (picture,)
    two = {"image": ("a.png", png(128, 64)), "image2": ("b.png", png(64, 64, "blue"))}
    await world.alice.slash(world.channel, "edit", words="put them side by side", **two)
    assert len((await world.reaches(4, JobState.DELIVERED)).request.references) == 2
    for options, sentence in (
        ({"strength": 0.5}, "leave out the strength"),
        ({"model": "fake"}, "starts from one image"),
    ):
        told = await world.alice.slash(world.channel, "edit", words="x", **two, **options)
        assert sentence in (told.ephemeral_text or "")
    assert await world.jobs_stored() == 4


async def test_an_attached_picture_is_edited(world: World) -> None:
    """/edit takes a picture and words; what is no picture is refused, and nothing is charged."""
    await world.alice.slash(
        world.channel, "edit", image=("cat.png", png(128, 64)), words="a blue cat", seed=5
    )
    edited = await world.reaches(1, JobState.DELIVERED)
    assert (edited.action, edited.request.size, edited.request.seed) == (Action.EDIT, "184x88", 5)
    told = await world.alice.slash(world.channel, "edit", image=("cat.txt", b"words"), words="a blue cat")
    assert "has to be a PNG, JPEG or WebP" in (told.ephemeral_text or "")
    assert await world.jobs_stored() == 1
