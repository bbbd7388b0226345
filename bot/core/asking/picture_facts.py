"""What a posted picture tells of how it was made: plain facts, and the wish that they come to here. Pure; knows no Discord.

Strangers write these files: `read` looks at texts alone and decodes no pixel, its time and memory have the bounds of
`engine.pictures.metadata`, and every fact is cut to a length.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from bot.core.asking.refused import Unmet
from bot.core.asking.wish import Wish, resolve
from engine.contract import (
    PROMPT_CHARS_MAX,
    GenerationRequest,
    InvalidRequest,
    Lora,
    ModelInfo,
    from_prompt,
)
from engine.contract.foreign_samplers import known_as
from engine.contract.loras import LORAS_MAX, is_name, without_tags
from engine.pictures import metadata
from engine.pictures.metadata import PictureInfo

TEXT_CHARS_MAX = 20_000
"""Of a prompt."""
NAME_CHARS_MAX = 100
"""Of a name, and of a setting that is told in passing."""
RAW_CHARS_MAX = 250_000
"""Of all texts together: at most 1 MB once encoded, of which several fit into one message."""
OTHERS_MAX = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFacts:
    """None and empty where the file does not tell."""

    program: str
    """What made it."""
    prompt: str
    negative_prompt: str
    size: tuple[int, int] | None
    """(width, height) as drawn, before it was enlarged if it was."""
    steps: int | None
    guidance: float | None
    guidance_until: float | None
    """Share of the steps after which it is left out."""
    seed: int | None
    sampler: str
    schedule: str
    """What some programs keep beside the sampler, such as "Karras"."""
    model: str
    loras: tuple[Lora, ...]
    """By the program's own names, beside those that are tags in the prompt."""
    others: tuple[tuple[str, str], ...]
    """Settings that none of these fields is for."""
    has_start: bool
    """Whether it was made from an image, which its file does not hold."""
    is_tiled: bool
    """Whether its edges meet."""
    raw: str
    """All that stands in the file."""
    is_whole: bool
    """False where it holds more than is read of a picture."""

    @property
    def is_told(self) -> bool:
        """Whether the file tells anything of how the picture was made."""
        return bool(self.program or self.prompt or self.negative_prompt or self.is_drawable)

    @property
    def is_drawable(self) -> bool:
        """Whether it tells settings, and not only who made it."""
        return bool(self.prompt or self.seed is not None or self.steps is not None or self.sampler)


def read(data: bytes) -> PictureFacts | None:
    """The facts in a picture's file, None where it holds no text. Raises OSError where it is no picture."""
    info = metadata.read(data, hidden=False)
    return None if info is None else facts_of(info)


def facts_of(info: PictureInfo) -> PictureFacts:
    raw = "\n\n".join(f"{key}: {text}" for key, text in info.texts.items())
    whole, kept = info.is_whole and len(raw) <= RAW_CHARS_MAX, _clean(raw, RAW_CHARS_MAX)
    if info.request is not None:
        return replace(_of_request(info.request, info.version), raw=kept, is_whole=whole)
    told = {key: _clean(value, NAME_CHARS_MAX) for key, value in info.fields.items()}
    sampler, schedule = _sampling(told)
    return PictureFacts(
        program=_clean(info.program, NAME_CHARS_MAX),
        prompt=_clean(info.prompt, TEXT_CHARS_MAX),
        negative_prompt=_clean(info.negative_prompt, TEXT_CHARS_MAX),
        size=_size(told),
        steps=_whole(told.get("Steps")),
        guidance=_guidance(told),
        guidance_until=None,
        seed=_whole(told.get("Seed")),
        sampler=sampler,
        schedule=schedule,
        model=told.get("Model", ""),
        loras=tuple(replace(lora, name=_clean(lora.name, NAME_CHARS_MAX)) for lora in info.loras),
        others=tuple(item for item in told.items() if item[0] not in _READ)[:OTHERS_MAX],
        has_start=False,
        is_tiled=told.get("Tiling", "").casefold() == "true",
        raw=kept,
        is_whole=whole,
    )


