"""What a job's message looks like, in every state. Pure: a job and its progress in, a layout out."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Sequence
from typing import Any

import discord
from discord import ui

from bot.chat.ids import Verb, button
from bot.chat.look.safe import code, cut, plain, shown, utf16_length
from bot.core.asking.policy import credit
from bot.core.ports import Progress
from bot.core.words import why
from bot.job import Job, JobState
from engine.contract import GenerationRequest, Stepped, misread, parse_loras

GRAY, BLURPLE, GREEN, RED = 0x80848E, 0x5865F2, 0x23A55A, 0xF23F43
PROMPT_SHOWN = 1000
ALT_TEXT_MAX = 1024
REASON_MAX = 1000
BAR_CELLS = 16
OVERTAKEN = "-# ⏸ Somebody's shorter request is drawn first; then this one goes on where it is."
PREVIEW = "preview.jpg"
"""The attachment that shows how far a picture has come; finished ones have names of their own."""


def live_view(job: Job, progress: Progress) -> ui.LayoutView:
    """A waiting or running job: place in line or progress with the newest preview, and a way to cancel."""
    running = job.state is JobState.RUNNING
    status = running_line(progress) if running else waiting_line(progress)
    cancel = ui.ActionRow[Any](button(Verb.CANCEL, job.id))
    shown = None if progress.preview is None else _gallery([PREVIEW], preview_alt_text(job.request))
    return _layout(job, BLURPLE if running else GRAY, [header(job), status], rows=[cancel], gallery=shown)


def final_view(job: Job, files: Sequence[str], *, quoting: bool = True) -> ui.LayoutView:
    """A job that has ended; `files` are the names of the attachments to show, in the order of the images.

    Without `quoting` a failed or cancelled one is told without its prompt, which AutoMod may have refused.
    """
    head = header(job) if quoting else f"<@{job.user_id}>"
    match job.state:
        case JobState.FAILED:
            kept = " The images wait for you in `/history`." if job.shown_images else ""
            texts = [head, f"✘ {_reason(job)} Nothing was charged.{kept}"]
            return _layout(job, RED, texts, rows=[_row(job, Verb.REROLL, Verb.DELETE)])
        case JobState.CANCELLED:
            charge = f" It cost {credit(job.charged)} for the part already done." if job.charged else ""
            texts = [head, f"✖ {_reason(job)}{charge}"]
            return _layout(job, GRAY, texts, rows=[_row(job, Verb.REROLL, Verb.DELETE)])
        case _:
            buttons = _row(job, *_again(job), Verb.INFO, Verb.DELETE)
            texts = [header(job), *outcome_lines(job)]
            return _layout(job, GREEN if files else RED, texts, rows=[buttons], gallery=gallery(job, files))


def direct_view(job: Job, files: Sequence[str], why: str) -> ui.LayoutView:
    """The finished images in a direct message, since their channel takes nothing; no buttons, which need a server."""
    texts = [f"{header(job)} in <#{job.channel_id}>", f"✉ {why} So here it is.", *outcome_lines(job)]
    return _layout(job, GREEN, texts, gallery=gallery(job, files))


def fetched_view(job: Job, files: Sequence[str]) -> ui.LayoutView:
    """Images that could not be posted, for their person's eyes."""
    return _layout(job, GREEN, [header(job), *outcome_lines(job)], gallery=gallery(job, files))


def sent_directly_view(job: Job) -> ui.LayoutView:
    """What stays in a channel that takes no images any more."""
    texts = [header(job), "✉ I may not post images here any more: they went to a direct message."]
    return _layout(job, GRAY, [*texts, settings_line(job)], rows=[_row(job, *_again(job), Verb.INFO)])


def _layout(
    job: Job,
    colour: int,
    texts: Sequence[str],
    *,
    rows: Sequence[ui.ActionRow[Any]] = (),
    gallery: ui.MediaGallery[ui.LayoutView] | None = None,
) -> ui.LayoutView:
    view = ui.LayoutView(timeout=None)
    container = ui.Container[ui.LayoutView](accent_colour=colour, id=mark_of(job))
    first, *rest = texts
    container.add_item(ui.TextDisplay(first))
    if gallery is not None:
        container.add_item(gallery)
    for text in rest:
        container.add_item(ui.TextDisplay(text))
    for row in rows:
        container.add_item(row)
    view.add_item(container)
    view.stop()  # its buttons are known by their ids: discord.py would remember each message for ever
    return view


