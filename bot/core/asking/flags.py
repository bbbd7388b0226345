"""Flags inside a prompt, such as `--ar 3:2 --no text`, by the names that people know elsewhere. Pure; knows no model.

A flag begins a word: `--`, or what a phone makes of it (`—`, `––`, `–`). Numbers and shapes take the next word; names
(`--model`, `--style`, `--sampler`, `--lora`, `--embedding`) and `--no` take everything up to the next flag, a name in quotation marks
only those. `\\--word` is drawn as a word. A dash of prose, as in `a cat — no dog`, begins a flag only where that has a
value which fits.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto

from bot.core.asking.refused import (
    Contradiction,
    FlagOutOfForm,
    FlagWithoutValue,
    HalfASize,
    UnknownFlag,
    Unmet,
)
from bot.core.asking.wish import Quality, Wish
from engine.contract import GUIDANCE_MAX, GUIDANCE_MIN, IMAGES_MAX, SEEDS, SIDE_MAX, SIDE_MIN, UPSCALE_MAX

Value = str | int | float | bool
TYPED_SHOWN = 60
"""Characters of what was typed, in a sentence."""
REPEAT_MAX = 1_000_000
"""Far above what anybody may have: that is told with the number it would make."""


class Takes(Enum):
    NOTHING = auto()
    WORD = auto()
    NAME = auto()
    """Everything up to the next flag, or what stands in quotation marks."""
    REST = auto()
    """Everything up to the next flag."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    names: tuple[str, ...]
    """The first one is shown; without dashes, which count for nothing inside."""
    option: str
    """The field of a wish that it fills, or one of `width`, `height` and `repeat`."""
    read: Callable[[str], Value | None]
    """None where a text is not of its form."""
    example: str = ""
    takes: Takes = Takes.WORD
    least: float | None = None
    most: float | None = None

    @property
    def shown(self) -> str:
        return f"--{self.names[0]}"

    @property
    def example_shown(self) -> str:
        return f"{self.shown} {self.example}"

    def value(self, text: str) -> Value | None:
        """None where the text is not of its form, or beyond its bounds."""
        value = self.read(text)
        if isinstance(value, int | float) and self.least is not None and self.most is not None:
            return value if self.least <= value <= self.most else None
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    value: Value
    typed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Flagged:
    """A prompt without its flags, and what those said, by option."""

    prompt: str
    given: Mapping[str, Given]


# ------------------------------------------------------------------ what there is


def _text(text: str) -> str | None:
    return text or None


