"""Files fetched from a loopback CDN by the bot's own way, and what it refuses to take."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any, cast

import discord
import pytest

from bot.chat.errors import UserError
from bot.chat.sources import Attached, Fetch, Intake, from_discord
from bot.core.asking.wish import UNKNOWN
from bot.texts import problems
from bot.texts.language import ENGLISH
from engine.contract import GenerationRequest
from tests.kit.toybot import Evening
from workshop.rehearsal.loopback.driver import Attachment, Upload
from workshop.rehearsal.props import picture

MIB = 1 << 20
PICTURE = b"a picture, as far as the bot knows" * 1000


@pytest.fixture
def fetch(evening: Evening) -> Fetch:
    return from_discord(evening.bot)


def lies_there(evening: Evening, data: bytes = PICTURE, **faults: Any) -> Attachment:
    upload = Upload(filename="cat.png", bytes=data, **faults)
    return evening.discord.state.messages.store_file(
        evening.channel.id, upload, folder="ephemeral-attachments"
    )


async def refusal(fetch: Fetch, address: str, bytes_max: int = MIB) -> str:
    with pytest.raises(UserError) as caught:
        await fetch(address, bytes_max)
    return str(caught.value)


# ------------------------------------------------------------------ one file


async def test_a_file_comes_as_it_was_uploaded(evening: Evening, fetch: Fetch) -> None:
    """The bytes of the CDN, by its name for programs and by the one for previews, without our token."""
    there = lies_there(evening)
    assert await fetch(there.url, MIB) == PICTURE
    assert await fetch(there.url.replace("cdn.discordapp.com", "media.discordapp.net"), MIB) == PICTURE
    assert [request.auth for request in evening.discord.requests_to("GET", "attachments/")] == [None, None]


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/cat.png",
        "https://cdn.discordapp.com.evil.example/cat.png",
        "https://cdn.discordapp.com@evil.example/cat.png",
        "https://me@cdn.discordapp.com/cat.png",
        "https://cdn.discordapp.com:8443/cat.png",
        "http://cdn.discordapp.com/cat.png",
        "https://127.0.0.1/cat.png",
        "https://[::1/cat.png",
        "file:///etc/passwd",
        "cat.png",
        "",
    ],
)
async def test_no_other_address_is_ever_asked(evening: Evening, fetch: Fetch, address: str) -> None:
    """Anything but Discord's own two hosts, by https and on its own port, is refused before a connection is opened."""
    before = len(evening.discord.requests)
    assert await refusal(fetch, address) == (
        "Only pictures that were uploaded to Discord are taken: attach it as a file."
    )
    assert len(evening.discord.requests) == before


async def test_a_redirect_leads_nowhere(evening: Evening, fetch: Fetch) -> None:
    """Not even to another file of the same CDN."""
    other = lies_there(evening)
    there = lies_there(evening, moved_to=other.url)
    assert await refusal(fetch, there.url) == problems.not_fetched(ENGLISH)
    assert len(evening.discord.requests_to("GET", "attachments/")) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
async def test_what_the_cdn_refuses(evening: Evening, fetch: Fetch, status: int) -> None:
    """Gone, forbidden or out of order: one sentence that says what to do."""
    there = lies_there(evening)
    evening.discord.fail_next("GET", "attachments/", status=status)
    assert await refusal(fetch, there.url) == problems.not_fetched(ENGLISH)


async def test_a_connection_that_is_cut(evening: Evening, fetch: Fetch) -> None:
    """No traceback, and the next attempt works."""
    there = lies_there(evening)
    evening.discord.fail_next("GET", "attachments/", reset=True, times=9)
    assert await refusal(fetch, there.url) == problems.not_fetched(ENGLISH)
    evening.discord.state.faults.clear()
    assert await fetch(there.url, MIB) == PICTURE


async def test_a_cdn_that_does_not_answer(evening: Evening) -> None:
    """It is waited for, but not for ever."""
    there = lies_there(evening)
    hold = evening.discord.hold_next("GET", "attachments/")
    assert await refusal(from_discord(evening.bot, within_s=0.1), there.url) == problems.fetched_too_slowly(
        ENGLISH
    )
    hold.release()


