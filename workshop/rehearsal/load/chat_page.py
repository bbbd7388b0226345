"""The chat page of a running `easel demo`, driven in a real browser."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page, Request, expect
from playwright.async_api import TimeoutError as TooLate

from bot.shell.demo import RESTARTED
from bot.shell.scripts import EMPTY

MESSAGES = "#channel-message-list"
FINISHED = """() => [...document.querySelectorAll("#channel-message-list img")]
    .filter(image => image.alt && !/^(Unfinished|Unfertig): /.test(image.alt))
    .filter(image => image.complete && image.naturalWidth >= 64).length"""
"""How many finished images are really drawn on the page, of people who read English or German."""
TYPING_MS = 5_000
AGAIN_S = 3.0
"""Who sees nothing happen for so long acts again: while an earlier action is settled the page drops what is asked of it."""
TYPED_S = 120.0
ACTS = frozenset({"run_command", "click", "select", "modal_submit"})
"""What the bot hears of, unlike suggestions and what the page asks for itself."""
READY = "() => window.simcordPreview?.commandPicker.catalog.state === 'ready'"
VIEWER = "id => window.simcordPreview.viewerId === id && window.simcordPreview.ready"
PICKER = "() => window.simcordPreview.commandPicker.state"
GONE = "() => !document.querySelector('[data-command-mode]')"


async def taken(page: Page, act: Callable[[], Awaitable[None]]) -> None:
    """Acts until the page sends it, and sees that the bot does not refuse it, whatever it edits meanwhile."""
    async with asyncio.timeout(TYPED_S):
        while not await _sends(page, act):
            pass
    await _settled(page)


async def become(page: Page, name: str) -> None:
    """Looks at the channel as somebody else."""
    (viewer,) = await page.locator("#viewer-picker").select_option(label=name)
    await page.wait_for_function(
        VIEWER, arg=viewer
    )  # it starts over for them and drops what is typed meanwhile


async def type_command(page: Page, command: str, **options: str | Path) -> None:
    """As a person does: what stands there still is sent again, what is gone or half written is written again."""
    filled = sent = False
    try:
        async with asyncio.timeout(TYPED_S):
            while not (sent and await page.evaluate(GONE)):
                if not filled or await page.evaluate(GONE):
                    filled = await _fill_in(page, command, options)
                elif await _sends(page, lambda: _press_send(page)):
                    sent = True
                    await _settled(page)
    except TimeoutError as error:
        raise AssertionError(f"/{command} could not be typed: {await page.evaluate(PICKER)}") from error


async def _sends(page: Page, act: Callable[[], Awaitable[None]]) -> bool:
    """Whether the page has sent it soon after the act, which takes its time on a page that is redrawn all the while."""
    sent = asyncio.Event()

    def notice(request: Request) -> None:
        if _is_an_act(request):
            sent.set()

    page.on("request", notice)
    try:
        with contextlib.suppress(TooLate):
            await act()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(sent.wait(), AGAIN_S)
    finally:
        page.remove_listener("request", notice)
    return sent.is_set()


def _is_an_act(request: Request) -> bool:
    if not request.url.endswith("/api/action"):
        return False
    if "multipart" in request.headers.get("content-type", ""):
        return True  # a command or a form with files
    told: Any = request.post_data_json
    return told is not None and told["kind"] in ACTS


async def _settled(page: Page) -> None:
    status = page.locator("#action-status")
    await expect(status).not_to_have_text(re.compile("ompleting"), timeout=60_000)
    assert not re.search("not completed|uncertain", await status.inner_text())


async def _press_send(page: Page) -> None:
    """Unlike the key, it needs no focus, which a page that is redrawn may have lost."""
    await page.locator("#send-message").click(timeout=TYPING_MS)


async def _fill_in(page: Page, command: str, options: dict[str, str | Path]) -> bool:
    """The command's name, Enter, then the options one after the other; whether the page left all of it standing."""
    composer = page.locator("#channel-composer-input")
    with contextlib.suppress(TooLate):
        await page.wait_for_function(READY, timeout=TYPING_MS)
        if not await page.evaluate(GONE):
            await page.locator(".command-context-close").click(timeout=TYPING_MS)
        await composer.fill("", timeout=TYPING_MS)
        await composer.press_sequentially(f"/{command}", timeout=TYPING_MS)
        await page.locator(".command-popup").get_by_text(f"/{command}").first.wait_for(timeout=TYPING_MS)
        await page.keyboard.press("Enter")
        for name, value in options.items():
            field = page.locator(f".command-pill[data-option={name}] input")
            if not await field.count():
                await page.locator(".command-ghost").first.click(timeout=TYPING_MS)
                await (
                    page.locator(".command-popup")
                    .get_by_text(name, exact=True)
                    .first.click(timeout=TYPING_MS)
                )
            await _give(page, field, value)
        return not await page.evaluate(GONE)
    return False


async def _give(page: Page, field: Locator, value: str | Path) -> None:
    """A file is attached; `@name` and `#name` are picked among the people and channels that the page suggests."""
    if isinstance(value, Path):
        await field.set_input_files(value, timeout=TYPING_MS)
        return
    await field.fill(value.lstrip("@#") if value[:1] in ("@", "#") else value, timeout=TYPING_MS)
    if value[:1] in ("@", "#"):
        suggested = page.locator(".command-entity-suggestion").filter(has_text=value[1:])
        await suggested.first.click(timeout=TYPING_MS)


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


START_S = 180.0


@dataclass(slots=True)
class Demo:
    process: asyncio.subprocess.Process
    url: str

    async def restart(self) -> None:
        """Returns once its next bot can draw."""
        self.process.send_signal(signal.SIGUSR1)
        await asyncio.wait_for(_line(self.process, RESTARTED), START_S)


@asynccontextmanager
async def running_demo(
    folder: Path, *arguments: str, script: str = EMPTY, **variables: str
) -> AsyncGenerator[Demo]:
    """`easel demo` on a free port, ended by SIGINT as a person would end it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "demo", "--port", "0", "--script", script, *arguments),
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
    return await _line(process, r"http://127\.0\.0\.1:\d+/\S+")


async def _line(process: asyncio.subprocess.Process, pattern: str) -> str:
    """What it prints, as far as the pattern goes."""
    assert process.stdout is not None
    printed = ""
    while line := (await process.stdout.readline()).decode():
        printed += line
        if found := re.search(pattern, line):
            return found[0]
    raise AssertionError(f"the demo ended and never printed {pattern!r}:\n{printed}")


def chromium() -> dict[str, Any]:
    """How the distribution's own Chromium is launched."""
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium is installed (Debian: apt install chromium)")
    return {"executable_path": path, "args": list(QUIET)}
