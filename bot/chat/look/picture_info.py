"""What 📋 Info tells about a job: everything, and the command that draws it again. Pure."""

from __future__ import annotations

import re
import unicodedata

from bot.chat.look.safe import cut, plain, shown, utf16_length
from bot.core.asking import asked, wildcards
from bot.core.asking.derived import is_drawn_otherwise
from bot.core.asking.request_facts import RequestFacts
from bot.job import Job
from bot.texts import request as texts
from bot.texts.language import Language
from bot.texts.request import (
    CharactersLost,
    ImagesEdited,
    Misread,
    PromptMissing,
    Uncopied,
    WeightTooLong,
)
from engine.contract import GenerationRequest, misread, parse_loras

INLINE_MAX = 1000
"""Longer commands travel as a text file: a message without a layout holds 2,000 characters."""


def describe(job: Job, to: Language, *, first: Job | None = None) -> tuple[str, str]:
    """(text for people, command to copy). `first`: the job that it came from."""
    problem = uncopied(job.request)
    lines = [
        texts.asked(job, to),
        *([] if problem is None else [texts.uncopied(problem, to)]),
        texts.settings(job, to, shown=plain),
        texts.seeds(job, to),
        texts.number(job, to),
        *([texts.parent(job, to)] if job.parent_id else []),
        *([texts.drawn_otherwise(to)] if first is not None and is_drawn_otherwise(job, first) else []),
        *texts.files_to_attach(RequestFacts.of(job.request), to),
        *(plain(cut(note, 200)) for note in job.notes),
    ]
    return cut("\n".join(lines), 950), command_for(job.request)


# ------------------------------------------------------------------ the command


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
    facts = RequestFacts.of(request)
    return {
        "prompt": asked.literal(facts.prompt) + " --tile" * facts.is_tiled,
        "negative_prompt": wildcards.literal(facts.negative_prompt),
        "size": facts.size if facts.upscale is None else "",
        "steps": _number(facts.steps),
        "guidance": _number(facts.guidance),
        "seed": "" if facts.seed is None else str(facts.seed),
        "sampler": facts.sampler or "",
        "schedule": facts.schedule,
        "guidance_until": _number(facts.guidance_until),
        "images": str(facts.images) if facts.images > 1 else "",
        "model": facts.model,
        "lora": facts.loras,
        "strength": _number(facts.strength),
        "upscale": _number(facts.upscale),
    }


def _number(value: float | None) -> str:
    """As short as it can be without being another one."""
    if value is None:
        return ""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


OPTION_MAX = 4000
"""UTF-16 units that Discord takes in one option."""
_OPTION = re.compile(
    r"(?:^|\s)(?:prompt|negative_prompt|image|mask|strength|upscale|aspect|size|steps|guidance|seed|sampler|schedule|guidance_until|images|model"
    r"|lora|embedding|style|quality|tile):"
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


def uncopied(request: GenerationRequest) -> Uncopied | None:
    """Why the command would draw another picture after it was copied; None where it would not."""
    if request.references:
        return ImagesEdited()
    if request.tile and request.prompt != request.prompt.strip():  # a flag has no spaces around it
        return CharactersLost(option="prompt")
    lost = [name for name, value in _options(request).items() if not _survives(value)]
    if lost:
        return CharactersLost(option=lost[0])
    if not request.prompt:
        return PromptMissing()
    if how := misread(request.prompt, request.negative_prompt):
        return Misread(how=how)
    if not request.is_seedless and any(parse_loras(str(lora)) != (lora,) for lora in request.loras):
        return WeightTooLong()
    return None
