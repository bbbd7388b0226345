"""What is kept of a person without a time, so that nobody could tell later what was there when they wanted it gone."""

from __future__ import annotations

UNDATED = (
    "DELETE FROM preference WHERE scope = 'person' AND scope_id = :user_id",
    "DELETE FROM plan WHERE user_id = :user_id",
    "DELETE FROM note WHERE key = 'hinted ' || :user_id",
)
"""Takes it out: settings, requests that wait for a yes, the note that they were greeted."""
