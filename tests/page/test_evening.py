"""A whole evening in a real browser: every verb under a picture, one after the other, with the starter model."""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from tests.page.test_chat_page import IMAGE_MS, pictures
from workshop.rehearsal.load.chat_page import FINISHED, MESSAGES, become, running_demo, taken, type_command

PROMPT = "a yellow heart left of a purple star on a white background"
LANGSAM = {"bilder": "4", "schritte": "60", "größe": "256x256", "sampler": "Heun"}
"""Takes long enough to be cancelled."""


def button(page: Page, label: str) -> Locator:
    """The newest one with this label, before which an emoji may stand."""
    return newest(page).get_by_role("button", name=re.compile(rf"(^|\s){re.escape(label)}$")).last


async def last(page: Page, label: str) -> None:
    await taken(page, button(page, label).click)


async def form(page: Page, **fields: str) -> None:
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


async def shot(page: Page, name: str) -> None:
    """For README and docs, where CHAT_PAGE_SHOTS says into which folder."""
    if folder := os.environ.get("CHAT_PAGE_SHOTS"):
        await page.screenshot(path=f"{folder}/{name}.png")


@pytest.mark.timeout(480)
async def test_a_whole_evening(page: Page, tmp_path: Path) -> None:
    """Four, one of them taken out, varied, enlarged, kept, found again; the bot is restarted, and rerolls what it drew
    before. Then somebody whose Discord is German: one cancelled, another remixed in another size and edited."""
    async with running_demo(tmp_path) as demo:
        await page.goto(demo.url)
        await mona_draws(page)
        await demo.restart()
        await more(page, 4, last(page, "Reroll"))
        await become(page, "greta")
        await greta_draws(page)
        assert await page.locator(".media-unavailable").count() == 0


async def mona_draws(page: Page) -> None:
    await more(page, 4, type_command(page, "imagine", prompt=PROMPT, images="4", seed="7"))
    await more(page, 1, last(page, "U2"))
    await shot(page, "chat-page")
    await more(page, 4, last(page, "Vary (Strong)"))
    await expect(newest(page)).to_contain_text("from an image at 0.75")
    await more(page, 1, taken(page, page.get_by_role("button", name="2×").first.click))
    await expect(newest(page)).to_contain_text("upscaled 2×")
    await last(page, "Favourite")
    await type_command(page, "history", words="yellow heart")
    await expect(newest(page)).to_contain_text("Your images 1–", timeout=20_000)


async def greta_draws(page: Page) -> None:
    """Options are named, messages, buttons and forms written, and times told in her language."""
    await type_command(page, "help")
    await expect(newest(page)).to_contain_text("zeichnet einfache Dinge in klaren Farben", timeout=20_000)
    await expect(newest(page)).to_contain_text(re.compile(r"erneuert sich in \d+ (Sekunde|Minute|Stunde)"))
    await type_command(page, "imagine", prompt="a red circle", **LANGSAM)
    await button(page, "Abbrechen").wait_for(timeout=IMAGE_MS)
    await last(page, "Abbrechen")
    await expect(newest(page)).to_contain_text("Abgebrochen von @greta", timeout=20_000)
    await more(page, 1, type_command(page, "imagine", prompt="a yellow star on a blue background"))
    await last(page, "Remix")
    await expect(page.get_by_role("dialog")).to_contain_text("Was nicht ins Bild soll", timeout=IMAGE_MS)
    await more(page, 1, form(page, prompt="a green house on a blue background", size="192x128"))
    await expect(newest(page)).to_contain_text("192×128 · 20 Schritte")
    await last(page, "Bearbeiten")
    await more(page, 1, form(page, words="a red house on a blue background"))
    edited = newest(page).get_by_text("a red house on a blue background").last
    await expect(edited).to_be_visible()
    await expect(newest(page)).to_contain_text("aus einem Bild mit 0.75")
    await shot(page, "chat-page-german")
