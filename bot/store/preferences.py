"""What people, channels and servers prefer: defaults by name, and styles. Knows no default and no style by heart."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from enum import StrEnum

from bot.job import Style
from bot.store.audit import AuditEntry, Deed, record, write_recorded
from bot.store.db import Database

SPOILER, ON, OFF = "spoiler", "on", "off"
"""Whether pictures are covered until somebody looks; a channel's alone."""
DELIVER, HERE, BY_MAIL_TOO, PRIVATELY = "deliver", "here", "mail", "private"
"""Where a person's finished pictures go; a person's alone."""
FLAGGED, FLAGGED_ADULT = "flagged", "flagged_age_restricted"
"""What becomes of pictures that a safety checker flags, and in age-restricted channels; a channel's or a server's."""
GALLERY, SHARING, TELL_WORD = "gallery", "sharing", "tell_word"
"""A server's: the channel for starred pictures, whether people may look through everybody's, and whether they are told which
word of theirs its rules forbid."""
MODERATORS, APPEAL = "moderators", "appeal"
"""A server's: the channel where moderators read reports and decide on what is held, and what blocked people read besides the reason."""


class Scope(StrEnum):
    PERSON = "person"
    CHANNEL = "channel"
    SERVER = "server"


class Taste:
    def __init__(self, database: Database) -> None:
        self._db = database

    # -------------------------------------------------------------- defaults

    async def of(self, scope: Scope, number: int) -> Mapping[str, str]:
        """By name; what is not set is not there."""
        sql = "SELECT name, value FROM preference WHERE scope = :scope AND scope_id = :id"
        return {row["name"]: row["value"] for row in await self._db.read(sql, {"scope": scope, "id": number})}

    async def channel_of(self, guild_id: int, name: str) -> int | None:
        """The channel that a server's admins named for this; None where they named none."""
        value = (await self.of(Scope.SERVER, guild_id)).get(name, "")
        return int(value) if value.isdecimal() else None

    async def put(
        self, scope: Scope, number: int, values: Mapping[str, str], entry: AuditEntry | None = None
    ) -> None:
        """Sets these, all or none, and leaves the others."""
        sql = """INSERT INTO preference VALUES (:scope, :id, :name, :value)
                 ON CONFLICT DO UPDATE SET value = excluded.value"""
        async with self._db.tx() as connection:
            for name, value in values.items():
                params = {"scope": scope, "id": number, "name": name, "value": value}
                await connection.execute_fetchall(sql, params)
            if entry is not None:
                await record(connection, entry)

    async def reset(
        self, scope: Scope, number: int, names: Iterable[str], entry: AuditEntry | None = None
    ) -> None:
        """Of these, as if they had never been set."""
        sql = """DELETE FROM preference
                 WHERE scope = :scope AND scope_id = :id AND name IN (SELECT value FROM json_each(:names)) RETURNING name"""
        params = {"scope": scope, "id": number, "names": json.dumps([*names])}
        await write_recorded(self._db, sql, params, entry)

    # -------------------------------------------------------------- styles

    async def styles(self, guild_id: int) -> tuple[Style, ...]:
        """Those of a server, by name."""
        sql = "SELECT name, prompt, negative_prompt FROM style WHERE guild_id = :guild ORDER BY folded"
        rows = await self._db.read(sql, {"guild": guild_id})
        return tuple(Style(**dict(row)) for row in rows)

    async def add_style(self, guild_id: int, style: Style, *, by_user_id: int, now: float, most: int) -> bool:
        """False, and nothing is done, where there is one of that name, or as many as there may be."""
        sql = """INSERT INTO style
                 SELECT :guild, :folded, :name, :prompt, :negative, :by, :now
                 WHERE (SELECT COUNT(*) FROM style WHERE guild_id = :guild) < :most
                 ON CONFLICT DO NOTHING RETURNING name"""
        params = {
            "guild": guild_id,
            "folded": style.name.casefold(),
            "name": style.name,
            "prompt": style.prompt,
            "negative": style.negative_prompt,
            "by": by_user_id,
            "now": now,
            "most": most,
        }
        entry = _of_style(guild_id, style.name, by_user_id, now, is_there=True)
        return bool(await write_recorded(self._db, sql, params, entry))

    async def remove_style(self, guild_id: int, name: str, *, by_user_id: int, now: float) -> bool:
        """False where there was none."""
        sql = "DELETE FROM style WHERE guild_id = :guild AND folded = :folded RETURNING name"
        entry = _of_style(guild_id, name, by_user_id, now, is_there=False)
        params = {"guild": guild_id, "folded": name.casefold()}
        return bool(await write_recorded(self._db, sql, params, entry))


def _of_style(guild_id: int, name: str, by_user_id: int, now: float, *, is_there: bool) -> AuditEntry:
    """`is_there`: from now on."""
    return AuditEntry(
        at=now,
        guild_id=guild_id,
        by_user_id=by_user_id,
        deed=Deed.STYLES,
        details={"name": name, "is_there": is_there},
    )
