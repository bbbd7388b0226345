"""What “Image info” shows of the pictures in somebody's message. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from bot.chat.look.safe import PLAIN_MAX, code, cut, plain, shown, utf16_length
from bot.core.asking.picture_facts import PictureFacts
from bot.texts import pictures as texts
from bot.texts.language import Language

NAME_MAX, PROMPT_MIN = 40, 20
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
class PostedInfo:
    text: str
    files: tuple[tuple[str, str], ...]
    """(name, text) of what does not fit into the message."""


def named(filename: str) -> str:
    """A file's name inside a sentence."""
    return plain(cut(filename, NAME_MAX))


def describe(pictures: Sequence[Posted], to: Language, *, more: int = 0) -> PostedInfo:
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
    return PostedInfo(text=cut("\n\n".join([*blocks, *rest]), PLAIN_MAX), files=tuple(files))


def _block(name: str, facts: PictureFacts, room: int, to: Language) -> tuple[str, bool]:
    """(what is shown within so many UTF-16 units, whether that is all there is).

    The prompt has what the rest leaves, of which no part is long.
    """
    small, wide = room // 14, room // 8
    others = to.listed(f"{key}: {value}" for key, value in facts.others)
    name_of = partial(_strange, limit=small)
    before = [texts.heading(named(name), name_of(facts.program), to)]
    after = [
        facts.negative_prompt and texts.negative(code(facts.negative_prompt, wide), to),
        texts.settings(facts, to, shown=name_of),
        others and f"-# {_strange(others, limit=wide)}",
        "" if facts.is_whole else texts.more_than_is_read(to),
    ]
    left = max(PROMPT_MIN, room - utf16_length("\n".join([*before, *after])) - len("\n``"))
    lines = [*before, facts.prompt and code(facts.prompt, left), *after]
    cut_off = (
        *(utf16_length(text) > small for text in texts.names(facts, to)),
        *(utf16_length(text) > wide for text in (facts.negative_prompt, others)),
        utf16_length(facts.prompt) > left,
    )
    is_all = facts.is_whole and not any(cut_off) and not _is_graph(facts)
    return "\n".join(line for line in lines if line), is_all or not facts.raw


def _strange(text: str, *, limit: int) -> str:
    """Somebody's words, in code marks where they could mean something to Discord: an address, an invitation, markdown."""
    kept = cut(shown(text), limit)
    return code(kept, limit) if plain(kept) != kept or "/" in kept else kept


def _is_graph(facts: PictureFacts) -> bool:
    """ComfyUI's files hold the whole work, which people load again."""
    return facts.program == "ComfyUI"
