"""Pictures that people attach: what is refused unseen, and how the rest is fetched and kept. Never looks into one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import aiohttp
import discord
import structlog
from yarl import URL

from bot.chat.errors import UserError
from bot.core.asking.wish import Picture, Wish
from bot.texts import problems
from engine.contract import GenerationRequest, SpooledImage
from engine.contract.failpoints import Failpoint, reach
from engine.pictures import inputs

log = structlog.get_logger(__name__)

HOSTS = frozenset({"cdn.discordapp.com", "media.discordapp.net"})
KINDS = ("image/png", "image/jpeg", "image/webp")
WITHIN_S = 20.0
"""For one file; the interaction's token, by which we answer then, lives for 15 minutes."""
AT_ONCE = 4
CHUNK = 1 << 16

Fetch = Callable[[str, int], Awaitable[bytes]]
"""(address, most bytes) -> what lies there; raises UserError."""


# ------------------------------------------------------------------ before anything is fetched


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """What a person attached to a command, to be fetched."""

    image: discord.Attachment | None = None
    mask: discord.Attachment | None = None
    references: tuple[discord.Attachment, ...] = ()
    """To edit."""


def told_of(file: discord.Attachment | None) -> Picture | None:
    """What Discord's words tell of it."""
    if file is None:
        return None
    return Picture(name=file.filename, size=size_of(file))


def check_files(
    image: discord.Attachment | None,
    mask: discord.Attachment | None,
    wish: Wish,
    *,
    times: int,
    max_mb: int,
) -> None:
    """Raises UserError where what is attached can't be used for this wish, whatever its bytes turn out to be.

    `times`: how many times as large the picture is to be as the image, 1 where it is not to be enlarged.
    """
    if image is None:
        if times > 1:
            raise UserError(problems.upscaling_needs_image)
        if mask is not None:
            raise UserError(problems.mask_needs_image)
        if wish.strength is not None:
            raise UserError(problems.strength_needs_image)
        return
    check_picture(image, max_mb)
    if mask is not None:
        check_picture(mask, max_mb, is_mask=True)
        if size_of(mask) != size_of(image):
            raise UserError(problems.unlike(size_of(mask), size_of(image)))


def is_picture(file: discord.Attachment) -> bool:
    """Whether Discord calls it a kind of picture that is taken."""
    return (file.content_type or "").partition(";")[0].strip().lower() in KINDS


def check_picture(file: discord.Attachment, max_mb: int, *, is_mask: bool = False) -> None:
    """Raises UserError for what is no picture, or too large."""
    if not is_picture(file):
        raise UserError(problems.wrong_kind(is_mask=is_mask))
    if file.size > max_mb << 20:
        raise _too_large(max_mb << 20)


def size_of(file: discord.Attachment) -> tuple[int, int] | None:
    """(width, height); None where Discord can't tell."""
    return (file.width, file.height) if file.width and file.height else None


def _too_large(bytes_max: int) -> UserError:
    return UserError(problems.too_large(bytes_max >> 20))


# ------------------------------------------------------------------ the files themselves


class Intake:
    """Fetches what was attached and keeps it in the spool, where the engine finds it by its digest."""

    def __init__(self, fetch: Fetch, *, folder: Path, bytes_max: int) -> None:
        self._fetch = fetch
        self._folder = folder
        self._bytes_max = bytes_max
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def content(self, file: discord.Attachment) -> bytes:
        """What lies there, to be looked at and not kept; raises UserError."""
        if file.size > self._bytes_max:
            raise _too_large(self._bytes_max)
        async with self._turns:
            return await self._fetch(file.url, self._bytes_max)

    async def keep(self, image: SpooledImage) -> str | None:
        """Takes a finished picture as what another one starts from: its digest, None where it is kept no more."""
        try:
            data = await asyncio.to_thread(Path(str(image.path)).read_bytes)
            digest = await asyncio.to_thread(inputs.keep, self._folder, data)
        except OSError as error:
            log.info("picture_gone", error=str(error))
            return None
        return digest if digest == image.sha256 else None

    async def complete(self, request: GenerationRequest, files: Attached) -> GenerationRequest:
        """The request with the digests of its files, which are durably kept; raises UserError, and then keeps none."""
        (completed,) = await self.complete_all([request], files)
        return completed

    async def complete_all(
        self, requests: Sequence[GenerationRequest], files: Attached
    ) -> list[GenerationRequest]:
        """The same for several that start from the same files, fetched once."""
        wanted = [*filter(None, (files.image, files.mask)), *files.references]
        async with self._turns:
            fetched = [await self._fetch(file.url, self._bytes_max) for file in wanted]
            try:
                digests = [await asyncio.to_thread(inputs.keep, self._folder, data) for data in fetched]
            except OSError as error:
                log.error("input_not_kept", error=str(error))
                raise UserError(problems.not_kept) from error
        reach(Failpoint.KEPT)
        given = iter(digests)
        image = None if files.image is None else next(given)
        mask = None if files.mask is None else next(given)
        references = tuple(given)
        return [replace(request, image=image, mask=mask, references=references) for request in requests]


def from_discord(client: discord.Client, *, within_s: float = WITHIN_S) -> Fetch:
    """Fetches through the client's own connections and proxy, once it has logged in."""

    async def fetch(address: str, bytes_max: int) -> bytes:
        url = _checked(address)
        try:
            async with asyncio.timeout(within_s):
                return await _download(client, url, bytes_max)
        except TimeoutError as error:
            log.info("attachment_too_slow", host=url.host)
            raise UserError(problems.fetched_too_slowly) from error
        except (aiohttp.ClientError, OSError) as error:
            log.info("attachment_not_fetched", host=url.host, error=repr(error))
            raise UserError(problems.not_fetched) from error

    return fetch


def _checked(address: str) -> URL:
    """The address, if it is one of Discord's own CDN: nobody sends us anywhere else."""
    try:
        url = URL(address)
        own = url.scheme == "https" and url.host in HOSTS and url.port == 443 and url.user is None
    except ValueError:
        own, url = False, URL()
    if not own:
        raise UserError(problems.not_uploaded)
    return url


async def _download(client: discord.Client, url: URL, bytes_max: int) -> bytes:
    """Reads no further than `bytes_max`, whatever the other side says of its size, and follows no redirect."""
    http = client.http
    session = aiohttp.ClientSession(
        connector=http.connector,
        connector_owner=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept-Encoding": "identity"},
        auto_decompress=False,
    )
    asked = partial(session.get, url, allow_redirects=False, proxy=http.proxy, proxy_auth=http.proxy_auth)
    data = bytearray()
    async with session, asked() as response:
        if response.status != 200:
            log.info("attachment_refused", host=url.host, status=response.status)
            raise UserError(problems.not_fetched)
        async for chunk in response.content.iter_chunked(CHUNK):
            data += chunk
            if len(data) > bytes_max:
                _hang_up(response)
                raise _too_large(bytes_max)
    return bytes(data)


def _hang_up(response: aiohttp.ClientResponse) -> None:
    """At once: TLS says goodbye in good manners otherwise, and reads on until that is answered."""
    if response.connection is not None and response.connection.transport is not None:
        response.connection.transport.abort()
