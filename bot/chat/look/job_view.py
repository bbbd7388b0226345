"""What a job's message looks like, in every state. Pure: a job and its progress in, a layout out."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import discord
from discord import ui

from bot.chat.ids import Verb, button
from bot.chat.look.buttons import under_pictures
from bot.chat.look.safe import code, cut, plain, shown
from bot.core.ports import Progress
from bot.job import Action, Job, JobState, Reason
from bot.texts import progress as texts
from bot.texts import reasons, request
from bot.texts.language import Language, language
from engine.contract import GenerationRequest

GRAY, BLURPLE, GREEN, RED = 0x80848E, 0x5865F2, 0x23A55A, 0xF23F43
PROMPT_SHOWN = 1000
ALT_TEXT_MAX = 1024
REASON_MAX = 1000
BAR_CELLS = 16
PREVIEW = "preview.jpg"
"""The attachment that shows how far a picture has come; finished ones have names of their own."""


def live_view(job: Job, progress: Progress) -> ui.LayoutView:
    """A waiting or running job: place in line or progress with the newest preview, and a way to cancel."""
    running, to = job.state is JobState.RUNNING, language(job.locale)
    if job.is_in_review:
        return layout(job, GRAY, [header(job), f"👁️ {texts.in_review(to)}"])
    status = running_line(progress, to) if running else texts.waiting(progress, to)
    alt, covered = preview_alt_text(job), [job.spoiler]
    shown = None if progress.preview is None else _gallery([PREVIEW], alt, covered)
    return layout(
        job,
        BLURPLE if running else GRAY,
        [header(job), status],
        rows=[_row(job, to, Verb.CANCEL)],
        gallery=shown,
    )


def final_view(job: Job, files: Sequence[str], *, quoting: bool = True) -> ui.LayoutView:
    """A job that has ended; `files` are the names of the attachments to show, in the order of the images.

    Without `quoting` a failed or cancelled one is told without its prompt, which AutoMod may have refused.
    """
    head, to = header(job) if quoting else f"<@{job.user_id}>", language(job.locale)
    match job.state:
        case JobState.FAILED:
            lines = [head, f"✘ {reasons.failed(_reason(job, to), job, to)}"]
            return layout(job, RED, lines, rows=[_row(job, to, Verb.REROLL, Verb.DELETE)])
        case JobState.CANCELLED:
            lines = [head, f"✖ {reasons.cancelled(_reason(job, to), job, to)}"]
            return layout(job, GRAY, lines, rows=[_row(job, to, Verb.REROLL, Verb.DELETE)])
        case _:
            lines = [header(job), *outcome_lines(job, to)]
            rows = under_pictures(job, _shown(job, files), to)
            return layout(job, GREEN if files else RED, lines, rows=rows, gallery=gallery(job, files))


def direct_view(job: Job, files: Sequence[str], reason: Reason) -> ui.LayoutView:
    """The finished images in a direct message, since their channel takes nothing."""
    to = language(job.locale)
    rows = under_pictures(job, _shown(job, files), to, is_copy=True)
    where = request.asked_in(header(job), f"<#{job.channel_id}>", to)
    why = reasons.sent_to_its_person(reasons.why(reason, to), to)
    return layout(
        job, GREEN, [where, f"✉ {why}", *outcome_lines(job, to)], rows=rows, gallery=gallery(job, files)
    )


def fetched_view(job: Job, files: Sequence[str]) -> ui.LayoutView:
    """Images that could not be posted, for their person's eyes."""
    lines = [header(job), *outcome_lines(job, language(job.locale))]
    return layout(job, GREEN, lines, gallery=gallery(job, files))


def sent_directly_view(job: Job) -> ui.LayoutView:
    """What stays in a channel that takes no images any more."""
    to = language(job.locale)
    lines = [header(job), f"✉ {reasons.went_to_its_person(to)}", settings_line(job, to)]
    return layout(job, GRAY, lines, rows=[_row(job, to, *_again(job), Verb.INFO)])


def _shown(job: Job, files: Sequence[str]) -> list[int]:
    """Which of the job's images these are, counted from 0."""
    return [number for number, image in enumerate(job.images) if image.path is not None][: len(files)]


