"""Finds what means something to other programs in a prompt, and is only words here; knows no model. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Iterator

_SHOWN = 3
_SHOWN_CHARS = 30
_NUMBER = r"-?\d+(?:\.\d+)?"
_FLAGS = "|".join(
    rf"(?:{names})\s+(?:{value})"
    for names, value in (
        ("ar|aspect", r"\d+(?:\.\d+)?(?:[:x×/]\d+(?:\.\d+)?)?"),
        (
            "v|version|s|stylize|c|chaos|q|quality|w|weird|iw|cw|sw|ow|stop|seed|sameseed|r|repeat|niji|exp|bs|motion",
            rf"{_NUMBER}|low|high|random",
        ),
        ("no|style|sref|cref|oref|p|profile|personalize", r"[^\s\-]\S*"),
    )
)
_ALONE = "tile|niji|raw|hd|test|testp|creative|upbeta|uplight|upanime|turbo|relax|draft|stealth|video|loop"
_SIGNS = re.compile(
    rf"(?<!\S)--(?:{_FLAGS}|(?:{_ALONE}))(?=[\s,;]|$)"  # Midjourney's flags
    rf"|(?<=[\w)\]\"'])::(?:{_NUMBER}(?=[\s,;]|$)|(?=\s+\w))"  # and its weights
    r"|(?<![:;=8\-])\{(?P<choice>[^{}]*)\}"  # permutations and choices
    r"|(?<!\w)__[A-Za-z0-9][\w/*.\-]*?__(?!\w)",  # wildcards
    re.IGNORECASE,
)
_JSON = re.compile(r"[\"'”]\s*:")


def remarks(*texts: str) -> tuple[str, ...]:
    """One sentence, or none."""
    found = [*dict.fromkeys(sign for text in texts for sign in _signs(text))]
    if not found:
        return ()
    shown = [f"“{_short(sign)}”" for sign in found[:_SHOWN]]
    last = shown.pop() if len(found) <= _SHOWN else f"{len(found) - _SHOWN} more"
    listed = f"{', '.join(shown)} and {last}" if shown else last
    were = "was" if len(found) == 1 else "were"
    why = "since such signs of other programs mean nothing here"
    return (f"{listed} {were} read as words, {why}: use the options, and (word:1.2) for weights.",)


def _signs(text: str) -> Iterator[str]:
    for found in _SIGNS.finditer(text):
        if found["choice"] is None or _is_choice(found["choice"]):
            yield " ".join(found[0].split())


def _is_choice(text: str) -> bool:
    """Several things to choose from; people also write their prompts as JSON."""
    things = [thing for thing in re.split(r"[,|]", text) if thing.strip()]
    return len(things) > 1 and not _JSON.search(text)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 1]}…"
