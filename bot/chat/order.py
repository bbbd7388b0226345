"""From a checked request to a job in line: admit, answer with a real message, hand over. One way for all.

A picture that is attached has to be fetched first, which may take longer than the 3 s within which Discord wants an
answer, and the row can't name what is not here yet. So such an order is deferred: Discord shows that we are at it, and
the real message is an edit of that. Killed before the row is there, the bot has promised, stored and charged nothing,
and Discord itself says after 15 minutes that we did not respond; killed later, the next start finds the row and the
deferred answer, fills it, and the job runs. Admitting first would charge for what may never arrive, and a message of our
own in place of Discord's would stay for ever if we died. Every order that is refused for what is known before the
download is refused before it is deferred, and so for one pair of eyes; what fails afterwards is said in the deferred
answer, since a second message could come twice.

A private order is answered for its person's eyes alone, and its message is sent to their direct messages, where all that
follows stands. That takes longer than an answer may, so it is deferred too. Whose direct messages are closed is told so, and
the row is taken back as one of which nobody was told. In direct messages themselves what is pressed under a picture of a
server is asked for in that server's name, by its limits, and private.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import discord
import structlog

from bot.chat import where
from bot.chat.client import Interaction
from bot.chat.delivery import mailbox
from bot.chat.errors import BLOCKED_BY_AUTOMOD, LOST, UserError, is_blocked, language_of
from bot.chat.look.job_view import live_view
from bot.chat.look.keepsake_view import link
from bot.chat.outages import told
from bot.chat.rival import ALREADY_ACKNOWLEDGED
from bot.chat.sources import Attached
from bot.core.asking import styles
from bot.core.asking.refused import Refused, Repeated
from bot.core.asking.wish import Wish, resolve
from bot.core.line.dispatcher import Dispatcher
from bot.job import DIRECT, Action, Asker, Flagged, Job, Origin
from bot.limits import Use
from bot.store.audit import AuditEntry, Deed
from bot.store.preferences import DELIVER, FLAGGED, FLAGGED_ADULT, ON, PRIVATELY, SPOILER, Scope
from bot.texts import memory, moderators, problems
from engine.contract import SEEDS, GenerationRequest, ModelInfo
from engine.contract.failpoints import Failpoint, reach

log = structlog.get_logger(__name__)

STANDING_WITHIN_S = 1.5
"""In which Discord tells a member's roles; the answer is due after 3 s."""


def asker_of(interaction: Interaction) -> Asker:
    """Who asks; raises UserError where that is in no server's name. In direct messages their roles are not known."""
    user, server_id = interaction.user, where.server_of(interaction)
    roles = user.roles if isinstance(user, discord.Member) else []
    places = where.channels(interaction) if interaction.guild_id is not None else []
    return Asker(
        user_id=user.id,
        guild_id=server_id,
        role_ids=tuple(role.id for role in roles),
        channel_ids=tuple(places),
    )


async def _standing(interaction: Interaction) -> Asker:
    """Who asks, with their roles in direct messages too; raises UserError where they are no member."""
    asker = asker_of(interaction)
    if interaction.guild_id is not None:
        return asker
    if asker.guild_id == DIRECT:  # what is pressed there may be older than that it is forbidden
        where.check_direct(interaction)
        return asker
    guild = interaction.client.get_guild(asker.guild_id)
    if guild is None:
        raise UserError(problems.not_a_member)
    try:
        async with asyncio.timeout(STANDING_WITHIN_S):
            member = await guild.fetch_member(asker.user_id)
    except (discord.NotFound, discord.Forbidden) as error:
        raise UserError(problems.not_a_member) from error
    return replace(asker, role_ids=tuple(role.id for role in member.roles))


async def is_private(interaction: Interaction) -> bool:
    """Whether what is asked for in a server's name is to be seen by who asks alone.

    They want it so, ask in direct messages, or under something private.
    """
    if (server_id := where.server_of(interaction)) == DIRECT:
        return False
    job = where.about(interaction)
    if interaction.guild_id != server_id or (job is not None and job.private):
        return True
    wants = await interaction.client.services.store.taste.of(Scope.PERSON, interaction.user.id)
    return wants.get(DELIVER) == PRIVATELY