def layout(
    job: Job,
    colour: int,
    lines: Sequence[str],
    *,
    rows: Sequence[ui.ActionRow[Any]] = (),
    gallery: ui.MediaGallery[ui.LayoutView] | None = None,
    mark: int | None = None,
) -> ui.LayoutView:
    """`mark`: by which the message is known again; None for the job's own."""
    view = ui.LayoutView(timeout=None)
    container = ui.Container[ui.LayoutView](accent_colour=colour, id=mark_of(job) if mark is None else mark)
    first, *rest = lines
    container.add_item(ui.TextDisplay(first))
    if gallery is not None:
        container.add_item(ui.Separator(visible=False))
        container.add_item(gallery)
    for text in rest:
        container.add_item(ui.TextDisplay(text))
    for row in rows:
        container.add_item(row)
    view.add_item(container)
    view.stop()  # its buttons are known by their ids: discord.py would remember each message for ever
    return view


def _reason(job: Job, to: Language) -> str:
    return cut(reasons.why(job.reason, to), REASON_MAX) if job.reason is not None else ""


def _row(job: Job, to: Language, *verbs: Verb) -> ui.ActionRow[Any]:
    return ui.ActionRow[Any](*(button(verb, job.id, to=to) for verb in verbs))


def _again(job: Job) -> tuple[Verb, ...]:
    """What makes another picture, where it would be another one."""
    return () if job.request.is_seedless else (Verb.REROLL,)


# ------------------------------------------------------------------ whose it is

MARKED = 1 << 30
"""Discord numbers components from 1 on, those of a message at most 40."""


def mark_of(job: Job) -> int:
    """The number of its message's first component, which nobody sees: tells it from another bot's with our token.

    That one has an interaction, its token and maybe a job's number in common with us, but not the moment of admission.
    """
    return MARKED | zlib.crc32(f"{job.id} {job.created_at!r}".encode()) & (MARKED - 1)


def is_of(message: discord.Message, job: Job) -> bool:
    """Whether this answer to the job's interaction is the job's; those of earlier versions carry no mark."""
    first = next((int(getattr(component, "id", 0) or 0) for component in message.components), None)
    return first is not None and (first < MARKED or first == mark_of(job))


# ------------------------------------------------------------------ texts


def header(job: Job) -> str:
    """Who asked for what."""
    return f"<@{job.user_id}> {code(job.request.prompt, PROMPT_SHOWN)}"


def running_line(progress: Progress, to: Language) -> str:
    if (step := progress.step) is None:
        return f"🎨 {texts.starting(progress.elapsed_s, to)}"
    line = f"`{bar(step.fraction)}` {texts.running(step, progress, to)}"
    return f"{line}\n-# ⏸ {texts.overtaken(to)}" if progress.is_overtaken else line


def bar(fraction: float, *, cells: int = BAR_CELLS) -> str:
    full = min(cells, max(0, round(fraction * cells)))
    return "█" * full + "░" * (cells - full)


def outcome_lines(job: Job, to: Language) -> list[str]:
    withheld = request.withheld(job, to)
    return [
        settings_line(job, to),
        *([f"-# 🗄️ {reasons.redrawn(to)}"] if job.action == Action.REDRAW else []),
        *([f"🚫 {withheld}"] if withheld else []),
        *(f"💡 {plain(note)[:500]}" for note in job.notes),
    ]


def settings_line(job: Job, to: Language) -> str:
    return f"-# {request.settings(job, to, shown=plain)}"


# ------------------------------------------------------------------ pictures


def gallery(job: Job, files: Sequence[str]) -> ui.MediaGallery[ui.LayoutView] | None:
    return _gallery(files, alt_text(job.request), job.covered) if files else None


def _gallery(files: Sequence[str], alt: str, covered: Sequence[bool]) -> ui.MediaGallery[ui.LayoutView]:
    """`covered`: which of the files are, in their order."""
    items = [
        discord.MediaGalleryItem(f"attachment://{name}", description=alt, spoiler=is_covered)
        for name, is_covered in zip(files, covered, strict=False)
    ]
    return ui.MediaGallery[ui.LayoutView](*items)


def alt_text(request: GenerationRequest) -> str:
    return cut(shown(request.prompt), ALT_TEXT_MAX)


def preview_alt_text(job: Job) -> str:
    return cut(request.unfinished(shown(job.request.prompt), language(job.locale)), ALT_TEXT_MAX)
