"""Ids of buttons, menus, forms and pages, and how the buttons look. What a verb does is in its file in `features`.

An id is all that is known of what stands in a message of an earlier process: it carries a verb, a job's number and perhaps
that of one of its images, `easel:1:VERB:JOB[:IMAGE]`, or for leafing `easel:1:LIST:WAY:OFFSET[:SEARCH]`. Those of the first
checkouts have no 1, and mean the same for ever.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import discord
from discord import ui

from bot.texts import labels
from bot.texts.language import ENGLISH, Language, Say

OURS = "easel:"
NUMBER_MAX = 2**63 - 1
"""What SQLite and Discord count with."""
_OF_JOB = re.compile(
    r"easel:(?P<now>1:)?(?P<verb>[a-z][a-z0-9_]*):(?P<job>[0-9]{1,19})(?(now)(?::(?P<image>[0-9]{1,3}))?)"
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
    if (match := _OF_JOB.fullmatch(custom_id)) is not None and int(match["job"]) <= NUMBER_MAX:
        image = match["image"]
        return OfJob(verb=match["verb"], job=int(match["job"]), image=None if image is None else int(image))
    return None


# ------------------------------------------------------------------ buttons


class Verb(StrEnum):
    """What the buttons and menus under a job's message ask for."""

    REROLL = "reroll"
    TAKE = "take"
    """Posts one of several pictures on its own."""
    VARY_SUBTLE = "vary_subtle"
    VARY_STRONG = "vary_strong"
    UPSCALE_2 = "upscale_2"
    UPSCALE_4 = "upscale_4"
    REMIX = "remix"
    EDIT = "edit"
    STAR = "star"
    MAIL = "mail"
    INFO = "info"
    PARENT = "parent"
    """Shows what a picture was made from."""
    CHILD = "child"
    """A menu of what was made from it."""
    DELETE = "delete"
    MORE = "more"
    """A menu of the verbs for which there is no room."""
    USE = "use"
    """A form with somebody's settings; it is about no job."""
    EDIT_POSTED = "edit_posted"
    """A form about the picture in a message of that number."""
    CANCEL = "cancel"
    CANCEL_ALL = "cancel_all"
    """Of all jobs that one message gathers, like the next two: each asked of any one of them."""
    INFO_ALL = "info_all"
    DELETE_ALL = "delete_all"
    DRAW_PLAN = "draw_plan"
    """About the number of a plan, like the next."""
    DROP_PLAN = "drop_plan"
    ERASE = "erase"
    """About the number of a person, like the next: all that is kept of them goes."""
    ERASE_NOT = "erase_not"
    CANCEL_ONE = "cancel_one"
    """A menu of jobs, those that it cancels; it is about no one of them."""
    EXAMPLE = "example"
    """Draws an example of that number."""
    SHOW_HELD = "show_held"
    """A moderator lets a job's flagged pictures be shown; and the contrary."""
    DROP_HELD = "drop_held"
    FETCH = "fetch"
    """Shows its person the images of a job that could not be posted."""
    REPORT = "report"
    """Tells the server's moderators."""
    APPROVE = "approve"
    """What was reported may stay, say moderators, like the next two."""
    REMOVE = "remove"
    BLOCK = "block"
    """Its person may make nothing for a time."""
    TRAIN_START = "train_start"
    """About the number of a training, like the next three."""
    TRAIN_NOT = "train_not"
    TRAIN_CANCEL = "train_cancel"
    TRAIN_CAPTIONS = "train_captions"
    TRAIN_ADD = "train_add"
    """A menu of sets, for the pictures in the message of that number."""


NEED_WORDS = frozenset(
    (
        *(
            Verb.REROLL,
            Verb.VARY_SUBTLE,
            Verb.VARY_STRONG,
            Verb.UPSCALE_2,
            Verb.UPSCALE_4,
            Verb.REMIX,
            Verb.EDIT,
        ),
        *(Verb.INFO, Verb.INFO_ALL, Verb.USE),
    )
)
"""Of the job that they are about: they can do nothing once those are not kept any more."""

