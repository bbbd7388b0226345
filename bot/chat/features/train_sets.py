"""/train new, add and captions, and the menu "Add to training": pictures that are to be taught from, before anything is paid for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import discord
import structlog
from discord import app_commands, ui
from discord.app_commands import Choice, Range

from bot.chat import order, suggestions
from bot.chat.client import EaselClient, Interaction
from bot.chat.errors import UserError, language_of, say_done
from bot.chat.features.menus import pictures_of
from bot.chat.ids import OfJob, Verb, menu
from bot.chat.look import fields
from bot.chat.look.posted import named
from bot.chat.look.safe import fitting, shown
from bot.chat.router import IN_SERVERS, Feature, chosen
from bot.chat.sources import check_picture, size_of
from bot.core.asking.refused import ForbiddenByRules
from bot.core.training import sets
from bot.core.training.service import NotOffered
from bot.core.training.sets import Bounds, Trainings
from bot.job import Asker
from bot.texts import commands, problems
from bot.texts import trainings as texts
from bot.training import Training, TrainingState
from engine.contract import PROMPT_CHARS_MAX

log = structlog.get_logger(__name__)

STEPS = 500
MENU_MAX = 25
CHOICES_MAX = 25
_TRIGGER = re.compile(r"[\w][\w' -]*")

train = app_commands.Group(name="train", description=commands.TRAIN, allowed_contexts=IN_SERVERS)


# ------------------------------------------------------------------ who and which


def offered(interaction: Interaction) -> Trainings:
    """Raises UserError where nobody may train."""
    trainings = interaction.client.services.trainings
    if trainings is None or trainings.service.offered is NotOffered.OFF:
        raise UserError(texts.not_offered)
    if trainings.service.offered is NotOffered.RAY:
        raise UserError(texts.not_in_cluster)
    return trainings


async def allowed(interaction: Interaction) -> tuple[Trainings, Asker, Bounds]:
    """Who may train, and how much; raises UserError, for blocked people too."""
    trainings = offered(interaction)
    asker = await order.check(interaction)
    bounds = await trainings.bounds(asker)
    if not bounds.trainings:
        raise UserError(texts.not_allowed)
    return trainings, asker, bounds


async def of_name(
    interaction: Interaction, trainings: Trainings, name: str, *, admins: bool = False
) -> Training:
    """One's own, or as an admin any of this server; raises UserError."""
    if interaction.guild_id is None:
        raise UserError(problems.only_in_servers)
    found = await trainings.rows.by_name(interaction.guild_id, name.strip().casefold())
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
    trainings = interaction.client.services.trainings
    if trainings is None or interaction.guild_id is None:
        return []
    whose = None if interaction.permissions.manage_guild else interaction.user.id
    found = await trainings.rows.listed(interaction.guild_id, whose)
    wanted = current.casefold()
    return [Choice(name=each.name, value=each.name) for each in found if wanted in each.name][:CHOICES_MAX]


async def check_words(interaction: Interaction, *words: str) -> None:
    """Raises UserError for what the server's rules forbid."""
    assert interaction.guild_id is not None
    met = await interaction.client.services.admission.rules.forbids_any(interaction.guild_id, *words)
    if met is not None:
        raise UserError.of(ForbiddenByRules(entry=met.entry if met.is_told else None))


def _collecting(training: Training) -> Training:
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
    trainings, asker, bounds = await allowed(interaction)
    name, trigger = name.strip().casefold(), shown(trigger)
    if not sets.is_name(name):
        raise UserError(texts.bad_name)
    if _TRIGGER.fullmatch(trigger) is None:
        raise UserError(texts.bad_trigger)
    if steps is not None and steps > bounds.steps:
        raise UserError(lambda to: texts.too_many_steps(bounds.steps, to))
    services = interaction.client.services
    taught = services.catalogue.model(model)
    if not trainings.service.can_teach(taught):
        raise UserError(lambda to: texts.cannot_learn(taught.title, to))
    await check_words(interaction, name, trigger)
    made = None
    if trainings.is_free(name):
        made = await trainings.rows.new(
            guild_id=asker.guild_id,
            user_id=asker.user_id,
            name=name,
            trigger=trigger,
            model=taught.id,
            steps=min(STEPS, bounds.steps) if steps is None else steps,
            locale=str(interaction.locale.value),
            now=services.clock.now(),
        )
    if made is None:
        raise UserError(lambda to: texts.name_taken(name, to))
    await say_done(
        interaction, texts.made(made, language_of(interaction), everyday=sets.is_everyday(trigger))
    )


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
    trainings, _, bounds = await allowed(interaction)
    training = _collecting(await of_name(interaction, trainings, name))
    await _take(interaction, trainings, training, bounds, [*filter(None, (image, image2, image3, image4))])


add.autocomplete("name")(suggested)