def deed(interaction: Interaction, guild_id: int, what: Deed, **details: Any) -> AuditEntry:
    """A line of the audit: what they do here and now."""
    return AuditEntry(
        at=interaction.client.services.clock.now(),
        guild_id=guild_id,
        by_user_id=interaction.user.id,
        deed=what,
        details=details,
    )


def deed_about(interaction: Interaction, job: Job, what: Deed, **details: Any) -> AuditEntry:
    """To somebody's request; where that is from, its admins read of it."""
    entry = deed(interaction, job.guild_id, what, **details)
    return replace(entry, user_id=job.user_id, job_id=job.id)


def check_moderator(interaction: Interaction) -> None:
    """Raises UserError for who may not decide what becomes of others' pictures here."""
    may = interaction.permissions
    if not (may.manage_messages or may.manage_guild):
        raise UserError(moderators.not_a_moderator)


def managed(interaction: Interaction) -> int:
    """The id of the guild, for who may manage it: `default_permissions` is only a hint to Discord. Raises UserError."""
    if interaction.guild_id is None:
        raise UserError(problems.only_in_servers)
    if not interaction.permissions.manage_guild:
        raise UserError(problems.not_an_admin)
    return interaction.guild_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What somebody who was checked asks for."""

    request: GenerationRequest
    model: ModelInfo
    """The one that draws it."""
    wish: Wish | None
    """What the request was resolved from; None where that is not known."""
    action: Action = Action.IMAGINE
    parent_id: int | None = None
    parent_image: int | None = None
    files: Attached | None = None
    """What the request starts from and is not here yet."""


async def check(interaction: Interaction) -> Asker:
    """What must hold before a request is even read: who, where, and an engine that said what it offers."""
    services, asker = interaction.client.services, await _standing(interaction)
    if not await is_private(interaction):
        where.check_place(interaction)
    if (blocked := await services.admission.blocked(asker)) is not None:
        raise UserError.of(blocked)
    await services.catalogue.described()
    return asker


async def check_use(interaction: Interaction, use: Use) -> None:
    """Raises UserError where the server's admins keep that from who asks."""
    refused = await interaction.client.services.admission.keeps_from(await _standing(interaction), use)
    if refused is not None:
        raise UserError.of(refused)


async def preferred(interaction: Interaction, asker: Asker, wish: Wish) -> Wish:
    """What was left out as the channel, else its person, else the server has it; of models one that is allowed to them."""
    services, taste = interaction.client.services, interaction.client.services.store.taste
    scopes = [
        *((Scope.CHANNEL, place) for place in where.channels(interaction)),
        (Scope.PERSON, interaction.user.id),
        (Scope.SERVER, where.server_of(interaction)),
    ]
    chosen = [await taste.of(scope, number) for scope, number in scopes]
    permits, models = await services.admission.permits(asker), services.catalogue.models
    allowed = [model.id for model in models if permits.allows_model(model.id, scale=model.scale)]
    wish = styles.preferred(wish, chosen, allowed)
    if wish.model is None and wish.upscale is None and models and models[0].id not in allowed:
        drawing = (model.id for model in models if model.scale == 1 and model.id in allowed)
        wish = replace(wish, model=next(drawing, None))
    return wish


async def set_here(interaction: Interaction) -> list[Mapping[str, str]]:
    """What holds for everybody where this was asked for, the nearest first."""
    taste = interaction.client.services.store.taste
    scopes = [
        *((Scope.CHANNEL, place) for place in where.channels(interaction)),
        (Scope.SERVER, where.server_of(interaction)),
    ]
    return [await taste.of(scope, number) for scope, number in scopes]


def wants_spoilers(set_here: Sequence[Mapping[str, str]]) -> bool:
    """Whether pictures are covered there until somebody looks."""
    told = [values[SPOILER] for values in set_here if SPOILER in values]
    return bool(told) and told[0] == ON


