"""Pictures of /imagine, of the buttons under a set and a picture, and of what starts from an image."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw
from playwright.async_api import Locator, expect

from workshop.screenshots.visit import SLOW, Step, Visit
from workshop.screenshots.window import WAIT_MS, button

SIDE = 128


async def imagine_typed(visit: Visit) -> Locator:
    page = visit.window.page
    await page.locator("#channel-composer-input").press_sequentially("/imagine")
    await page.locator(".command-entry").first.wait_for()
    await page.keyboard.press("Enter")
    await page.locator(".command-pill[data-option=prompt] input").fill("a red circle on white")
    await page.locator(".command-ghost").click()
    await page.locator(".command-suggestion").first.wait_for()
    return visit.window.composer


async def imagine_drawing(visit: Visit) -> Locator:
    await visit.window.page.keyboard.press("Escape")
    message = await visit.window.ask(
        "imagine", prompt="a green boat on a light blue background", seed="3", **SLOW
    )
    await message.locator("img[alt^=Unfinished]").first.wait_for(timeout=WAIT_MS)
    visit.kept["drawing"] = message
    return message


async def cancelled(visit: Visit) -> Locator:
    await visit.window.cancel(visit.kept["drawing"])
    await expect(visit.kept["drawing"]).to_contain_text("Cancelled by", timeout=WAIT_MS)
    return visit.kept["drawing"]


async def imagine(visit: Visit) -> Locator:
    prompt = "a small red circle on a blue background"
    message = await visit.window.finished(await visit.window.ask("imagine", prompt=prompt, seed="42"))
    visit.kept["circle"] = message
    return message


async def flags(visit: Visit) -> Locator:
    prompt = "a white moon on a black background --ar 3:2 --seed 7 --no star --steps 30 --cfg 5"
    return await visit.window.finished(await visit.window.ask("imagine", prompt=prompt))


async def together_asked(visit: Visit) -> Locator:
    message = await visit.window.ask(
        "imagine", prompt="a {red, green} {house, tree} on a white background", seed="5"
    )
    visit.kept["plan"] = message
    return message


async def together(visit: Visit) -> Locator:
    message = await visit.window.press(visit.kept["plan"], "Draw them")
    await expect(message.get_by_role("button", name="Info")).to_be_visible(timeout=WAIT_MS)
    return await visit.window.finished(message)


async def refusal(visit: Visit) -> Locator:
    return await visit.window.ask("imagine", prompt="a red boat --size 4096x4096")


async def set_of_four(visit: Visit) -> Locator:
    await visit.window.page.locator(".command-context-close").click()
    prompt = "a yellow heart left of a purple star on a white background"
    message = await visit.window.finished(
        await visit.window.ask("imagine", prompt=prompt, images="4", seed="7")
    )
    visit.kept["set"] = message
    return message


async def set_menu(visit: Visit) -> Locator:
    message = visit.kept["set"]
    await visit.window.unfold(message)
    return message


async def taken_out(visit: Visit) -> Locator:
    message = await visit.window.finished(await visit.window.press(visit.kept["set"], "U2"))
    visit.kept["one"] = message
    return message


async def varied(visit: Visit) -> Locator:
    return await visit.window.finished(await visit.window.press(visit.kept["one"], "Vary (Strong)"))


async def upscaled(visit: Visit) -> Locator:
    return await visit.window.finished(await visit.window.press(visit.kept["one"], "2×"))


async def remix_form(visit: Visit) -> Locator:
    await button(visit.kept["circle"], "Remix").click()
    form = await visit.window.form()
    await form.locator("[name=prompt]").fill("a large orange sun on a blue background")
    return form


async def remixed(visit: Visit) -> Locator:
    return await visit.window.finished(await visit.window.send(await visit.window.form()))


async def edit_form(visit: Visit) -> Locator:
    await button(visit.kept["circle"], "Edit").click()
    form = await visit.window.form()
    await form.locator("[name=words]").fill("a small green star on a blue background")
    return form


async def edited(visit: Visit) -> Locator:
    return await visit.window.finished(await visit.window.send(await visit.window.form()))


async def info(visit: Visit) -> Locator:
    return await visit.window.press(visit.kept["circle"], "Info")


async def from_image(visit: Visit) -> Locator:
    return await visit.window.finished(
        await visit.window.ask(
            "imagine",
            prompt="a large green tree on a white background",
            image=_sketch(visit.folder),
            strength="0.7",
            seed="11",
        )
    )


async def masked(visit: Visit) -> Locator:
    """What is white in the mask is drawn anew: the right half."""
    mask = Image.new("L", (SIDE, SIDE), 0)
    ImageDraw.Draw(mask).rectangle((SIDE // 2, 0, SIDE, SIDE), fill=255)
    mask.save(visit.folder / "mask.png")
    return await visit.window.finished(
        await visit.window.ask(
            "imagine",
            prompt="a red star right of a green tree on a white background",
            image=_sketch(visit.folder),
            mask=visit.folder / "mask.png",
            strength="1",
            seed="12",
        )
    )


async def image_upscaled(visit: Visit) -> Locator:
    prompt, image = "a green tree on a white background", _sketch(visit.folder)
    return await visit.window.finished(
        await visit.window.ask("imagine", prompt=prompt, image=image, upscale="2", seed="13")
    )


async def edit_command(visit: Visit) -> Locator:
    words = "a large red house on a white background"
    return await visit.window.finished(
        await visit.window.ask("edit", image=_sketch(visit.folder), words=words, seed="14")
    )


def _sketch(folder: Path) -> Path:
    """What somebody draws in a minute."""
    image = Image.new("RGB", (SIDE, SIDE), "white")
    pen = ImageDraw.Draw(image)
    pen.rectangle((28, 70, 40, 112), fill="#7a5230")
    pen.ellipse((10, 22, 58, 78), fill="#5fae57")
    image.save(folder / "sketch.png")
    return folder / "sketch.png"


STEPS: tuple[Step, ...] = (
    *(imagine_typed, set_of_four, set_menu, imagine_drawing, cancelled, imagine, flags),
    *(
        together_asked,
        together,
        refusal,
        taken_out,
        varied,
        upscaled,
        remix_form,
        remixed,
        edit_form,
        edited,
        info,
    ),
    *(from_image, masked, image_upscaled, edit_command),
)
