"""Happenings as lines of the log: their names, their keys, and who did it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest
from structlog.testing import capture_logs

from bot.core.engines.deaths import NotStarted, Perished, SaidWhy, Way
from bot.core.happenings import (
    Actor,
    DeletionAsked,
    EngineGotReady,
    EngineRests,
    Happening,
    JobAccepted,
    JobCancelled,
    JobDelivered,
    JobFailed,
    JobRendered,
    JobUndeliverable,
)
from bot.job import Action, Job, JobState, Reason
from bot.vitals import journal
from engine.contract import Ready
from workshop.rehearsal.props import GUILD, picture

ADA = Actor(user_id=77, name="<@77>")
JOB = Job(
    id=5,
    state=JobState.QUEUED,
    attempt=0,
    faults=0,
    request=picture(),
    action=Action.IMAGINE,
    parent_id=None,
    user_id=1,
    guild_id=GUILD,
    channel_id=3,
    message_id=4,
    interaction_id=6,
    application_id=9,
    token=None,
    cost=2,
    charged=2,
    created_at=0.0,
)
READY = Ready(
    device="", dtype="", models=(), slots=1, fingerprint={}, notes=("One.", "Two."), warnings=("Three.",)
)


def lines_of(happening: Happening) -> list[dict[str, Any]]:
    with capture_logs() as lines:
        journal.write(happening)
    return [dict(line) for line in lines]


@pytest.mark.parametrize(
    ("happening", "line"),
    [
        (
            JobAccepted(job=JOB),
            {"event": "job_accepted", "job": 5, "user": 1, "guild": GUILD, "cost": 2, "log_level": "info"},
        ),
        (
            JobRendered(job=JOB, seconds=1.234),
            {"event": "job_rendered", "job": 5, "seconds": 1.23, "log_level": "info"},
        ),
        (JobDelivered(job=JOB), {"event": "job_delivered", "job": 5, "problem": None, "log_level": "info"}),
        (
            JobUndeliverable(job=JOB, reason=Reason.told("No.")),
            {"event": "job_undeliverable", "job": 5, "problem": "told: No.", "log_level": "info"},
        ),
        (
            JobFailed(job=JOB, reason=Reason.told("No.")),
            {"event": "job_failed", "job": 5, "reason": "told: No.", "log_level": "warning"},
        ),
        (JobCancelled(job=JOB, by=ADA), {"event": "job_cancelled", "job": 5, "by": 77, "log_level": "info"}),
        (
            EngineRests(
                end=Perished(way=Way.SIGNALLED, code=9, reading="fake"), deaths=3, for_s=600.0, engine=2
            ),
            {
                "event": "engine_paused",
                "engine": 2,
                "deaths": 3,
                "for_s": 600.0,
                "end": "signalled",
                "code": 9,
                "reading": "fake",
                "log_level": "error",
            },
        ),
        (
            EngineRests(end=NotStarted(problem="Cannot allocate memory"), deaths=3, for_s=600.0, engine=2),
            {
                "event": "engine_paused",
                "engine": 2,
                "deaths": 3,
                "for_s": 600.0,
                "end": "not_started",
                "problem": "Cannot allocate memory",
                "log_level": "error",
            },
        ),
        (
            EngineRests(end=SaidWhy(reason="No card."), deaths=3, for_s=600.0, engine=2),
            {
                "event": "engine_paused",
                "engine": 2,
                "deaths": 3,
                "for_s": 600.0,
                "end": "said_why",
                "reason": "No card.",
                "log_level": "error",
            },
        ),
        (
            DeletionAsked(job=JOB, by=ADA),
            {"event": "deletion_asked", "job": 5, "by": 77, "log_level": "info"},
        ),
    ],
    ids=lambda value: value.get("event") if isinstance(value, dict) else None,
)
def test_lines(happening: Happening, line: dict[str, Any]) -> None:
    """One line each; who cancelled or deleted stands in it by their number."""
    assert lines_of(happening) == [line]


def test_what_the_engine_notes_is_logged() -> None:
    """Each of its notes about this machine is a line of its own at the level info, its warnings at theirs."""
    told = [(line["log_level"], line.get("text")) for line in lines_of(EngineGotReady(ready=READY))]
    assert told == [("info", None), ("info", "One."), ("info", "Two."), ("warning", "Three.")]


def test_every_jobs_happening_names_its_job() -> None:
    """Whatever happened to it, its number finds the line."""
    values = {"job": replace(JOB, id=123), "by": ADA, "reason": Reason.told("No."), "seconds": 1.0}
    kinds = [kind for kind in get_args(Happening) if "job" in kind.__dataclass_fields__]
    for kind in kinds:
        happening = kind(**{name: values[name] for name in kind.__dataclass_fields__ if name in values})
        (line,) = lines_of(happening)
        assert line["job"] == 123, kind
    assert len(kinds) >= 15
