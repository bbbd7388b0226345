"""A whole evening in a real browser: every verb under a picture, one after the other, with the starter model."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from tests.page.test_chat_page import IMAGE_MS, SLOW, pictures
from workshop.rehearsal.load.chat_page import MESSAGES, running_demo, taken, type_command

PROMPT = "a yellow heart left of a purple star on a white background"


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


@pytest.mark.timeout(300)
async def test_a_whole_evening(page: Page, tmp_path: Path) -> None:
    """Four, one of them taken out, varied, enlarged, kept, found again, another one cancelled, remixed in another size, edited."""
    async with running_demo(tmp_path) as demo:
        await page.goto(demo.url)
        await type_command(page, "imagine", prompt=PROMPT, images="4", seed="7")
        await pictures(page, 4)
        await last(page, "U2")
        await pictures(page, 5)
        if folder := os.environ.get("CHAT_PAGE_SHOTS"):
            await page.screenshot(path=f"{folder}/chat-page.png")
        await last(page, "Vary (Strong)")
        await pictures(page, 9)
        await expect(newest(page)).to_contain_text("from an image at 0.75")
        await taken(page, page.get_by_role("button", name="2×").first.click)
        await pictures(page, 10)
        await expect(newest(page)).to_contain_text("upscaled 2×")
        await last(page, "Favourite")
        await type_command(page, "history", words="yellow heart")
        await expect(page.locator("body")).to_contain_text("Your images 1–", timeout=20_000)
        await type_command(page, "imagine", prompt="a red circle", **SLOW)
        await button(page, "Cancel").wait_for(timeout=IMAGE_MS)
        await last(page, "Cancel")
        await expect(newest(page)).to_contain_text("Cancelled by", timeout=20_000)
        await last(page, "Remix")
        await form(page, prompt="a green house on a blue background", size="192x128")
        await expect(newest(page)).to_contain_text("192×128", timeout=IMAGE_MS)
        await last(page, "Edit")
        await form(page, words="a red house on a blue background")
        edited = newest(page).get_by_text("a red house on a blue background").last
        await expect(edited).to_be_visible(timeout=IMAGE_MS)
        await expect(button(page, "Cancel")).to_have_count(0, timeout=IMAGE_MS)
        assert await page.locator(".media-unavailable").count() == 0
