"""Prints docs/run/configuration.md: words from example.toml, kinds, bounds and defaults from the settings themselves.

python -m workshop.docs.configuration >docs/run/configuration.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import NoneType
from typing import Any

from bot.config import SECTIONS, VARIABLES, allowed
from bot.config.wrong_settings import kinds, shown

KIND: Mapping[type[Any], str] = {
    bool: "switch",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
}
HEAD = """\
# Configuration

<!-- Made by `python -m workshop.docs.configuration`: change bot/config/example.toml or bot/config/settings.py instead. -->

{introduction}

The file is `easel.toml`: that of `--config`, else of the variable `EASEL_CONFIG`, else the one in the folder where Easel is \
started, else the one in the user's own folder for configuration (on Linux `~/.config/easel`). What the command line says \
comes before the environment, and the environment before the file; an empty variable counts as left out. The token comes \
from `DISCORD_TOKEN`, else from the file that `DISCORD_TOKEN_FILE` names, else from the one of `token_file` below."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What example.toml has of one key."""

    name: str
    """With its section, such as limits.pending."""
    words: str
    line: str
    """As it stands there, without its comment sign."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    introduction: str
    sections: Mapping[str, str]
    """What is said of a section as a whole; empty where that is nothing."""
    keys: tuple[Key, ...]


def read(text: str) -> Example:
    """Paragraphs are comments without an empty line between them; one with a key below it describes that key."""
    section, paragraph = "", list[str]()
    sections: dict[str, str] = {"": ""}
    keys: list[Key] = []
    for line in [*text.splitlines(), ""]:
        if head := re.fullmatch(r"\[(\w+)\]", line):
            section = head[1]
            sections[section] = ""
        elif key := re.fullmatch(r"(?:# )?((\w+) = .+)", line):
            keys.append(Key(name=f"{section}.{key[2]}", words=" ".join(paragraph), line=key[1]))
            paragraph = []
        elif line:
            paragraph.append(line.removeprefix("# "))
        elif paragraph:
            sections[section] = " ".join([*filter(None, [sections[section]]), *paragraph])
            paragraph = []
    return Example(introduction=sections.pop(""), sections=sections, keys=tuple(keys))


def page(text: str) -> Iterator[str]:
    """Its paragraphs."""
    example = read(text)
    yield HEAD.format(introduction=_plain(example.introduction))
    for section, words in example.sections.items():
        yield f"## [{section}]"
        if words:
            yield _plain(words)
        for key in example.keys:
            if key.name.partition(".")[0] == section:
                yield from _described(key)


def _described(key: Key) -> Iterator[str]:
    section, _, name = key.name.partition(".")
    info = SECTIONS[section].model_fields[name]
    default: Any = info.default
    (variable,) = (each for each, known in VARIABLES.items() if known == key.name)
    kind = " or ".join(dict.fromkeys(KIND[each] for each in kinds(info) if each is not NoneType))
    yield f"### {key.name}"
    yield _plain(key.words)
    takes = re.sub(r"^a (whole )?number from ", "", allowed(info))
    usual = "none" if default is None else f"`{shown(default)}`"
    row = f"| `{variable}` | {kind} | {_plain(takes)} | {usual} |"
    yield f"| variable | kind | takes | default |\n|---|---|---|---|\n{row}"
    if key.line != f"{name} = {shown(default)}":
        yield f"```toml\n[{section}]\n{key.line}\n```"


def _plain(text: str) -> str:
    """With what Markdown would take for its own signs as they are, but for `code`."""
    parts = text.split("`")
    return "`".join(
        part if number % 2 else re.sub(r"([\\*_<>\[\]])", r"\\\1", part) for number, part in enumerate(parts)
    )


def main() -> None:
    example = resources.files("bot.config").joinpath("example.toml").read_text("utf-8")
    print("\n\n".join(page(example)))


if __name__ == "__main__":
    main()
