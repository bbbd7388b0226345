"""Several requests at once, such as alternatives and repeats: asked about first, then drawn in one message.

What is asked about is kept as a plan, with all that was drawn by lot, so that what was shown is what is drawn, after a
restart too. With a yes it becomes jobs: all of them, or none where one is refused.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from io import BytesIO

import discord
import structlog

from bot.chat import order, where
from bot.chat.client import Interaction
from bot.chat.errors import LOST, UserError, language_of, say_done, sentence_for
from bot.chat.ids import Verb
from bot.chat.look import gathered, picture_info, plan_view
from bot.chat.look.safe import code, fitting
from bot.chat.order import Order
from bot.chat.outages import told
from bot.chat.pressed import actor_of, may_moderate, removed
from bot.chat.router import Feature
from bot.chat.sources import Attached
from bot.core.asking.admission import Quote
from bot.core.asking.refused import PlanGone, Refused, Repeated, TooManyTogether, Unmet
from bot.core.asking.wish import Wish
from bot.job import Asker, Job, Plan, Planned
from bot.texts import problems, together
from bot.texts.language import Language
from bot.texts.refusals import of_one
from engine.contract import InvalidRequest

log = structlog.get_logger(__name__)

IMAGES_MAX = 10
"""That one message shows."""
PROMPT_SHOWN = 60
LIVES_S = 3600.0
"""So long may be thought about it."""


# ------------------------------------------------------------------ before anything is drawn


async def ask(
    interaction: Interaction,
    asker: Asker,
    wishes: Sequence[Wish],
    resolved: Callable[[Wish], Awaitable[Order]],
    files: Attached | None,
) -> None:
    """Shows what these would be and cost, with a yes and a no; raises UserError where they can't all be drawn."""
    services = interaction.client.services
    orders = [await _resolved(wish, resolved) for wish in wishes]
    images = sum(each.request.images for each in orders)
    if images > IMAGES_MAX:
        raise Unmet(TooManyTogether(images=images, most=IMAGES_MAX))
    quote = await services.admission.quote(
        [each.request for each in orders], asker=asker, models=[each.model for each in orders]
    )
    if not isinstance(quote, Quote):
        raise UserError.of(quote)
    if files is not None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        requests = await services.intake.complete_all([each.request for each in orders], files)
        orders = [replace(each, request=request) for each, request in zip(orders, requests, strict=True)]
    plan_id = await _keep(interaction, asker, orders)
    view = plan_view.view(
        [each.request for each in orders],
        plan_id,
        cost=quote.cost,
        left=quote.allowance.left,
        most=quote.allowance.credits,
        to=language_of(interaction),
    )
    if files is None:
        await interaction.response.send_message(view=view, ephemeral=True)
    else:
        await interaction.edit_original_response(view=view)


async def _resolved(wish: Wish, resolved: Callable[[Wish], Awaitable[Order]]) -> Order:
    """A refusal names which of them it is about."""
    try:
        return await resolved(wish)
    except (Unmet, InvalidRequest, UserError) as problem:
        raise UserError(partial(_of_one, wish.prompt, problem)) from problem


def _of_one(prompt: str, problem: Exception, to: Language) -> str:
    return of_one(prompt, sentence_for(problem, to) or "", to)


async def _keep(interaction: Interaction, asker: Asker, orders: Sequence[Order]) -> int:
    services = interaction.client.services
    assert interaction.channel_id is not None
    plan = Plan(
        guild_id=asker.guild_id,
        user_id=asker.user_id,
        channel_id=interaction.channel_id,
        token=interaction.token,
        requests=tuple(
            Planned(wish={} if each.wish is None else each.wish.options(), request=each.request)
            for each in orders
        ),
    )
    return await services.store.plans.put(plan, expires_at=services.clock.now() + LIVES_S)


async def _plan(interaction: Interaction, number: int) -> Plan:
    """Of who presses; raises UserError."""
    services = interaction.client.services
    plan = await services.store.plans.get(number, now=services.clock.now())
    if plan is None or plan.guild_id != where.server_of(interaction):
        raise UserError.of(PlanGone())
    if plan.user_id != interaction.user.id:
        raise UserError(together.not_yours)
    return plan


