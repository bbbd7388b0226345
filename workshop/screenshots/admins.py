"""Pictures of what a server's admins and moderators do."""

from __future__ import annotations

from playwright.async_api import Locator

from bot.job import Flagged
from workshop.screenshots.visit import Step, Visit
from workshop.screenshots.window import button


async def limits_set(visit: Visit) -> Locator:
    await visit.window.sit_down("theo-admin")
    return await visit.window.ask("limits set", credits="40", pending="2", slowmode="10")


async def limits_show(visit: Visit) -> Locator:
    return await visit.window.ask("limits show")


async def limits_member(visit: Visit) -> Locator:
    return await visit.window.ask("limits show", member="@mona")


async def channel(visit: Visit) -> Locator:
    return await visit.window.ask("channel", aspect="3:2", spoiler="True")


async def gallery_set(visit: Visit) -> Locator:
    await visit.window.ask("channel", reset="True")
    return await visit.window.ask("gallery set", channel="#imagine")


async def mod_channel(visit: Visit) -> Locator:
    return await visit.window.ask("mod channel", channel="#imagine")


async def mod_words_add(visit: Visit) -> Locator:
    return await visit.window.ask("mod words add", words="spider*, naked child")


async def mod_pictures(visit: Visit) -> Locator:
    return await visit.window.ask("mod pictures", action=Flagged.HOLD)


async def style_add(visit: Visit) -> Locator:
    return await visit.window.ask("style add", name="night", prompt="{prompt} on a black background")


async def style_list(visit: Visit) -> Locator:
    return await visit.window.ask("style list")


async def style_preview(visit: Visit) -> Locator:
    return await visit.window.ask("style preview", name="night", prompt="a red house")


async def forbidden_words(visit: Visit) -> Locator:
    await visit.window.ask("limits set", slowmode="0")
    await visit.window.sit_down("mona")
    return await visit.window.ask("imagine", prompt="a $p1der on a white background")


async def report_form(visit: Visit) -> Locator:
    prompt = "a red heart on a white background"
    picture = await visit.window.finished(await visit.window.ask("imagine", prompt=prompt, seed="51"))
    await visit.window.sit_down("theo-admin")
    await button(await visit.window.press(picture, "Info"), "Report").click()
    form = await visit.window.form()
    await form.locator("[name=reason]").fill("This is not what the channel is for")
    return form


async def report(visit: Visit) -> Locator:
    await visit.window.send(await visit.window.form())
    desk = visit.window.page.locator("article.channel-message").filter(has_text="Let it stay").last
    await desk.wait_for()
    return desk


async def mod_block(visit: Visit) -> Locator:
    return await visit.window.ask("mod block", member="@greta", duration="86400", reason="floods the channel")


async def mod_blocked(visit: Visit) -> Locator:
    return await visit.window.ask("mod blocked")


async def admin_pause(visit: Visit) -> Locator:
    return await visit.window.ask("admin pause", reason="the card gets a new fan, back at eight")


async def paused(visit: Visit) -> Locator:
    await visit.window.sit_down("mona")
    return await visit.window.ask("imagine", prompt="a blue boat on a white background")


async def admin_announce(visit: Visit) -> Locator:
    await visit.window.sit_down("theo-admin")
    await visit.window.ask("admin resume")
    return await visit.window.ask("admin announce", text="The new card is in: pictures take half the time.")


async def admin_log(visit: Visit) -> Locator:
    return await visit.window.ask("admin log")


STEPS: tuple[Step, ...] = (
    *(limits_set, limits_show, limits_member, channel, gallery_set, mod_channel, mod_words_add, mod_pictures),
    *(
        style_add,
        style_list,
        style_preview,
        forbidden_words,
        report_form,
        report,
        mod_block,
        mod_blocked,
    ),
    *(admin_pause, paused, admin_announce, admin_log),
)
