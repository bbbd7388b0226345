"""docs/use tells of every command and button of the chat, and every picture of it is one that the script makes."""

from __future__ import annotations

import re
from pathlib import Path

from discord import app_commands

from bot.chat.client import EaselClient
from bot.chat.ids import Verb, button
from bot.chat.tree import make_tree
from bot.config.settings import DiscordSection
from workshop.screenshots.__main__ import STEPS
from workshop.screenshots.visit import name_of

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {path: path.read_text("utf-8") for path in sorted((DOCS / "use").glob("*.md"))}
TEXT = "\n".join(PAGES.values())
NAMED = re.compile(r"`/([a-z]+(?: [a-z]+)*)[^`]*`((?:,?\s(?:and )?`[a-z]+`)*)")
"""A command in full, and others of its group behind it: `/limits allow`, `disallow`."""
NO_BUTTONS = {
    Verb.TAKE,
    Verb.CHILD,
    Verb.MORE,
    Verb.USE,
    Verb.EDIT_POSTED,
    Verb.CANCEL_ONE,
    Verb.TRAIN_ADD,
    Verb.TRAIN_CAPTIONS,
}
"""U1 and its like, menus, and forms that nothing under a picture opens."""


def _named() -> set[str]:
    found: set[str] = set()
    for first, others in NAMED.findall(TEXT):
        found.add(first)
        found |= {f"{first.rpartition(' ')[0]} {other}" for other in re.findall(r"[a-z]+", others)}
    return found


async def _nothing(*_: object) -> None:
    """Nothing is started here."""


def test_every_command_is_told_of() -> None:
    """Slash commands in full or behind another one of their group, and the entries of a message's menu."""
    client = EaselClient(on_setup=_nothing, on_close=_nothing, on_drain=_nothing)
    tree, named = make_tree(client, DiscordSection()), _named()
    commands = [each for each in tree.walk_commands() if isinstance(each, app_commands.Command)]
    assert len(commands) > 50
    assert [
        each.qualified_name
        for each in commands
        if not any(f"{told} ".startswith(f"{each.qualified_name} ") for told in named)
    ] == []
    entries = [each.name for each in tree._get_all_commands() if isinstance(each, app_commands.ContextMenu)]
    assert len(entries) == 7
    assert [entry for entry in entries if not re.search(rf"^\|.*\b{entry}\b", TEXT, re.MULTILINE)] == []


def test_every_button_is_told_of() -> None:
    """With its emoji and what stands on it."""
    buttons = [button(verb, 1) for verb in Verb if verb not in NO_BUTTONS]
    shown = {_plain(f"{each.emoji} {each.label}") for each in buttons}
    assert len(shown) > 20
    assert [each for each in sorted(shown) if each not in _plain(TEXT)] == []


def _plain(text: str) -> str:
    """Without bold and line ends, and without what makes an emoji of a sign."""
    return " ".join(text.replace("*", "").replace("\N{VARIATION SELECTOR-16}", "").split())


def test_pages_show_what_the_script_makes() -> None:
    """Each step's picture is there and on a page, with words for who can't see it; no file is a leftover."""
    shown = re.findall(r"!\[([^]]*)\]\(\.\./pictures/use/([\w-]+)\.png\)", TEXT)
    made = [name_of(step) for step in STEPS]
    files = [path.stem for path in (DOCS / "pictures" / "use").iterdir()]
    assert len(set(made)) == len(made)
    assert {name for _, name in shown} == set(made) == set(files)
    assert all(len(alt) > 10 for alt, _ in shown)


def test_pages_lead_to_one_another() -> None:
    """Every page is reached from the first one."""
    first = PAGES[DOCS / "use" / "index.md"]
    assert [path.name for path in PAGES if path.name != "index.md" and f"({path.name})" not in first] == []


def test_pictures_stay_small() -> None:
    """All of them together, since each clone carries them."""
    assert sum(path.stat().st_size for path in (DOCS / "pictures" / "use").iterdir()) <= 3 << 20
