"""SimCord as a chat that lives: real time, a page that never waits for the bot, pictures decoded at once.

SimCord is made for tests: its clock stands still, and whatever is published waits until the bot has nothing left to do.
All of that is private to the pinned SimCord 3.2.1; tests/page would notice another one. Knows no Easel.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from importlib.resources import files
from time import monotonic as real_monotonic
from typing import Any, ClassVar, TypeVar
from zlib import crc32

import discord
import simcord
from aiohttp import web
from simcord import components as wire
from simcord.actors import MemberActor, _slash_resolved  # pyright: ignore[reportPrivateUsage]
from simcord.builders import ChannelHandle
from simcord.preview import _media as media  # pyright: ignore[reportPrivateUsage]
from simcord.preview._server import PreviewServer
from simcord.results import InteractionResult

from bot.shell.live_languages import Languages

T = TypeVar("T")
ANSWER_S = 1.0
"""A click is answered with what the bot has made of it by then; what comes later is published when it comes."""
AT_ONCE_S = 0.05
"""The same of what somebody does who sits at no browser and looks for what comes of it themselves."""
DETACH_S = 30.0
MEDIA_BYTES_MAX = 1 << 30
"""Of all pictures that a page shows."""
PASSED_KEPT = 64
"""A browser asks for a picture some time after it has read of it; by then the next preview may have replaced it."""


def _numbered(components: list[dict[str, Any]], taken: set[int]) -> None:
    """SimCord counts components, so that an edit gives a button's number to another one, under a click on its way.

    Numbers made from what buttons and menus are called stay theirs.
    """
    for component in wire.walk_components(components):
        number = crc32(component.get("custom_id", "").encode())
        if number and not component.get("id") and number not in taken:
            component["id"] = number
            taken.add(number)
    _counted(components, taken)


_counted = wire._assign_ids  # pyright: ignore[reportPrivateUsage]
wire._assign_ids = _numbered  # pyright: ignore[reportPrivateUsage]


class LiveClock:
    """Goes on like the wall's, and can't be moved: timers of the bot's are real ones. Stands in for SimCord's clock."""

    def __init__(self) -> None:
        self._began = real_monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since it was made: what time.monotonic() gives the bot."""
        return real_monotonic() - self._began

    def now(self) -> datetime:
        return datetime.now(UTC)

    def advance(self, seconds: float) -> None:
        """It goes on by itself."""


class LiveEnv(simcord.Env):
    """A simulated Discord in real time, where nothing waits for the bot longer than a moment, and nothing ends for it."""

    def __init__(self, bot: Any) -> None:
        super().__init__(bot, settle_timeout=DETACH_S)
        self.backend.clock = LiveClock()  # pyright: ignore[reportAttributeAccessIssue]
        self.languages = Languages(self.backend)
        self.answer_s = ANSWER_S

    @property
    def generation(self) -> int:
        """Which bot it is, counted from 1."""
        return self._generation

    async def slash(
        self, person: MemberActor, channel: ChannelHandle, command: str, options: Mapping[str, str | int]
    ) -> InteractionResult:
        """A command whose options are named as that person's Discord names them."""
        known = self.backend.visible_commands(user_id=person.id, channel_id=channel.id)
        root = next((each for each in known if each["name"] == command.split(maxsplit=1)[0]), None)
        return await _slash_resolved(person, channel, command, dict(options), root)  # pyright: ignore[reportPrivateUsage, reportArgumentType]

    def _schedule_timer(self, record: Any, callback: Any, args: Any, schedule_context: Any) -> None:  # noqa: ARG002
        """A timer of the bot's fires when its time has come, as without SimCord."""
        assert self._runtime is not None

        def fire() -> None:
            if record.handle is not None and not record.handle.cancelled():
                record.handle._run()

        at = real_monotonic() + max(0.0, record.when - self._virtual_time)
        record.real_handle = self._runtime.call_at(at, fire, context=schedule_context)

    async def _settle_internal(self, *, dispatch: str | None = None, **_limits: Any) -> None:
        """Waits until the bot is quiet, or for `answer_s`: it may well be busy for as long as somebody draws."""
        with contextlib.suppress(TimeoutError):
            await super()._settle_internal(timeout=self.answer_s, idle=0.02, dispatch=dispatch)


