"""A whole evening in a real browser: every verb under a picture, one after the other, with the starter model.

The acts are those that `easel demo --script evening` plays by itself.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Mapping
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from bot.shell.scripts import EVENING, MONA, SCRIPTS, FillsIn, Presses, Restarts, Says, Types
from tests.page.test_chat_page import IMAGE_MS, pictures
from workshop.rehearsal.load.chat_page import FINISHED, MESSAGES, become, running_demo, taken, type_command

ALSO_READ = {
    "help": (
        "zeichnet einfache Dinge in klaren Farben",
        re.compile(r"erneuert sich in \d+ (Sekunde|Minute|Stunde)"),
    ),
    "Remix": ("192×128 · 20 Schritte",),
}
"""With the starter model, in a browser."""


def button(page: Page, label: str) -> Locator:
    """The newest one with this label, before which an emoji may stand."""
    return newest(page).get_by_role("button", name=re.compile(rf"(^|\s){re.escape(label)}$")).last


async def last(page: Page, label: str) -> None:
    await button(page, label).wait_for(timeout=IMAGE_MS)
    await taken(page, button(page, label).click)


async def form(page: Page, fields: Mapping[str, str]) -> None:
    """Fills the open form in and sends it."""
    dialog = page.get_by_role("dialog")
    await dialog.wait_for(timeout=IMAGE_MS)
    for name, text in fields.items():
        await dialog.locator(f"[name={name}]").fill(text)
    await taken(page, dialog.get_by_role("button", name="Submit").click)


def newest(page: Page) -> Locator:
    return page.locator(MESSAGES)


async def more(page: Page, count: int, act: Awaitable[None]) -> None:
    """Acts, and waits for that many further images."""
    before = await page.evaluate(FINISHED)
    await act
    await pictures(page, before + count)


async def perform(page: Page, act: Types | Presses) -> None:
    """As a person does it: types, presses, fills the form in that opens."""
    if isinstance(act, Types):
        await type_command(page, act.command, **{name: str(value) for name, value in act.options.items()})
        return
    await last(page, act.label)
    if isinstance(act, FillsIn):
        if act.label == "Remix":
            await expect(page.get_by_role("dialog")).to_contain_text(
                "Was nicht ins Bild soll", timeout=IMAGE_MS
            )
        await form(page, act.fields)


async def shot(page: Page, name: str) -> None:
    """For README and docs, where CHAT_PAGE_SHOTS says into which folder."""
    if folder := os.environ.get("CHAT_PAGE_SHOTS"):
        await page.screenshot(path=f"{folder}/{name}.png")


@pytest.mark.timeout(900)
async def test_a_whole_evening(page: Page, tmp_path: Path) -> None:
    """Four, one of them taken out, varied, enlarged, kept, found again; the bot is restarted, and rerolls what it drew
    before. Then somebody whose Discord is German: one cancelled, another remixed in another size and edited.

    Options are named, messages, buttons and forms written, and times told in their language."""
    async with running_demo(tmp_path) as demo:
        await page.goto(demo.url)
        viewer = MONA
        for act in SCRIPTS[EVENING].acts:
            assert not isinstance(act, Says)
            if isinstance(act, Restarts):
                await demo.restart()
                continue
            if act.who != viewer:
                viewer = act.who
                await become(page, viewer)
            await more(page, act.pictures, perform(page, act))
            await expect(newest(page)).to_contain_text(act.tells, timeout=20_000)
            asked = act.command if isinstance(act, Types) else act.label
            for words in ALSO_READ.get(asked, ()):
                await expect(newest(page)).to_contain_text(words)
            if asked == "U2":
                await shot(page, "chat-page")
        edited = newest(page).get_by_text("a red house on a blue background").last
        await expect(edited).to_be_visible()
        await shot(page, "chat-page-german")
        assert await page.locator(".media-unavailable").count() == 0
