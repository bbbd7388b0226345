"""/stats: what a person drew of late, and for admins what everybody did here, as a picture, else in words."""

from __future__ import annotations

from collections import Counter
from io import BytesIO

import discord
from discord import app_commands

from bot.chat import order
from bot.chat.client import EaselClient, Interaction
from bot.chat.errors import UserError, language_of
from bot.chat.look.safe import cut, plain
from bot.chat.router import Feature
from bot.texts import commands, counts
from bot.texts.counts import Report
from bot.texts.language import ENGLISH, Language
from bot.vitals.charts import Chart, Columns, Lines

DAYS = 30
MODELS_MAX = 6
ALT_CHARS_MAX = 1024


@app_commands.command(description=commands.STATS)
@app_commands.describe(**commands.STATS_OPTIONS)
async def stats(interaction: discord.Interaction[EaselClient], server: bool = False) -> None:
    asker = order.asker_of(interaction)
    if server:
        order.managed(interaction)
    await interaction.response.defer(ephemeral=True, thinking=True)  # a year's rows may take a second
    services, now = interaction.client.services, interaction.client.services.clock.now()
    store = services.store.counts
    if server:
        counted = await store.of_server(guild_id=asker.guild_id, now=now, days=DAYS)
    else:
        person = {"guild_id": asker.guild_id, "user_id": asker.user_id}
        counted = await store.of_person(**person, now=now, days=DAYS)
    if not counted.pictures:
        raise UserError(counts.nothing_here if server else counts.nothing_of_yours)
    zone = await services.admission.zone(asker.guild_id)
    titles = {model.id: model.title for model in services.catalogue.models}
    models = Counter[str]()
    for model, count in counted.models.most_common(MODELS_MAX):
        models[titles.get(model, model)] += count
    report = Report(
        of_server=server,
        zone=zone.key,
        days=counted.by_day(zone, now=now, days=DAYS),
        hours=counted.by_hour(zone),
        models=models,
        more=counted.pictures - models.total(),
        half_s=counted.wait_s(0.5),
        most_s=counted.wait_s(0.95),
    )
    await _tell(interaction, report)


async def _tell(interaction: Interaction, report: Report) -> None:
    to = language_of(interaction)
    words = counts.in_words(report, to)
    picture = await interaction.client.services.charts.drawn(_chart(report, to), _chart(report, ENGLISH))
    if picture is None:
        await interaction.edit_original_response(content="\n".join(map(plain, words)))
        return
    alt_text = cut("\n".join(words), ALT_CHARS_MAX)
    file = discord.File(BytesIO(picture), "stats.png", description=alt_text)
    await interaction.edit_original_response(content=plain(words[0]), attachments=[file])


def _chart(report: Report, to: Language) -> Chart:
    models = {**report.models, **({counts.others(to): report.more} if report.more else {})}
    waits = (report.half_s, report.most_s)
    return Chart(
        title=counts.title(report, to),
        days=Columns(
            title=counts.by_day(to),
            labels=tuple(map(to.day, report.days)),
            values=tuple(report.days.values()),
        ),
        hours=Columns(
            title=counts.by_hour(report, to),
            labels=tuple(map(str, report.hours)),
            values=tuple(report.hours.values()),
        ),
        models=Lines(
            title=counts.by_model(to),
            labels=tuple(models),
            values=tuple(models.values()),
            shown=tuple(map(to.number, models.values())),
        ),
        waits=Lines(
            title=counts.waits(to),
            labels=(counts.half(to), counts.most(to)),
            values=waits,
            shown=tuple(counts.wait(wait, to) for wait in waits),
        ),
    )


FEATURE = Feature(commands=(stats,))  # pyright: ignore[reportUnknownArgumentType] - discord.py leaves its group open
