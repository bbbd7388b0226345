"""One person's window on the demo's chat page: asks, presses, fills in, and crops what came of it."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops, ImageStat
from playwright.async_api import Error, Locator, Page, expect

from workshop.rehearsal.load.chat_page import become, taken, type_command

WIDTH, HEIGHT = 1000, 1600
SCALE = 1.5
"""Pixels of a picture to one of the page."""
WAIT_MS = 120_000
MARGIN = 8
COLOURS = 256
SEEN_DIFFERENCE = 1.0
"""Of 255, on average: nobody sees that a picture has a palette."""
STYLE = """
.message-context-actions, .timeline-day-divider { display: none !important; }
button.component-button[aria-disabled=true]:not(:disabled) { opacity: 1; }
.modal-dialog { max-height: none; }
.modal-body { overflow: visible; }
.select-list { max-height: none !important; }
article:has(.select-list:popover-open) ~ article { visibility: hidden; }
.code-block { white-space: pre-wrap; overflow-wrap: anywhere; }
.code-block code { min-width: 0; }
"""
"""Forms and menus in full and nothing behind them, long lines of code broken as Discord breaks them, and no button gray because the page is busy."""
NEW = """known => [...document.querySelectorAll("article.channel-message")]
    .map(message => message.dataset.messageId).filter(id => !known.includes(id))[0]"""
IDS = """() => [...document.querySelectorAll("article.channel-message")].map(message => message.dataset.messageId)"""
READY = """element => [...element.querySelectorAll("img")].every(image => image.complete && image.naturalWidth > 0)
    && [...element.querySelectorAll("time[data-style=R]")].every(
        time => Date.parse(time.dateTime) > Date.now() || !time.textContent.startsWith("in "))"""
"""Its pictures are loaded, and the page has set relative times right, which it does once a second."""
SHOWN = """element => {
    const lists = ".command-popup, .select-list", seen = each => each.checkVisibility({ visibilityProperty: true });
    const inside = [...element.querySelectorAll("*")].filter(seen);
    const texts = each => [...each.childNodes].filter(node => node.nodeType === 3 && node.textContent.trim()).map(node => {
        const range = document.createRange();
        range.selectNodeContents(node);
        return range;
    });
    const written = inside.filter(each => !each.closest(lists)).flatMap(each => [...texts(each),
        ...(each.matches("img, button, svg, .message-avatar, .component-container, .code-block") ? [each] : [])]);
    const whole = [...(element.matches("article") ? written : [element]), ...inside.filter(each => each.matches(lists))];
    const boxes = whole.map(each => each.getBoundingClientRect()).filter(box => box.width && box.height);
    const left = Math.min(...boxes.map(box => box.left)), top = Math.min(...boxes.map(box => box.top));
    const right = Math.max(...boxes.map(box => box.right)), bottom = Math.max(...boxes.map(box => box.bottom));
    return { x: left, y: top, width: right - left, height: bottom - top };
}"""
"""The box of what an element really shows: a message is as wide as the page, whatever is written in it."""


class Window:
    """A page that shows the channel to one person at a time."""

    def __init__(self, page: Page) -> None:
        self.page = page

    @property
    def composer(self) -> Locator:
        """Where commands are typed, and what is suggested meanwhile."""
        return self.page.locator("#channel-composer")

    async def look_at(self, url: str) -> None:
        await self.page.goto(url)
        await self.page.add_style_tag(content=STYLE)
        await self.page.locator("article.channel-message").first.wait_for()

    async def sit_down(self, name: str) -> None:
        await become(self.page, name)

    async def ask(self, command: str, **options: str | Path) -> Locator:
        """The message that answers it, as soon as there is one."""
        known = await self._known()
        await type_command(self.page, command, **options)
        return await self._answer(known)

    async def press(self, message: Locator, label: str) -> Locator:
        """The new message that comes of a button."""
        known = await self._known()
        await taken(self.page, button(message, label).click)
        return await self._answer(known)

    async def cancel(self, message: Locator) -> None:
        """If it is not over by then, or in the very moment."""
        if await button(message, "Cancel").count():
            with contextlib.suppress(AssertionError, TimeoutError, Error):
                await taken(self.page, button(message, "Cancel").click)
        await expect(button(message, "Cancel")).to_have_count(0, timeout=WAIT_MS)

    async def unfold(self, message: Locator) -> None:
        """The menu of a message. While much stands above it, the page folds it up again at once."""
        await message.locator(".select-trigger").click()
        await message.locator(".select-list").wait_for()
        await self.page.wait_for_function(READY, arg=await message.element_handle(), timeout=WAIT_MS)
        await self.page.evaluate("dispatchEvent(new Event('resize'))")  # it lies where its menu was before

    async def form(self) -> Locator:
        """The form that a button or a menu has opened."""
        dialog = self.page.get_by_role("dialog")
        await dialog.wait_for(timeout=WAIT_MS)
        return dialog

    async def send(self, form: Locator, **fields: str) -> Locator:
        """The message that comes of a form."""
        known = await self._known()
        for name, text in fields.items():
            await form.locator(f"[name={name}]").fill(text)
        await taken(self.page, form.get_by_role("button", name="Submit").click)
        return await self._answer(known)

    async def finished(self, message: Locator) -> Locator:
        """The same message, once its pictures are there."""
        await expect(message.get_by_role("button", name=re.compile("Cancel|Abbrechen"))).to_have_count(
            0, timeout=WAIT_MS
        )
        await message.locator("img:not(.message-avatar-image)").first.wait_for(timeout=WAIT_MS)
        return message

    async def _known(self) -> list[str]:
        return await self.page.evaluate(IDS)

    async def _answer(self, known: list[str]) -> Locator:
        found = await self.page.wait_for_function(NEW, arg=known, timeout=WAIT_MS)
        message = self.page.locator(f'article[data-message-id="{await found.json_value()}"]')
        await expect(message.locator(".message-loading")).to_have_count(0, timeout=WAIT_MS)
        return message

    # -------------------------------------------------------------- the picture

    async def picture(self, element: Locator) -> bytes:
        """A PNG of what the element shows, and a margin."""
        await self.page.mouse.move(1, 1)
        await element.scroll_into_view_if_needed()
        handle = await element.element_handle()
        assert handle is not None
        await self.page.wait_for_function(READY, arg=handle, timeout=WAIT_MS)
        box: dict[str, Any] = await handle.evaluate(SHOWN)
        left, top = max(0, box["x"] - MARGIN), max(0, box["y"] - MARGIN)
        clip: Any = {
            "x": left,
            "y": top,
            "width": min(WIDTH, box["x"] + box["width"] + MARGIN) - left,
            "height": min(HEIGHT, box["y"] + box["height"] + MARGIN) - top,
        }
        return _small(await self.page.screenshot(clip=clip, animations="disabled", caret="hide"))


def button(message: Locator, label: str) -> Locator:
    """The one with this label, before which an emoji may stand."""
    return message.get_by_role("button", name=re.compile(rf"(^|\s){re.escape(label)}$")).last


def _small(png: bytes) -> bytes:
    """With a palette, where nobody sees that."""
    whole = Image.open(io.BytesIO(png)).convert("RGB")
    few = whole.quantize(COLOURS, dither=Image.Dither.NONE)
    difference = ImageStat.Stat(ImageChops.difference(whole, few.convert("RGB")))
    written = io.BytesIO()
    kept = few if max(difference.mean) <= SEEN_DIFFERENCE else whole
    kept.save(written, "PNG", optimize=True)
    return written.getvalue()
