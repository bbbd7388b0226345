"""/train pictures and remove: what lies in a set, by the numbers that its captions have, and what is taken out again."""

from __future__ import annotations

from io import BytesIO

import discord
import structlog
from discord import app_commands
from discord.app_commands import Choice, Range

from bot.chat.client import EaselClient, Interaction
from bot.chat.delivery.room import FILE_BYTES_DEFAULT
from bot.chat.errors import UserError, language_of, say_done
from bot.chat.features.train_sets import CHOICES_MAX, allowed, collecting, of_name, rows_of, suggested, train
from bot.chat.look import training_view
from bot.chat.look.safe import cut
from bot.chat.router import Feature
from bot.core.training import sets
from bot.texts import commands
from bot.texts import trainings as texts

log = structlog.get_logger(__name__)

SHOWN_MAX = 10
_CHOICE_CHARS = 100


@train.command(name="pictures", description=commands.TRAIN_PICTURES)
@app_commands.describe(**commands.TRAIN_CAPTIONS_OPTIONS)
async def pictures(
    interaction: discord.Interaction[EaselClient],
    name: Range[str, 1, sets.NAME_CHARS_MAX],
    first: Range[int, 1, 1000] = 1,
) -> None:
    await allowed(interaction)
    training = await of_name(interaction, name)
    found = [each for each in await rows_of(interaction).pictures(training.id) if each.number >= first]
    if not found:
        raise UserError(texts.no_picture)
    await interaction.response.defer(ephemeral=True, thinking=True)
    shown, folder = found[:SHOWN_MAX], interaction.client.services.settings.trainings
    data = await sets.read(folder, training.id, shown, bytes_max=FILE_BYTES_DEFAULT)
    files = [discord.File(BytesIO(content), filename) for filename, content in data.values()]
    named = {number: filename for number, (filename, _) in data.items()}
    next_one = found[SHOWN_MAX].number if len(found) > SHOWN_MAX else None
    view = training_view.pictures(training, shown, named, next_one, language_of(interaction))
    await interaction.edit_original_response(view=view, attachments=files)


@train.command(name="remove", description=commands.TRAIN_REMOVE)
@app_commands.describe(**commands.TRAIN_REMOVE_OPTIONS)
async def remove(
    interaction: discord.Interaction[EaselClient],
    name: Range[str, 1, sets.NAME_CHARS_MAX],
    number: Range[int, 1, 1000],
) -> None:
    """Its row first: a file without one is not taught from."""
    await allowed(interaction)
    training = collecting(await of_name(interaction, name))
    rows, services = rows_of(interaction), interaction.client.services
    gone = await rows.remove_picture(training.id, number)
    if gone is None:
        raise UserError(texts.no_such_picture)
    try:
        await sets.forget(services.settings.trainings, training.id, gone.digest)
    except OSError as error:  # it goes with the set, or before that is taught
        log.warning("training_picture_not_deleted", training=training.id, error=str(error))
    left = len(await rows.pictures(training.id))
    await say_done(interaction, texts.removed(training.name, number, left, language_of(interaction)))


@remove.autocomplete("number")
async def _numbers(interaction: Interaction, current: str) -> list[Choice[int]]:
    """Of the set that was named before, with their captions."""
    name = interaction.namespace.name
    if not isinstance(name, str):
        return []
    try:
        training = await of_name(interaction, name)
    except UserError:
        return []
    found = await rows_of(interaction).pictures(training.id)
    told = [(each.number, cut(f"{each.number}: {each.caption}", _CHOICE_CHARS)) for each in found]
    wanted = current.casefold()
    return [Choice(name=text, value=of) for of, text in told if wanted in text.casefold()][:CHOICES_MAX]


pictures.autocomplete("name")(suggested)
remove.autocomplete("name")(suggested)

FEATURE = Feature()
