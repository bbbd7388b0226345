"""The chat page of a running `easel demo`, driven in a real browser."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect
from playwright.async_api import TimeoutError as TooLate

MESSAGES = "#channel-message-list"
TYPING_MS = 5_000
SENT_MS = 20_000
SENT = """() => !document.querySelector("input.command-option-input")
  && !(document.querySelector("#channel-composer-input").value ?? "").trim()"""


async def taken(page: Page, act: Awaitable[None]) -> None:
    """Acts, and sees that the page neither refuses it nor loses sight of it, whatever the bot edits meanwhile."""
    await act
    status = page.locator("#action-status")
    await expect(status).not_to_have_text(re.compile("ompleting"), timeout=60_000)
    assert not re.search("not completed|uncertain", await status.inner_text())


async def type_command(page: Page, command: str, **options: str) -> None:
    """As a person does, who starts again when the page redraws itself under their fingers."""
    for _ in range(4):
        with contextlib.suppress(TooLate):
            await _fill_in(page, command, options)
            await taken(page, page.keyboard.press("Enter"))
            # it stands there still where the page was busy
            await page.wait_for_function(SENT, timeout=SENT_MS)
            return
        await page.keyboard.press("Escape")
    raise AssertionError(f"/{command} could not be typed")


async def _fill_in(page: Page, command: str, options: dict[str, str]) -> None:
    """The command's name, Enter, then the options one after the other."""
    composer = page.locator("#channel-composer-input")
    await composer.fill("", timeout=TYPING_MS)
    await composer.press_sequentially(f"/{command}")
    await page.locator(".command-popup").get_by_text(f"/{command}").first.wait_for(timeout=TYPING_MS)
    await page.keyboard.press("Enter")
    for name, value in options.items():
        field = page.locator(f"input.command-option-input[data-option={name}]")
        if not await field.count():
            await page.locator(".command-ghost").first.click(timeout=TYPING_MS)
            await page.locator(".command-popup").get_by_text(name, exact=True).first.click(timeout=TYPING_MS)
        await field.fill(value, timeout=TYPING_MS)


BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


START_S = 90.0


@dataclass(slots=True)
class Demo:
    process: asyncio.subprocess.Process
    url: str


@asynccontextmanager
async def running_demo(folder: Path, *arguments: str, **variables: str) -> AsyncGenerator[Demo]:
    """`easel demo` on a free port, ended by SIGINT as a person would end it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "demo", "--port", "0", *arguments),
        env={**os.environ, "EASEL_DATA_DIR": str(folder), **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Demo(process=process, url=await asyncio.wait_for(_address(process), START_S))
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        printed, _ = await asyncio.wait_for(process.communicate(), 30)
        print(printed.decode())  # pytest shows it beside a failure


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    printed = ""
    while line := (await process.stdout.readline()).decode():
        printed += line
        if found := re.search(r"http://127\.0\.0\.1:\d+/\S+", line):
            return found[0]
    raise AssertionError(f"the demo ended without an address:\n{printed}")


def chromium() -> dict[str, Any]:
    """How the distribution's own Chromium is launched."""
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium is installed (Debian: apt install chromium)")
    return {"executable_path": path, "args": list(QUIET)}
