"""Each happening as a line of the log: the first of those who listen. Decides nothing."""

from __future__ import annotations

import structlog

from bot.core.engines.deaths import EngineEnd, NotStarted, Perished, SaidWhy
from bot.core.happenings import (
    DeletionAsked,
    EngineDied,
    EngineGotReady,
    EngineRests,
    Happening,
    JobAbandoned,
    JobAccepted,
    JobBegun,
    JobCancelled,
    JobDeleted,
    JobDelivered,
    JobFailed,
    JobFetched,
    JobHeld,
    JobQueued,
    JobRendered,
    JobRequeued,
    JobReviewed,
    JobUnanswered,
    JobUndeliverable,
    JobWithdrawn,
    ModelRead,
    RequestRefused,
    StoreDamaged,
)
from engine.contract import Ready

log = structlog.get_logger(__name__)


def write(happening: Happening) -> None:
    match happening:
        case EngineGotReady(ready=ready, engine=engine):
            _ready(ready, engine)
        case ModelRead():
            log.info("model_read", model=happening.model)
        case EngineDied():
            log.warning(
                "engine_died",
                engine=happening.engine,
                exitcode=happening.exitcode,
                reading=happening.reading,
            )
        case EngineRests():
            log.error(
                "engine_paused",
                engine=happening.engine,
                deaths=happening.deaths,
                for_s=happening.for_s,
                **_end_of_engine(happening.end),
            )
        case RequestRefused():
            log.debug("request_refused", what=happening.what, why=type(happening.why).__name__)
        case StoreDamaged():  # each time that it is met has a line of its own
            pass
        case JobDelivered() | JobUndeliverable() | JobFailed() | JobCancelled() | JobAbandoned():
            _end(happening)
        case JobUnanswered() | JobWithdrawn() | JobFetched() | DeletionAsked() | JobDeleted():
            _after(happening)
        case JobHeld(job=job):
            log.info("job_held", job=job.id)
        case JobReviewed(job=job):
            log.info("job_reviewed", job=job.id, review=job.review)
        case JobAccepted() | JobQueued() | JobBegun() | JobRequeued() | JobRendered():
            _way(happening)


def _way(happening: JobAccepted | JobQueued | JobBegun | JobRequeued | JobRendered) -> None:
    job = happening.job
    match happening:
        case JobAccepted():
            log.info("job_accepted", job=job.id, user=job.user_id, guild=job.guild_id, cost=job.cost)
        case JobQueued():
            log.debug("job_queued", job=job.id)
        case JobBegun():
            log.debug("job_begun", job=job.id, attempt=job.attempt)
        case JobRequeued():
            log.info("job_requeued", job=job.id, attempt=job.attempt, faults=job.faults)
        case JobRendered():
            log.info("job_rendered", job=job.id, seconds=round(happening.seconds, 2))


def _end(happening: JobDelivered | JobUndeliverable | JobFailed | JobCancelled | JobAbandoned) -> None:
    job = happening.job
    match happening:
        case JobDelivered():
            log.info("job_delivered", job=job.id, problem=None)
        case JobUndeliverable():
            log.info("job_undeliverable", job=job.id, problem=str(happening.reason))
        case JobFailed():
            log.warning("job_failed", job=job.id, reason=str(happening.reason))
        case JobCancelled():
            log.info("job_cancelled", job=job.id, by=happening.by.user_id)
        case JobAbandoned():
            log.info("job_abandoned", job=job.id, guild=job.guild_id)


def _after(happening: JobUnanswered | JobWithdrawn | JobFetched | DeletionAsked | JobDeleted) -> None:
    job = happening.job
    match happening:
        case JobUnanswered():
            log.warning("job_unanswered", job=job.id)
        case JobWithdrawn():
            log.info("job_withdrawn", job=job.id, user=job.user_id)
        case JobFetched():
            log.info("job_fetched", job=job.id, charged=job.charged)
        case DeletionAsked():
            log.info("deletion_asked", job=job.id, by=happening.by.user_id)
        case JobDeleted():
            log.info("job_deleted", job=job.id)


def _end_of_engine(end: EngineEnd) -> dict[str, object]:
    match end:
        case Perished():
            return {"end": end.way.value, "code": end.code, "reading": end.reading}
        case NotStarted():
            return {"end": "not_started", "problem": end.problem}
        case SaidWhy():
            return {"end": "said_why", "reason": end.reason}


def _ready(ready: Ready, engine: int) -> None:
    models = ", ".join(model.id for model in ready.models)
    log.info(
        "engine_ready",
        engine=engine,
        device=ready.device,
        dtype=ready.dtype,
        models=models,
        slots=ready.slots,
    )
    for note in ready.notes:
        log.info("engine_note", text=note)
    for warning in ready.warnings:
        log.warning("engine_warning", text=warning)