class LivePage:
    """Publishes on a preview's pages what the bot did on its own whenever a browser asks; clicks and that take turns."""

    def __init__(self, env: LiveEnv, preview: simcord.Preview, *, title: str) -> None:
        self.env = env
        self.visited = asyncio.Event()
        """Set once a browser has asked for the page."""
        self._preview: Any = preview
        self._turns = asyncio.Lock()
        self._act: Callable[..., Any] = self._preview._action
        self._preview._action = self._in_turn
        self._preview._media_worker = OwnPictures()
        self._preview._MAX_MEDIA_BYTES = MEDIA_BYTES_MAX
        port = self._preview._server._requested_port
        self._preview._server = LiveServer(
            self._preview, port, title=title, publish=self.publish, languages=env.languages
        )

    async def _in_turn(self, context_id: str | None, body: dict[str, Any]) -> dict[str, Any]:
        """SimCord refuses what overlaps, after which its page is dead until it is reloaded; and it refuses a click on a
        page that was published anew less than a poll (0.5 s) ago, which would spare no ✖ Cancel while a bar moves.
        Our buttons say which job they mean, so the newest page is what they are meant for, and whichever bot is there now.
        """
        async with self._turns:
            if "published_revision" in body:
                body["published_revision"] = self._preview._get_page(context_id).revision
            if "bot_generation" in body:
                body["bot_generation"] = self.env.generation
            return await self._act(context_id, body)

    async def take_turn(self, deed: Callable[[], Awaitable[T]]) -> T:
        """What somebody does who sits at no browser."""
        async with self._turns:
            self.env.answer_s = AT_ONCE_S
            try:
                return await deed()
            finally:
                self.env.answer_s = ANSWER_S
                self._publish_all()

    async def look_as(self, viewer: MemberActor) -> None:
        """Shows the channel to every browser as that person sees it."""
        async with self._turns:
            for page in self._preview._pages.values():
                if page.viewer is not viewer:
                    page.viewer = viewer
                    page.generation += 1
                    page.modal = page.modal_handle = None
                    self._preview._reset_queries(page)
            self._publish_all()

    async def restart(self, bot: discord.Client) -> None:
        """Closes the bot and starts another one, as a new session of the gateway; all that is written stays."""
        async with self._turns:
            await self.env.bot.close()
            await self.env.restart_bot(bot)
            self._publish_all()

    async def publish(self) -> None:
        """Shows everything as it is now, if anything changed since the last time."""
        self.visited.set()
        if not self._has_news():
            return
        async with self._turns:
            self._publish_all()

    def _publish_all(self) -> None:
        self._preview._advance_presentation_time()
        for page in tuple(self._preview._pages.values()):
            if page.id in self._preview._pages:  # earlier publications drop pages that nobody has open
                self._preview._publish(page, reason="refresh")

    def _has_news(self) -> bool:
        """Whether the bot edited or deleted something. What answers a click or a command is published by its action."""
        requests = self.env.backend.http_requests
        news = any(request.method != "POST" for request in requests)
        requests.clear()  # SimCord would keep them, with their pictures, for assertions
        return news


class OwnPictures:
    """Decodes a page's pictures in a thread. SimCord starts a process for each, and shows none if nine are waiting."""

    async def validate(self, _key: str, blob: bytes, *, media_time: float | None = None) -> Any:
        return await asyncio.to_thread(media._process_media, blob, media_time)  # pyright: ignore[reportPrivateUsage]

    def release(self, key: str) -> None:
        """Nothing is kept here."""

    async def close(self) -> None:
        """Nothing runs on."""


class LiveServer(PreviewServer):
    """SimCord's page with our title, style and script."""

    _OURS: ClassVar[dict[str, str]] = {
        "/live_page.js": "application/javascript",
        "/live_page.css": "text/css",
    }
    _STATIC_FILES: ClassVar[dict[str, str]] = PreviewServer._STATIC_FILES | {path: path[1:] for path in _OURS}

    def __init__(
        self,
        preview: Any,
        port: int,
        *,
        title: str,
        publish: Callable[[], Awaitable[None]],
        languages: Languages,
    ) -> None:
        super().__init__(preview, port)
        self._title = title
        self._fresh = publish
        self._languages = languages
        self._passed: dict[str, tuple[str, bytes]] = {}
        self._blobs: dict[str, Any] = preview._blobs
        self._publish = preview._publish
        preview._publish = self._published

    def _published(self, page: Any, **reason: Any) -> None:
        self._publish(page, **reason)
        page.snapshot["profile"]["locale"] = self._languages.of(page.viewer.id)
        for asset_id, record in page.assets.items():
            if (blob := self._blobs.get(record.digest)) is not None:
                self._passed[asset_id] = record.contentType, blob.data
        for asset_id in [*self._passed][:-PASSED_KEPT]:
            del self._passed[asset_id]

    async def _state(self, request: Any) -> Any:
        await (
            self._fresh()
        )  # of what was published, SimCord leaves out pictures that an edit has replaced since
        return await super()._state(request)

    async def _asset(self, request: Any) -> Any:
        answer = await super()._asset(request)
        if answer.status == HTTPStatus.NOT_FOUND and (
            passed := self._passed.get(request.match_info["asset_id"])
        ):
            kind, body = passed
            return web.Response(body=body, content_type=kind, headers=self._SECURITY_HEADERS)
        return answer

    async def _index(self, request: Any) -> Any:
        answer = await super()._index(request)
        answer.text = _replaced(
            answer.text,
            ("<title>SimCord Preview</title>", f"<title>{self._title}</title>"),
            ("</head>", '<link rel="stylesheet" href="/live_page.css">\n  </head>'),
            ("</body>", '<script type="module" src="/live_page.js"></script>\n  </body>'),
        )
        return answer

    async def _static(self, request: Any) -> Any:
        if (kind := self._OURS.get(request.path)) is not None:
            text = (files("bot.shell") / "static" / request.path[1:]).read_text("utf-8")
            return web.Response(text=text, content_type=kind, headers=self._SECURITY_HEADERS)
        answer = await super()._static(request)
        if request.path == "/text.js":  # our script moves relative times on, and must know which are
            made = 'const time = node("time", "discord-timestamp", rendered);'
            answer.text = _replaced(
                answer.text,
                (made, f'{made} time.dataset.style = style; time.lang = options.locale || "en-US";'),
            )
        return answer


def _replaced(text: str, *changes: tuple[str, str]) -> str:
    """Raises LookupError where this is not the SimCord that was pinned."""
    for old, new in changes:
        if old not in text:
            raise LookupError(f"SimCord's page has no {old!r} any more")
        text = text.replace(old, new, 1)
    return text
