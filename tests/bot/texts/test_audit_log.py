"""Every deed has words of its own, in every language and whatever it tells of."""

from __future__ import annotations

from typing import Any

import pytest

from bot.store.audit import AuditEntry, Deed
from bot.texts import audit_log
from bot.texts.language import language
from tests.bot.core.asking.test_policy import DEFAULTS

LIMIT = {"subject": "everyone", "subject_id": 0, "field": "pending", "old": None, "new": 2}
DETAILS: dict[Deed, list[dict[str, Any]]] = {
    Deed.LIMITS: [LIMIT],
    Deed.NIGHT: [{"begins": 22, "ends": 6}, {"begins": None, "ends": None}],
    Deed.PERMITS: [{"allowed": True, "kind": "model", "names": ["x"]}, {"allowed": False}],
    Deed.WORDS: [{"kind": "forbidden", "added": 1, "removed": 0, "entries": ["x"]}, {"kind": "allowed"}],
    Deed.PREFERENCES: [{"images": 2}, {"channel": 5, "images": 2}, {"channel": 5}, {}],
    Deed.STYLES: [{"name": "x", "is_there": True}, {"name": "x", "is_there": False}],
    Deed.MOVED: [{"place": "front"}, {"place": "back"}],
    Deed.ANNOUNCED: [{"channel": 5, "text": "x"}, {"text": "x"}],
    Deed.BLOCKED: [{"reason": "x", "until": 5.0}, {"reason": "", "until": None}],
    Deed.REPORTED: [{"reason": "x"}, {}],
}


@pytest.mark.parametrize("tag", ["en", "de", "es", "fr", "ja", "zh"])
@pytest.mark.parametrize("deed", Deed)
def test_every_deed_is_told(deed: Deed, tag: str) -> None:
    """None is left to its own word, as one of another version is; no two tellings of a deed are the same."""
    lines = [
        audit_log.line(
            AuditEntry(at=1.0, guild_id=1, by_user_id=2, deed=deed, user_id=3, job_id=4, details=details),
            DEFAULTS,
            language(tag),
            shown=str,
        )
        for details in DETAILS.get(deed, [{}])
    ]
    alien = AuditEntry(at=1.0, guild_id=1, by_user_id=2, deed="danced", user_id=3, job_id=4)
    assert "danced <@3> 4" in audit_log.line(alien, DEFAULTS, language(tag), shown=str)
    assert not any(f"{deed} <@3> 4" in line for line in lines)
    assert len({*lines}) == len(lines)
    assert all("<@2>" in line for line in lines)


@pytest.mark.parametrize(
    ("deed", "details", "told"),
    [
        (Deed.PREFERENCES, {"moderators": "5", "flagged": "hold"}, "moderators = <#5>, flagged = hold"),
        (Deed.PREFERENCES, {"gallery": ""}, "gallery = –"),
        (Deed.PERMITS, {"allowed": True, "kind": "channel", "names": ["7"]}, "what is allowed: <#7>"),
    ],
)
def test_a_channel_is_shown_as_one(deed: Deed, details: dict[str, Any], told: str) -> None:
    """Not as the number that the row has."""
    entry = AuditEntry(at=1.0, guild_id=1, by_user_id=2, deed=deed, details=details)
    assert told in audit_log.line(entry, DEFAULTS, language("en"), shown=str)


def test_a_line_ends_once() -> None:
    """Also where what an admin announced ends with a stop of its own."""
    entry = AuditEntry(
        at=1.0, guild_id=1, by_user_id=2, deed=Deed.ANNOUNCED, details={"channel": 5, "text": "Back."}
    )
    assert audit_log.line(entry, DEFAULTS, language("en"), shown=str).endswith(": Back.")
