"""Ids of buttons, menus, forms and pages, and how the buttons look. What a verb does is in its file in `features`.

An id is all that is known of what stands in a message of an earlier process: it carries a verb, a job's number and perhaps
that of one of its images, `easel:1:VERB:JOB[:IMAGE]`, or for leafing `easel:1:LIST:WAY:OFFSET[:SEARCH]`. Those of the first
checkouts have no 1, and mean the same for ever.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import discord
from discord import ui

from bot.texts import labels
from bot.texts.language import ENGLISH, Language, Say

OURS = "easel:"
_OF_JOB = re.compile(
    r"easel:(?P<now>1:)?(?P<verb>[a-z_]+):(?P<job>[0-9]{1,18})(?(now)(?::(?P<image>[0-9]{1,3}))?)"
)
_OF_PAGE = re.compile(
    r"easel:(?P<now>1:)?(?P<pages>[a-z_]+):(?P<way>older|newer):(?P<offset>[0-9]{1,9})"
    r"(?(now)(?::(?P<search>[0-9]{1,18}))?)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfJob:
    """Something is to be done about a job."""

    verb: str
    job: int
    image: int | None = None
    """Which of the job's, counted from 0; None for all of it."""

    @property
    def custom_id(self) -> str:
        return f"easel:1:{self.verb}:{self.job}" + (f":{self.image}" if self.image is not None else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class OfPage:
    """A list is to be leafed through."""

    pages: str
    """Which list."""
    way: str
    """`older` or `newer`: no two buttons of a message may have one id."""
    offset: int
    search: int | None = None
    """The number by which the list knows what it shows; None for all of it."""

    @property
    def custom_id(self) -> str:
        searched = "" if self.search is None else f":{self.search}"
        return f"easel:1:{self.pages}:{self.way}:{self.offset}{searched}"


def read(custom_id: str) -> OfJob | OfPage | None:
    """None for what this version does not understand."""
    if (match := _OF_PAGE.fullmatch(custom_id)) is not None:
        number = match["search"]
        return OfPage(
            pages=match["pages"],
            way=match["way"],
            offset=int(match["offset"]),
            search=None if number is None else int(number),
        )
    if (match := _OF_JOB.fullmatch(custom_id)) is not None:
        image = match["image"]
        return OfJob(verb=match["verb"], job=int(match["job"]), image=None if image is None else int(image))
    return None


# ------------------------------------------------------------------ buttons


class Verb(StrEnum):
    """What the buttons under a job's message ask for."""

    REROLL = "reroll"
    INFO = "info"
    DELETE = "delete"
    CANCEL = "cancel"
    FETCH = "fetch"
    """Shows its person the images of a job that could not be posted."""
    STAR = "star"
    MAIL = "mail"


_LOOKS: dict[Verb, tuple[Say, str, discord.ButtonStyle]] = {
    Verb.REROLL: (labels.reroll, "🔄", discord.ButtonStyle.primary),
    Verb.INFO: (labels.info, "ℹ️", discord.ButtonStyle.secondary),
    Verb.DELETE: (labels.delete, "🗑️", discord.ButtonStyle.secondary),
    Verb.CANCEL: (labels.cancel, "✖️", discord.ButtonStyle.danger),
    Verb.FETCH: (labels.show, "📥", discord.ButtonStyle.secondary),
    Verb.STAR: (labels.star, "⭐", discord.ButtonStyle.secondary),
    Verb.MAIL: (labels.mail, "✉️", discord.ButtonStyle.secondary),
}


def button(
    verb: Verb, job_id: int, image: int | None = None, *, to: Language = ENGLISH, suffix: str = ""
) -> ui.Button[Any]:
    """A button about a job; `suffix` follows its label."""
    label, emoji, style = _LOOKS[verb]
    custom_id = OfJob(verb=verb, job=job_id, image=image).custom_id
    return ui.Button[Any](label=label(to) + suffix, emoji=emoji, style=style, custom_id=custom_id)