def _of_request(request: GenerationRequest, version: str) -> PictureFacts:
    """Of our own chunk, which tells everything."""
    is_drawn = not request.is_seedless
    return PictureFacts(
        program=f"Easel {_clean(version, NAME_CHARS_MAX)}",
        prompt=request.prompt,
        negative_prompt=request.negative_prompt if is_drawn else "",
        size=(request.width, request.height),
        steps=request.steps if is_drawn else None,
        guidance=request.guidance_scale if is_drawn else None,
        guidance_until=request.guidance_until if is_drawn and request.guidance_until < 1 else None,
        seed=request.seed if is_drawn else None,
        sampler=request.sampler,
        schedule=request.schedule,
        model=request.model,
        loras=request.loras,
        others=(),
        has_start=bool(request.inputs),
        is_tiled=request.tile and is_drawn,
        raw="",
        is_whole=True,
    )


_READ = {
    *(
        "Steps",
        "Seed",
        "Sampler",
        "Scheduler",
        "Schedule type",
        "CFG scale",
        "Distilled CFG Scale",
        "guidance",
    ),
    *("Model", "Size", "Size-1", "Size-2", "LoRA", "Lora weights", "Tiling"),
}


def _size(told: Mapping[str, str]) -> tuple[int, int] | None:
    text = told.get("Size", f"{told.get('Size-1', '')}x{told.get('Size-2', '')}")
    match = re.search(r"(\d{1,5})\D{1,5}(\d{1,5})", text, re.ASCII)
    return None if match is None else (int(match[1]), int(match[2]))


def _sampling(told: Mapping[str, str]) -> tuple[str, str]:
    """(sampler, schedule); what InvokeAI calls a scheduler is its sampler."""
    schedule = told.get("Schedule type") or told.get("Scheduler") or told.get("noise_schedule", "")
    return (told["Sampler"], schedule) if "Sampler" in told else (schedule, "")


def _guidance(told: Mapping[str, str]) -> float | None:
    """Models that were taught to be guided are told how far beside a classifier-free scale of 1."""
    free = _number(told.get("CFG scale"))
    taught = _number(told.get("Distilled CFG Scale", told.get("guidance")))
    return taught if taught is not None and free in {None, 1.0} else free


def _number(text: str | None) -> float | None:
    return (
        float(text) if text is not None and re.fullmatch(r"\d{1,9}(?:\.\d{1,20})?", text, re.ASCII) else None
    )


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"\d{1,20}", text, re.ASCII) else None


def _clean(text: str, most: int) -> str:
    """What can be stored and sent: neither halves of characters nor controls, save for line ends and tabs."""
    paired = text[:most].encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return "".join(char for char in paired if unicodedata.category(char) != "Cc" or char in "\n\t").strip()


# ------------------------------------------------------------------ the wish


