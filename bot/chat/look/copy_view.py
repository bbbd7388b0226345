"""What a message looks like that shows pictures of a job besides its own. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from discord import ui

from bot.chat.ids import Verb, button, menu
from bot.chat.look.buttons import under_pictures
from bot.chat.look.job_view import GRAY, GREEN, gallery, header, layout, outcome_lines
from bot.chat.look.safe import cut
from bot.job import Job
from bot.texts import labels, reasons, request
from bot.texts.language import Language

LABEL_MAX = 100


def view(
    job: Job,
    files: Sequence[str],
    shown: Sequence[int],
    *,
    to: Language,
    by: int,
    made: Sequence[tuple[int, str]],
) -> ui.LayoutView:
    """`shown`: which of the job's images the files are; none where they are kept no more.

    `by`: who had it posted. `made`: (number, label) of what was made from it.
    """
    lines = [request.shown_again(header(job), job, by, to), *outcome_lines(job, to)]
    if not shown:
        lines.append(reasons.kept_no_more(to))
    rows = [*under_pictures(job, shown, to, is_copy=True), *_chain(job, made, to)]
    return layout(job, GREEN if shown else GRAY, lines, rows=rows, gallery=gallery(job, files))


def _chain(job: Job, made: Sequence[tuple[int, str]], to: Language) -> list[ui.ActionRow[Any]]:
    rows: list[ui.ActionRow[Any]] = []
    if made:
        options = {str(number): cut(label, LABEL_MAX) for number, label in made}
        rows.append(ui.ActionRow[Any](menu(Verb.CHILD, job.id, None, options, labels.made_from_it(to))))
    if job.parent_id is not None:
        rows.append(ui.ActionRow[Any](button(Verb.PARENT, job.id, to=to)))
    return rows
