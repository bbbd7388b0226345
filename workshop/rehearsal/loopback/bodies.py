"""Request bodies: JSON, or multipart with `payload_json` and `files[n]`; knows no messages."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from aiohttp import BodyPartReader, web

from workshop.rehearsal.loopback.errors import ApiError, invalid
from workshop.rehearsal.loopback.world import Json

FILE_PART = re.compile(r"files\[(\d+)\]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """A file that somebody sends: one part of a multipart body, or the value of an ATTACHMENT option."""

    filename: str
    bytes: bytes
    served: bytes | None = None
    """What the CDN hands out in its place, without a word about its length."""
    moved_to: str | None = None
    """The CDN answers with a redirect to this address."""
    url: str | None = None
    """The address that the bot is told, if not the CDN's own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Body:
    json: Json = field(default_factory=Json)
    files: dict[int, Upload] = field(default_factory=dict[int, Upload])


async def read(request: web.Request) -> Body:
    if request.content_type == "multipart/form-data":
        return await _multipart(request)
    raw = await request.read()
    return Body(json=_object(raw.decode())) if raw else Body()


async def _multipart(request: web.Request) -> Body:
    payload: Json = {}
    files: dict[int, Upload] = {}
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader):
            raise ApiError(400, 50109, "The request body contains nested multipart.")
        name = part.name or ""
        if name == "payload_json":
            payload = _object((await part.read()).decode())
        elif match := FILE_PART.fullmatch(name):
            files[int(match[1])] = Upload(filename=part.filename or "unknown", bytes=bytes(await part.read()))
        else:
            raise invalid(name or "_", "UNKNOWN_FIELD", "Neither payload_json nor files[n].")
    return Body(json=payload, files=files)


def _object(text: str) -> Json:
    """A JSON object; a list becomes `{"_": [...]}` since only the command sync sends one."""
    try:
        value = json.loads(text)
    except ValueError:
        raise ApiError(400, 50109, "The request body contains invalid JSON.") from None
    return {"_": value} if isinstance(value, list) else value