def _reason(job: Job) -> str:
    return cut(why(job.reason), REASON_MAX) if job.reason is not None else ""


def _row(job: Job, *verbs: Verb) -> ui.ActionRow[Any]:
    return ui.ActionRow[Any](*(button(verb, job.id) for verb in verbs))


def _again(job: Job) -> tuple[Verb, ...]:
    """What makes another picture, where it would be another one."""
    return () if job.request.is_seedless else (Verb.REROLL,)


# ------------------------------------------------------------------ whose it is

_MARKED = 1 << 30
"""Discord numbers components from 1 on, those of a message at most 40."""


def mark_of(job: Job) -> int:
    """The number of its message's first component, which nobody sees: tells it from another bot's with our token.

    That one has an interaction, its token and maybe a job's number in common with us, but not the moment of admission.
    """
    return _MARKED | zlib.crc32(f"{job.id} {job.created_at!r}".encode()) & (_MARKED - 1)


def is_of(message: discord.Message, job: Job) -> bool:
    """Whether this answer to the job's interaction is the job's; those of earlier versions carry no mark."""
    first = next((int(getattr(component, "id", 0) or 0) for component in message.components), None)
    return first is not None and (first < _MARKED or first == mark_of(job))


# ------------------------------------------------------------------ texts


def header(job: Job) -> str:
    """Who asked for what."""
    return f"<@{job.user_id}> {code(job.request.prompt, PROMPT_SHOWN)}"


def waiting_line(progress: Progress) -> str:
    match progress.place:
        case None:
            place = "In line"
        case 1:
            place = "Next in line"
        case number:
            place = f"{ordinal(number)} in line"
    eta = f" · done in about {duration(progress.eta_s)}" if progress.eta_s is not None else ""
    return "\n".join(filter(None, [f"⏳ {place}{eta}", progress.hint]))


def running_line(progress: Progress) -> str:
    step = progress.step
    if step is None:
        return f"🎨 Starting … {progress.elapsed_s:.0f} s"
    left = f" · about {duration(progress.eta_s)} left" if progress.eta_s else ""
    line = f"`{bar(step.fraction)}` {stage_words(step)} · {progress.elapsed_s:.1f} s{left}"
    return f"{line}\n{OVERTAKEN}" if progress.is_overtaken else line


def stage_words(step: Stepped) -> str:
    match step.stage:
        case "waiting":
            return "waiting for its turn in the engine"
        case "loading":
            return "loading its model"
        case "encoding":
            return "reading the prompt"
        case "denoising":
            return f"step {step.step} of {step.steps}"
        case "decoding" | "saving":
            return "decoding"


def outcome_lines(job: Job) -> list[str]:
    withheld = sum(image.flagged for image in job.images)
    lines = [settings_line(job)]
    if withheld:
        what = "The image was" if len(job.images) == 1 else f"{withheld} of {len(job.images)} images were"
        lines.append(f"🚫 {what} withheld by the model's safety checker and not charged.")
    lines += [f"ℹ️ {plain(note)[:500]}" for note in job.notes]
    return lines


def settings_line(job: Job) -> str:
    request = job.request
    seeds = f"seed `{request.seed}`" + (
        f" … `{request.seed_of(request.images - 1)}`" if request.images > 1 else ""
    )
    seconds = f"{job.render_seconds:.1f} s" if job.render_seconds is not None else ""
    size = request.size.replace("x", "×")
    drawing = [seeds, size, f"{request.steps} steps", f"guidance {request.guidance_scale:g}", request.sampler]
    parts = [
        *([size] if request.is_seedless else drawing),
        start_words(request),
        plain(lora_words(request)),
        plain(request.model),
        seconds,
    ]
    return "-# " + " · ".join(part for part in parts if part)