async def test_the_cap_holds_whatever_was_said(evening: Evening, fetch: Fetch) -> None:
    """Exactly as much as allowed is taken; one byte more is not, told or untold, and a flood is not read to its end."""
    assert await fetch(lies_there(evening, bytes(MIB)).url, MIB) == bytes(MIB)
    untold = (bytes(MIB + 1), bytes(200 * MIB))
    for there in (
        lies_there(evening, bytes(MIB + 1)),
        *(lies_there(evening, b"small", served=much) for much in untold),
    ):
        assert await refusal(fetch, there.url) == "The picture is larger than 1 MB: attach a smaller one."
    flood = evening.discord.requests_to("GET", "attachments/")[-1]
    await evening.discord.until(lambda: flood.status == 499, what="the connection was closed on the way")


# ------------------------------------------------------------------ what a request starts from


def told(evening: Evening, there: Attachment) -> discord.Attachment:
    plain: Any = {
        "id": str(there.id),
        "filename": there.filename,
        "size": len(there.bytes),
        "url": there.url,
        "proxy_url": there.url,
    }
    return discord.Attachment(data=plain, state=cast("Any", evening.bot._connection))


def request_for(files: Attached, strength: float = 0.75) -> GenerationRequest:
    return picture(image=UNKNOWN, mask=UNKNOWN if files.mask else None, strength=strength)


async def test_files_are_kept_by_their_digests(evening: Evening, fetch: Fetch, tmp_path: Path) -> None:
    """Image and mask lie in the folder as they came, under names that the request knows."""
    intake = Intake(fetch, folder=tmp_path / "inputs", bytes_max=MIB)
    files = Attached(
        image=told(evening, lies_there(evening)), mask=told(evening, lies_there(evening, b"mask"))
    )
    done = await intake.complete(request_for(files, strength=0.5), files)

    assert done.strength == 0.5
    for digest, data in ((done.image, PICTURE), (done.mask, b"mask")):
        assert digest is not None
        assert digest == hashlib.sha256(data).hexdigest()
        assert (tmp_path / "inputs" / digest).read_bytes() == data


async def test_images_to_edit_keep_their_order(evening: Evening, fetch: Fetch, tmp_path: Path) -> None:
    """What an instruction is about lies there like any other picture, the first one first."""
    intake = Intake(fetch, folder=tmp_path / "inputs", bytes_max=MIB)
    contents = (PICTURE, b"second", b"third")
    files = Attached(references=tuple(told(evening, lies_there(evening, data)) for data in contents))
    done = await intake.complete(picture(references=(UNKNOWN,) * 3), files)

    assert done.references == tuple(hashlib.sha256(data).hexdigest() for data in contents)
    assert (done.image, done.mask) == (None, None)
    assert [(tmp_path / "inputs" / digest).read_bytes() for digest in done.references] == [*contents]


async def test_the_same_picture_from_many_at_once(evening: Evening, fetch: Fetch, tmp_path: Path) -> None:
    """Twelve people attach the same picture at the same moment, as image and as mask: one whole file, nothing beside it."""
    intake = Intake(fetch, folder=tmp_path, bytes_max=MIB)
    file = told(evening, lies_there(evening))
    files = Attached(image=file, mask=file)
    done = await asyncio.gather(*(intake.complete(request_for(files), files) for _ in range(12)))

    (kept,) = tmp_path.iterdir()
    assert {request.image for request in done} == {request.mask for request in done} == {kept.name}
    assert kept.read_bytes() == PICTURE


async def test_of_a_half_fetched_pair_nothing_is_kept(evening: Evening, fetch: Fetch, tmp_path: Path) -> None:
    """The mask is gone: the image is not kept either."""
    intake = Intake(fetch, folder=tmp_path, bytes_max=MIB)
    image, mask = told(evening, lies_there(evening)), told(evening, lies_there(evening))
    mask.url = mask.url.replace("hm=", "mh=")
    files = Attached(image=image, mask=mask)
    with pytest.raises(UserError, match="could not be fetched"):
        await intake.complete(request_for(files), files)
    assert list(tmp_path.iterdir()) == []


async def test_a_disk_that_takes_nothing(evening: Evening, fetch: Fetch, tmp_path: Path) -> None:
    """Where the picture can't be stored the sentence names the disk."""
    (tmp_path / "inputs").write_text("in the way")
    intake = Intake(fetch, folder=tmp_path / "inputs", bytes_max=MIB)
    files = Attached(image=told(evening, lies_there(evening)))
    with pytest.raises(UserError, match="look at Easel's disk"):
        await intake.complete(request_for(files), files)