_GRAY = discord.ButtonStyle.secondary
_LOOKS: dict[Verb, tuple[Say, str | None, discord.ButtonStyle]] = {
    Verb.REROLL: (labels.reroll, "🔄", _GRAY),
    Verb.TAKE: (labels.take, None, _GRAY),
    Verb.VARY_SUBTLE: (labels.vary_subtle, "🪄", _GRAY),
    Verb.VARY_STRONG: (labels.vary_strong, "🪄", _GRAY),
    Verb.UPSCALE_2: (labels.upscale_2, "🔍", _GRAY),
    Verb.UPSCALE_4: (labels.upscale_4, "🔍", _GRAY),
    Verb.REMIX: (labels.remix, "✏️", _GRAY),
    Verb.EDIT: (labels.edit, "🖌️", _GRAY),
    Verb.STAR: (labels.star, "⭐", _GRAY),
    Verb.MAIL: (labels.mail, "✉️", _GRAY),
    Verb.INFO: (labels.info, "📋", _GRAY),
    Verb.PARENT: (labels.parent, "🔗", _GRAY),
    Verb.DELETE: (labels.delete, "🗑️", _GRAY),
    Verb.CANCEL: (labels.cancel, "✖️", discord.ButtonStyle.danger),
    Verb.CANCEL_ALL: (labels.cancel_all, "✖️", discord.ButtonStyle.danger),
    Verb.INFO_ALL: (labels.info, "📋", _GRAY),
    Verb.DELETE_ALL: (labels.delete, "🗑️", _GRAY),
    Verb.DRAW_PLAN: (labels.draw_plan, "✅", discord.ButtonStyle.success),
    Verb.DROP_PLAN: (labels.drop_plan, "✖️", _GRAY),
    Verb.ERASE: (labels.erase, "🗑️", discord.ButtonStyle.danger),
    Verb.ERASE_NOT: (labels.drop_plan, "✖️", _GRAY),
    Verb.EXAMPLE: (labels.draw, "🎨", discord.ButtonStyle.primary),
    Verb.SHOW_HELD: (labels.approve, "✅", discord.ButtonStyle.success),
    Verb.DROP_HELD: (labels.remove, "🚫", discord.ButtonStyle.danger),
    Verb.FETCH: (labels.show, "📥", _GRAY),
    Verb.REPORT: (labels.report, "🚩", _GRAY),
    Verb.APPROVE: (labels.let_stay, "✅", discord.ButtonStyle.success),
    Verb.REMOVE: (labels.remove, "🗑️", discord.ButtonStyle.danger),
    Verb.BLOCK: (labels.block, "⛔", _GRAY),
    Verb.TRAIN_START: (labels.train, "🎓", discord.ButtonStyle.success),
    Verb.TRAIN_NOT: (labels.drop_plan, "✖️", _GRAY),
    Verb.TRAIN_CANCEL: (labels.cancel, "✖️", discord.ButtonStyle.danger),
}
"""One family of emoji, none of them in the blue or grey of a button."""


def button(
    verb: Verb,
    job_id: int,
    image: int | None = None,
    *,
    to: Language = ENGLISH,
    label: str | None = None,
    suffix: str = "",
) -> ui.Button[Any]:
    """A button about a job. `label` stands in place of the verb's own and its emoji, `suffix` follows it."""
    own, emoji, style = _LOOKS[verb]
    custom_id = OfJob(verb=verb, job=job_id, image=image).custom_id
    if label is not None:
        return ui.Button[Any](label=label, style=style, custom_id=custom_id)
    return ui.Button[Any](label=own(to) + suffix, emoji=emoji, style=style, custom_id=custom_id)


def leafing(
    pages: str,
    offset: int,
    size: int,
    total: int,
    to: Language,
    *,
    search: int | None = None,
    names: tuple[Say, Say] = (labels.newer, labels.older),
) -> ui.ActionRow[Any]:
    """Two buttons under a page of `size` entries, which begins at `offset` of so many: to the page before, and to the next."""

    def turning(name: Say, way: str, at: int, *, is_off: bool) -> ui.Button[Any]:
        custom_id = OfPage(pages=pages, way=way, offset=max(0, at), search=search).custom_id
        return ui.Button[Any](label=name(to), custom_id=custom_id, disabled=is_off)

    before, after = names
    return ui.ActionRow[Any](
        turning(before, "newer", offset - size, is_off=offset == 0),
        turning(after, "older", offset + size, is_off=offset + size >= total),
    )


def menu(
    verb: Verb, job_id: int, image: int | None, options: Mapping[str, str], placeholder: str
) -> ui.Select[Any]:
    """A menu about a job: labels by the values that are chosen."""
    custom_id = OfJob(verb=verb, job=job_id, image=image).custom_id
    choices = [discord.SelectOption(label=label, value=value) for value, label in options.items()]
    return ui.Select[Any](custom_id=custom_id, placeholder=placeholder, options=choices)


def menu_of_verbs(
    job_id: int, image: int | None, verbs: Sequence[Verb], *, to: Language, placeholder: str
) -> ui.Select[Any]:
    """A menu that does what the buttons of these verbs would."""
    looks = [(verb, _LOOKS[verb]) for verb in verbs]
    choices = [
        discord.SelectOption(label=label(to), value=verb, emoji=emoji) for verb, (label, emoji, _) in looks
    ]
    custom_id = OfJob(verb=Verb.MORE, job=job_id, image=image).custom_id
    return ui.Select[Any](custom_id=custom_id, placeholder=placeholder, options=choices)
