"""What lies beside a model, LoRA or embedding for people: a description, trigger words, a picture. Knows no weights.

Anybody's files: whatever they hold, words come of it that are short and on one line, and the path of a file that nobody looked into.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

WORDS_MAX, _WORD_CHARS_MAX = 6, 60
DESCRIPTION_CHARS_MAX = 500
_COMMON = 3
"""Of the words in the captions that a LoRA was trained with, these many are taken for its trigger words."""
_SIDECAR_BYTES = 2**20
_PICTURES = ("png", "jpg", "jpeg", "webp")
_JSONS = (".json", ".civitai.info", ".metadata.json")
"""Of AUTOMATIC1111 and Forge, and of what fetches files from Civitai for them."""
_TAG = re.compile(r"<[^<>]*>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    words: tuple[str, ...] = ()
    """Trigger words: what to write in a prompt so that it shows."""
    description: str = ""
    preview: str = ""
    """Path of a picture that shows what it does; empty where none is there."""


def read(path: Path, told: Mapping[str, str]) -> Beside:
    """What its owner wrote beside it, else what its maker wrote into it (`told`, its header's texts).

    Where nobody names trigger words, those count that it was trained with most.
    """
    notes = [notes for ending in _JSONS if (notes := _entries(_parsed(_text(path, ending))))]
    return Beside(
        words=_words(path, notes, told),
        description=_description(path, notes, told),
        preview=preview(path),
    )


def preview(path: Path) -> str:
    """The picture beside a file or folder: `NAME.png`, or `NAME.preview.png`, as web UIs have them, or as JPEG or WebP."""
    name = _name(path)
    candidates = (path.parent / f"{name}{mark}.{kind}" for mark in ("", ".preview") for kind in _PICTURES)
    try:
        return next((str(each.absolute()) for each in candidates if each.is_file()), "")
    except OSError:
        return ""


def one_line(text: str, most: int) -> str:
    """Without markup and what nobody could see."""
    plain = html.unescape(_TAG.sub(" ", text))
    shown = " ".join("".join(char if char.isprintable() else " " for char in plain).split())
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def clean(words: Sequence[str] | Iterator[str]) -> tuple[str, ...]:
    """On one line, short, each once, few: strangers wrote them."""
    kept = (" ".join("".join(char if char.isprintable() else " " for char in word).split()) for word in words)
    return tuple(dict.fromkeys(word[:_WORD_CHARS_MAX] for word in kept if word))[:WORDS_MAX]


def _words(path: Path, notes: Sequence[Mapping[str, Any]], told: Mapping[str, str]) -> tuple[str, ...]:
    sources = (
        *map(_told_words, notes),
        _text(path, ".txt").strip().partition("\n")[0],
        told.get("modelspec.trigger_phrase", ""),
    )
    for source in sources:
        if words := clean(source.split(",")):
            return words
    return clean(_common(told.get("ss_tag_frequency", "")))


def _told_words(notes: Mapping[str, Any]) -> str:
    match notes:
        case {"activation text": str(words)}:
            return words
        case {"trainedWords": [*words]} | {"civitai": {"trainedWords": [*words]}}:
            return ",".join(str(word) for word in words)
        case _:
            return ""


def _description(path: Path, notes: Sequence[Mapping[str, Any]], told: Mapping[str, str]) -> str:
    """Of several the first that says something."""
    sources = (
        *(str(each.get("description") or "") for each in notes),
        _text(path, ".description.txt"),
        told.get("modelspec.description", ""),
    )
    return next((text for source in sources if (text := one_line(source, DESCRIPTION_CHARS_MAX))), "")


def _common(text: str) -> Iterator[str]:
    """The commonest tags of kohya's `ss_tag_frequency`: {folder: {tag: how often}}."""
    counts: dict[str, int] = {}
    for tags in _entries(_parsed(text)).values():
        for tag, count in _entries(tags).items():
            counts[tag] = counts.get(tag, 0) + (count if isinstance(count, int) else 0)
    yield from sorted(counts, key=lambda tag: -counts[tag])[:_COMMON]


def _name(path: Path) -> str:
    """Of a file without its ending; a folder's name may have dots of its own."""
    return path.name if path.is_dir() else path.stem


def _text(path: Path, ending: str) -> str:
    """Of a small file beside it; empty where none is there."""
    try:
        with (path.parent / f"{_name(path)}{ending}").open("rb") as file:
            return file.read(_SIDECAR_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def _entries(values: Any) -> Mapping[str, Any]:
    return cast("dict[str, Any]", values) if isinstance(values, dict) else {}


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