def of_flagged(interaction: Interaction, set_here: Sequence[Mapping[str, str]], *, private: bool) -> str:
    """What becomes of flagged pictures that are asked for here. Moderators are shown nothing that is private."""
    names = (FLAGGED_ADULT, FLAGGED) if where.is_age_restricted(interaction) else (FLAGGED,)
    told = [values[name] for values in set_here for name in names if name in values]
    rule = told[0] if told else interaction.client.services.settings.moderation.pictures
    nobody_asked = private or where.server_of(interaction) == DIRECT
    return Flagged.WITHHOLD if rule == Flagged.HOLD and nobody_asked else rule


async def requested(interaction: Interaction, wish: Wish, model: ModelInfo) -> GenerationRequest:
    """What this model is to draw: in the style that is named, by a seed of its own where the wish has none, with words in
    the place of wildcards.

    Raises InvalidRequest or Unmet. The wish stays as typed.
    """
    services = interaction.client.services
    seed = wish.seed_or(new_seed())
    known = await services.styles(where.server_of(interaction)) if wish.style is not None else ()
    filled = await services.wildcards.fill(styles.styled(wish, known), seed=seed)
    return resolve(filled, model, seed=seed)


def new_seed() -> int:
    return secrets.randbelow(SEEDS)


async def draw(
    interaction: Interaction,
    asker: Asker,
    wish: Wish,
    model: ModelInfo,
    *,
    action: Action = Action.IMAGINE,
    parent: Job | None = None,
    image: int | None = None,
    files: Attached | None = None,
) -> None:
    """What this model makes of the wish is placed. `image`: which of the parent's it was asked for under."""
    order = Order(
        request=await requested(interaction, wish, model),
        model=model,
        wish=wish,
        action=action,
        parent_id=None if parent is None else parent.id,
        parent_image=image,
        files=files,
    )
    await place(interaction, asker, order)


async def place(interaction: Interaction, asker: Asker, order: Order) -> None:
    """Stores, answers and queues a job for who came through `check`; raises UserError with the reason when it is refused."""
    services, request, private = interaction.client.services, order.request, await is_private(interaction)
    if order.files is not None:
        refused = await services.admission.why_not(
            request, asker=asker, model=order.model, action=order.action
        )
        if refused is not None:
            raise UserError.of(refused)
    is_deferred = private or order.files is not None
    if is_deferred and not await defer(interaction, private=private):
        return
    if order.files is not None:
        request = await services.intake.complete(request, order.files)
    job = await services.admission.admit(
        request,
        asker=asker,
        origin=await origin_of(interaction, private=private),
        model=order.model,
        action=order.action,
        parent_id=order.parent_id,
        parent_image=order.parent_image,
        wish=order.wish,
    )
    if isinstance(job, Refused):
        if isinstance(job, Repeated):  # the first one answers, and only one answer is possible
            log.info("interaction_repeated", interaction=interaction.id)
            return
        raise UserError.of(job)
    view = live_view(job, services.dispatcher.progress_of(job))
    await hand_over(interaction, (job,), view, is_deferred=is_deferred)


async def hand_over(
    interaction: Interaction, jobs: Sequence[Job], view: discord.ui.LayoutView, *, is_deferred: bool = False
) -> None:
    """Answers with the message of these jobs; then they wait in line, or are taken back where nobody can have seen one."""
    dispatcher = interaction.client.services.dispatcher
    try:
        message_id = await _answer(interaction, jobs, view, is_deferred=is_deferred)
    except Exception as error:
        _log_lost(jobs[0], error)
        if getattr(error, "code", 0) == ALREADY_ACKNOWLEDGED:
            interaction.client.rival.was_faster(interaction.id)
        for job in jobs:
            await _give_up(dispatcher, job, error)
        if mailbox.is_closed(error):
            raise UserError(problems.direct_messages_closed) from error
        if isinstance(error, discord.HTTPException) and is_blocked(error):
            raise UserError(problems.blocked_order) from error
        if not isinstance(error, LOST) or (jobs[0].private and not _may_have_come(error)):
            raise
    else:
        reach(Failpoint.ANSWERED)
        for job in jobs:
            await dispatcher.answered(job, message_id)
        if jobs[0].private:
            await _say_where(interaction, jobs[0], message_id)