def start_words(request: GenerationRequest) -> str:
    """What a picture was made from besides words; empty where nothing."""
    if request.strength is None:
        return ""
    if request.upscale > 1:
        how = (
            " with Lanczos"
            if request.is_plain
            else ""
            if request.is_seedless
            else f" at {request.strength:g}"
        )
        return f"upscaled {request.upscale}×{how}"
    return f"{'within a mask of' if request.mask else 'from'} an image at {request.strength:g}"


def lora_words(request: GenerationRequest) -> str:
    """As the option takes them; empty where there are none."""
    return ", ".join(map(str, request.loras))


def command_for(request: GenerationRequest) -> str:
    """The request as a slash command that can be copied; exact where `uncopied` says nothing else.

    Files can't be copied with it: they have to be attached again.
    """
    return "/imagine " + " ".join(
        f"{name}:{value if _survives(value) else shown(value)}"
        for name, value in _options(request).items()
        if value or name == "prompt"
    )


def _options(request: GenerationRequest) -> dict[str, str]:
    """The options of /imagine for this request, "" where one is left out."""
    drawing = {
        "negative_prompt": request.negative_prompt,
        "size": request.size if request.upscale == 1 else "",
        "steps": str(request.steps),
        "guidance": _number(request.guidance_scale),
        "seed": str(request.seed),
        "sampler": request.sampler,
        "images": str(request.images) if request.images > 1 else "",
    }
    return {
        "prompt": request.prompt,
        **({} if request.is_seedless else drawing),
        **({"sampler": request.sampler} if request.is_plain else {}),
        "model": request.model,
        "lora": lora_words(request),
        "strength": "" if request.strength is None or request.is_seedless else _number(request.strength),
        "upscale": str(request.upscale) if request.upscale > 1 else "",
    }


def _number(value: float) -> str:
    """As short as it can be without being another one."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


OPTION_MAX = 4000
"""UTF-16 units that Discord takes in one option."""
_OPTION = re.compile(
    r"(?:^|\s)(?:prompt|negative_prompt|image|mask|strength|upscale|aspect|size|steps|guidance|seed|sampler|images|model"
    r"|lora):"
)
"""What begins the next option where a command is pasted."""


def _survives(value: str) -> bool:
    """Whether Discord's form holds this text after a person has copied and pasted it: it has one line, and trims it."""
    kinds = set(map(unicodedata.category, value))
    one_line = not kinds & {"Cc", "Cs", "Zl", "Zp"}
    return (
        one_line
        and value == value.strip()
        and not _OPTION.search(value)
        and utf16_length(value) <= OPTION_MAX
    )


def uncopied(request: GenerationRequest) -> str:
    """Why the command would draw another picture after it was copied, as the rest of a sentence; "" where it would not."""
    options = _options(request)
    lost = [name for name, value in options.items() if not _survives(value)]
    if lost:
        return f"Discord's form can't hold every character of its {lost[0].replace('_', ' ')}"
    if not request.prompt:
        return "Discord's form wants a prompt, and it has none"
    if misreading := misread(request.prompt, request.negative_prompt):
        return misreading
    if not request.is_seedless and any(parse_loras(str(lora)) != (lora,) for lora in request.loras):
        return "the weight of a LoRA has more digits than the option takes"
    return ""


# ------------------------------------------------------------------ pictures


def gallery(job: Job, files: Sequence[str]) -> ui.MediaGallery[ui.LayoutView] | None:
    return _gallery(files, alt_text(job.request)) if files else None


def _gallery(files: Sequence[str], alt: str) -> ui.MediaGallery[ui.LayoutView]:
    items = [discord.MediaGalleryItem(f"attachment://{name}", description=alt) for name in files]
    return ui.MediaGallery[ui.LayoutView](*items)


def alt_text(request: GenerationRequest) -> str:
    return cut(shown(request.prompt), ALT_TEXT_MAX)


def preview_alt_text(request: GenerationRequest) -> str:
    return cut(f"Unfinished: {shown(request.prompt)}", ALT_TEXT_MAX)


# ------------------------------------------------------------------ words made safe


def bar(fraction: float) -> str:
    full = min(BAR_CELLS, max(0, round(fraction * BAR_CELLS)))
    return "█" * full + "░" * (BAR_CELLS - full)


def ordinal(number: int) -> str:
    suffix = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{round(minutes / 60)} h"