def _whole(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[+-]?[0-9]{1,12}", text) else None


def _number(text: str) -> float | None:
    is_one = re.fullmatch(r"[0-9]{1,9}(?:[.,][0-9]{0,9})?|[.,][0-9]{1,9}", text)
    return float(text.replace(",", ".")) if is_one else None


def _seed(text: str) -> int | None:
    return -1 if text.casefold() == "random" else _whole(text)


def _aspect(text: str) -> str | None:
    found = re.fullmatch(r"([0-9]{1,3})[:/x×]([0-9]{1,3})", text)
    return f"{int(found[1])}:{int(found[2])}" if found else None


def _size(text: str) -> str | None:
    found = re.fullmatch(r"([0-9]{1,5})[x×*]([0-9]{1,5})", text, re.IGNORECASE)
    return f"{found[1]}x{found[2]}" if found else None


_QUALITIES = {
    **{kind.value: kind for kind in Quality},
    # as Midjourney counts it
    **dict.fromkeys((".25", "0.25", ".5", "0.5"), Quality.QUICK),
    "1": Quality.STANDARD,
    **dict.fromkeys(("2", "4"), Quality.HIGH),
}


def _quality(text: str) -> Quality | None:
    return _QUALITIES.get(text.casefold())


def _always(value: Value) -> Callable[[str], Value]:
    return lambda _: value


FLAGS = (
    Flag(names=("ar", "aspect", "aspectratio", "ratio"), option="aspect", read=_aspect, example="3:2"),
    Flag(names=("size", "resolution"), option="size", read=_size, example="512x768"),
    Flag(names=("w", "width"), option="width", read=_whole, example="512", least=SIDE_MIN, most=SIDE_MAX),
    Flag(names=("h", "height"), option="height", read=_whole, example="768", least=SIDE_MIN, most=SIDE_MAX),
    Flag(names=("seed",), option="seed", read=_seed, example="7", least=-1, most=SEEDS - 1),
    Flag(
        names=("no", "neg", "negative", "negativeprompt"),
        option="negative_prompt",
        read=_text,
        example="text, hands",
        takes=Takes.REST,
    ),
    Flag(names=("steps", "step"), option="steps", read=_whole, example="30", least=1, most=150),
    Flag(
        names=("cfg", "cfgscale", "guidance", "guidancescale", "scale"),
        option="guidance",
        read=_number,
        example="5",
        least=GUIDANCE_MIN,
        most=GUIDANCE_MAX,
    ),
    Flag(
        names=("images", "n", "number", "batch", "count"),
        option="images",
        read=_whole,
        example="4",
        least=1,
        most=IMAGES_MAX,
    ),
    Flag(names=("repeat", "r"), option="repeat", read=_whole, example="3", least=1, most=REPEAT_MAX),
    Flag(
        names=("model", "checkpoint", "ckpt"), option="model", read=_text, example="starter", takes=Takes.NAME
    ),
    Flag(names=("style",), option="style", read=_text, example="ink", takes=Takes.NAME),
    Flag(names=("sampler", "scheduler"), option="sampler", read=_text, example="Euler a", takes=Takes.NAME),
    Flag(names=("schedule", "scheduletype"), option="schedule", read=_text, example="AYS", takes=Takes.NAME),
    Flag(
        names=("guidanceuntil", "cfguntil", "cutoff"),
        option="guidance_until",
        read=_number,
        example="0.6",
        least=0,
        most=1,
    ),
    Flag(names=("lora", "loras"), option="lora", read=_text, example="detail:0.8", takes=Takes.NAME),
    Flag(
        names=("embedding", "embeddings", "ti"),
        option="embedding",
        read=_text,
        example="cat-toy",
        takes=Takes.NAME,
    ),
    Flag(
        names=("strength", "denoise", "denoisingstrength"),
        option="strength",
        read=_number,
        example="0.6",
        least=0.01,
        most=1,
    ),
    Flag(names=("upscale",), option="upscale", read=_whole, example="2", least=2, most=UPSCALE_MAX),
    Flag(names=("quality", "q"), option="quality", read=_quality, example="high"),
    Flag(names=("quick", "draft"), option="quality", read=_always(Quality.QUICK), takes=Takes.NOTHING),
    Flag(names=("high", "hq"), option="quality", read=_always(Quality.HIGH), takes=Takes.NOTHING),
    Flag(names=("tile", "tiling"), option="tile", read=_always(value=True), takes=Takes.NOTHING),
)
_BY_NAME: Mapping[str, Flag] = {name: flag for flag in FLAGS for name in flag.names}
_ADD_UP = frozenset({"negative_prompt", "lora", "embedding"})
"""Options whose flag may be given more than once, as each names something more."""

# ------------------------------------------------------------------ reading

_START = re.compile(
    r"(?<![^\s,;])(?P<escape>\\*)"
    r"(?P<dashes>[–—―]|[-‐‑‒–—―−]{2,3})(?P<gap>[ \t]*)(?P<name>[^\W\d_][\w-]*)"
)
_WORD = re.compile(r"[=:]?\s*(\S*)")
_SIGN = re.compile(r"[=:]?\s*")
_QUOTED = re.compile(r'"([^"]*)"|“([^”]*)”')


@dataclass(frozen=True, slots=True, kw_only=True)
class _Begun:
    """Where a flag begins, and where its name ends."""

    start: int
    end: int
    typed: str
    flag: Flag | None
    """None for one that nobody knows."""


def read(text: str) -> Flagged:
    """Raises Unmet."""
    begun = [*_begun(text)]
    kept: list[str] = []
    given: dict[str, Given] = {}
    at = 0
    for index, found in enumerate(begun):
        if found.flag is None:
            raise Unmet(_unknown(found.typed))
        until = begun[index + 1].start if index + 1 < len(begun) else len(text)
        kept.append(_unescaped(text[at : found.start]))
        told, at = _taken(text, found.flag, found.end, until)
        _add(given, found.flag, found.typed, told)
    kept.append(_unescaped(text[at:]))
    if not begun:
        return Flagged(prompt=kept[0], given=given)
    return Flagged(prompt=_joined(kept), given=given)


def literal(text: str) -> str:
    """What is to be written so that `read` finds this text and no flag."""
    return _START.sub(lambda found: f"\\{found[0]}", text)


def _begun(text: str) -> Iterator[_Begun]:
    for found in _START.finditer(text):
        flag = _BY_NAME.get(re.sub(r"[-_]", "", found["name"]).casefold())
        if found["escape"] or (_may_be_prose(found) and not _fits(text, found.end(), flag)):
            continue
        typed = found["dashes"] + found["name"]
        yield _Begun(start=found.start(), end=found.end(), typed=typed, flag=flag)


def _may_be_prose(found: re.Match[str]) -> bool:
    before = found.string[found.start() - 1 : found.start()]
    is_short = found["dashes"] == "–" or (before in {",", ";"} and "-" not in found["dashes"])
    return is_short or bool(found["gap"])


def _fits(text: str, at: int, flag: Flag | None) -> bool:
    """Whether what follows a name is a value of this flag, which no prose looks like."""
    if flag is None:
        return False
    if flag.takes is Takes.WORD:
        return flag.value(_bare(_word(text, at)[0])) is not None
    return flag.option == "negative_prompt" and bool(_word(text, at)[0])


def _word(text: str, at: int) -> tuple[str, int]:
    """The next word and where it ends; a sign such as in `--seed=7` parts, too."""
    found = _WORD.match(text, at)
    assert found is not None
    return found[1], found.end()


def _bare(word: str) -> str:
    return word.rstrip(",;.").strip("\"'“”")


def _taken(text: str, flag: Flag, at: int, until: int) -> tuple[str, int]:
    """The value that was typed, "" where there is none, and where it ends."""
    rest = _SIGN.sub("", text[at:until], count=1)
    match flag.takes:
        case Takes.NOTHING:
            return "", until - len(text[at:until].lstrip(",;."))
        case Takes.WORD:
            word, end = _word(text[:until], at)
            return _bare(word), end
        case Takes.NAME if (quoted := _QUOTED.match(rest)) is not None:
            return (quoted[1] or quoted[2] or "").strip(), until - len(rest) + quoted.end()
        case Takes.NAME | Takes.REST:
            return _unescaped(rest).strip().strip(",;").strip(), until


def _add(given: dict[str, Given], flag: Flag, name: str, told: str) -> None:
    """Raises Unmet."""
    typed = shown(f"{name} {told}".strip())
    if flag.takes is not Takes.NOTHING and not told:
        raise Unmet(FlagWithoutValue(typed=shown(name), example=flag.example_shown))
    value = flag.value(told)
    if value is None:
        raise Unmet(FlagOutOfForm(typed=typed, example=flag.example_shown, least=flag.least, most=flag.most))
    before = given.get(flag.option)
    if before is not None and flag.option in _ADD_UP:
        value, typed = f"{before.value}, {value}", shown(f"{before.typed}, {told}")
    elif before is not None and before.value != value:
        raise Unmet(Contradiction(first=before.typed, second=typed))
    given[flag.option] = Given(value=value, typed=typed)


def _unknown(typed: str) -> UnknownFlag:
    name = re.sub(r"[^\w]|_", "", typed).casefold()
    near = difflib.get_close_matches(name, [*_BY_NAME], n=1, cutoff=0.65)
    return UnknownFlag(
        typed=shown(typed),
        nearest=f"--{near[0]}" if near else None,
        known=tuple(flag.shown for flag in FLAGS),
    )


def _unescaped(text: str) -> str:
    return _START.sub(lambda found: found[0][1:] if found["escape"] else found[0], text)


def _joined(pieces: list[str]) -> str:
    """What stood around flags, with one space where one was."""
    words = [piece.strip() for piece in pieces]
    return " ".join(word for word in words if word)


def shown(text: str) -> str:
    """Of something typed, for a sentence."""
    line = " ".join(text.split())
    return line if len(line) <= TYPED_SHOWN else f"{line[: TYPED_SHOWN - 1]}…"


# ------------------------------------------------------------------ with the options beside the prompt


def applied(flagged: Flagged, typed: Wish) -> tuple[Wish, int]:
    """The wish that flags and options make together, and how often it is to be drawn. Raises Unmet."""
    given = {**flagged.given}
    repeat = given.pop("repeat", Given(value=1, typed=""))
    _put_sides_together(given)
    for option, flag in given.items():
        said = getattr(typed, option)
        if said is not None and said != flag.value and not (option == "seed" and said == -1):
            raise Unmet(Contradiction(first=flag.typed, second=_option(option, said)))
    for one, other in (("aspect", "size"), ("size", "aspect")):
        if one in given and (rival := given.get(other) or _of_option(typed, other)) is not None:
            raise Unmet(Contradiction(first=given[one].typed, second=rival.typed))
    values = {option: flag.value for option, flag in given.items()}
    return replace(typed, prompt=flagged.prompt, **values), int(repeat.value)


def _put_sides_together(given: dict[str, Given]) -> None:
    """Width and height become a size. Raises Unmet."""
    width, height = given.pop("width", None), given.pop("height", None)
    if width is None and height is None:
        return
    if width is None or height is None:
        typed, missing = (width, "--h") if width is not None else (height, "--w")
        assert typed is not None
        raise Unmet(HalfASize(typed=typed.typed, missing=missing))
    size = Given(value=f"{width.value}x{height.value}", typed=f"{width.typed} {height.typed}")
    before = given.setdefault("size", size)
    if before.value != size.value:
        raise Unmet(Contradiction(first=before.typed, second=size.typed))


def _of_option(typed: Wish, option: str) -> Given | None:
    said = getattr(typed, option)
    return None if said is None else Given(value=said, typed=_option(option, said))


def _option(option: str, said: object) -> str:
    """As Discord shows an option that was filled in."""
    return shown(f"{option}:{said}")
