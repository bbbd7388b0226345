"""LoRA files as people ask for them: `name:weight`, in an option or as a tag in the prompt; knows no file and no model."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from engine.contract.limits import choice_of
from engine.errors import InvalidRequest

LORAS_MAX = 4
"""In one request."""
WEIGHT_MIN, WEIGHT_MAX = -2.0, 2.0
NAME_CHARS_MAX = 80
_DIGITS = 3
"""Of a weight, after the point."""
_TAG = re.compile(r"<(?P<kind>lora|lyco|hypernet):(?P<told>[^<>]*)>", re.IGNORECASE)
_BARE_TAG = r"<(?:lora|lyco|hypernet):[^<>]*>"
_SPACED_TAG = re.compile(rf"[ \t]*{_BARE_TAG}(?=[\s,.;]|$)|{_BARE_TAG}", re.IGNORECASE)
"""With the space before it, unless that parts two words."""
_UNKNOWN_KINDS = {"lyco": "LyCORIS files", "hypernet": "hypernetworks"}
_PARTS = {"te", "unet"}
"""What a tag may give weights of their own."""
_SHOWN_CHARS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """One LoRA file of a request, by its name without the ending, and how much of it is added: 0 is none."""

    name: str
    weight: float = 1.0

    def __str__(self) -> str:
        return f"{self.name}:{self.weight:g}"

    @property
    def tag(self) -> str:
        """As AUTOMATIC1111 writes it into a prompt."""
        return f"<lora:{self}>"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        return cls(name=values["name"], weight=values["weight"])


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterInfo:
    """A LoRA or embedding file that lies beside a model, as far as its header and its neighbours tell."""

    name: str
    words: tuple[str, ...] = ()
    """Trigger words: what to write in a prompt so that it shows."""
    description: str = ""
    preview: str = ""
    """Path of a picture beside it, which nobody has looked into; empty where there is none."""
    problem: str = ""
    """Why it can't be used with this model, as what follows a colon in a sentence; empty where it can."""


def parse(text: str) -> tuple[Lora, ...]:
    """The LoRAs of "detail:0.8, pixel"; a weight left out is 1. Raises InvalidRequest."""
    return tuple(_parse_one(part) for part in text.split(",") if part.strip())


def from_prompt(prompt: str) -> tuple[str, tuple[Lora, ...]]:
    """The prompt without its tags `<lora:name:weight>`, and what they name. Raises InvalidRequest.

    Of a tag that says more than one weight the first number counts; those of other kinds are taken out as well.
    """
    tags = [*_TAG.finditer(prompt)]
    found = tuple(_parse_one(_shortened(tag["told"])) for tag in tags if tag["kind"].lower() == "lora")
    return (_SPACED_TAG.sub("", prompt).strip(), found) if tags else (prompt, ())


def remarks(prompt: str, negative_prompt: str = "") -> tuple[str, ...]:
    """Sentences about tags that can't be heeded as they were typed. Raises InvalidRequest as `from_prompt` does."""
    told: list[str] = []
    for tag in _TAG.finditer(prompt):
        shown = f"“{_short(tag[0])}”"
        if (kind := _UNKNOWN_KINDS.get(tag["kind"].lower())) is not None:
            told.append(f"{shown} was left out: {kind} are not known here.")
        elif (short := _shortened(tag["told"])) != tag["told"]:
            told.append(f"{shown} counts as {_parse_one(short)}: more than one weight is not known here.")
    told += [
        f"“{_short(tag[0])}” was left out of the negative prompt: such tags belong in the prompt."
        for tag in _TAG.finditer(negative_prompt)
    ]
    return tuple(dict.fromkeys(told))


def without_tags(text: str) -> str:
    return _SPACED_TAG.sub("", text).strip() if _TAG.search(text) else text


def misread(prompt: str, negative_prompt: str) -> str:
    """Why these texts would not be drawn as they are were they asked for again, as a sentence's end; "" where they would."""
    if _TAG.search(prompt):
        return "its prompt would be read as one with the tag of a LoRA"
    if without_tags(negative_prompt) != negative_prompt:
        return "its negative prompt would be read as one with a tag"
    return ""


