"""Which file of an image is uploaded: the PNG, else lossless WebP, else JPEG, so that it always fits, and says how it was made."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import discord
from PIL import Image

from bot.chat.look.job_view import alt_text
from bot.job import Job
from engine.contract import SpooledImage
from engine.pictures import metadata

MESSAGE_BYTES_MAX = 25 * 1024 * 1024
"""Discord's documentation still names this limit for one request, besides the one per file."""
JPEG_QUALITIES = (95, 85, 70, 50)


class ImageTooLarge(Exception):
    """No form of the image is small enough for Discord."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    name: str
    data: bytes


async def files_of(job: Job, images: tuple[SpooledImage, ...], *, file_bytes_max: int) -> list[discord.File]:
    """What is attached of a job's images, with the prompt as alternative text. Raises OSError or ImageTooLarge."""
    ready = await asyncio.to_thread(prepare, job.id, images, file_bytes_max=file_bytes_max)
    alt = alt_text(job.request)
    return [discord.File(BytesIO(upload.data), upload.name, description=alt) for upload in ready]


def largest(images: tuple[SpooledImage, ...]) -> int:
    """Bytes of the largest image as it lies there; 0 where there is none. Blocking."""
    paths = [Path(image.path) for image in images if image.path is not None]
    return max((path.stat().st_size for path in paths if path.exists()), default=0)


def prepare(job_id: int, images: tuple[SpooledImage, ...], *, file_bytes_max: int) -> list[Upload]:
    """Files for every image that may be shown, each within the limits (bytes). Blocking; raises OSError or ImageTooLarge."""
    shown = [image for image in images if image.path is not None]
    room = min(file_bytes_max, MESSAGE_BYTES_MAX // max(1, len(shown)))
    return [_fit(stem_of(job_id, image.seed), Path(str(image.path)), room) for image in shown]


def stem_of(job_id: int, seed: int | str) -> str:
    """How a file is called, without its ending: by this a job's message is known again."""
    return f"easel-{job_id}-{seed}"


def _fit(stem: str, path: Path, room: int) -> Upload:
    png = path.read_bytes()
    if len(png) <= room:
        return Upload(name=f"{stem}.png", data=png)
    with Image.open(path, formats=("PNG",)) as image:
        picture, exif = image.convert("RGB"), metadata.exif_of(image)
    webp = _encoded(picture, "WEBP", lossless=True, exif=exif)
    if len(webp) <= room:
        return Upload(name=f"{stem}.webp", data=webp)
    for quality in JPEG_QUALITIES:
        jpeg = _encoded(picture, "JPEG", quality=quality, exif=exif)
        if len(jpeg) <= room:
            return Upload(name=f"{stem}.jpg", data=jpeg)
    raise ImageTooLarge(f"{path.name} does not fit into {room} bytes in any form")


def _encoded(picture: Image.Image, form: str, **options: int | bytes) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()
