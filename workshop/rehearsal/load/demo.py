"""The demo for an hour, with an order every 20 s through a real browser: `python -m workshop.rehearsal.load.demo --minutes 60`.

Prints how many pictures were asked for and seen, the longest time for which the page showed the same while something
was drawn, and what memory the bot's process took at the beginning and at the end. Ends with 1 if anything was lost.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from playwright.async_api import Page, async_playwright

from workshop.rehearsal.load.chat_page import FINISHED, MESSAGES, Demo, chromium, running_demo, type_command


@dataclass(slots=True)
class Seen:
    asked: int = 0
    untyped: int = 0
    standstill_s: float = 0.0
    broken: int = 0
    """Pictures that the page did not show for a second or longer, at most at a time."""


async def order(page: Page, seen: Seen) -> None:
    try:
        await type_command(
            page,
            "imagine",
            prompt="a red circle on a blue background",
            steps="40",
            images="2",
            size="192x192",
        )
        seen.asked += 1
    except AssertionError:
        seen.untyped += 1


async def watch(page: Page, seen: Seen, *, until: float) -> None:
    """Looks all the time whether anything moves while something is drawn."""
    shown, since, whole_at = "", time.monotonic(), time.monotonic()
    while (now := time.monotonic()) < until:
        text = await page.locator(MESSAGES).inner_text()
        if text != shown or "Cancel" not in text:
            shown, since = text, now
        seen.standstill_s = max(seen.standstill_s, now - since)
        if not (broken := await page.locator(".media-unavailable").count()):
            whole_at = now
        if now - whole_at > 1:
            seen.broken = max(seen.broken, broken)
        await asyncio.sleep(0.2)


async def run(demo: Demo, page: Page, *, minutes: float, every_s: float) -> Seen:
    await page.goto(demo.url)
    seen, end, turn = Seen(), time.monotonic() + minutes * 60, 0
    while time.monotonic() < end:
        next_at = time.monotonic() + every_s
        await order(page, seen)
        await watch(page, seen, until=next_at)
        turn += 1
        if turn % 15 == 0:
            print(f"{turn} turns: {seen}", flush=True)
    return seen


async def main(minutes: float, every_s: float) -> int:
    limits = {"EASEL_LIMITS_CREDITS_PER_DAY": "100000", "EASEL_CEILINGS_CREDITS_PER_DAY": "100000"}
    with tempfile.TemporaryDirectory() as folder:
        async with running_demo(Path(folder), **limits) as demo, async_playwright() as playwright:
            browser = await playwright.chromium.launch(**chromium())
            page = await browser.new_page(viewport={"width": 1100, "height": 820})
            process = psutil.Process(demo.process.pid)
            before = process.memory_info().rss
            seen = await run(demo, page, minutes=minutes, every_s=every_s)
            after = process.memory_info().rss
            finished = await page.evaluate(FINISHED)
            await page.screenshot(path="/tmp/demo-hour.png")
            await browser.close()
        code = demo.process.returncode
    print(
        f"{seen.asked} orders in {minutes:g} minutes, {seen.untyped} could not be typed; longest standstill while drawing "
        f"{seen.standstill_s:.1f} s; {finished} pictures on the last page, {seen.broken} broken; "
        f"memory {before >> 20} -> {after >> 20} MiB; the demo ended with {code}"
    )
    return int(bool(seen.untyped or seen.broken or code))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--every-s", type=float, default=20)
    told = parser.parse_args()
    raise SystemExit(asyncio.run(main(told.minutes, told.every_s)))
