"""Which buttons and menus stand under finished pictures. Pure: a job, and which of its pictures are shown.

Under a set there is one to take out (U) and one to vary (V) each, and the rest in a menu; under a single picture all that
can be made of it. What a picture can't be used for, such as varying what was enlarged, is not offered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from discord import ui

from bot.chat.ids import Verb, button, menu, menu_of_verbs
from bot.job import Job
from bot.texts import labels
from bot.texts.language import Language

IN_A_ROW = 5
"""Buttons that Discord puts side by side."""
OF_A_SET = (Verb.REMIX, Verb.EDIT, Verb.STAR, Verb.MAIL, Verb.INFO, Verb.REPORT, Verb.DELETE)

Row = ui.ActionRow[Any]


def under_pictures(job: Job, shown: Sequence[int], to: Language, *, is_copy: bool = False) -> list[Row]:
    """`shown`: which of the job's images the message has, counted from 0.

    A copy is one that the job does not write: what is deleted there is the copy alone.
    """
    if not shown:
        return [_row(job, None, to, Verb.REROLL, Verb.INFO, Verb.DELETE)]
    if len(shown) > 1:
        return _under_a_set(job, shown, to)
    image = shown[0] if is_copy or len(job.images) > 1 else None
    return _under_one(job, image, to)


def _under_a_set(job: Job, shown: Sequence[int], to: Language) -> list[Row]:
    numbered = [(str(place), image) for place, image in enumerate(shown, 1)]
    again = button(Verb.REROLL, job.id, to=to)
    menu_row = Row(menu_of_verbs(job.id, None, OF_A_SET, to=to, placeholder=labels.more(to)))
    if len(shown) < IN_A_ROW:
        take = [button(Verb.TAKE, job.id, image, label=f"U{place}") for place, image in numbered]
        vary = [button(Verb.VARY_STRONG, job.id, image, label=f"V{place}") for place, image in numbered]
        return [Row(*take, again), Row(*vary), menu_row]
    take = {str(image): f"U{place}" for place, image in numbered}
    vary = {str(image): f"V{place}" for place, image in numbered}
    return [
        Row(menu(Verb.TAKE, job.id, None, take, labels.take_one(to))),
        Row(menu(Verb.VARY_STRONG, job.id, None, vary, labels.vary_one(to))),
        menu_row,
        Row(again),
    ]


def _under_one(job: Job, image: int | None, to: Language) -> list[Row]:
    request, keeping = job.request, (Verb.STAR, Verb.MAIL, Verb.INFO, Verb.DELETE)
    if request.upscale > 1:  # it is too large to be drawn from
        again = () if request.is_seedless else (Verb.REROLL,)
        return [_row(job, image, to, *again, *keeping)]
    making = (Verb.VARY_SUBTLE, Verb.VARY_STRONG, Verb.UPSCALE_2, Verb.UPSCALE_4, Verb.REROLL)
    return [
        _row(job, image, to, *making),
        _row(job, image, to, Verb.REMIX, Verb.EDIT),
        _row(job, image, to, *keeping),
    ]


def _row(job: Job, image: int | None, to: Language, *verbs: Verb) -> Row:
    return Row(*(button(verb, job.id, image, to=to) for verb in verbs))
