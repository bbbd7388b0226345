"""The message of a training: its bar, what it waits for, its samples, and how it ended. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import discord
from discord import ui

from bot.chat.ids import Verb, button
from bot.chat.look.job_view import BLURPLE, MARKED, bar
from bot.chat.look.safe import cut, plain
from bot.core.training.told import Learning, Seen
from bot.job import ReasonCode
from bot.texts import trainings as texts
from bot.texts.language import Language, language
from bot.training import Training, TrainingPicture, TrainingState

SHEET = "samples.png"
CAPTION_SHOWN = 150
"""UTF-16 units: ten of them fit into a message, also where every sign has to be defused."""
MARK = MARKED | 2
"""Of its first component, by which it is told from the message of a job."""


def live(training: Training, seen: Seen, *, with_sheet: bool) -> ui.LayoutView:
    to = language(training.locale)
    lines = [texts.head(training, to)]
    if isinstance(step := seen.doing, Learning):
        lines.append(f"`{bar(step.done / max(1, step.steps))}` {texts.doing(seen, to)}")
    elif seen.waits is None:
        lines.append(texts.doing(seen, to))
    if seen.waits is not None:
        lines.append(f"-# ⏸ {texts.waits(seen.waits, to)}")
    row = ui.ActionRow[Any](button(Verb.TRAIN_CANCEL, training.id, to=to))
    return _layout(lines, with_sheet=with_sheet, row=row, colour=BLURPLE)


def pictures(
    training: Training,
    shown: Sequence[TrainingPicture],
    named: Mapping[int, str],
    next_one: int | None,
    to: Language,
) -> ui.LayoutView:
    """One below the other. `named`: attached files by the pictures' numbers. `next_one`: the first that is not shown."""
    view = ui.LayoutView(timeout=None)
    container = ui.Container[ui.LayoutView](accent_colour=BLURPLE)
    for each in shown:
        said = plain(cut(each.caption, CAPTION_SHOWN)) if each.caption else texts.no_caption(to)
        text = ui.TextDisplay[Any](f"**{each.number}** {said}\n-# {each.width}×{each.height}")
        if each.number in named:
            picture = ui.Thumbnail[Any](
                f"attachment://{named[each.number]}", description=each.caption or None
            )
            container.add_item(ui.Section[Any](text, accessory=picture))
        else:
            container.add_item(text)
    if next_one is not None:
        container.add_item(ui.TextDisplay(f"-# {texts.more_from(training.name, next_one, to)}"))
    view.add_item(container)
    view.stop()  # nothing in it can be pressed
    return view


def final(training: Training, *, with_sheet: bool) -> ui.LayoutView:
    to = language(training.locale)
    is_done = training.state is TrainingState.DONE
    ended = texts.ended(training, to)
    if training.reason is not None and training.reason.code == ReasonCode.TOLD:
        ended = plain(ended)  # by a process, of files that people sent
    lines = [texts.head(training, to), f"{'🎓' if is_done else '✖️'} {ended}"]
    colour = discord.Colour.green() if is_done else discord.Colour.red()
    return _layout(lines, with_sheet=with_sheet, row=None, colour=colour.value)


def _layout(
    lines: list[str], *, with_sheet: bool, row: ui.ActionRow[Any] | None, colour: int
) -> ui.LayoutView:
    container = ui.Container[ui.LayoutView](accent_colour=colour, id=MARK)
    for line in lines:
        container.add_item(ui.TextDisplay(line))
    if with_sheet:
        gallery = ui.MediaGallery[ui.LayoutView]()
        gallery.add_item(media=f"attachment://{SHEET}")
        container.add_item(gallery)
    if row is not None:
        container.add_item(row)
    view = ui.LayoutView(timeout=None)
    view.add_item(container)
    view.stop()  # its button is known by its id
    return view
