"""All pictures of docs/use, made anew: `python -m workshop.screenshots docs/pictures/use`.

Starts `easel demo` with the starter model and Chromium (Debian: apt install chromium fonts-noto-color-emoji). Ends with 1 at
the first step that fails, which is named; `--only NAME …` keeps the pictures of those steps alone, though all are done.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Container
from pathlib import Path

from playwright.async_api import Error, async_playwright

from workshop.rehearsal.load.chat_page import chromium, running_demo
from workshop.screenshots import admins, drawing, finding, teaching
from workshop.screenshots.visit import Step, Visit, name_of
from workshop.screenshots.window import HEIGHT, SCALE, WIDTH, Window

STEPS: tuple[Step, ...] = (*drawing.STEPS, *finding.STEPS, *teaching.STEPS, *admins.STEPS)

OFFERED = {"EASEL_TRAINING_ENABLED": "true", "EASEL_LIMITS_TRAININGS": "1"}


async def make(folder: Path, only: Container[str]) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as passing:
        async with running_demo(Path(passing), **OFFERED) as demo, async_playwright() as playwright:
            browser = await playwright.chromium.launch(**chromium())
            page = await browser.new_page(
                viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=SCALE, bypass_csp=True
            )
            visit = Visit(window=Window(page), folder=Path(passing))
            await visit.window.look_at(demo.url)
            for step in STEPS:
                name, began = name_of(step), time.monotonic()
                try:
                    picture = await visit.window.picture(await step(visit))
                except (Error, AssertionError, TimeoutError) as error:
                    whole = Path(tempfile.mkdtemp()) / f"{name}.png"
                    await page.screenshot(path=whole)
                    print(f"{name}: {error}\nThe whole window: {whole}", file=sys.stderr)
                    return 1
                if not only or name in only:
                    (folder / f"{name}.png").write_bytes(picture)
                print(f"{name}: {len(picture) / 1024:.0f} KB, {time.monotonic() - began:.1f} s", flush=True)
            await browser.close()
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", default=(), metavar="NAME")
    told = parser.parse_args()
    raise SystemExit(asyncio.run(make(told.folder, told.only)))
