"""Whose turn it is: what the line says, as far as the fleet wants it sent now. Knows no rows."""

from __future__ import annotations

from collections.abc import Callable

from bot.core.engines.fleet import Fleet
from bot.core.line.fairness import FairQueue
from engine.contract import GenerationRequest


def next_sent(
    line: FairQueue,
    fleet: Fleet,
    request_of: Callable[[int], GenerationRequest],
    is_held: Callable[[int], bool] = lambda _job_id: False,
) -> int | None:
    """Takes the job out of the line that the fleet wants to be sent now; None where there is none.

    An engine that has just read a model reads another one only where nobody waits for what lies in its memory.
    """
    for may_read in (False, True):
        look = fleet.look(may_read=may_read)
        job_id = line.next(is_held, lambda job_id, look=look: look(job_id, request_of(job_id)))
        if job_id is not None:
            return job_id
    return None
