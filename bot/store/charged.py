"""What a person used of their credits in a window: an SQL expression, the same for all that is paid for."""

from __future__ import annotations


def _used(window: str) -> str:
    """`window`: what holds of the moment, which stands as {at}."""
    person = "guild_id = :guild_id AND user_id = :user_id"
    job, training = window.format(at="created_at"), window.format(at="paid_at")
    return f"""((SELECT COALESCE(SUM(charged), 0) FROM job WHERE {person} AND {job})
              + (SELECT COALESCE(SUM(charged), 0) FROM training WHERE {person} AND {training}))"""


USED = _used("{at} >= :window_start")
USED_BETWEEN = _used("{at} >= :first AND {at} < :last")
