"""The chat page in a real browser: the demo's bot with a real engine and a real (tiny, random) diffusers model."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import sys
from pathlib import Path

import pytest
from playwright.async_api import Page, expect
from playwright.async_api import TimeoutError as TooLate

from tests.page.conftest import running_demo

IMAGE_MS = 60_000
MESSAGES = "#channel-message-list"


async def type_command(page: Page, command: str, **options: str) -> None:
    """As a person does: the command's name, Enter, then the options one after the other."""
    offered = page.locator(".command-popup").get_by_text(f"/{command}").first
    for _ in range(5):  # the page may redraw itself under the first letters, after a change of viewer
        await page.locator("#channel-composer-input").fill("")
        await page.locator("#channel-composer-input").press_sequentially(f"/{command}")
        with contextlib.suppress(TooLate):
            await offered.wait_for(timeout=4000)
            break
    await page.keyboard.press("Enter")
    for name, value in options.items():
        field = page.locator(f"input.command-option-input[data-option={name}]")
        if not await field.count():
            await page.locator(".command-ghost").first.click()
            await page.locator(".command-popup").get_by_text(name, exact=True).first.click()
        await field.fill(value)
    await page.keyboard.press("Enter")


async def press(page: Page, button: str) -> None:
    """Presses a button until it counts: the page refuses a click on what changed in that moment, and says so."""
    for _ in range(5):
        await page.get_by_role("button", name=button).first.click()
        status = page.locator("#action-status")
        await expect(status).not_to_have_text(re.compile("ompleting"), timeout=30_000)
        if "not completed" not in await status.inner_text():
            return
    raise AssertionError(f"{button} was refused five times")


async def pictures(page: Page, count: int) -> None:
    """Waits until that many finished images are really drawn on the page."""
    await page.wait_for_function(
        """count => [...document.querySelectorAll("#channel-message-list img")]
           .filter(image => image.alt && image.complete && image.naturalWidth >= 64).length >= count""",
        arg=count,
        timeout=IMAGE_MS,
    )


@pytest.mark.timeout(240)
async def test_from_typing_to_the_image_and_another(page: Page, tmp_path: Path) -> None:
    """Typing /imagine shows progress, then an image with its seed; 🔄 makes another; an admin's limit then holds."""
    async with running_demo(tmp_path) as demo:
        await page.goto(demo.url)
        await type_command(page, "imagine", prompt="a red circle", steps="40")
        await page.get_by_text("step", exact=False).first.wait_for(timeout=IMAGE_MS)
        await pictures(page, 1)
        await expect(page.locator(MESSAGES)).to_contain_text("seed")
        await press(page, "Reroll")
        await pictures(page, 2)

        await page.locator("#viewer-picker").select_option(label="theo-admin")
        await type_command(page, "limits set", credits="1")
        await expect(page.locator(MESSAGES)).to_contain_text("credits per day of Everyone", timeout=20_000)
        await page.locator("#viewer-picker").select_option(label="mona")
        await type_command(page, "imagine", prompt="one too many")
        await expect(page.locator("body")).to_contain_text("left today", timeout=20_000)
        if folder := os.environ.get("CHAT_PAGE_SHOTS"):
            await page.screenshot(path=f"{folder}/chat-page.png")


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
