"""The REST and CDN routes, behind one middleware that logs, applies faults and shapes refusals."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from aiohttp import web

from workshop.rehearsal.loopback import bodies, interactions, payloads
from workshop.rehearsal.loopback.bodies import Body
from workshop.rehearsal.loopback.commands import check_sync
from workshop.rehearsal.loopback.errors import (
    ApiError,
    archived_thread,
    locked_thread,
    missing_access,
    missing_permissions,
    no_dms,
    no_text_channel,
    not_found,
    unauthorized,
    unknown_member,
    unknown_message,
)
from workshop.rehearsal.loopback.faults import API, Hold, Request, cut, json_response
from workshop.rehearsal.loopback.state import State
from workshop.rehearsal.loopback.world import OF_POSTS, Interaction, Json, Message, Permission

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
MAX_BODY = 512 << 20
ENTRY = web.RequestKey("entry", Request)
BODY = web.RequestKey("body", Body)
OPEN_ROUTES = re.compile(r"^(/interactions/|/webhooks/\d+/[^/]+)")


class Rest:
    def __init__(self, state: State) -> None:
        self._state = state

    def application(self, gateway: Handler) -> web.Application:
        app = web.Application(middlewares=[self._middleware], client_max_size=MAX_BODY)
        add = app.router.add_route
        add("GET", "/", gateway)
        add("GET", API + "/users/@me", self._me)
        add("GET", API + "/oauth2/applications/@me", self._application_info)
        add("GET", API + "/gateway/bot", self._gateway_bot)
        add("*", API + "/applications/{app}/commands", self._commands)
        add("*", API + "/applications/{app}/guilds/{guild}/commands", self._commands)
        add("POST", API + "/interactions/{id}/{token}/callback", self._callback)
        add("POST", API + "/webhooks/{app}/{token}", self._follow_up)
        add("*", API + "/webhooks/{app}/{token}/messages/{message}", self._webhook_message)
        add("POST", API + "/users/@me/channels", self._open_dm)
        add("GET", API + "/guilds/{guild}/members/{user}", self._member)
        add("GET", API + "/channels/{channel}", self._channel)
        add("GET", API + "/channels/{channel}/messages", self._messages)
        add("POST", API + "/channels/{channel}/messages", self._send)
        add("*", API + "/channels/{channel}/messages/{message}", self._channel_message)
        for folder in ("attachments", "ephemeral-attachments"):
            add("GET", f"/{folder}/{{channel}}/{{attachment}}/{{filename}}", self._file)
        add("*", "/{anything:.*}", self._unknown)
        return app

    # -- the one way in ----------------------------------------

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        state = self._state
        entry = Request(
            method=request.method,
            path=_path(request),
            query=dict(request.query),
            at_ms=state.clock.uptime_ms(),
            auth=request.headers.get("Authorization"),
        )
        state.requests.append(entry)
        try:
            response = await self._served(request, entry, handler)
        except ConnectionError:
            response = web.Response(status=499)
        entry.ms = state.clock.uptime_ms() - entry.at_ms
        entry.status = response.status
        state.changes.tell()
        return response

    async def _served(self, request: web.Request, entry: Request, handler: Handler) -> web.StreamResponse:
        state = self._state
        if entry.path != "/gateway":
            body = await bodies.read(request)
            request[BODY], entry.json = body, body.json
            entry.filenames = [upload.filename for upload in body.files.values()]
        request[ENTRY] = entry
        state.changes.tell()
        hold = next((h for h in state.holds if h.matches(entry)), None)
        fault = next((f for f in state.faults if f.matches(entry)), None)
        if hold is not None:
            hold.request = entry
            state.changes.tell()
            if not hold.apply:
                await hold.wait()
        if fault is None:
            return await self._limited(request, entry, handler, hold)
        fault.times -= 1
        fault.hits += 1
        if fault.apply:
            await self._answered(request, handler, hold)
        return cut(request) if fault.reset else fault.response()

    async def _limited(
        self, request: web.Request, entry: Request, handler: Handler, hold: Hold | None
    ) -> web.StreamResponse:
        limit = next((item for item in self._state.limits if item.matches(entry)), None)
        if limit is None:
            return await self._answered(request, handler, hold)
        refusal = limit.take(entry.path)
        if refusal is not None:
            return refusal
        response = await self._answered(request, handler, hold)
        response.headers.update(limit.headers(entry.path))
        return response

    async def _answered(
        self, request: web.Request, handler: Handler, hold: Hold | None
    ) -> web.StreamResponse:
        try:
            self._authorize(request[ENTRY])
            response = await handler(request)
        except ApiError as error:
            response = json_response(error.body, error.status)
        except (KeyError, ValueError, TypeError, AttributeError, AssertionError) as error:
            entry = request[ENTRY]
            self._state.unexpected.append(f"{entry.method} {entry.path}: {error!r} on {entry.json}")
            response = json_response({"message": f"loopback cannot read this: {error!r}", "code": 0}, 400)
        if hold is not None and hold.apply:
            self._state.changes.tell()
            await hold.wait()
        return response

    def _authorize(self, entry: Request) -> None:
        free = entry.path == "/gateway" or OPEN_ROUTES.match(entry.path) or "attachments/" in entry.path
        if not free and entry.auth != f"Bot {self._state.token}":
            raise unauthorized()

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        entry = request[ENTRY]
        self._state.unexpected.append(f"{entry.method} {entry.path}")
        raise not_found()

    # -- the application ----------------------------------------

    async def _me(self, request: web.Request) -> web.StreamResponse:
        return json_response(
            {**payloads.user(self._state.bot), "verified": True, "mfa_enabled": True, "flags": 0}
        )

    async def _application_info(self, request: web.Request) -> web.StreamResponse:
        state = self._state
        return json_response(
            {
                "id": str(state.app_id),
                "name": "Easel",
                "description": "",
                "icon": None,
                "bot_public": True,
                "bot_require_code_grant": False,
                "owner": payloads.user(state.owner),
                "team": None,
                "verify_key": "0" * 64,
                "flags": 0,
                "approximate_guild_count": len(state.guilds),
                "interactions_endpoint_url": None,
                "integration_types_config": {"0": {}},
            }
        )

    async def _gateway_bot(self, request: web.Request) -> web.StreamResponse:
        limit = {"total": 1000, "remaining": 999, "reset_after": 86_400_000, "max_concurrency": 1}
        return json_response({"url": "wss://gateway.discord.gg", "shards": 1, "session_start_limit": limit})

    async def _commands(self, request: web.Request) -> web.StreamResponse:
        guild = request.match_info.get("guild")
        guild_id = None if guild is None else int(guild)
        match request.method:
            case "PUT":
                commands: list[Json] = request[BODY].json["_"]
                check_sync(commands)
                return json_response(self._state.sync(guild_id, commands))
            case "GET":
                return json_response(self._state.listed(guild_id))
            case _:
                return await self._unknown(request)

    # -- interactions and their webhooks ----------------------------------------

    async def _callback(self, request: web.Request) -> web.StreamResponse:
        info = request.match_info
        done = interactions.answer(self._state, info["id"], info["token"], request[BODY])
        if done.original is not None and done.original is not done.source:
            await self._state.posted(done.original)
        if request.query.get("with_response") not in {"1", "true"}:
            return web.Response(status=204)
        return json_response(interactions.callback_reply(self._state, done))

    async def _follow_up(self, request: web.Request) -> web.StreamResponse:
        state, body = self._state, request[BODY]
        interaction = state.by_webhook(request.match_info["app"], request.match_info["token"])
        if interaction.original is not None and interaction.original.loading:
            message = state.messages.edit(interaction.original, body.json, body.files)
        else:
            fresh = state.new_message(interaction.channel, interaction=interaction)
            message = await state.posted(state.messages.fill(fresh, body.json, body.files, ephemeral_ok=True))
            interaction.followups.append(message)
        return self._message(message)

    async def _webhook_message(self, request: web.Request) -> web.StreamResponse:
        interaction = self._state.by_webhook(request.match_info["app"], request.match_info["token"])
        message = self._of_webhook(interaction, request.match_info["message"])
        return await self._read_edit_delete(request, message)

    def _of_webhook(self, interaction: Interaction, wanted: str) -> Message:
        own = [interaction.original, *interaction.followups]
        found = own[0] if wanted == "@original" else next((m for m in own if m and str(m.id) == wanted), None)
        if found is None or found.deleted:
            raise unknown_message()
        return found

    # -- channels ----------------------------------------

    async def _open_dm(self, request: web.Request) -> web.StreamResponse:
        user = self._state.users[int(request[BODY].json["recipient_id"])]
        return json_response(payloads.channel(self._state.dm(user), self._state.bot))

    async def _member(self, request: web.Request) -> web.StreamResponse:
        guild = self._state.guilds.get(int(request.match_info["guild"]))
        if guild is None:
            raise missing_access()
        user = self._state.users.get(int(request.match_info["user"]))
        if user is None or user.id in guild.left:
            raise unknown_member()
        return json_response({**payloads.member(guild, user), "user": payloads.user(user)})

    async def _channel(self, request: web.Request) -> web.StreamResponse:
        channel = self._state.reachable(request.match_info["channel"])
        return json_response(payloads.channel(channel, self._state.bot))

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        """Newest first; without Read Message History an empty list, no refusal. `after`: those that came next."""
        state, query = self._state, request.query
        channel = state.reachable(request.match_info["channel"])
        found = (
            state.messages.in_channel(channel) if channel.granted & Permission.READ_MESSAGE_HISTORY else []
        )
        before, after = int(query.get("before") or 1 << 63), int(query.get("after") or 0)
        wanted = sorted((m for m in found if after < m.id < before and not m.ephemeral), key=lambda m: -m.id)
        limit = int(query.get("limit") or 50)
        page = wanted[-limit:] if "after" in query else wanted[:limit]
        return json_response([payloads.message(m, state.clock, state.app_id) for m in page])

    async def _send(self, request: web.Request) -> web.StreamResponse:
        state, body = self._state, request[BODY]
        channel = state.reachable(request.match_info["channel"])
        needed = [channel.send_permission] + [Permission.ATTACH_FILES] * bool(body.files)
        state.reachable(request.match_info["channel"], *needed)
        if channel.kind in OF_POSTS:
            raise no_text_channel()
        if channel.takes_no_change:
            raise locked_thread()
        if channel.recipient is not None and not channel.recipient.takes_dms:
            raise no_dms()
        nonce = body.json.get("nonce")
        if nonce is not None and body.json.get("enforce_nonce"):
            same = next((m for m in state.messages.in_channel(channel) if m.nonce == str(nonce)), None)
            if same is not None:
                return self._message(same)
        fresh = state.new_message(channel)
        fresh.nonce = None if nonce is None else str(nonce)
        filled = state.messages.fill(fresh, body.json, body.files, ephemeral_ok=False)
        return self._message(await state.posted(filled))

    async def _channel_message(self, request: web.Request) -> web.StreamResponse:
        needed = [Permission.READ_MESSAGE_HISTORY] if request.method == "GET" else []
        needed += [Permission.ATTACH_FILES] if request[BODY].files else []
        channel = self._state.reachable(request.match_info["channel"], *needed)
        message = self._state.messages.by_id.get(int(request.match_info["message"]))
        if message is None or message.deleted or message.ephemeral or message.channel is not channel:
            raise unknown_message()
        if message.author is not self._state.bot and request.method != "GET":
            raise missing_permissions()
        return await self._read_edit_delete(request, message)

    async def _read_edit_delete(self, request: web.Request, message: Message) -> web.StreamResponse:
        match request.method:
            case "GET":
                return self._message(message)
            case "PATCH":
                _check_open(message)
                body = request[BODY]
                return self._message(self._state.messages.edit(message, body.json, body.files))
            case "DELETE":
                if message.channel.takes_no_change and message.channel.archived:
                    raise archived_thread()
                message.deleted = True
                return web.Response(status=204)
            case _:
                return await self._unknown(request)

    def _message(self, message: Message) -> web.Response:
        return json_response(payloads.message(message, self._state.clock, self._state.app_id))

    # -- files ----------------------------------------

    async def _file(self, request: web.Request) -> web.StreamResponse:
        item = self._state.messages.files.get(int(request.match_info["attachment"]))
        if item is None or request.match_info["filename"] != item.filename or "hm" not in request.query:
            return web.Response(status=404, text="This content is no longer available.")
        if item.moved_to is not None:
            return web.Response(status=302, headers={"Location": item.moved_to})
        if item.served is not None:
            return await _streamed(request, item.served)
        return web.Response(body=item.bytes, content_type=item.content_type)


def _check_open(message: Message) -> None:
    """In an archived thread nothing may happen to a message but that it is deleted."""
    if message.ephemeral:
        return
    if message.channel.archived:
        raise archived_thread()
    if message.channel.takes_no_change:
        raise locked_thread()


async def _streamed(request: web.Request, data: bytes) -> web.StreamResponse:
    """In chunks; their number is known when the last has come."""
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    for start in range(0, len(data), 1 << 16):
        await response.write(data[start : start + (1 << 16)])
    await response.write_eof()
    return response


def _path(request: web.Request) -> str:
    return "/gateway" if request.path == "/" else request.path.removeprefix(API)
