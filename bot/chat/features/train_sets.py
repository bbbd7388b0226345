"""/train new, add and captions, and the menu "Add to training": pictures that are to be taught from, before anything is paid for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import discord
import structlog
from discord import app_commands, ui
from discord.app_commands import Choice, Range

from bot.chat import order, suggestions
from bot.chat.client import EaselClient, Interaction
from bot.chat.errors import UserError, language_of, say_done
from bot.chat.features.menus import message_again, pictures_of
from bot.chat.ids import OfJob, Verb, menu
from bot.chat.look import fields
from bot.chat.look.posted import named
from bot.chat.look.safe import fitting, shown
from bot.chat.router import IN_SERVERS, Feature, chosen
from bot.chat.sources import check_picture, size_of
from bot.core.asking.admission import Allowance
from bot.core.asking.offer import Kind
from bot.core.asking.refused import ForbiddenByRules, NotPermitted
from bot.core.training import sets
from bot.core.training.service import NotOffered, TrainingService
from bot.job import Asker
from bot.limits import Limits, PermitKind
from bot.store.trainings import Barred, Trainings
from bot.texts import commands, problems
from bot.texts import trainings as texts
from bot.texts.language import Language
from bot.training import Training, TrainingPicture, TrainingState
from engine.contract import PROMPT_CHARS_MAX

log = structlog.get_logger(__name__)

STEPS = 500
MENU_MAX = 25
CHOICES_MAX = 25
_TRIGGER = re.compile(r"[\w][\w' -]*")

train = app_commands.Group(name="train", description=commands.TRAIN, allowed_contexts=IN_SERVERS)


# ------------------------------------------------------------------ who and which


def offered(interaction: Interaction) -> TrainingService:
    """Raises UserError where nobody may train."""
    service = interaction.client.services.training
    if service.offered is NotOffered.OFF:
        raise UserError(texts.not_offered)
    if service.offered is NotOffered.RAY:
        raise UserError(texts.not_in_cluster)
    return service


async def allowed(interaction: Interaction) -> tuple[TrainingService, Asker, Allowance]:
    """Who may train, and how much; raises UserError, for blocked people too."""
    service = offered(interaction)
    asker = await order.check(interaction)
    allowance = await interaction.client.services.admission.allowance(asker)
    if allowance.barred is not None:
        raise UserError.of(allowance.barred)
    if not allowance.limits.trainings:
        raise UserError(texts.not_allowed)
    return service, asker, allowance


def rows_of(interaction: Interaction) -> Trainings:
    return interaction.client.services.store.trainings


def is_free(interaction: Interaction, name: str) -> bool:
    """Whether no LoRA is called so already."""
    offers = interaction.client.services.catalogue.offers
    return all(each.kind is not Kind.LORA or each.name.casefold() != name for each in offers)


async def of_name(interaction: Interaction, name: str, *, admins: bool = False) -> Training:
    """One's own, or as an admin any of this server; raises UserError."""
    if interaction.guild_id is None:
        raise UserError(problems.only_in_servers)
    found = await rows_of(interaction).by_name(interaction.guild_id, name.strip().casefold())
    if found is None:
        raise UserError(texts.no_such)
    return check_own(interaction, found, admins=admins)


def check_own(interaction: Interaction, training: Training | None, *, admins: bool = False) -> Training:
    if training is None or training.guild_id != interaction.guild_id:
        raise UserError(texts.gone)
    if training.user_id != interaction.user.id and not (admins and interaction.permissions.manage_guild):
        raise UserError(texts.not_yours)
    return training


async def suggested(interaction: Interaction, current: str) -> list[Choice[str]]:
    """Their own, and for admins all of the server."""
    if interaction.client.services.training.offered is not None or interaction.guild_id is None:
        return []
    whose = None if interaction.permissions.manage_guild else interaction.user.id
    found = await rows_of(interaction).listed(interaction.guild_id, whose)
    wanted = current.casefold()
    return [Choice(name=each.name, value=each.name) for each in found if wanted in each.name][:CHOICES_MAX]


async def check_words(interaction: Interaction, *words: str) -> None:
    """Raises UserError for what the server's rules forbid."""
    assert interaction.guild_id is not None
    met = await interaction.client.services.admission.rules.forbids_any(interaction.guild_id, *words)
    if met is not None:
        raise UserError.of(ForbiddenByRules(entry=met.entry if met.is_told else None))


def collecting(training: Training) -> Training:
    if training.state is not TrainingState.COLLECTING:
        raise UserError(texts.started)
    return training


# ------------------------------------------------------------------ a new one


