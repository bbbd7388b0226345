"""The gateway side: HELLO, IDENTIFY, READY, heartbeats, events, RESUME; knows no REST."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from workshop.rehearsal.loopback import payloads
from workshop.rehearsal.loopback.state import State
from workshop.rehearsal.loopback.world import Guild, Json

DISPATCH, RECONNECT, INVALID_SESSION, HELLO, HEARTBEAT_ACK = 0, 7, 9, 10, 11
RESUME_URL = "wss://gateway-resume.discord.gg/"
AUTHENTICATION_FAILED = 4004


class Connection:
    """One WebSocket: compresses when the client asked for zlib-stream."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        self._request = request
        self.socket = socket
        self.host = request.host
        self._zlib = zlib.compressobj() if request.query.get("compress") == "zlib-stream" else None

    async def send(self, payload: Json) -> None:
        text = json.dumps(payload)
        if self._zlib is None:
            await self.socket.send_str(text)
            return
        data = self._zlib.compress(text.encode()) + self._zlib.flush(zlib.Z_SYNC_FLUSH)
        await self.socket.send_bytes(data)

    async def order(self, op: int, data: Any) -> None:
        """Anything but an event."""
        await self.send({"op": op, "s": None, "t": None, "d": data})

    async def close(self, code: int) -> None:
        """Say goodbye with a code. The reader, another task, ends when the client has answered that.

        aiohttp's own `close` would not wait for the answer here, and a client whose answer meets a connection that
        is gone forgets the code.
        """
        await self.socket.send_frame(struct.pack("!H", code), WSMsgType.CLOSE)

    def cut(self) -> None:
        """Reset the connection, without a close frame."""
        if self._request.transport is not None:
            self._request.transport.abort()


@dataclass(eq=False)
class Session:
    """What survives a dropped connection: a number per event, and the events for a RESUME."""

    id: str
    identify: Json
    connection: Connection | None
    sequence: int = 0
    ready: bool = False
    events: list[Json] = field(default_factory=list[Json])

    async def dispatch(self, name: str, data: Json) -> None:
        self.sequence += 1
        payload: Json = {"op": DISPATCH, "t": name, "s": self.sequence, "d": data}
        self.events.append(payload)
        if self.connection is None or self.connection.socket.closed:
            return
        try:
            await self.connection.send(payload)
        except ConnectionError:
            self.connection = None  # kept for the RESUME


class Gateway:
    """One session, as a bot without shards has, and those of other programs with the same token."""

    def __init__(self, state: State, heartbeat_s: float) -> None:
        self._state = state
        self._heartbeat_ms = int(heartbeat_s * 1000)
        self._connections: set[Connection] = set()
        self.session: Session | None = None
        self.rivals: list[Session] = []
        """Earlier sessions whose programs are still connected: they are told everything too."""
        self.identifies: list[Json] = []
        self.resumes = 0
        self.heartbeats = 0
        self.resume_hosts: list[str] = []
        self.closing: tuple[int, int] = (0, 0)
        """A close code, and how many connections get it instead of a session."""

    @property
    def ready(self) -> bool:
        session = self.session
        return session is not None and session.ready and session.connection is not None

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=True, compress=False)
        await socket.prepare(request)
        connection = Connection(request, socket)
        self._connections.add(connection)
        try:
            await connection.order(HELLO, {"heartbeat_interval": self._heartbeat_ms})
            await self._read(connection)
        except ConnectionError:
            pass  # the client went away while it was being written to
        finally:
            self._connections.discard(connection)
            self._detach(connection)
        return socket

    def _detach(self, connection: Connection) -> None:
        self.rivals = [session for session in self.rivals if session.connection is not connection]
        if self.session is not None and self.session.connection is connection:
            self.session.connection = None
            if connection.socket.close_code in {1000, 1001}:
                self.session = None
        self._state.changes.tell()

    async def _read(self, connection: Connection) -> None:
        async for frame in connection.socket:
            if frame.type is not WSMsgType.TEXT:
                continue
            payload: Json = json.loads(frame.data)
            if payload["op"] in (2, 6) and self.closing[1]:
                await self._turn_away(connection, payload)
                continue
            match payload["op"]:
                case 1:  # heartbeat
                    self.heartbeats += 1
                    await connection.order(HEARTBEAT_ACK, None)
                case 2:  # identify
                    await self._identify(connection, payload["d"])
                case 6:  # resume
                    await self._resume(connection, payload["d"])
                case 3:  # presence
                    pass
                case other:
                    self._state.unexpected.append(f"gateway op {other}")
            self._state.changes.tell()

    async def _turn_away(self, connection: Connection, payload: Json) -> None:
        code, times = self.closing
        self.closing = (code, times - 1)
        if payload["op"] == 2:
            self.identifies.append(payload["d"])
        await connection.close(code)
        self._state.changes.tell()

    async def _identify(self, connection: Connection, data: Json) -> None:
        if data["token"] != self._state.token:
            await connection.socket.close(code=AUTHENTICATION_FAILED, message=b"Authentication failed.")
            return
        self.identifies.append(data)
        if self.session is not None and self.session.connection is not None:
            self.rivals.append(self.session)
        number = self._state.clock.snowflake()
        self.session = session = Session(id=f"{number:032x}", identify=data, connection=connection)
        await session.dispatch("READY", self._ready(session))
        for guild in list(self._state.guilds.values()):
            await session.dispatch("GUILD_CREATE", self.guild_create(guild))
        session.ready = True

    async def _resume(self, connection: Connection, data: Json) -> None:
        session = self.session
        self.resume_hosts.append(connection.host)
        if session is None or session.id != data["session_id"] or data["token"] != self._state.token:
            await connection.order(INVALID_SESSION, False)
            return
        missed = [event for event in session.events if event["s"] > data["seq"]]
        for event in missed:
            await connection.send(event)
        session.connection = connection
        self.resumes += 1
        await session.dispatch("RESUMED", {"_trace": []})

    def _ready(self, session: Session) -> Json:
        return {
            "v": 10,
            "user": {**payloads.user(self._state.bot), "email": None, "mfa_enabled": True, "verified": True},
            "guilds": [{"id": str(guild_id), "unavailable": True} for guild_id in self._state.guilds],
            "session_id": session.id,
            "session_type": "normal",
            "resume_gateway_url": RESUME_URL,
            "application": {"id": str(self._state.app_id), "flags": 0},
            "private_channels": [],
        }

    def guild_create(self, guild: Guild) -> Json:
        return payloads.guild(guild, self._state.bot, len(self._state.users))

    async def dispatch(self, name: str, data: Json) -> None:
        """Send an event, or keep it for the RESUME of a dropped session; nobody there is no error."""
        for session in [*self.rivals, *([self.session] if self.session else [])]:
            await session.dispatch(name, data)

    async def drop(self, close_code: int | None) -> None:
        """End the client's connection; the session stays and can be resumed."""
        connection = self._connected()
        if close_code is None:
            connection.cut()
        else:
            await connection.close(close_code)
        if self.session is not None and self.session.connection is connection:
            self.session.connection = None

    async def order(self, op: int, data: Any) -> None:
        """Op 7 (reconnect) or op 9 (invalid session)."""
        connection = self._connected()
        if op == INVALID_SESSION and data is False:
            self.session = None
        await connection.order(op, data)

    async def close(self) -> None:
        for connection in list(self._connections):
            connection.cut()

    def _connected(self) -> Connection:
        if self.session is None or self.session.connection is None:
            raise AssertionError("no client is connected to the gateway")
        return self.session.connection
