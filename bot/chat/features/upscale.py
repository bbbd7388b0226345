"""Upscale: a picture that was made, at two or four times its size: by an upscaler if there is one, else redrawn a little."""

from __future__ import annotations

from bot.chat import order
from bot.chat.client import Interaction
from bot.chat.ids import Verb
from bot.chat.pressed import original, picture_of, redraw
from bot.chat.router import Feature
from bot.core.asking.derived import enlarged
from bot.job import Action, Job


async def twice(interaction: Interaction, job: Job, image: int | None) -> None:
    await _upscale(interaction, job, image, Action.UPSCALE_2, 2)


async def four_times(interaction: Interaction, job: Job, image: int | None) -> None:
    await _upscale(interaction, job, image, Action.UPSCALE_4, 4)


async def _upscale(interaction: Interaction, job: Job, image: int | None, action: Action, times: int) -> None:
    number = picture_of(interaction, job, image)
    asker = await order.check(interaction)
    model = interaction.client.services.catalogue.for_enlarging(job.request.model, times)
    digest = await original(interaction, job.images[number])
    if digest is None:
        await redraw(interaction, asker, job, number)
        return
    wish = enlarged(job, digest=digest, times=times, model=model.id)
    await order.draw(interaction, asker, wish, model, action=action, parent=job, image=number)


FEATURE = Feature(presses={Verb.UPSCALE_2: twice, Verb.UPSCALE_4: four_times})
