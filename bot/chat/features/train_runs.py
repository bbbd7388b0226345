"""/train start, cancel, list, share and delete: what a set costs and takes, and what becomes of what it taught."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Literal

import discord
import structlog
from discord import app_commands, ui
from discord.app_commands import Range

from bot.chat import order
from bot.chat.client import EaselClient, Interaction
from bot.chat.errors import LOST, UserError, language_of, say_done
from bot.chat.features.train_sets import (
    allowed,
    check_own,
    check_words,
    is_free,
    of_name,
    offered,
    rows_of,
    suggested,
    train,
)
from bot.chat.ids import Verb, button
from bot.chat.look import training_view
from bot.chat.look.safe import fitting
from bot.chat.outages import told
from bot.chat.pressed import actor_of
from bot.chat.router import Feature
from bot.core.asking.admission import Allowance
from bot.core.training import sets
from bot.core.training.service import TrainingService
from bot.store.audit import Deed
from bot.store.trainings import Barred
from bot.texts import commands, problems
from bot.texts import trainings as texts
from bot.texts.language import Language
from bot.training import UNDER_WAY, Sharing, Training, TrainingState

log = structlog.get_logger(__name__)

_WIDTH = {Sharing.MAKER: 0, Sharing.ROLE: 1, Sharing.ALL: 2}

# ------------------------------------------------------------------ started


@train.command(name="start", description=commands.TRAIN_START)
@app_commands.describe(**commands.TRAIN_NAMED)
async def start(
    interaction: discord.Interaction[EaselClient], name: Range[str, 1, sets.NAME_CHARS_MAX]
) -> None:
    service, _, allowance = await allowed(interaction)
    training = await of_name(interaction, name)
    pictures = await _check(interaction, service, training, allowance)
    to = language_of(interaction)
    view = ui.LayoutView(timeout=None)
    cost, expected_s = (
        service.price(training.steps),
        service.expected_s(training.model, training.steps),
    )
    view.add_item(ui.TextDisplay(texts.question(training, pictures, cost, allowance.left, expected_s, to)))
    verbs = (Verb.TRAIN_START, Verb.TRAIN_NOT)
    view.add_item(ui.ActionRow[Any](*(button(verb, training.id, to=to) for verb in verbs)))
    view.stop()  # its buttons are known by their ids
    await interaction.response.send_message(view=view, ephemeral=True)


async def _check(
    interaction: Interaction, service: TrainingService, training: Training, allowance: Allowance
) -> int:
    """How many pictures it has; raises UserError for what keeps it from being started."""
    if training.state is not TrainingState.COLLECTING:
        raise UserError(texts.started)
    pictures = await rows_of(interaction).pictures(training.id)
    if len(pictures) < sets.PICTURES_MIN:
        raise UserError(texts.one_picture if pictures else texts.no_picture)
    if training.steps > allowance.limits.training_steps:
        raise UserError(lambda to: texts.too_many_steps(allowance.limits.training_steps, to))
    model = interaction.client.services.catalogue.model(training.model)
    if not service.can_teach(model):
        raise UserError(lambda to: texts.cannot_learn(model.title, to))
    if not is_free(interaction, training.name):
        raise UserError(lambda to: texts.name_taken(training.name, to))
    await check_words(interaction, training.trigger, *(each.caption for each in pictures))
    cost = service.price(training.steps)
    if cost > allowance.left:
        raise UserError(lambda to: texts.too_dear(cost, allowance.left, to))
    running = await rows_of(interaction).listed(training.guild_id, training.user_id)
    if sum(each.state in UNDER_WAY for each in running) >= allowance.limits.trainings:
        raise UserError(lambda to: texts.too_many_under_way(allowance.limits.trainings, to))
    return len(pictures)


async def confirmed(interaction: Interaction, number: int) -> None:
    """Paid for first: what Discord does not show then is shown at its end, where the row says."""
    service, _, allowance = await allowed(interaction)
    training = check_own(interaction, await rows_of(interaction).get(number))
    await _check(interaction, service, training, allowance)
    if interaction.channel_id is None:
        raise UserError(problems.only_in_servers)
    paid = await rows_of(interaction).start(
        training.id,
        cost=service.price(training.steps),
        credits_most=allowance.credits,
        window_start=allowance.window.start,
        now=interaction.client.services.clock.now(),
    )
    if isinstance(paid, Barred):
        raise UserError(partial(_not_started, paid, allowance, training.steps, service))
    view = training_view.live(paid, await service.seen(paid), with_sheet=False)
    try:
        await interaction.response.send_message(view=view)
        message = await interaction.original_response()
        await rows_of(interaction).stands(paid.id, channel_id=interaction.channel_id, message_id=message.id)
    except LOST as error:
        log.warning("training_not_shown", training=paid.id, error=told(error))
    finally:
        service.wake()


def _not_started(
    barred: Barred, allowance: Allowance, steps: int, service: TrainingService, to: Language
) -> str:
    """What the row said, whatever was seen before."""
    if barred is Barred.CREDITS:
        return texts.too_dear(service.price(steps), allowance.left, to)
    return texts.blocked_meanwhile(to) if barred is Barred.BLOCKED else texts.started(to)


async def declined(interaction: Interaction, number: int) -> None:
    check_own(interaction, await rows_of(interaction).get(number))
    view = ui.LayoutView(timeout=None)
    view.add_item(ui.TextDisplay(texts.dropped(language_of(interaction))))
    view.stop()
    await interaction.response.edit_message(view=view)


# ------------------------------------------------------------------ cancelled


@train.command(name="cancel", description=commands.TRAIN_CANCEL)
@app_commands.describe(**commands.TRAIN_NAMED)
async def cancel(
    interaction: discord.Interaction[EaselClient], name: Range[str, 1, sets.NAME_CHARS_MAX]
) -> None:
    service = offered(interaction)
    await _cancel(interaction, service, await of_name(interaction, name, admins=True))


async def pressed_cancel(interaction: Interaction, number: int) -> None:
    service = offered(interaction)
    await _cancel(
        interaction, service, check_own(interaction, await rows_of(interaction).get(number), admins=True)
    )


async def _cancel(interaction: Interaction, service: TrainingService, training: Training) -> None:
    if training.state not in UNDER_WAY or not await service.cancel(training.id, by=actor_of(interaction)):
        raise UserError(texts.is_over)
    await say_done(interaction, texts.cancelled(training.name, language_of(interaction)))


# ------------------------------------------------------------------ listed, shared and deleted


@train.command(name="list", description=commands.TRAIN_LIST)
async def list_them(interaction: discord.Interaction[EaselClient]) -> None:
    offered(interaction)
    if interaction.guild_id is None:
        raise UserError(problems.only_in_servers)
    whose = None if interaction.permissions.manage_guild else interaction.user.id
    found = await rows_of(interaction).listed(interaction.guild_id, whose)
    if not found:
        raise UserError(texts.none_yet)
    to = language_of(interaction)
    sizes = await rows_of(interaction).sizes(interaction.guild_id)
    lines = [texts.entry(each, sizes.get(each.id, 0), to) for each in found]
    await interaction.response.send_message(fitting(lines, to), ephemeral=True)


@train.command(name="share", description=commands.TRAIN_SHARE)
@app_commands.describe(**commands.TRAIN_SHARE_OPTIONS)
async def share(
    interaction: discord.Interaction[EaselClient],
    name: Range[str, 1, sets.NAME_CHARS_MAX],
    who: Literal["maker", "role", "all"],
    role: discord.Role | None = None,
) -> None:
    """Admins decide; its maker may take back what they gave."""
    offered(interaction)
    training = await of_name(interaction, name, admins=True)
    if training.state is not TrainingState.DONE:
        raise UserError(texts.not_taught)
    sharing = Sharing(who)
    if sharing is Sharing.ROLE and role is None:
        raise UserError(texts.role_missing)
    role_id = role.id if role is not None and sharing is Sharing.ROLE else None
    if not interaction.permissions.manage_guild:
        is_same = (sharing, role_id) == (training.sharing, training.role_id)
        if not is_same and _WIDTH[sharing] >= _WIDTH[training.sharing]:
            raise UserError(texts.only_narrower)
    done = order.deed(interaction, training.guild_id, Deed.TRAINING_SHARED, name=training.name)
    entry = replace(done, user_id=training.user_id)
    if not await rows_of(interaction).share(training, sharing, role_id, entry):
        raise UserError(texts.shared_so)
    to = language_of(interaction)
    await say_done(
        interaction,
        f"**{training.name}**: {texts.shared(replace(training, sharing=sharing, role_id=role_id), to)}",
    )


@train.command(name="delete", description=commands.TRAIN_DELETE)
@app_commands.describe(**commands.TRAIN_NAMED)
async def delete(
    interaction: discord.Interaction[EaselClient], name: Range[str, 1, sets.NAME_CHARS_MAX]
) -> None:
    service = offered(interaction)
    training = await of_name(interaction, name, admins=True)
    done = order.deed(interaction, training.guild_id, Deed.TRAINING_DELETED, name=training.name)
    try:
        gone = await service.delete(training.id, replace(done, user_id=training.user_id))
    except OSError as error:
        log.error("training_not_deleted", training=training.id, error=str(error))
        raise UserError(texts.not_deleted) from error
    if not gone:
        raise UserError(texts.under_way)
    await say_done(interaction, texts.deleted(training.name, language_of(interaction)))


start.autocomplete("name")(suggested)
cancel.autocomplete("name")(suggested)
share.autocomplete("name")(suggested)
delete.autocomplete("name")(suggested)

FEATURE = Feature(
    numbers={Verb.TRAIN_START: confirmed, Verb.TRAIN_NOT: declined, Verb.TRAIN_CANCEL: pressed_cancel}
)