def _shortened(told: str) -> str:
    """What a tag tells, as name:weight where it tells more: `x:0.8:0.5`, `x:te=0.8:unet=0.5`, `x:1:lbw=MIDD`."""
    name, *arguments = told.split(":")
    if len(arguments) < 2 and not any("=" in argument for argument in arguments):
        return told
    weights = (argument.partition("=") for argument in arguments)
    numbers = (
        value if sign else key for key, sign, value in weights if not sign or key.strip().lower() in _PARTS
    )
    first = next((number for number in numbers if _is_number(number)), None)
    return name if first is None else f"{name}:{first}"


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 1]}…"


def _parse_one(text: str) -> Lora:
    name, colon, weight = (part.strip() for part in text.partition(":"))
    if not name:
        raise InvalidRequest("A LoRA is asked for as name:weight, such as detail:0.8.")
    try:
        number = float(weight) if colon else 1.0
    except ValueError:
        raise InvalidRequest(
            "“{weight}” is no weight: a LoRA is asked for as name:weight, such as {name}:0.8.",
            weight=weight[:20],
            name=name[:40],
        ) from None
    return Lora(name=name, weight=round(number, _DIGITS))


def check(loras: Sequence[Lora]) -> None:
    """What holds whatever the model. Raises InvalidRequest."""
    if len(loras) > LORAS_MAX:
        raise InvalidRequest(
            "One request takes at most {most} LoRAs, not {given}.", most=LORAS_MAX, given=len(loras)
        )
    names = [lora.name for lora in loras]
    for lora in loras:
        if not is_name(lora.name):
            raise InvalidRequest("“{name}” can't be the name of a LoRA.", name=lora.name[:40])
        if not (math.isfinite(lora.weight) and WEIGHT_MIN <= lora.weight <= WEIGHT_MAX):
            raise InvalidRequest(
                "The weight of a LoRA goes from {least} to {most}, not {given}.",
                least=f"{WEIGHT_MIN:g}",
                most=f"{WEIGHT_MAX:g}",
                given=f"{lora.weight:g}",
            )
        if names.count(lora.name) > 1:
            raise InvalidRequest(
                "The LoRA “{name}” is named twice: name it once, with one weight.", name=lora.name
            )


def is_name(name: str) -> bool:
    """Whether a request can name it: nothing in it means something else there, or is unseen."""
    return (
        0 < len(name) <= NAME_CHARS_MAX
        and name.isprintable()
        and name == name.strip()
        and not set(name) & set(",:<>/\\")
    )


def spelled(loras: Iterable[Lora], offered: Sequence[AdapterInfo]) -> tuple[Lora, ...]:
    """Each with the file's own spelling, whatever the capitals; unknown names stay, and are refused by `check_offered`."""
    names = {info.name.casefold(): info.name for info in offered}
    names |= {info.name: info.name for info in offered}
    return tuple(
        Lora(
            name=names.get(lora.name, names.get(lora.name.casefold(), lora.name)),
            weight=lora.weight,
        )
        for lora in loras
    )


def check_offered(loras: Sequence[Lora], offered: Sequence[AdapterInfo], *, title: str) -> None:
    """Raises InvalidRequest where the model with this title can't be drawn with one of them."""
    known = {info.name: info for info in offered}
    fitting = [info.name for info in offered if not info.problem]
    for lora in loras:
        found = known.get(lora.name)
        if found is not None and found.problem:
            raise InvalidRequest(
                "The LoRA “{name}” can't be used with {model}: {problem}.",
                name=lora.name,
                model=title,
                problem=found.problem,
            )
        if found is None:
            raise _unknown(lora.name, fitting, title)


def _unknown(name: str, fitting: Sequence[str], title: str) -> InvalidRequest:
    if not fitting:
        return InvalidRequest(
            "There is no LoRA for {model} here: leave out “{name}”.", model=title, name=name[:40]
        )
    return InvalidRequest(
        "There is no LoRA “{name}” for {model} here: use {offered}.",
        name=name[:40],
        model=title,
        offered=choice_of(name, fitting),
    )