class Part(StrEnum):
    """What may not be taken over."""

    PROMPT = "prompt"
    NEGATIVE_PROMPT = "negative_prompt"
    IMAGE = "image"
    MODEL = "model"
    SIZE = "size"
    SAMPLER = "sampler"
    SCHEDULE = "schedule"
    STEPS = "steps"
    GUIDANCE = "guidance"
    GUIDANCE_UNTIL = "guidance_until"
    SEED = "seed"
    TILE = "tile"
    LORA = "lora"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Part of the settings, as the picture tells it, that there is none of here."""

    part: Part
    value: str = ""
    """Empty where the part says it all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The settings of a picture, as far as they can be drawn with here."""

    wish: Wish
    model: ModelInfo
    """The one that draws it."""
    left_out: tuple[LeftOut, ...]


def wish_of(facts: PictureFacts, models: Sequence[ModelInfo]) -> Taken:
    """What to ask for, by the models that are offered, of which the first is used where the picture's own is unknown.

    Whatever this model would refuse is left out, one by one: so what is left is drawn, but for the limits of its person.
    """
    own = _offered(facts.model, models)
    model = models[0] if own is None else own
    text, loras = _untagged(facts)
    wish = Wish(prompt=text[:PROMPT_CHARS_MAX], model=None if own is None else own.id)
    left_out = [*_lost(facts, text, own)]
    for part, value, changes in _options(facts):
        if _is_drawable(changed := replace(wish, **changes), model):
            wish = changed
        else:
            left_out.append(LeftOut(part=part, value=value))
    for lora in loras:
        told = f"{wish.lora}, {lora}" if wish.lora else str(lora)
        if is_name(lora.name) and _is_drawable(changed := replace(wish, lora=told), model):
            wish = changed
        else:
            left_out.append(LeftOut(part=Part.LORA, value=lora.name))
    if facts.size is not None and wish.size is None and min(facts.size) > 0:  # the shape at least
        width, height = model.size_like(*facts.size)
        wish = replace(wish, size=f"{width}x{height}")
    return Taken(wish=wish, model=model, left_out=tuple(left_out))


def _lost(facts: PictureFacts, text: str, own: ModelInfo | None) -> Iterator[LeftOut]:
    """What is left out whatever the model."""
    if len(text) > PROMPT_CHARS_MAX:
        yield LeftOut(part=Part.PROMPT)
    if facts.has_start:
        yield LeftOut(part=Part.IMAGE)
    if facts.model and own is None:
        yield LeftOut(part=Part.MODEL, value=facts.model)
    if facts.sampler:
        known = known_as(facts.sampler, facts.schedule)
        if known is None:
            yield LeftOut(part=Part.SAMPLER, value=facts.sampler)
        elif known.schedule is None:
            yield LeftOut(part=Part.SCHEDULE, value=facts.schedule or facts.sampler)


def _options(facts: PictureFacts) -> Iterator[tuple[Part, str, dict[str, Any]]]:
    """(part, as it is told, what it makes of a wish), the sampler before the steps, of which each takes so many."""
    known = known_as(facts.sampler, facts.schedule)
    if facts.size is not None:
        size = "x".join(map(str, facts.size))
        yield Part.SIZE, size, {"size": size}
    if known is not None:
        yield Part.SAMPLER, facts.sampler, {"sampler": known.sampler}
    for part, value in (
        (Part.STEPS, facts.steps),
        (Part.GUIDANCE, facts.guidance),
        (Part.GUIDANCE_UNTIL, facts.guidance_until),
        (Part.SEED, facts.seed),
    ):
        if value is not None:
            yield part, f"{value:g}" if isinstance(value, float) else str(value), {str(part): value}
    if known is not None and known.schedule:
        yield Part.SCHEDULE, facts.schedule, {"schedule": known.schedule}
    if facts.is_tiled:
        yield Part.TILE, "", {"tile": True}
    if facts.negative_prompt:
        yield Part.NEGATIVE_PROMPT, "", {"negative_prompt": without_tags(facts.negative_prompt)}


def _is_drawable(wish: Wish, model: ModelInfo) -> bool:
    """Whatever the prompt is, which its person may still write."""
    try:
        resolve(replace(wish, prompt="x"), model, seed=0)
    except (InvalidRequest, Unmet):
        return False
    return True


def _untagged(facts: PictureFacts) -> tuple[str, tuple[Lora, ...]]:
    """The prompt, and the LoRAs in it and beside it, by the names of their files."""
    try:
        text, tagged = from_prompt(facts.prompt)
    except InvalidRequest:
        text, tagged = without_tags(facts.prompt), ()
    found = {lora.name: lora for lora in (*tagged, *(replace(x, name=_stem(x.name)) for x in facts.loras))}
    return text, tuple(found.values())[: 2 * LORAS_MAX]


def _offered(name: str, models: Sequence[ModelInfo]) -> ModelInfo | None:
    """The model of that name, whatever folder, ending or digest the program told with it; none that only enlarges."""
    wanted = {name.casefold(), _stem(name).casefold()} - {""}
    for model in models:
        known = {told.casefold() for told in (model.id, model.title, _stem(model.id), _stem(model.title))}
        if model.scale == 1 and not model.needs_mask and known & wanted:
            return model
    return None


_ENDING = re.compile(r"\.(?:safetensors|ckpt|pt|pth|bin|gguf)$", re.IGNORECASE)


def _stem(name: str) -> str:
    """The name of a file without its folder, ending and digest."""
    bare = re.sub(r"\s*\[[0-9a-f]{6,64}\]$", "", name.strip(), flags=re.IGNORECASE)
    return _ENDING.sub("", re.split(r"[/\\]", bare)[-1])
