"""Previews as Discord meets them: real multipart bodies of the bot's own delivery, in good and in bad weather."""

from __future__ import annotations

import asyncio

import pytest

from tests.kit.studio import Studio

FIRST, SECOND = b"a first jpeg", b"a second jpeg"


async def test_a_preview_is_uploaded_once_and_replaced_by_the_next(studio: Studio) -> None:
    """The file goes over the wire when it is new, and not again; the alt text goes with it."""
    for preview in (FIRST, FIRST, SECOND, SECOND):
        await studio.show(preview)
    uploads = [edit.filenames for edit in studio.edits]

    assert uploads == [["preview.jpg"], [], ["preview.jpg"], []]
    assert ["attachments" in edit.json for edit in studio.edits] == [True, False, True, False]
    assert studio.stands() == [SECOND]
    assert studio.message.attachments[0].description == "Unfinished: a red circle"


async def test_without_previews_nothing_is_uploaded(studio: Studio) -> None:
    """The first edit of a process takes away what an earlier one may have left; the others leave attachments alone."""
    for _ in range(3):
        await studio.show(None)

    assert [edit.filenames for edit in studio.edits] == [[], [], []]
    assert [edit.json.get("attachments") for edit in studio.edits] == [[], None, None]


async def test_a_preview_of_an_earlier_process_does_not_stay(studio: Studio) -> None:
    """A restarted bot takes away the preview of the try that was lost, as soon as it writes."""
    await studio.show(FIRST)
    studio.delivery = studio.new_delivery()
    await studio.show(None)

    assert studio.stands() == []


async def test_a_preview_that_is_no_more_is_taken_away(studio: Studio) -> None:
    """A job that goes back in line has no preview: its file goes with the next edit."""
    await studio.show(FIRST)
    await studio.show(None)

    assert studio.stands() == []


@pytest.mark.parametrize("status", [400, 403, 413])
async def test_a_refused_upload_goes_on_in_words(studio: Studio, status: int) -> None:
    """The same step is shown without the preview, later ones don't try again, and what stood there before is gone."""
    await studio.show(FIRST)
    studio.discord.fail_next("PATCH", "/webhooks/", status=status)
    await studio.show(SECOND)
    await studio.show(SECOND)
    await studio.show(FIRST)

    assert [edit.filenames for edit in studio.edits] == [["preview.jpg"], ["preview.jpg"], [], [], []]
    assert studio.stands() == []


async def test_a_file_too_large_for_the_place_goes_on_in_words(studio: Studio) -> None:
    """The place's own limit refuses the file (40005): progress is shown all the same."""
    studio.message.channel.guild.attachment_size_limit = len(FIRST)  # type: ignore[union-attr]
    await studio.show(FIRST)
    await studio.show(SECOND)

    assert [edit.status for edit in studio.edits] == [200, 413, 200]
    assert studio.stands() == []


async def test_a_file_that_discord_does_not_find_again_is_sent_along(studio: Studio) -> None:
    """Refused without its file, the edit is repeated with it, and every later one carries it."""
    await studio.show(FIRST)
    studio.discord.fail_next("PATCH", "/webhooks/", status=400)
    await studio.show(FIRST)
    await studio.show(FIRST)

    assert [edit.filenames for edit in studio.edits] == [
        ["preview.jpg"],
        [],
        ["preview.jpg"],
        ["preview.jpg"],
    ]
    assert studio.stands() == [FIRST]


async def test_a_refusal_in_words_too_ends_all_progress(studio: Studio) -> None:
    """What is refused with the preview and without is refused for good: no further edit is tried, but the end is."""
    studio.discord.fail_next("PATCH", "/webhooks/", status=403, times=2)
    studio.tell(FIRST)
    await studio.discord.until(lambda: [edit.status for edit in studio.edits] == [403, 403])
    studio.tell(None)
    await studio.delivery.finish(studio.failed)

    assert len(studio.edits) == 2
    assert "No." in studio.message.text


async def test_a_message_that_is_gone_is_not_asked_twice(studio: Studio) -> None:
    """Unknown message: no file is to blame, so nothing is repeated."""
    studio.discord.delete_message(studio.message)
    studio.tell(FIRST)
    await studio.discord.until(lambda: [edit.status for edit in studio.edits] == [404])
    studio.tell(None)
    await studio.delivery.remove(studio.job)

    assert len(studio.edits) == 1


@pytest.mark.parametrize("applied", [True, False])
async def test_an_upload_of_unknown_outcome_is_repeated(studio: Studio, applied: bool) -> None:
    """The connection was cut: whether the file arrived or not, the next edit brings it, and it is there once."""
    studio.discord.fail_next("PATCH", "/webhooks/", reset=True, apply=applied)
    studio.tell(FIRST)
    await studio.discord.until(lambda: len(studio.edits) == 1 and studio.edits[0].ms is not None)
    await studio.show(FIRST)

    assert [edit.filenames for edit in studio.edits] == [["preview.jpg"]] * 2
    assert studio.stands() == [FIRST]


async def test_an_upload_of_unknown_outcome_does_not_stay(studio: Studio) -> None:
    """The connection was cut after the file had arrived, and the job has no preview any more: the file is taken away."""
    await studio.show(None)
    studio.discord.fail_next("PATCH", "/webhooks/", reset=True, apply=True)
    studio.tell(FIRST)
    await studio.discord.until(lambda: studio.edits[-1].filenames and studio.edits[-1].ms is not None)
    await studio.show(None)

    assert studio.stands() == []


async def test_the_end_waits_for_an_upload_and_takes_it_away(studio: Studio) -> None:
    """An upload that hangs in Discord is waited for, so that the preview can't arrive after the end."""
    hold = studio.discord.hold_next("PATCH", "/webhooks/")
    studio.tell(FIRST)
    await studio.discord.until(lambda: hold.entered)
    end = asyncio.create_task(studio.delivery.finish(studio.failed))
    studio.tell(SECOND)
    hold.release()
    await end

    assert [edit.filenames for edit in studio.edits] == [["preview.jpg"]]
    assert [snapshot.filenames for snapshot in studio.message.history][-2:] == [("preview.jpg",), ()]
    assert studio.stands() == []


async def test_an_upload_refused_after_the_end_began_is_not_repeated(studio: Studio) -> None:
    """The end has the word: an upload that is refused while it waits is followed by the end alone."""
    hold = studio.discord.hold_next("PATCH", "/webhooks/")
    studio.discord.fail_next("PATCH", "/webhooks/", status=403)
    studio.tell(FIRST)
    await studio.discord.until(lambda: hold.entered)
    end = asyncio.create_task(studio.delivery.finish(studio.failed))
    await asyncio.sleep(0)
    hold.release()
    await end

    assert len(studio.edits) == 1
    assert "No." in studio.message.text


async def test_with_the_tokens_life_over_no_preview_is_sent(studio: Studio) -> None:
    """After 15 minutes only what must be shown is, with the bot's own token."""
    studio.clock.at = 15 * 60
    studio.tell(FIRST)
    await studio.delivery.finish(studio.failed)

    assert studio.edits == []
    assert len(studio.discord.requests_to("PATCH", "/channels/")) == 1
