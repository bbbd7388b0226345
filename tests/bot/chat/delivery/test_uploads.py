"""Files always fit Discord's limit."""

from __future__ import annotations

import random
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from bot.chat.delivery import uploads
from engine.contract import SpooledImage
from engine.contract.settings import Metadata
from engine.pictures import metadata
from workshop.rehearsal.props import picture as request_of


def noise(folder: Path, side: int = 256, name: str = "a.png") -> SpooledImage:
    """A picture that compresses badly."""
    data = random.Random(7).randbytes(side * side * 3)
    Image.frombytes("RGB", (side, side), data).save(folder / name)
    return SpooledImage(seed=5, path=str(folder / name))


def test_a_png_that_fits_is_sent_as_it_is(tmp_path: Path) -> None:
    """The original bytes, metadata included, are uploaded when there is room."""
    image = noise(tmp_path)
    (upload,) = uploads.prepare(1, (image,), file_bytes_max=10**7)

    assert upload.name == "easel-1-5.png"
    assert upload.data == (tmp_path / "a.png").read_bytes()


def test_a_smooth_picture_becomes_lossless_webp(tmp_path: Path) -> None:
    """Where WebP saves enough, every pixel stays as it was."""
    picture = Image.linear_gradient("L").convert("RGB")
    picture.save(tmp_path / "g.png", compress_level=0)
    (upload,) = uploads.prepare(
        1, (SpooledImage(seed=5, path=str(tmp_path / "g.png")),), file_bytes_max=50_000
    )

    assert upload.name == "easel-1-5.webp"
    assert Image.open(BytesIO(upload.data)).convert("RGB").tobytes() == picture.tobytes()


@pytest.mark.parametrize(("told", "says"), [("full", True), ("seed", False), ("none", False)])
@pytest.mark.parametrize("room", [10**7, 190_000, 60_000])
def test_every_form_says_how_it_was_made(tmp_path: Path, room: int, told: Metadata, says: bool) -> None:
    """PNG, lossless WebP and JPEG alike, as far as the owner lets them: all of it, the seed alone, or nothing."""
    data = random.Random(7).randbytes(3 * 2**15)
    picture = Image.frombytes("RGB", (256, 128), data).resize((512, 256), Image.Resampling.NEAREST)
    request = request_of(prompt="a fox, “déjà vu” 🎈")
    (tmp_path / "a.png").write_bytes(metadata.encode_png(picture, request=request, told=told))
    (upload,) = uploads.prepare(1, (SpooledImage(seed=5, path=str(tmp_path / "a.png")),), file_bytes_max=room)
    found = metadata.read(upload.data)
    if told == "none":
        assert found is None
        return
    assert found is not None
    assert (found.prompt == request.prompt) is says
    assert found.fields["Seed"] == "42"


@pytest.mark.parametrize("room", [120_000, 60_000, 40_000])
def test_noise_becomes_jpeg_within_the_limit(tmp_path: Path, room: int) -> None:
    """Where nothing lossless fits, JPEG does."""
    (upload,) = uploads.prepare(1, (noise(tmp_path),), file_bytes_max=room)

    assert upload.name == "easel-1-5.jpg"
    assert len(upload.data) <= room


def test_ten_images_share_the_room_of_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sum of a message's files stays within the request's limit."""
    monkeypatch.setattr(uploads, "MESSAGE_BYTES_MAX", 400_000)
    images = tuple(noise(tmp_path, name=f"{number}.png") for number in range(10))
    ready = uploads.prepare(1, images, file_bytes_max=10**7)

    assert len(ready) == 10
    assert sum(len(upload.data) for upload in ready) <= 400_000


def test_withheld_images_are_not_uploaded(tmp_path: Path) -> None:
    """An image without a file (flagged) is left out."""
    assert uploads.prepare(1, (SpooledImage(seed=1, path=None, flagged=True),), file_bytes_max=10**6) == []