def _log_lost(job: Job, error: Exception) -> None:
    if isinstance(error, discord.HTTPException):
        log.warning("answer_failed", job=job.id, status=error.status, code=error.code)
    else:
        log.warning("answer_lost", job=job.id, error=repr(error))


async def _give_up(dispatcher: Dispatcher, job: Job, error: Exception) -> None:
    """It is taken back, or its answer looked for where somebody may have seen it after all."""
    match error:
        case discord.HTTPException() if is_blocked(error):
            await dispatcher.unanswered(job, reason=BLOCKED_BY_AUTOMOD)
        case discord.HTTPException(code=code) if code == ALREADY_ACKNOWLEDGED:
            dispatcher.answer_unknown(job)  # or it was us, and the reply was lost: the message there tells
        case discord.HTTPException() if not _may_have_come(error):
            await dispatcher.unanswered(job)
        case _ if isinstance(error, LOST):
            dispatcher.answer_unknown(job)
        case _:  # a bug of ours: the job must not stay behind unseen and charged
            await dispatcher.unanswered(job)


def _may_have_come(error: Exception) -> bool:
    """Whether an answer of which Discord said this may stand there all the same."""
    return not isinstance(error, discord.HTTPException) or error.status >= 500


async def _say_where(interaction: Interaction, job: Job, message_id: int) -> None:
    """The way to a private job's message, unless it stands below what was pressed. Best effort."""
    if not _is_told_apart(interaction):
        return
    say = memory.drawn_privately(link(replace(job, message_id=message_id)))
    try:
        await interaction.edit_original_response(content=say(language_of(interaction)))
    except LOST as error:
        log.info("done_but_not_told", interaction=interaction.id, error=told(error))


def _is_told_apart(interaction: Interaction) -> bool:
    """Whether who asks for something private gets an answer of words; what is pressed in direct messages needs none."""
    return interaction.guild_id is not None or interaction.message is None


async def _answer(
    interaction: Interaction, jobs: Sequence[Job], view: discord.ui.LayoutView, *, is_deferred: bool
) -> int:
    """The id of the message that now shows the jobs."""
    if jobs[0].private:
        return await mailbox.send(interaction.client, jobs, view)
    if is_deferred:
        return (await interaction.edit_original_response(view=view)).id
    response = await interaction.response.send_message(view=view)
    assert response.message_id is not None
    return response.message_id


async def defer(interaction: Interaction, *, private: bool) -> bool:
    """Says within 3 s that an answer will come; False where Discord does not take that, so that none can.

    Goes on where the outcome is unknown, also where the same order came twice: admission tells those apart.
    """
    try:
        if private and not _is_told_apart(interaction):
            await interaction.response.defer()
        else:
            await interaction.response.defer(ephemeral=private, thinking=True)
    except discord.HTTPException as error:
        log.warning("deferral_failed", interaction=interaction.id, status=error.status, code=error.code)
        if error.code == ALREADY_ACKNOWLEDGED:
            return not interaction.client.rival.was_faster(interaction.id)
        return error.status >= 500
    except (aiohttp.ClientError, OSError) as error:
        log.warning("deferral_lost", interaction=interaction.id, error=repr(error))
    reach(Failpoint.DEFERRED)
    return True


async def origin_of(interaction: Interaction, *, private: bool) -> Origin:
    """Raises UserError where a private job has nowhere to stand."""
    channel_id = interaction.channel_id
    if private and interaction.guild_id is not None:
        try:
            channel_id = await mailbox.mailbox_of(interaction.client, interaction.user.id)
        except discord.Forbidden as error:
            raise UserError(problems.direct_messages_closed) from error
    assert channel_id is not None
    here = await set_here(interaction)
    return Origin(
        interaction_id=interaction.id,
        application_id=interaction.application_id,
        token=interaction.token,
        channel_id=channel_id,
        locale=str(interaction.locale.value),
        spoiler=not private and wants_spoilers(here),
        flagged=of_flagged(interaction, here, private=private),
        private=private,
    )
