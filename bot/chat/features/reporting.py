"""Report: anybody tells a server's moderators of a picture, who let it stay, remove it, or block who asked for it; /mod channel.

What moderators press stands in their channel: whoever may manage messages there decides, after a restart too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import discord
import structlog
from discord import app_commands

from bot.chat import order
from bot.chat.client import EaselClient, Interaction
from bot.chat.delivery import desk
from bot.chat.errors import LOST, UserError, language_of, say_done
from bot.chat.features import blocking, menus
from bot.chat.features.mod import group
from bot.chat.ids import NUMBER_MAX, OfJob, Verb
from bot.chat.look import fields
from bot.chat.look.safe import shown
from bot.chat.outages import told
from bot.chat.pressed import actor_of, removed
from bot.chat.router import Feature
from bot.job import Job, JobState
from bot.store.audit import Deed
from bot.store.preferences import MODERATORS, Scope
from bot.store.reports import Case, Filed, Report
from bot.texts import commands, moderators, problems, together

log = structlog.get_logger(__name__)

REPORTS_A_DAY = 10
"""Of one person in one server."""
REASON_CHARS_MAX = 300


# ------------------------------------------------------------------ who reports


@app_commands.context_menu(name=commands.REPORT)
async def report_it(interaction: discord.Interaction[EaselClient], message: discord.Message) -> None:
    if (ours := await menus.job_of(interaction, message)) is not None:
        await _open_form(interaction, [ours[0]], ours[1])
    elif gathered := await menus.gathered_in(interaction, message):
        await _open_form(interaction, gathered, None)
    else:
        raise UserError(moderators.not_ours)


async def report(interaction: Interaction, job: Job, image: int | None) -> None:
    await _open_form(interaction, [job], image)


async def _open_form(interaction: Interaction, jobs: Sequence[Job], image: int | None) -> None:
    """`jobs`: of which one is meant, as the form asks where there are several."""
    to, reportable = language_of(interaction), [job for job in jobs if _is_shown(job)] or jobs[:1]
    await _check(interaction, reportable[0])
    named = {str(job.id): f"{job.id} – {shown(job.request.prompt)}" for job in reportable}
    which = [fields.choice("job", moderators.which_one(to), named, str(reportable[0].id))]
    form = fields.form(
        moderators.report_form(to),
        OfJob(verb=Verb.REPORT, job=reportable[0].id, image=image).custom_id,
        *(which if len(reportable) > 1 else []),
        fields.line("reason", moderators.what_is_wrong(to), "", most=REASON_CHARS_MAX),
    )
    await interaction.response.send_modal(form)


async def submitted(interaction: Interaction, job: Job, image: int | None, given: Mapping[str, Any]) -> None:
    services, to = interaction.client.services, language_of(interaction)
    job = await _picked(interaction, job, given)
    channel_id = await _check(interaction, job)
    made = Report(
        job_id=job.id,
        user_id=interaction.user.id,
        guild_id=job.guild_id,
        image=image,
        reason=shown(str(given.get("reason") or ""))[:REASON_CHARS_MAX],
        at=services.clock.now(),
    )
    match await services.store.reports.add(made, most_a_day=REPORTS_A_DAY):
        case Filed.TAKEN:
            pass
        case Filed.BEFORE:
            raise UserError(moderators.reported_before)
        case Filed.APPROVED:
            raise UserError(moderators.approved_before)
        case Filed.DELETED:
            raise UserError(problems.deleted)
        case Filed.TOO_MANY:
            raise UserError(moderators.too_many(REPORTS_A_DAY))
    log.info("reported", guild=job.guild_id, job=job.id, by=interaction.user.id)
    problem = desk.why_closed(interaction.client.get_guild(job.guild_id), channel_id)
    said = moderators.reported(to) if problem is None else f"{moderators.kept(to)} {problem(to)}"
    await say_done(interaction, said)
    blocking.tell_moderators(interaction, job.guild_id)


async def _picked(interaction: Interaction, job: Job, given: Mapping[str, Any]) -> Job:
    """The one of its message that was chosen in the form; raises UserError."""
    values = given.get("job")
    if not values:
        return job
    value = str(values[0])
    is_number = value.isdecimal() and int(value) <= NUMBER_MAX
    other = await interaction.client.services.store.jobs.get(int(value)) if is_number else None
    if other is None or other.interaction_id != job.interaction_id:
        raise UserError(problems.no_such_picture)
    return other


async def _check(interaction: Interaction, job: Job) -> int:
    """The moderators' channel, for a picture that this person may report; raises UserError."""
    if job.deleted_at is not None:
        raise UserError(problems.deleted)
    if not _is_shown(job):
        raise UserError(moderators.nothing_to_report)
    if job.user_id == interaction.user.id:
        raise UserError(moderators.your_own)
    channel_id = await interaction.client.services.store.taste.channel_of(job.guild_id, MODERATORS)
    if channel_id is None:
        raise UserError(moderators.nobody_reads)
    return channel_id


def _is_shown(job: Job) -> bool:
    """Whether anybody else can see its pictures."""
    is_there = job.state is JobState.DELIVERED and job.reason is None and job.deleted_at is None
    return is_there and bool(job.shown_images)


# ------------------------------------------------------------------ who decides


async def approve(interaction: Interaction, job: Job, _image: int | None) -> None:
    case, services = await _open_case(interaction, job), interaction.client.services
    now = services.clock.now()
    if not await services.store.reports.approve(case, by_user_id=interaction.user.id, now=now):
        raise UserError(moderators.somebody_decided)
    await say_done(interaction)
    blocking.tell_moderators(interaction, case.guild_id)


