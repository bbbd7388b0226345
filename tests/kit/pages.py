"""Pages as tests read them: fences with what stands above each, the sections of a page, and files that a page changes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"(?P<indent>[ \t]*)(?P<marks>`{3,}|~{3,})[ \t]*(?P<language>[\w+-]*)(?P<rest>.*)")
_FILE = re.compile(r".*?`([\w./-]+\.\w+)`.*:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    page: str
    line: int
    """Of its opening, counted from 1."""
    above: str
    """The last line before it that is not empty."""
    touches: bool
    """Whether that is the line right before it."""
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def file(self) -> str | None:
        """What the line above names: `a/file.py`:"""
        found = _FILE.fullmatch(self.above)
        return None if found is None else found[1]


def pages() -> list[Path]:
    """Every page that tells people to type something."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def fences(text: str, page: str) -> Iterator[Fence]:
    """Those in lists and tabs too, without their indentation. Raises ValueError for one that is never closed."""
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        start, opening = at, _FENCE.fullmatch(lines[at])
        at += 1
        if opening is None:
            continue
        body: list[str] = []
        while at < len(lines) and not re.fullmatch(rf"\s*{re.escape(opening['marks'])}\s*", lines[at]):
            body.append(lines[at].removeprefix(opening["indent"]))
            at += 1
        if at == len(lines):
            raise ValueError(f"{page}:{start + 1}: this fence is never closed")
        at += 1
        before = [line for line in lines[:start] if line.strip()]
        yield Fence(
            page=page,
            line=start + 1,
            above=before[-1].strip() if before else "",
            touches=start > 0 and bool(lines[start - 1].strip()),
            language=opening["language"],
            text="\n".join(body) + "\n",
        )


def fences_of(path: Path) -> list[Fence]:
    return list(fences(path.read_text("utf-8"), str(path.relative_to(ROOT))))


def changed(text: str, diff: str) -> str:
    """With the lines of `diff`, whose unchanged and removed ones stand there exactly once. Raises ValueError."""
    old = "".join(f"{line[1:]}\n" for line in diff.splitlines() if line[:1] != "+")
    new = "".join(f"{line[1:]}\n" for line in diff.splitlines() if line[:1] != "-")
    if (count := text.count(old)) != 1:
        raise ValueError(f"these lines stand {count} times in the file that they are to change:\n{old}")
    return text.replace(old, new)