async def draw(interaction: Interaction, number: int) -> None:
    """The answer is the message that gathers them; the question goes."""
    services = interaction.client.services
    plan = await _plan(interaction, number)
    asker = await order.check(interaction)
    models = [services.catalogue.model(each.request.model) for each in plan.requests]
    for each, model in zip(plan.requests, models, strict=True):
        model.check(each.request)
    private = await order.is_private(interaction)
    if private and not await order.defer(interaction, private=True):
        return
    origin = await order.origin_of(interaction, private=private)
    jobs = await services.admission.admit_all(
        plan.requests, plan_id=number, asker=asker, origin=origin, models=models
    )
    if isinstance(jobs, Refused):
        if isinstance(jobs, Repeated):  # the first one answers, and only one answer is possible
            log.info("interaction_repeated", interaction=interaction.id)
            return
        raise UserError.of(jobs)
    progress = {jobs[0].id: services.dispatcher.progress_of(jobs[0])}  # the others come behind it
    await order.hand_over(interaction, jobs, gathered.view(jobs, {}, progress), is_deferred=private)
    await _take_away(interaction, plan)


async def _take_away(interaction: Interaction, plan: Plan) -> None:
    """The question, as long as it can be: later, its buttons say that it is over."""
    assert interaction.message is not None  # a button's
    webhook = discord.Webhook.partial(interaction.application_id, plan.token, client=interaction.client)
    try:
        await webhook.delete_message(interaction.message.id)
    except LOST as error:
        log.info("question_not_removed", interaction=interaction.id, error=told(error))


async def drop(interaction: Interaction, number: int) -> None:
    await _plan(interaction, number)
    if not await interaction.client.services.store.plans.drop(number):
        raise UserError.of(PlanGone())
    await interaction.response.edit_message(view=plan_view.dropped(language_of(interaction)))


# ------------------------------------------------------------------ all that one message gathers


async def cancel_all(interaction: Interaction, job: Job, _image: int | None) -> None:
    if not may_moderate(interaction, job):
        raise UserError(together.may_not_cancel)
    services, by = interaction.client.services, actor_of(interaction)
    parts = await services.store.jobs.gathered(job)
    if not any([await services.dispatcher.cancel(part.id, by=by) for part in parts]):
        raise UserError(together.all_over)
    await say_done(interaction)


async def delete_all(interaction: Interaction, job: Job, _image: int | None) -> None:
    if not may_moderate(interaction, job):
        raise UserError(together.may_not_delete)
    services = interaction.client.services
    parts = await services.store.jobs.gathered(job)
    if not all(part.state.is_final for part in parts):
        raise UserError(together.not_all_finished)
    await removed(services.dispatcher.endings.delete(*parts, by=actor_of(interaction)))
    await say_done(interaction)


async def info_all(interaction: Interaction, job: Job, _image: int | None) -> None:
    """A line for each, and the commands that draw them again, as a file."""
    if job.deleted_at is not None:
        raise UserError(problems.deleted)
    to, parts = language_of(interaction), await interaction.client.services.store.jobs.gathered(job)
    lines = [_info(part, to) for part in parts]
    commands = "\n".join(picture_info.command_for(part.request) for part in parts)
    file = discord.File(BytesIO(commands.encode()), "commands.txt")
    await interaction.response.send_message(fitting(lines, to), file=file, ephemeral=True)


def _info(part: Job, to: Language) -> str:
    seeds = [image.seed for image in part.images] or [part.request.seed]
    told = to.listed(f"`{seed}`" for seed in seeds)
    return together.info(code(part.request.prompt, PROMPT_SHOWN), part.id, told, part.charged, to)


FEATURE = Feature(
    presses={Verb.CANCEL_ALL: cancel_all, Verb.DELETE_ALL: delete_all, Verb.INFO_ALL: info_all},
    numbers={Verb.DRAW_PLAN: draw, Verb.DROP_PLAN: drop},
)
