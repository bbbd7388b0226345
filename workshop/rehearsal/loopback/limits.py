"""Rate limits as Discord announces them: a bucket per path, headers on every reply, 429 when it is empty."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from aiohttp import web

from workshop.rehearsal.loopback.faults import Request, json_response


@dataclass(eq=False, kw_only=True, slots=True)
class RateLimit:
    """`limit` requests per `per_s` seconds on each path that contains `path_part`."""

    method: str
    path_part: str
    limit: int
    per_s: float
    refused: int = 0
    windows: dict[str, tuple[float, int]] = field(default_factory=dict[str, tuple[float, int]])
    """Path -> (monotonic end of its window, requests left in it)."""

    def matches(self, request: Request) -> bool:
        return self.method in {"*", request.method} and self.path_part in request.path

    def take(self, path: str) -> web.Response | None:
        """Count one request; the refusal if there was none left."""
        now = time.monotonic()
        ends, left = self.windows.get(path, (0.0, 0))
        if ends <= now:
            ends, left = now + self.per_s, self.limit
        self.windows[path] = (ends, max(0, left - 1))
        if left > 0:
            return None
        self.refused += 1
        wait = round(ends - now, 3)
        body = {"message": "You are being rate limited.", "retry_after": wait, "global": False}
        headers = {"Via": "1.1 google", "Retry-After": str(wait), "X-RateLimit-Scope": "user"}
        return json_response(body, 429, {**headers, **self.headers(path)})

    def headers(self, path: str) -> dict[str, str]:
        ends, left = self.windows[path]
        after = max(0.0, ends - time.monotonic())
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(left),
            "X-RateLimit-Reset-After": f"{after:.3f}",
            "X-RateLimit-Reset": f"{time.time() + after:.3f}",
            "X-RateLimit-Bucket": f"{hash((self.method, self.path_part)) & 0xFFFFFFFF:08x}",
        }
