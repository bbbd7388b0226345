"""Pictures of /train: a set of pictures, its captions, what it costs, and a model that learns."""

from __future__ import annotations

import re

from playwright.async_api import Locator, expect

from workshop.rehearsal.load.chat_page import type_command
from workshop.screenshots.visit import Step, Visit
from workshop.screenshots.window import WAIT_MS, button
from workshop.teaching import snail

_CAPTIONS = "1: a brown snail on a cyan background\n2: a blue snail on a red background"


async def train_captions(visit: Visit) -> Locator:
    await visit.window.sit_down("mona")
    await visit.window.ask("train new", name="snail", trigger="snail toy", steps="100")
    snail.learn_to_see()
    drawn = visit.folder / "snails"
    snail.write(drawn)
    options = dict(zip(("image", "image2", "image3", "image4"), sorted(drawn.glob("*.png")), strict=False))
    await visit.window.ask("train add", name="snail", **options)
    await type_command(visit.window.page, "train captions", name="snail")
    form = await visit.window.form()
    await form.locator("[name=captions]").fill(_CAPTIONS)
    return form


async def train_pictures(visit: Visit) -> Locator:
    await visit.window.send(await visit.window.form())
    return await visit.window.ask("train pictures", name="snail")


async def train_start(visit: Visit) -> Locator:
    question = await visit.window.ask("train start", name="snail")
    visit.kept["question"] = question
    return question


async def train_running(visit: Visit) -> Locator:
    status = await visit.window.press(visit.kept["question"], "Start training")
    visit.kept["training"] = status
    await expect(status).to_contain_text(re.compile(r"step [2-9]\d of"), timeout=WAIT_MS)
    return status


async def train_done(visit: Visit) -> Locator:
    status = visit.kept["training"]
    await expect(button(status, "Cancel")).to_have_count(0, timeout=2 * WAIT_MS)
    return status


STEPS: tuple[Step, ...] = (train_captions, train_pictures, train_start, train_running, train_done)