@train.command(name="new", description=commands.TRAIN_NEW)
@app_commands.describe(**commands.TRAIN_NEW_OPTIONS)
async def new(
    interaction: discord.Interaction[EaselClient],
    name: Range[str, 1, sets.NAME_CHARS_MAX],
    trigger: Range[str, 1, sets.TRIGGER_CHARS_MAX],
    model: Range[str, 1, 100] | None = None,
    steps: Range[int, sets.STEPS_MIN] | None = None,
) -> None:
    service, asker, allowance = await allowed(interaction)
    name, trigger = name.strip().casefold(), shown(trigger)
    _check_names(name, trigger)
    limits, services = allowance.limits, interaction.client.services
    if steps is not None and steps > limits.training_steps:
        raise UserError(lambda to: texts.too_many_steps(limits.training_steps, to))
    taught = services.catalogue.model(model)
    permits = allowance.permits
    if not permits.allows_model(taught.id, scale=taught.scale):
        kind = PermitKind.MODEL
        raise UserError.of(NotPermitted(kind=kind, name=taught.id, allowed=permits.listed(kind)))
    if not service.can_teach(taught):
        raise UserError(lambda to: texts.cannot_learn(taught.title, to))
    await check_words(interaction, name, trigger)
    if not is_free(interaction, name):
        raise UserError(lambda to: texts.name_taken(name, to))
    fresh = Training(
        id=0,
        guild_id=asker.guild_id,
        user_id=asker.user_id,
        name=name,
        trigger=trigger,
        model=taught.id,
        steps=min(STEPS, limits.training_steps) if steps is None else steps,
        state=TrainingState.COLLECTING,
        channel_id=interaction.channel_id,
        locale=str(interaction.locale.value),
        created_at=services.clock.now(),
    )
    made = await rows_of(interaction).new(fresh, most=limits.trainings)
    if isinstance(made, Barred):
        raise UserError(partial(_not_made, made, name, limits.trainings))
    to = language_of(interaction)
    await say_done(interaction, texts.made(made, to, everyday=sets.is_everyday(trigger)))


def _check_names(name: str, trigger: str) -> None:
    if not sets.is_name(name):
        raise UserError(texts.bad_name)
    if _TRIGGER.fullmatch(trigger) is None:
        raise UserError(texts.bad_trigger)


def _not_made(barred: Barred, name: str, most: int, to: Language) -> str:
    return texts.name_taken(name, to) if barred is Barred.NAME else texts.too_many_under_way(most, to)


new.autocomplete("model")(suggestions.models)


# ------------------------------------------------------------------ its pictures


@train.command(name="add", description=commands.TRAIN_ADD)
@app_commands.describe(**commands.TRAIN_ADD_OPTIONS)
async def add(
    interaction: discord.Interaction[EaselClient],
    name: Range[str, 1, sets.NAME_CHARS_MAX],
    image: discord.Attachment,
    image2: discord.Attachment | None = None,
    image3: discord.Attachment | None = None,
    image4: discord.Attachment | None = None,
) -> None:
    _, _, allowance = await allowed(interaction)
    training = collecting(await of_name(interaction, name))
    await _take(interaction, training, allowance.limits, [*filter(None, (image, image2, image3, image4))])


add.autocomplete("name")(suggested)


@app_commands.context_menu(name=commands.ADD_TO_TRAINING)
@app_commands.guild_only()
async def add_to_training(interaction: discord.Interaction[EaselClient], message: discord.Message) -> None:
    """To the only open set at once; of several one is chosen."""
    _, asker, allowance = await allowed(interaction)
    files = pictures_of(message)
    found = await rows_of(interaction).listed(asker.guild_id, asker.user_id)
    are_open = [each for each in found if each.state is TrainingState.COLLECTING][:MENU_MAX]
    if not are_open:
        raise UserError(texts.none_open)
    if len(are_open) == 1:
        await _take(interaction, are_open[0], allowance.limits, files)
        return
    to = language_of(interaction)
    view = ui.View(timeout=None)
    options = {str(each.id): each.name for each in are_open}
    view.add_item(menu(Verb.TRAIN_ADD, message.id, None, options, texts.which_set(to)))
    view.stop()  # its menu is known by its id
    await interaction.response.send_message(texts.which_set(to), view=view, ephemeral=True)


async def add_posted(interaction: Interaction, message_id: int) -> None:
    """The message is looked for again: nothing is remembered while a menu is open."""
    _, _, allowance = await allowed(interaction)
    picked = chosen(interaction) or ""
    found = await rows_of(interaction).get(int(picked)) if picked.isdecimal() and len(picked) < 19 else None
    training = collecting(check_own(interaction, found))
    message = await message_again(interaction, message_id)
    await _take(interaction, training, allowance.limits, pictures_of(message))


