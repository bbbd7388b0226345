"""How long Discord is waited for: one value, made once and handed to whoever writes. Knows no message."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pauses:
    give_up_after_s: float = 24 * 3600.0
    """The longest outage of Discord that an image waits for, in one process; a restart begins anew."""
    retry_max_s: float = 60.0
    """Between two tries, at the most."""
    reply_within_s: float = 300.0
    """A request without a reply in this time, waiting for a rate limit included, is repeated."""
    progress_within_s: float = 10.0
    """An edit of progress that takes longer is given up."""
    too_fast_s: float = 30.0
    """Progress rests this long after Discord found it too fast."""
    settle_s: float = 3.0
    """How long a request with an unknown outcome may still be under way before the end is written again."""
