"""/admin log: who did what on a server. Permissions are checked here, not only hinted at."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime

import discord
from discord import app_commands, ui

from bot.chat.client import EaselClient, Interaction
from bot.chat.errors import UserError, language_of
from bot.chat.features.admin import concerned, group
from bot.chat.ids import OfPage, leafing
from bot.chat.look.safe import fitting, plain
from bot.chat.router import Feature
from bot.store.audit import AuditEntry
from bot.store.halts import EVERYWHERE
from bot.texts import audit_log, commands

PAGES, PAGES_EVERYWHERE = "audit", "audit_everywhere"
"""What the ids of the log's pages say: of a server's, and of that about the whole bot."""
PAGE = 10
FILE_ROWS_MAX = 50_000
"""The newest are exported: some 6 MB."""


@group.command(name="log", description=commands.ADMIN_LOG)
@app_commands.describe(**commands.ADMIN_LOG_OPTIONS)
async def show_log(
    interaction: discord.Interaction[EaselClient], file: bool = False, everywhere: bool = False
) -> None:
    guild_id, to = concerned(interaction, everywhere=everywhere), language_of(interaction)
    if not file:
        await interaction.response.send_message(view=await _page(interaction, guild_id, 0), ephemeral=True)
        return
    await interaction.response.defer(ephemeral=True, thinking=True)
    audit = interaction.client.services.store.audit
    entries, _ = await audit.page(guild_id, offset=0, count=FILE_ROWS_MAX)
    if not entries:
        raise UserError(audit_log.nothing_yet)
    data = await asyncio.to_thread(_csv, entries)
    await interaction.edit_original_response(
        content=audit_log.file_note(to), attachments=[discord.File(io.BytesIO(data), "easel-log.csv")]
    )


async def turn(interaction: Interaction, place: OfPage) -> None:
    guild_id = concerned(interaction, everywhere=place.pages == PAGES_EVERYWHERE)
    await interaction.response.edit_message(view=await _page(interaction, guild_id, place.offset))


async def _page(interaction: Interaction, guild_id: int, offset: int) -> ui.LayoutView:
    services, to = interaction.client.services, language_of(interaction)
    entries, total = await services.store.audit.page(guild_id, offset=offset, count=PAGE)
    if not entries:
        raise UserError(audit_log.nothing_yet)
    defaults = services.settings.limits.to_limits()
    lines = [audit_log.line(entry, defaults, to, shown=plain) for entry in entries]
    view = ui.LayoutView(timeout=None)
    head = audit_log.title(offset + 1, offset + len(entries), total, to)
    view.add_item(ui.TextDisplay(fitting([head, *lines], to)))
    pages = PAGES_EVERYWHERE if guild_id == EVERYWHERE else PAGES
    view.add_item(leafing(pages, offset, PAGE, total, to))
    view.stop()  # its buttons are known by their ids
    return view


def _csv(entries: Sequence[AuditEntry]) -> bytes:
    """RFC 4180, with a mark by which spreadsheets know UTF-8; times are UTC. No cell begins with what people wrote, so that
    none is a formula (OWASP: CSV injection).
    """
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["at", "by_user_id", "deed", "user_id", "job_id", "details"])
    for each in entries:
        at = datetime.fromtimestamp(each.at, UTC).isoformat(timespec="seconds")
        details = json.dumps(each.details, ensure_ascii=False)
        rows.writerow([at, each.by_user_id, each.deed, each.user_id, each.job_id, details])
    return text.getvalue().encode("utf-8-sig")


FEATURE = Feature(pages={PAGES: turn, PAGES_EVERYWHERE: turn})
