"""Faults on order, and the log of requests; knows the shape of a request, not what it means."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field

from aiohttp import web

from workshop.rehearsal.loopback.world import Json

API = "/api/v10"


@dataclass(eq=False, kw_only=True, slots=True)
class Request:
    """One request as it arrived; `status` and `ms` are filled in when it is answered (0: connection cut)."""

    method: str
    path: str
    """Without `/api/v10` and without the query."""
    query: dict[str, str]
    at_ms: float
    json: Json = field(default_factory=Json)
    filenames: list[str] = field(default_factory=list[str])
    auth: str | None = None
    status: int | None = None
    ms: float | None = None


@dataclass(eq=False, kw_only=True, slots=True)
class Fault:
    """What happens to the next matching requests instead of, or after, their handling."""

    method: str
    path_part: str
    status: int
    times: int
    apply: bool
    retry_after: float
    via: bool
    reset: bool
    scope: str | None
    code: int
    """Discord's own error code."""
    page: str | None = None
    """HTML instead of JSON, as Cloudflare or a sign-in page answers."""
    hits: int = 0

    def matches(self, request: Request) -> bool:
        return self.times > 0 and self.method in {"*", request.method} and self.path_part in request.path

    def response(self) -> web.Response:
        if self.page is not None:
            pause = {"Retry-After": str(self.retry_after)} if self.status == 429 else None
            return web.Response(text=self.page, status=self.status, headers=pause, content_type="text/html")
        headers: dict[str, str] = {}
        body: Json = {"message": "loopback fault", "code": self.code}
        if self.status == 429:
            body |= {"message": "You are being rate limited.", "retry_after": self.retry_after}
            body["global"] = self.scope == "global"
            headers["Retry-After"] = str(self.retry_after)
            if self.via:
                headers["Via"] = "1.1 google"
            if self.scope is not None:
                headers["X-RateLimit-Scope"] = self.scope
        return json_response(body, self.status, headers)


class Hold:
    """A gate in front of (or, with `apply`, behind) one request: it arrives, and waits until released."""

    def __init__(self, method: str, path_part: str, *, apply: bool) -> None:
        self.method, self.path_part, self.apply = method, path_part, apply
        self.request: Request | None = None
        self._gate = asyncio.Event()

    @property
    def entered(self) -> bool:
        return self.request is not None

    def matches(self, request: Request) -> bool:
        fresh = self.request is None
        return fresh and self.method in {"*", request.method} and self.path_part in request.path

    def release(self) -> None:
        self._gate.set()

    async def wait(self) -> None:
        await self._gate.wait()


def json_response(body: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """JSON with the exact content type that discord.py compares with: no charset."""
    exact = {"Content-Type": "application/json", **(headers or {})}
    return web.Response(body=json.dumps(body).encode(), status=status, headers=exact)


def cut(request: web.Request) -> web.Response:
    """Drop the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=499)