async def remove(interaction: Interaction, job: Job, _image: int | None) -> None:
    """Deletes it like 🗑️ does, with all that stands in the same message."""
    case, services = await _open_case(interaction, job), interaction.client.services
    parts = await services.store.jobs.gathered(job) if job.is_gathered else [job]
    if not all(part.state.is_final for part in parts):
        raise UserError(together.not_all_finished)
    await removed(services.dispatcher.endings.delete(*parts, by=actor_of(interaction)))
    await say_done(interaction)
    blocking.tell_moderators(interaction, case.guild_id)


async def block(interaction: Interaction, job: Job, _image: int | None) -> None:
    """A form for how long, and why."""
    order.check_moderator(interaction)
    await _case(interaction, job)
    to = language_of(interaction)
    lengths = moderators.durations(to)
    form = fields.form(
        moderators.block_form(to),
        OfJob(verb=Verb.BLOCK, job=job.id).custom_id,
        fields.choice("duration", moderators.how_long(to), lengths, next(iter(lengths))),
        fields.line("reason", moderators.what_they_read(to), "", most=blocking.REASON_CHARS_MAX),
    )
    await interaction.response.send_modal(form)


async def block_for(interaction: Interaction, job: Job, _image: int | None, given: Mapping[str, Any]) -> None:
    order.check_moderator(interaction)
    case = await _case(interaction, job)
    await _check_blockable(interaction, case.guild_id, job.user_id)
    chosen = given.get("duration") or [""]
    await blocking.put_block(
        interaction,
        case.guild_id,
        job.user_id,
        str(chosen[0]),
        str(given.get("reason") or ""),
        job_id=job.id,
    )


async def _check_blockable(interaction: Interaction, guild_id: int, user_id: int) -> None:
    """As they stand now; raises UserError. Who left may come back."""
    if user_id == interaction.user.id:
        raise UserError(moderators.not_oneself)
    guild = interaction.client.get_guild(guild_id)
    if guild is None:
        raise UserError(moderators.not_reached)
    try:
        async with asyncio.timeout(order.STANDING_WITHIN_S):
            member = await guild.fetch_member(user_id)
    except discord.NotFound:
        return
    blocking.check_blockable(interaction, member)


async def _case(interaction: Interaction, job: Job) -> Case:
    case = await interaction.client.services.store.reports.case(job.id)
    if case is None:
        raise UserError(moderators.not_reported)
    return case


async def _open_case(interaction: Interaction, job: Job) -> Case:
    """Raises UserError for who may not decide, and where it was decided before: then its message says so from now on."""
    order.check_moderator(interaction)
    case = await _case(interaction, job)
    if case.decided_by is not None:
        blocking.tell_moderators(interaction, case.guild_id)
        raise UserError(moderators.decided_before(case.decided_by))
    return case


# ------------------------------------------------------------------ /mod channel


@group.command(name="channel", description=commands.MOD_CHANNEL)
@app_commands.describe(**commands.MOD_CHANNEL_OPTIONS)
async def channel(
    interaction: discord.Interaction[EaselClient],
    channel: discord.TextChannel | None = None,
    reset: bool = False,
) -> None:
    guild_id = order.managed(interaction)
    if channel is not None:
        await _name_channel(interaction, guild_id, channel.id)
    elif reset:
        await _put_channel(interaction, guild_id, "")
        await say_done(interaction, moderators.channel_off(language_of(interaction)))
    else:
        await _show_channel(interaction, guild_id)


async def _name_channel(interaction: Interaction, guild_id: int, channel_id: int) -> None:
    """Open reports are shown there from now on, and no more where they stood."""
    client = interaction.client
    if (problem := desk.why_closed(client.get_guild(guild_id), channel_id)) is not None:
        raise UserError(problem)
    await _put_channel(interaction, guild_id, str(channel_id))
    moved = await client.services.store.reports.move(guild_id, channel_id=channel_id)
    await say_done(interaction, moderators.channel_set(channel_id)(language_of(interaction)))
    client.services.dispatcher.errands.begin(_take_away(client, guild_id, moved))
    blocking.tell_moderators(interaction, guild_id)


async def _take_away(client: EaselClient, guild_id: int, moved: Sequence[tuple[int, int]]) -> None:
    """Best effort: what stays can still be pressed."""
    for channel_id, message_id in moved:
        place = client.get_partial_messageable(channel_id, guild_id=guild_id)
        try:
            await place.get_partial_message(message_id).delete()
        except LOST as error:
            log.info("report_not_taken_away", guild=guild_id, error=told(error))


async def _show_channel(interaction: Interaction, guild_id: int) -> None:
    """Where it is, what keeps us from posting there, and how much waits for that."""
    to, client = language_of(interaction), interaction.client
    channel_id = await client.services.store.taste.channel_of(guild_id, MODERATORS)
    if channel_id is None:
        raise UserError(moderators.no_channel)
    problem = desk.why_closed(client.get_guild(guild_id), channel_id)
    count = await client.services.store.reports.waiting(guild_id)
    lines = [
        (problem or moderators.channel_set(channel_id))(to),
        *([moderators.waiting(count, to)] if count else []),
    ]
    await say_done(interaction, "\n".join(lines))
    blocking.tell_moderators(interaction, guild_id)


async def _put_channel(interaction: Interaction, guild_id: int, value: str) -> None:
    entry = order.deed(interaction, guild_id, Deed.PREFERENCES, **{MODERATORS: value})
    await interaction.client.services.store.taste.put(Scope.SERVER, guild_id, {MODERATORS: value}, entry)
    log.info("moderators_channel_changed", guild=guild_id, by=interaction.user.id, value=value)


FEATURE = Feature(
    commands=(report_it,),
    presses={Verb.REPORT: report, Verb.APPROVE: approve, Verb.REMOVE: remove, Verb.BLOCK: block},
    forms={Verb.REPORT: submitted, Verb.BLOCK: block_for},
)