async def _take(
    interaction: Interaction, training: Training, limits: Limits, files: Sequence[discord.Attachment]
) -> None:
    """Each by itself: what is wrong with one keeps no other out."""
    await interaction.response.defer(ephemeral=True, thinking=True)
    to = language_of(interaction)
    left_out: list[str] = []
    for file in files:
        try:
            await _take_one(interaction, training, limits, file)
        except UserError as problem:
            left_out.append(texts.not_added(named(file.filename), problem.say(to), to))
    total = len(await rows_of(interaction).pictures(training.id))
    count = len(files) - len(left_out)
    lines = [*([texts.added(training.name, count, total, to)] if count else []), *left_out]
    await interaction.edit_original_response(content=fitting(lines, to))


async def _take_one(
    interaction: Interaction, training: Training, limits: Limits, file: discord.Attachment
) -> None:
    """The file first and then its row: a row never names what is not there; a file that gets none goes."""
    services, rows = interaction.client.services, rows_of(interaction)
    check_picture(file, services.settings.images_in.max_mb)
    size = size_of(file)
    picture = None if size is None else sets.picture_of(await services.intake.content(file))
    if size is None or picture is None:
        raise UserError(texts.unreadable)
    fresh = TrainingPicture(
        training_id=training.id,
        number=0,
        digest=picture.digest,
        size_bytes=len(picture.data),
        width=size[0],
        height=size[1],
    )
    most, most_bytes = limits.training_pictures, limits.training_mb << 20
    try:
        await sets.keep(services.settings.trainings, training.id, picture)
        added = await rows.add_picture(fresh, user_id=training.user_id, most=most, most_bytes=most_bytes)
        if isinstance(added, Barred) and added in _WITHOUT_FILE:
            await sets.forget(services.settings.trainings, training.id, picture.digest)
    except OSError as error:
        log.error("training_picture_not_kept", training=training.id, error=str(error))
        raise UserError(texts.not_kept) from error
    if isinstance(added, Barred):
        raise UserError(_NOT_ADDED.get(added, texts.no_room))


_NOT_ADDED = {Barred.TWICE: texts.there_already, Barred.STATE: texts.started}
_WITHOUT_FILE = (Barred.MOST, Barred.BYTES)
"""No row of the set names the file, which in the other cases one may."""


# ------------------------------------------------------------------ their captions


@train.command(name="captions", description=commands.TRAIN_CAPTIONS)
@app_commands.describe(**commands.TRAIN_CAPTIONS_OPTIONS)
async def captions(
    interaction: discord.Interaction[EaselClient],
    name: Range[str, 1, sets.NAME_CHARS_MAX],
    first: Range[int, 1, 1000] = 1,
) -> None:
    await allowed(interaction)
    training = collecting(await of_name(interaction, name))
    pictures = [each for each in await rows_of(interaction).pictures(training.id) if each.number >= first]
    if not pictures:
        raise UserError(texts.no_picture)
    to = language_of(interaction)
    lines = sets.as_lines(pictures, PROMPT_CHARS_MAX)
    custom_id = OfJob(verb=Verb.TRAIN_CAPTIONS, job=training.id).custom_id
    form = fields.form(
        texts.captions_form(to), custom_id, fields.words("captions", texts.captions_field(to), lines)
    )
    await interaction.response.send_modal(form)


captions.autocomplete("name")(suggested)


async def caption(interaction: Interaction, number: int, given: Mapping[str, Any]) -> None:
    """All lines are understood first, so that none of them is kept alone."""
    await allowed(interaction)
    training = collecting(check_own(interaction, await rows_of(interaction).get(number)))
    told = sets.from_lines(str(given.get("captions") or ""))
    if told is None or any(len(each) > sets.CAPTION_CHARS_MAX for each in told.values()):
        raise UserError(texts.bad_captions)
    there = {each.number: each.caption for each in await rows_of(interaction).pictures(training.id)}
    if not told.keys() <= there.keys():
        raise UserError(texts.bad_captions)
    await check_words(interaction, *told.values())
    changed = {each: text for each, text in told.items() if text != there[each]}
    if not await rows_of(interaction).set_captions(training.id, changed):
        raise UserError(texts.started)
    await say_done(interaction, texts.captioned(len(changed), language_of(interaction)))


FEATURE = Feature(
    commands=(train, add_to_training),
    numbers={Verb.TRAIN_ADD: add_posted},
    forms_of_number={Verb.TRAIN_CAPTIONS: caption},
)
