"""Vary: new pictures that start from one that was made, which they change a little or a lot."""

from __future__ import annotations

from bot.chat import order
from bot.chat.client import Interaction
from bot.chat.errors import UserError
from bot.chat.ids import Verb
from bot.chat.order import Order
from bot.chat.pressed import original, picture_of, redraw
from bot.chat.router import Feature
from bot.core.asking.derived import STRONG, SUBTLE, varied
from bot.job import Action, Job
from bot.texts import problems


async def subtle(interaction: Interaction, job: Job, image: int | None) -> None:
    await _vary(interaction, job, image, Action.VARY_SUBTLE, SUBTLE)


async def strong(interaction: Interaction, job: Job, image: int | None) -> None:
    await _vary(interaction, job, image, Action.VARY_STRONG, STRONG)


async def _vary(
    interaction: Interaction, job: Job, image: int | None, action: Action, strength: float
) -> None:
    number = picture_of(interaction, job, image)
    if job.request.upscale > 1:
        raise UserError(problems.nothing_to_vary)
    asker = await order.check(interaction)
    model = interaction.client.services.catalogue.model(job.request.model)
    if not model.takes_images:
        raise UserError(problems.varies_nothing(model.title))
    digest = await original(interaction, job.images[number])
    if digest is None:
        await redraw(interaction, asker, job, number)
        return
    request, wish = varied(job, digest=digest, strength=strength, seed=order.new_seed())
    model.check(request)
    await order.place(
        interaction,
        asker,
        Order(request=request, model=model, wish=wish, action=action, parent_id=job.id, parent_image=number),
    )


FEATURE = Feature(presses={Verb.VARY_SUBTLE: subtle, Verb.VARY_STRONG: strong})
