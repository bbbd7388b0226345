"""What “Image info” shows of the pictures in somebody's message. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bot.chat.look.safe import PLAIN_MAX, code, cut, plain, utf16_length
from bot.core.asking.picture_facts import PictureFacts
from bot.texts import pictures as texts
from bot.texts.language import Language

NAME_MAX = 60
_RESERVED = 60
"""Of a message, for what is said about all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """A picture of a message, and what its file tells."""

    name: str
    facts: PictureFacts | None = None
    problem: str = ""
    """Why it tells nothing, as a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    text: str
    files: tuple[tuple[str, str], ...]
    """(name, text) of what does not fit into the message."""


def named(filename: str) -> str:
    """A file's name inside a sentence."""
    return plain(cut(filename, NAME_MAX))


def describe(pictures: Sequence[Posted], to: Language, *, more: int = 0) -> Shown:
    """`more` pictures were not looked at."""
    room = (PLAIN_MAX - _RESERVED) // len(pictures)
    blocks: list[str] = []
    files: list[tuple[str, str]] = []
    for number, picture in enumerate(pictures, start=1):
        if picture.facts is None:
            blocks.append(cut(picture.problem, room - 2))
            continue
        block, fits = _block(picture.name, picture.facts, room - 2, to)
        blocks.append(block)
        if not fits:
            name = "settings.txt" if len(pictures) == 1 else f"settings-{number}.txt"
            files.append((name, picture.facts.raw))
    rest = [texts.more_pictures(more, to)] if more else []
    return Shown(text="\n\n".join([*blocks, *rest]), files=tuple(files))


def _block(name: str, facts: PictureFacts, room: int, to: Language) -> tuple[str, bool]:
    """(what is shown within so many UTF-16 units, whether that is all there is)."""
    others = texts.others(facts, shown=plain)
    parts = (
        (texts.heading(named(name), plain(facts.program), to), room // 5),
        (facts.prompt, room // 3),
        (facts.negative_prompt, room // 6),
        (texts.settings(facts, to, shown=plain), room // 6),
        (others, room // 10),
    )
    fits = facts.is_whole and all(utf16_length(text) <= most for text, most in parts) and not _is_graph(facts)
    heading, prompt, words, settings, rest = (text and cut(text, most) for text, most in parts)
    lines = [
        heading,
        *([code(prompt, room // 3)] if prompt else []),
        *([texts.negative(code(words, room // 6), to)] if words else []),
        settings,
        *([f"-# {rest}"] if rest else []),
        *([] if facts.is_whole else [texts.more_than_is_read(to)]),
    ]
    return cut("\n".join(line for line in lines if line), room), fits or not facts.raw


def _is_graph(facts: PictureFacts) -> bool:
    """ComfyUI's files hold the whole work, which people load again."""
    return facts.program == "ComfyUI"
