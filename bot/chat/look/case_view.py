"""What moderators read of a reported job: its picture, who asked for what, who reported it, and what was decided. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import discord
from discord import ui

from bot.chat.ids import Verb, button
from bot.chat.look.job_view import GRAY, GREEN, MARKED, RED, gallery, header, layout
from bot.chat.look.keepsake_view import link
from bot.chat.look.safe import cut, plain
from bot.job import Job
from bot.store.blocks import Block
from bot.store.reports import Case, Verdict
from bot.texts import memory, moderators, progress
from bot.texts.language import Language

SHOWN = 5
"""Reports whose words are shown."""
REASON_SHOWN = 300
_COLOURS = {None: RED, Verdict.APPROVED: GREEN, Verdict.REMOVED: GRAY}


def view(
    case: Case, job: Job, block: Block | None, files: Sequence[str], to: Language, *, quoting: bool = True
) -> ui.LayoutView:
    """`files`: names of the attachments. `block`: that holds for the job's person.

    Without `quoting` all is told without what people wrote, which AutoMod may have refused, and so without pictures.
    """
    asked = header(job) if quoting else f"<@{job.user_id}>"
    lines = [
        f"{moderators.reported_by(len(case.reports), to) if case.reports else moderators.nobody_any_more(to)}\n{asked}",
        *([] if files or job.deleted_at is not None or not quoting else [moderators.not_kept(to)]),
        *([_said(case, to, quoting=quoting)] if case.reports else []),
        *([] if job.deleted_at is not None else [f"-# [{memory.original(to)}]({link(job)})"]),
        *_decided(case, to),
    ]
    if block is not None:
        reason = cut(plain(block.reason), REASON_SHOWN) if quoting else ""
        lines.append(moderators.block_line(block.user_id, block.until, block.by_user_id, reason, to))
    covered = replace(job, spoiler=True)
    return layout(
        job,
        _COLOURS[case.verdict],
        lines,
        rows=_rows(case, to),
        gallery=gallery(covered, files),
        mark=mark_of(job),
    )


def mark_of(job: Job) -> int:
    """By which its message is known again; no other message of the job has it."""
    return MARKED | zlib.crc32(f"report {job.id} {job.created_at!r}".encode()) & (MARKED - 1)


def is_marked(message: discord.Message, mark: int) -> bool:
    return any(int(getattr(component, "id", 0) or 0) == mark for component in message.components)


def _said(case: Case, to: Language, *, quoting: bool) -> str:
    shown = [
        moderators.said(
            each.user_id,
            None if each.image is None else each.image + 1,
            cut(plain(each.reason), REASON_SHOWN) if quoting else "",
            to,
        )
        for each in case.reports[:SHOWN]
    ]
    more = len(case.reports) - SHOWN
    return "\n".join([*shown, *([progress.left_out(more, to)] if more > 0 else [])])


def _decided(case: Case, to: Language) -> list[str]:
    if case.verdict is None or case.decided_by is None or case.decided_at is None:
        return []
    say = moderators.approved if case.verdict is Verdict.APPROVED else moderators.removed
    return [say(case.decided_by, case.decided_at, to)]


def _rows(case: Case, to: Language) -> list[ui.ActionRow[Any]]:
    """Whoever made what was removed may still be blocked."""
    if case.verdict is Verdict.APPROVED:
        return []
    open_ = (Verb.APPROVE, Verb.REMOVE) if case.verdict is None else ()
    return [ui.ActionRow[Any](*(button(verb, case.job_id, to=to) for verb in (*open_, Verb.BLOCK)))]
