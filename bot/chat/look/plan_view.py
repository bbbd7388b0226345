"""What is shown before several requests are drawn: which they are, what they cost, and yes or no. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from discord import ui

from bot.chat.ids import Verb, button
from bot.chat.look.job_view import BLURPLE, MARKED
from bot.chat.look.safe import code
from bot.texts import progress, together
from bot.texts.language import Language
from engine.contract import GenerationRequest

LISTED = 6
PROMPT_SHOWN = 150
MARK = MARKED | 1
"""Of its first component, by which it is told from the message of a job."""


def view(
    requests: Sequence[GenerationRequest], plan_id: int, *, cost: int, left: int, most: int, to: Language
) -> ui.LayoutView:
    """`left` of `most`: credits of its person today, or this night."""
    images = sum(request.images for request in requests)
    listed = [f"- {_entry(request, to)}" for request in requests[:LISTED]]
    if len(requests) > LISTED:
        listed.append(progress.left_out(len(requests) - LISTED, to))
    container = ui.Container[ui.LayoutView](
        ui.TextDisplay(together.question(images, cost, left, most, to)),
        ui.TextDisplay("\n".join(listed)),
        ui.ActionRow[Any](*(button(verb, plan_id, to=to) for verb in (Verb.DRAW_PLAN, Verb.DROP_PLAN))),
        accent_colour=BLURPLE,
        id=MARK,
    )
    return _layout(container)


def dropped(to: Language) -> ui.LayoutView:
    """What is left of it after a no."""
    return _layout(ui.TextDisplay(together.dropped(to)))


def _entry(request: GenerationRequest, to: Language) -> str:
    return together.times(code(request.prompt, PROMPT_SHOWN), request.images, to)


def _layout(item: ui.Item[ui.LayoutView]) -> ui.LayoutView:
    made = ui.LayoutView(timeout=None)
    made.add_item(item)
    made.stop()  # its buttons are known by their ids
    return made
