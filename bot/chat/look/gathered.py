"""What a message looks like that gathers several jobs of one request: a line for each, and all their pictures. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import discord
from discord import ui

from bot.chat.ids import Verb, button, menu
from bot.chat.look.job_view import (
    BLURPLE,
    GRAY,
    GREEN,
    MARKED,
    RED,
    alt_text,
    bar,
)
from bot.chat.look.safe import code, cut, plain, shown
from bot.core.ports import Progress
from bot.job import Job, JobState
from bot.texts import labels, reasons, request, together
from bot.texts import progress as texts
from bot.texts.language import Language, language

PROMPT_SHOWN = 90
LINE_MAX, LINES_MAX = 330, 3300
LABEL_MAX = 100
CELLS = 8
"""Of a progress bar."""
OVER = frozenset(state for state in JobState if state.is_final) | {JobState.RENDERED}
"""States after which nothing more is drawn."""
SHOWN = frozenset({JobState.RENDERED, JobState.DELIVERED})
"""States in which there are pictures to show."""
Row = ui.ActionRow[Any]
Files = Mapping[int, Sequence[str]]
"""The names of the attachments to show, by their jobs' numbers, in the order of the images."""


def view(
    parts: Sequence[Job],
    files: Files,
    progress: Mapping[int, Progress],
    *,
    quoting: bool = True,
    sent_directly: Collection[int] = (),
) -> ui.LayoutView:
    """`parts`: those that stand in this message; `progress`: by their numbers, where it is known.

    Without `quoting` all is told without their prompts, which AutoMod may have refused. `sent_directly`: whose pictures
    went to their person.
    """
    to, numbers = language(parts[0].locale), _numbers(parts, files)
    lines = [
        _line(part, numbers[part.id], progress.get(part.id, Progress()), to, quoting=quoting)
        if part.id not in sent_directly
        else f"✉ {_prompt(part, quoting=quoting)} · {reasons.went_to_its_person(to)}"
        for part in parts
    ]
    container = ui.Container[ui.LayoutView](accent_colour=_colour(parts, files), id=mark_of(parts[0]))
    container.add_item(ui.TextDisplay(_header(parts, to)))
    if any(files.values()):
        container.add_item(_gallery(parts, files, quoting=quoting))
    container.add_item(ui.TextDisplay(cut("\n".join(lines), LINES_MAX)))
    for item in _below(parts, files, progress, to):
        container.add_item(item)
    made = ui.LayoutView(timeout=None)
    made.add_item(container)
    made.stop()  # its buttons are known by their ids: discord.py would remember each message for ever
    return made


def mark_of(job: Job) -> int:
    """As a single job's message has one; the same for all jobs of a request, which are admitted in one moment."""
    return MARKED | zlib.crc32(f"{job.interaction_id} {job.created_at!r}".encode()) & (MARKED - 1)


def is_of(message: discord.Message, job: Job) -> bool:
    """Whether this answer to the job's interaction is the one that gathers it."""
    first = next((int(getattr(component, "id", 0) or 0) for component in message.components), None)
    return first == mark_of(job)


def _numbers(parts: Sequence[Job], files: Files) -> dict[int, str]:
    """Which of the gallery's pictures are whose, counted from 1."""
    told: dict[int, str] = {}
    before = 0
    for part in parts:
        count = len(files.get(part.id, ()))
        told[part.id] = (
            "" if not count else f"{before + 1}" if count == 1 else f"{before + 1}–{before + count}"
        )
        before += count
    return told


def _colour(parts: Sequence[Job], files: Files) -> int:
    states = {part.state for part in parts}
    if not states <= OVER:
        return BLURPLE if JobState.RUNNING in states else GRAY
    if any(files.values()):
        return GREEN
    return GRAY if states == {JobState.CANCELLED} else RED


# ------------------------------------------------------------------ texts


def _header(parts: Sequence[Job], to: Language) -> str:
    images = sum(part.request.images for part in parts)
    told = (together.requests(len(parts), to), together.images(images, to))
    return " · ".join([f"<@{parts[0].user_id}>", *told])


