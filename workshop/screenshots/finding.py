"""Pictures of what people look up, keep and set for themselves, and of an answer in German."""

from __future__ import annotations

from playwright.async_api import Locator

from bot.store.preferences import PRIVATELY
from workshop.screenshots.visit import SLOW, Step, Visit


async def favourite(visit: Visit) -> Locator:
    return await visit.window.press(visit.kept["one"], "Favourite")


async def history(visit: Visit) -> Locator:
    return await visit.window.ask("history")


async def history_words(visit: Visit) -> Locator:
    return await visit.window.ask("history", words="yellow heart", favourites="True")


async def show(visit: Visit) -> Locator:
    return await visit.window.finished(await visit.window.ask("show", number="1"))


async def queue(visit: Visit) -> Locator:
    await visit.window.sit_down("theo-admin")
    first = await visit.window.ask("imagine", prompt="a red house on a white background", seed="21", **SLOW)
    await visit.window.sit_down("mona")
    second = await visit.window.ask("imagine", prompt="a green fish on a blue background", seed="22", **SLOW)
    visit.kept["theo's"], visit.kept["mona's"] = first, second
    return await visit.window.ask("queue")


async def admin_queue_show(visit: Visit) -> Locator:
    await visit.window.sit_down("theo-admin")
    return await visit.window.ask("admin queue show")


async def quota(visit: Visit) -> Locator:
    await visit.window.cancel(visit.kept["theo's"])
    await visit.window.sit_down("mona")
    await visit.window.cancel(visit.kept["mona's"])
    return await visit.window.ask("quota")


async def stats(visit: Visit) -> Locator:
    return await visit.window.ask("stats")


async def help_shown(visit: Visit) -> Locator:
    return await visit.window.ask("help")


async def models(visit: Visit) -> Locator:
    return await visit.window.ask("models")


async def models_one(visit: Visit) -> Locator:
    return await visit.window.ask("models", name="starter")


async def settings(visit: Visit) -> Locator:
    return await visit.window.ask("settings", aspect="3:2", quality="quick")


async def private(visit: Visit) -> Locator:
    await visit.window.ask("settings", reset="True", deliver=PRIVATELY)
    answer = await visit.window.ask("imagine", prompt="a white cloud on a blue background", seed="31")
    await visit.window.ask("settings", reset="True")
    return answer


async def privacy_show(visit: Visit) -> Locator:
    return await visit.window.ask("privacy show")


async def privacy_delete(visit: Visit) -> Locator:
    return await visit.window.ask("privacy delete")


async def german(visit: Visit) -> Locator:
    await visit.window.sit_down("greta")
    return await visit.window.finished(
        await visit.window.ask(
            "imagine", prompt="a yellow star on a blue background", größe="192x128", seed="41"
        )
    )


STEPS: tuple[Step, ...] = (
    *(favourite, history, history_words, show, queue, admin_queue_show, quota, stats, help_shown),
    *(models, models_one, settings, private, privacy_show, privacy_delete, german),
)
