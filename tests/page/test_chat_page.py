"""The chat page in a real browser: the demo's bot with a real engine and the starter model."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from bot.config import Settings
from bot.shell import demo
from bot.shell.scripts import HEART_AND_STAR, SCRIPTS, WELCOME, Asks
from workshop.rehearsal.load.chat_page import (
    FINISHED,
    MESSAGES,
    TYPING_MS,
    become,
    running_demo,
    taken,
    type_command,
)

IMAGE_MS = 60_000
SLOW = {"steps": "60", "size": "256x256", "sampler": "Heun", "images": "4"}
"""Takes the starter model long enough to be watched."""
STANDS_S = 3.0
"""Nobody takes a page for dead within this."""
LOOK_S = 0.5


async def press(page: Page, button: str) -> None:
    await taken(page, page.get_by_role("button", name=button).first.click)


async def pictures(page: Page, count: int) -> None:
    """Waits until that many finished images are really drawn on the page."""
    await page.wait_for_function(f"count => ({FINISHED})() >= count", arg=count, timeout=IMAGE_MS)


@pytest.mark.timeout(480)
async def test_a_lived_in_server(page: Page, tmp_path: Path) -> None:
    """Nobody types anything, and there is a conversation with pictures, whose buttons work, and the last message says
    what to type."""
    async with running_demo(tmp_path, script=WELCOME) as demo:
        await page.goto(demo.url)
        await expect(page.locator(MESSAGES)).to_contain_text("Your turn!", timeout=IMAGE_MS)
        await expect(page.locator("#channel-topic")).to_contain_text(HEART_AND_STAR)
        await expect(page.locator(MESSAGES)).to_contain_text("pinned a message")
        drawn = sum(act.pictures for act in SCRIPTS[WELCOME].acts if isinstance(act, Asks))
        await pictures(page, drawn)
        await press(page, "Reroll")
        await pictures(page, drawn + 1)


@pytest.mark.timeout(480)
async def test_from_typing_to_the_image_and_another(page: Page, tmp_path: Path) -> None:
    """The page says what to type; /imagine shows progress, then an image with its seed; 🔄 makes another; a limit holds;
    and what is said to be so many hours away is an hour nearer after an hour, without anything being clicked."""
    async with running_demo(tmp_path) as demo:
        await page.clock.install()
        await page.goto(demo.url)
        await expect(page.locator(MESSAGES)).to_contain_text("/imagine", timeout=TYPING_MS)
        await expect(page.locator(MESSAGES)).to_contain_text("a yellow heart left of a purple star")
        await expect(page).to_have_title("Easel demo")
        await type_command(
            page, "imagine", prompt="a red circle on a blue background", steps="40", size="192x192"
        )
        await page.get_by_text("step", exact=False).first.wait_for(timeout=IMAGE_MS)
        await pictures(page, 1)
        await expect(page.locator(MESSAGES)).to_contain_text("seed")
        await press(page, "Reroll")
        await pictures(page, 2)

        await become(page, "theo-admin")
        await type_command(page, "limits set", credits="1")
        await expect(page.locator(MESSAGES)).to_contain_text(
            "Everyone now has 1 credit a day", timeout=20_000
        )
        await become(page, "mona")
        await type_command(page, "imagine", prompt="one too many")
        await expect(page.locator("body")).to_contain_text("left today", timeout=20_000)
        if folder := os.environ.get("CHAT_PAGE_SHOTS"):
            await page.screenshot(path=f"{folder}/chat-page.png")

        await type_command(page, "quota")
        renews = re.compile(r"renews in (a|an|\d+) (second|minute|hour|day)s?\b")
        await expect(page.locator(MESSAGES)).to_contain_text(renews, timeout=20_000)
        await times_move_on(page)


async def times_move_on(page: Page) -> None:
    told = page.locator("time.discord-timestamp").last
    before = datetime.fromisoformat(await told.get_attribute("datetime") or "")
    now = datetime.fromtimestamp(await page.evaluate("Date.now()") / 1000, UTC)
    await page.clock.set_system_time(before - timedelta(minutes=7))
    await page.clock.run_for(2000)
    await expect(told).to_have_text("in 7 minutes")
    await page.clock.set_system_time(before + timedelta(minutes=7))
    await page.clock.run_for(2000)
    await expect(told).to_have_text("7 minutes ago")
    assert before > now


@contextlib.contextmanager
def busy_cores(count: int) -> Iterator[None]:
    """So many cores have something else to do."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