def _prompt(part: Job, *, quoting: bool) -> str:
    return code(part.request.prompt, PROMPT_SHOWN) if quoting else f"{part.id}"


def _line(part: Job, numbers: str, progress: Progress, to: Language, *, quoting: bool) -> str:
    prompt, step = _prompt(part, quoting=quoting), progress.step
    match part.state:
        case JobState.ACCEPTED | JobState.QUEUED:
            return f"⏳ {prompt} · {texts.turn(progress, to)}"
        case JobState.RUNNING if step is not None:
            return f"🎨 {prompt} · `{bar(step.fraction, cells=CELLS)}` {texts.stage(step, to)}"
        case JobState.RUNNING:
            return f"🎨 {prompt} · {texts.starting(progress.elapsed_s, to)}"
        case JobState.FAILED:
            return cut(f"✘ {prompt} · {reasons.failed(_reason(part, to), part, to)}", LINE_MAX)
        case JobState.CANCELLED:
            return cut(f"✖ {prompt} · {reasons.cancelled(_reason(part, to), part, to)}", LINE_MAX)
        case JobState.RENDERED if part.is_in_review:
            return f"👁️ {prompt} · {texts.in_review(to)}"
        case JobState.RENDERED | JobState.DELIVERED:
            return cut("\n".join([_drawn(part, numbers, prompt, to), *_remarks(part, to)]), LINE_MAX)


def _drawn(part: Job, numbers: str, prompt: str, to: Language) -> str:
    if numbers:
        return f"✔ **{numbers}** {prompt}"
    return f"✔ {prompt}" if not part.shown_images else f"🗄️ {prompt} · {reasons.not_shown_here(part, to)}"


def _remarks(part: Job, to: Language) -> list[str]:
    withheld = request.withheld(part, to)
    return [*([f"-# 🚫 {withheld}"] if withheld else []), *(f"-# 💡 {plain(note)}" for note in part.notes)]


def _reason(part: Job, to: Language) -> str:
    return reasons.why(part.reason, to) if part.reason is not None else ""


# ------------------------------------------------------------------ pictures, and what stands below them


def _gallery(parts: Sequence[Job], files: Files, *, quoting: bool) -> ui.MediaGallery[ui.LayoutView]:
    return ui.MediaGallery[ui.LayoutView](
        *(
            discord.MediaGalleryItem(
                f"attachment://{name}",
                description=alt_text(part.request) if quoting else None,
                spoiler=is_covered,
            )
            for part in parts
            for name, is_covered in zip(files.get(part.id, ()), part.covered, strict=False)
        )
    )


def _below(
    parts: Sequence[Job], files: Files, progress: Mapping[int, Progress], to: Language
) -> list[ui.Item[ui.LayoutView]]:
    any_of_them = parts[0].id
    if any(part.state not in OVER for part in parts):
        hints = {texts.hint(progress[part.id], to) for part in parts if part.id in progress} - {""}
        cancel = Row(button(Verb.CANCEL_ALL, any_of_them, to=to))
        return [*(ui.TextDisplay(hint) for hint in sorted(hints)[:1]), cancel]
    drawn = [part for part in parts if files.get(part.id)]
    settings = request.shared_settings(drawn, to, shown=plain) if drawn else ""
    rest = (Verb.INFO_ALL, Verb.DELETE_ALL)
    return [
        *([ui.TextDisplay(f"-# {settings}")] if settings else []),
        *([Row(_menu_of(drawn, files, to))] if drawn else []),
        Row(*(button(verb, any_of_them, to=to) for verb in rest)),
    ]


def _menu_of(drawn: Sequence[Job], files: Files, to: Language) -> ui.Select[Any]:
    there = [
        (part, image)
        for part in drawn
        for image in [n for n, each in enumerate(part.images) if each.path is not None][: len(files[part.id])]
    ]
    options = {
        f"{part.id}:{image}": cut(f"{place} – {shown(part.request.prompt)}", LABEL_MAX)
        for place, (part, image) in enumerate(there, 1)
    }
    return menu(Verb.TAKE, drawn[0].id, None, options, labels.take_one(to))
