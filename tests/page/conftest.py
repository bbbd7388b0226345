"""A running demo and a headless browser that looks at it."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, async_playwright

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
async def running_demo(folder: Path, *arguments: str, **variables: str) -> AsyncIterator[Demo]:
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
