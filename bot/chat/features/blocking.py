"""/mod block, unblock, blocked and appeal: whom a server's admins keep from asking for anything. Of one server, not of direct messages."""

from __future__ import annotations

import discord
import structlog
from discord import app_commands, ui
from discord.app_commands import Choice, Range

from bot.chat import order
from bot.chat.client import EaselClient, Interaction
from bot.chat.errors import UserError, language_of, say_done
from bot.chat.features.mod import group
from bot.chat.ids import OfPage, leafing
from bot.chat.look.safe import cut, plain, shown
from bot.chat.router import Feature
from bot.store.audit import Deed
from bot.store.blocks import Block
from bot.store.preferences import APPEAL, Scope
from bot.texts import allowances, commands, moderators, problems
from bot.texts.language import Language

log = structlog.get_logger(__name__)

PAGES = "blocked"
"""What the ids of its pages say."""
PAGE = 10
REASON_CHARS_MAX = 200
APPEAL_CHARS_MAX = 300


@group.command(name="block", description=commands.MOD_BLOCK)
@app_commands.describe(**commands.MOD_BLOCK_OPTIONS)
@app_commands.choices(
    duration=[Choice(name=name, value=value) for value, name in commands.BLOCK_DURATIONS.items()]
)
async def block(
    interaction: discord.Interaction[EaselClient],
    member: discord.User,
    duration: int,
    reason: Range[str, 0, REASON_CHARS_MAX] = "",
) -> None:
    guild_id = order.managed(interaction)
    check_blockable(interaction, member)
    await put_block(interaction, guild_id, member.id, str(duration), reason)


def check_blockable(interaction: Interaction, who: discord.User | discord.Member) -> None:
    """Raises UserError. Who is no member any more may come back."""
    if who.id == interaction.user.id:
        raise UserError(moderators.not_oneself)
    if who.bot:
        raise UserError(moderators.bot_not_blocked)
    if isinstance(who, discord.Member) and (who.resolved_permissions or who.guild_permissions).manage_guild:
        raise UserError(moderators.admin_not_blocked)


async def put_block(
    interaction: Interaction,
    guild_id: int,
    user_id: int,
    duration: str,
    reason: str,
    *,
    job_id: int | None = None,
) -> None:
    """For who may be blocked: stored, what they have waiting is cancelled, and that is answered. `duration`: as it was chosen."""
    services, to = interaction.client.services, language_of(interaction)
    if duration not in moderators.durations(to):
        raise UserError(problems.not_taken_by_option(duration[:REASON_CHARS_MAX]))
    now = services.clock.now()
    until = now + int(duration) if int(duration) else None
    made = Block(
        guild_id=guild_id,
        user_id=user_id,
        by_user_id=interaction.user.id,
        reason=shown(reason)[:REASON_CHARS_MAX],
        at=now,
        until=until,
    )
    await services.store.blocks.put(made, job_id=job_id)
    gone = await services.dispatcher.withdraw(guild_id=guild_id, user_id=user_id)
    await services.training.withdraw(guild_id=guild_id, user_id=user_id)
    log.info("blocked", guild=guild_id, user=user_id, by=interaction.user.id, until=until)
    lines = [moderators.blocked(user_id, until, to), *([allowances.cancelled(gone, to)] if gone else [])]
    await say_done(interaction, "\n".join(lines))
    tell_moderators(interaction, guild_id)


def tell_moderators(interaction: Interaction, guild_id: int) -> None:
    """Behind the answer: what they read of reported pictures."""
    services = interaction.client.services
    services.dispatcher.errands.begin(services.tell_moderators(guild_id))


@group.command(name="unblock", description=commands.MOD_UNBLOCK)
@app_commands.describe(**commands.MOD_UNBLOCK_OPTIONS)
async def unblock(interaction: discord.Interaction[EaselClient], member: discord.User) -> None:
    guild_id, services = order.managed(interaction), interaction.client.services
    lifted = await services.store.blocks.lift(
        guild_id, member.id, by_user_id=interaction.user.id, now=services.clock.now()
    )
    if not lifted:
        raise UserError(moderators.not_blocked(member.id))
    log.info("unblocked", guild=guild_id, user=member.id, by=interaction.user.id)
    await say_done(interaction, moderators.unblocked(member.id, language_of(interaction)))
    tell_moderators(interaction, guild_id)


# ------------------------------------------------------------------ who is blocked


@group.command(name="blocked", description=commands.MOD_BLOCKED)
async def blocked(interaction: discord.Interaction[EaselClient]) -> None:
    await interaction.response.send_message(view=await _page(interaction, 0), ephemeral=True)


async def turn(interaction: Interaction, place: OfPage) -> None:
    await interaction.response.edit_message(view=await _page(interaction, place.offset))


async def _page(interaction: Interaction, offset: int) -> ui.LayoutView:
    """That begins there, or the last one where it is gone by now; raises UserError where there is none."""
    guild_id, to = order.managed(interaction), language_of(interaction)
    services = interaction.client.services
    blocks, now = services.store.blocks, services.clock.now()
    found, total = await blocks.page(guild_id, now=now, offset=offset, count=PAGE)
    if not found and total:
        offset = (total - 1) // PAGE * PAGE
        found, total = await blocks.page(guild_id, now=now, offset=offset, count=PAGE)
    if not found:
        raise UserError(moderators.nobody_blocked)
    title = moderators.blocked_people(offset + 1, offset + len(found), total, to)
    view = ui.LayoutView(timeout=None)
    view.add_item(ui.TextDisplay("\n".join([title, *(_line(each, to) for each in found)])))
    if total > PAGE:
        view.add_item(leafing(PAGES, offset, PAGE, total, to))
    view.stop()  # its buttons are known by their ids
    return view


def _line(each: Block, to: Language) -> str:
    reason = cut(plain(each.reason), REASON_CHARS_MAX)
    return moderators.block_line(each.user_id, each.until, each.by_user_id, reason, to)


# ------------------------------------------------------------------ what they read


@group.command(name="appeal", description=commands.MOD_APPEAL)
@app_commands.describe(**commands.MOD_APPEAL_OPTIONS)
async def appeal(
    interaction: discord.Interaction[EaselClient],
    text: Range[str, 1, APPEAL_CHARS_MAX] | None = None,
    reset: bool = False,
) -> None:
    guild_id, taste = order.managed(interaction), interaction.client.services.store.taste
    to, given = language_of(interaction), shown(text or "")[:APPEAL_CHARS_MAX]
    if given or reset:
        entry = order.deed(interaction, guild_id, Deed.PREFERENCES, **{APPEAL: given})
        await taste.put(Scope.SERVER, guild_id, {APPEAL: given}, entry)
        await say_done(interaction, moderators.appeal_set(to) if given else moderators.appeal_gone(to))
        return
    there = (await taste.of(Scope.SERVER, guild_id)).get(APPEAL)
    await say_done(interaction, moderators.appeal(there, to) if there else moderators.no_appeal(to))


FEATURE = Feature(pages={PAGES: turn})