@app_commands.context_menu(name=commands.ADD_TO_TRAINING)
@app_commands.guild_only()
async def add_to_training(interaction: discord.Interaction[EaselClient], message: discord.Message) -> None:
    """To the only open set at once; of several one is chosen."""
    trainings, asker, bounds = await allowed(interaction)
    files = pictures_of(message)
    found = await trainings.rows.listed(asker.guild_id, asker.user_id)
    are_open = [each for each in found if each.state is TrainingState.COLLECTING][:MENU_MAX]
    if not are_open:
        raise UserError(texts.none_open)
    if len(are_open) == 1:
        await _take(interaction, trainings, are_open[0], bounds, files)
        return
    to = language_of(interaction)
    view = ui.View(timeout=None)
    options = {str(each.id): each.name for each in are_open}
    view.add_item(menu(Verb.TRAIN_ADD, message.id, None, options, texts.which_set(to)))
    view.stop()  # its menu is known by its id
    await interaction.response.send_message(texts.which_set(to), view=view, ephemeral=True)


async def add_posted(interaction: Interaction, message_id: int) -> None:
    """The message is looked for again: nothing is remembered while a menu is open."""
    trainings, _, bounds = await allowed(interaction)
    picked = chosen(interaction) or ""
    found = await trainings.rows.of(int(picked)) if picked.isdecimal() and len(picked) < 19 else None
    training = _collecting(check_own(interaction, found))
    place = interaction.channel
    if not isinstance(place, discord.abc.Messageable):
        raise UserError(problems.message_gone)
    try:
        message = await place.fetch_message(message_id)
    except (discord.NotFound, discord.Forbidden) as error:
        raise UserError(problems.message_gone) from error
    await _take(interaction, trainings, training, bounds, pictures_of(message))


async def _take(
    interaction: Interaction,
    trainings: Trainings,
    training: Training,
    bounds: Bounds,
    files: Sequence[discord.Attachment],
) -> None:
    """Each by itself: what is wrong with one keeps no other out."""
    await interaction.response.defer(ephemeral=True, thinking=True)
    to = language_of(interaction)
    left_out: list[str] = []
    for file in files:
        try:
            await _take_one(interaction, trainings, training, bounds, file)
        except UserError as problem:
            left_out.append(texts.not_added(named(file.filename), problem.say(to), to))
    total = len(await trainings.rows.pictures(training.id))
    count = len(files) - len(left_out)
    lines = [*([texts.added(training.name, count, total, to)] if count else []), *left_out]
    await interaction.edit_original_response(content=fitting(lines, to))


async def _take_one(
    interaction: Interaction,
    trainings: Trainings,
    training: Training,
    bounds: Bounds,
    file: discord.Attachment,
) -> None:
    """The file first and then its row: a row never names what is not there."""
    services = interaction.client.services
    check_picture(file, services.settings.images_in.max_mb)
    size = size_of(file)
    picture = None if size is None else sets.picture_of(await services.intake.content(file))
    if size is None or picture is None:
        raise UserError(texts.unreadable)
    known = await trainings.rows.pictures(training.id)
    if any(each.digest == picture.digest for each in known):
        raise UserError(texts.there_already)
    if len(known) >= bounds.pictures:
        raise UserError(texts.no_room)
    kept = await trainings.rows.bytes_kept(training.guild_id, training.user_id)
    if kept + len(picture.data) > bounds.bytes_kept:
        raise UserError(texts.no_room)
    try:
        await trainings.keep(training.id, picture)
    except OSError as error:
        log.error("training_picture_not_kept", training=training.id, error=str(error))
        raise UserError(texts.not_kept) from error
    added = await trainings.rows.add_picture(
        training.id,
        digest=picture.digest,
        size_bytes=len(picture.data),
        width=size[0],
        height=size[1],
        most=bounds.pictures,
        bytes_most=bounds.bytes_kept,
    )
    if added is None:
        raise UserError(texts.no_room)


# ------------------------------------------------------------------ their captions


@train.command(name="captions", description=commands.TRAIN_CAPTIONS)
@app_commands.describe(**commands.TRAIN_CAPTIONS_OPTIONS)
async def captions(
    interaction: discord.Interaction[EaselClient],
    name: Range[str, 1, sets.NAME_CHARS_MAX],
    first: Range[int, 1, 1000] = 1,
) -> None:
    trainings, _, _ = await allowed(interaction)
    training = _collecting(await of_name(interaction, trainings, name))
    pictures = [each for each in await trainings.rows.pictures(training.id) if each.number >= first]
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
    trainings, _, _ = await allowed(interaction)
    training = _collecting(check_own(interaction, await trainings.rows.of(number)))
    told = sets.from_lines(str(given.get("captions") or ""))
    if told is None or any(len(each) > sets.CAPTION_CHARS_MAX for each in told.values()):
        raise UserError(texts.bad_captions)
    there = {each.number: each.caption for each in await trainings.rows.pictures(training.id)}
    if not told.keys() <= there.keys():
        raise UserError(texts.bad_captions)
    await check_words(interaction, *told.values())
    changed = {each: text for each, text in told.items() if text != there[each]}
    for each, text in changed.items():
        if not await trainings.rows.set_caption(training.id, each, text):
            raise UserError(texts.started)
    await say_done(interaction, texts.captioned(len(changed), language_of(interaction)))


FEATURE = Feature(
    commands=(train, add_to_training),
    numbers={Verb.TRAIN_ADD: add_posted},
    forms_of_number={Verb.TRAIN_CAPTIONS: caption},
)