@pytest.mark.timeout(800)
async def test_nothing_stands_still_while_somebody_draws(page: Page, tmp_path: Path) -> None:
    """On busy cores a finished gallery is whole at once, and for longer than a timer has the bar never stops for 3 s."""
    async with running_demo(tmp_path) as demo:
        began = time.monotonic()
        await page.goto(demo.url)
        with busy_cores(2):  # both of a small machine's
            await type_command(page, "imagine", prompt="a green star on a white background", images="4")
            await expect(page.get_by_role("button", name="Reroll")).to_be_visible(timeout=IMAGE_MS)
            finished = time.monotonic()
            await pictures(page, 4)
            assert time.monotonic() - finished < STANDS_S
            assert await page.locator(".media-unavailable").count() == 0

        with busy_cores(1):  # this takes a minute, in which other tests want the other core
            for _ in range(2):
                await type_command(page, "imagine", prompt="a red circle on a blue background", **SLOW)
            await page.get_by_text("step", exact=False).first.wait_for(timeout=IMAGE_MS)
            await asyncio.sleep(max(0.0, began + 25 - time.monotonic()))
            # who waited for timers of ours stood still for half of every minute: a bit more than that is watched
            assert await longest_standstill_s(page, until=time.monotonic() + 37) < STANDS_S


async def longest_standstill_s(page: Page, *, until: float) -> float:
    """Seconds for which the page showed the same text, at most, while a picture or more are drawn.

    What a look takes beyond LOOK_S does not count: then the browser itself got no processor.
    """
    longest, shown, still, looked = 0.0, "", 0.0, time.monotonic()
    while looked < until:
        if await page.get_by_role("button", name="Cancel").count() == 0:
            await type_command(page, "imagine", prompt="a red circle on a blue background", **SLOW)
            still = 0.0
        text = await page.locator(MESSAGES).inner_text()
        now = time.monotonic()
        still = still + min(now - looked, LOOK_S) if text == shown else 0.0
        longest, shown, looked = max(longest, still), text, now
        await asyncio.sleep(0.1)
    return longest


@pytest.mark.timeout(480)
async def test_who_sends_a_command_sees_it_and_can_cancel_it(page: Page, tmp_path: Path) -> None:
    """Wherever one had scrolled to, the newest message is in view, its Cancel white on red; pressed while the page is
    redrawn all the time, the job ends, its message says by whom, and its preview goes."""
    await page.set_viewport_size({"width": 1100, "height": 480})
    async with running_demo(tmp_path) as demo:
        await page.goto(demo.url)
        await type_command(
            page, "imagine", prompt="a red circle on a blue background", size="256x256", steps="4"
        )
        await pictures(page, 1)
        await page.locator(MESSAGES).hover()
        await page.mouse.wheel(0, -2000)
        await type_command(page, "imagine", prompt="a green star on a white background", **SLOW)
        await expect(page.get_by_role("button", name="Cancel").last).to_be_in_viewport(timeout=10_000)
        await expect(page.locator(".button-style-4 .button-emoji").last).to_have_css(
            "filter", "brightness(0) invert(1)"
        )

        preview = page.locator(f"{MESSAGES} img[alt^=Unfinished]")
        await preview.first.wait_for(timeout=IMAGE_MS)
        await press(page, "Cancel")
        await expect(page.locator(MESSAGES)).to_contain_text("Cancelled by", timeout=20_000)
        await expect(preview).to_have_count(0)


async def test_a_model_that_cant_be_loaded_is_told_as_that(tmp_path: Path) -> None:
    """No page is called ready whose bot can't draw: the demo ends with the reason."""
    (tmp_path / "no model").mkdir()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "demo", "--port", "0", "--model", str(tmp_path / "no model")),
        env={**os.environ, "EASEL_DATA_DIR": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed = (await process.communicate())[0].decode()

    assert process.returncode == 1
    assert "Easel can't draw: " in printed
    assert "ready" not in printed
    assert "Traceback" not in printed


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    """When the port is taken the demo says so, names another one and exits with 1, without a traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", "demo", "--port", str(port)),
            env={**os.environ, "EASEL_DATA_DIR": str(tmp_path)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        printed, _ = await process.communicate()

    assert process.returncode == 1
    assert f"Port {port} is taken" in printed.decode()
    assert f"make demo PORT={port + 1}" in printed.decode()
    assert "Traceback" not in printed.decode()


def test_the_demo_forgets_all_but_the_models(tmp_path: Path) -> None:
    """Its database and pictures lie in a folder that goes with it; models are looked for where the owner has them."""
    owned = Settings.model_validate({"data": {"dir": str(tmp_path / "owned")}})
    shown = demo._settings_for(owned, tmp_path / "passing")
    assert shown.database.parent == tmp_path / "passing"
    assert shown.models_dir == tmp_path / "owned" / "models"
