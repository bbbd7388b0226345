"""A running demo and a headless browser that looks at it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, async_playwright

from workshop.rehearsal.load.chat_page import chromium


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """An empty page."""
    options = chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(**options)
        try:
            yield await browser.new_page(viewport={"width": 1100, "height": 820})
        finally:
            await browser.close()
