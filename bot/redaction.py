"""Takes secrets out of texts, and out of what a child gets. Knows no file, no log and no terminal."""

from __future__ import annotations

import os
import re

REMOVED = "[removed]"
_PATTERNS = (
    # The bot's id in base64, which digits alone give such letters, and what follows, cut off or not.
    r"(?:[MNO][DTjz][AEIMQUYcgk][w-z0-5]){5,7}[A-Za-z0-9]{0,3}(?:\.[A-Za-z0-9_-]*){1,2}",
    r"[A-Za-z0-9_-]{23,28}\.[A-Za-z0-9_-]{6,7}\.[A-Za-z0-9_-]{20,}",
    r"mfa\.[A-Za-z0-9_-]{60,}",
    r"(?<![A-Za-z0-9])hf_[A-Za-z0-9]{30,}",
)
_TOKEN = re.compile("|".join(_PATTERNS))
"""What opens an account: of Discord, and of the hub."""
_WEBHOOK = re.compile(r"((?:webhooks|interactions)/\d{15,20}/)[A-Za-z0-9_-]{30,}")
"""The token in an interaction's address, good for 15 minutes."""


def holds_token(text: str) -> bool:
    return _TOKEN.search(text) is not None


def cleaned(text: str) -> str:
    return _WEBHOOK.sub(rf"\g<1>{REMOVED}", _TOKEN.sub(REMOVED, text))


def environment() -> dict[str, str]:
    """Ours without the bot's token, which no child gets."""
    return {name: value for name, value in os.environ.items() if not name.startswith("DISCORD_TOKEN")}
