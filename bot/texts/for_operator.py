"""What whoever runs the bot reads in a direct message: what happened, and what they can do. Pure."""

from __future__ import annotations

from bot.core.news import (
    CommandsNotPushed,
    DatabaseContradicts,
    DatabaseDamaged,
    Drained,
    EngineCantWork,
    GpuPaused,
    ModelNotLoaded,
    ModelSetAside,
    News,
    NoRoom,
    NotBackedUp,
    RivalFound,
)
from bot.texts.amounts import minutes, moment
from bot.texts.engine_ends import how_it_ended
from bot.texts.language import Language, fixed

rival = fixed(
    "Another bot answers with Easel's token, so this one keeps out: stop the other one, or reset the token and give the "
    "new one to this bot alone."
)


def news(told: News, to: Language) -> str:
    match told:
        case GpuPaused() | EngineCantWork() | ModelSetAside() | ModelNotLoaded():
            return _of_engines(told, to)
        case DatabaseDamaged(problem=problem, is_tried_on=True):
            return to.gettext("Easel needs you: {problem}, again and again.", problem=problem)
        case DatabaseDamaged(problem=problem):
            return to.gettext("Easel needs you: {problem}.", problem=problem.rstrip("."))
        case DatabaseContradicts(problem=problem):
            return to.gettext("Easel's database contradicts itself: {problem}", problem=problem)
        case NotBackedUp(problem=problem):
            return to.gettext(
                "Easel's database could not be backed up: {problem}. It is tried again in an hour.",
                problem=problem.rstrip("."),
            )
        case NoRoom(problem=problem):
            return to.gettext(
                "Easel takes no new requests, to have room for those in line: {problem}.",
                problem=problem.rstrip("."),
            )
        case Drained():
            return _drained(told, to)
        case CommandsNotPushed(outage=outage):
            return to.gettext(
                "Easel's commands could not be pushed to Discord and stay as they are. {outage}",
                outage=outage,
            )
        case RivalFound():
            return rival(to)


def _of_engines(told: GpuPaused | EngineCantWork | ModelSetAside | ModelNotLoaded, to: Language) -> str:
    match told:
        case GpuPaused():
            return _gpu_paused(told, to)
        case EngineCantWork(reason=reason, engine=int(number)):
            return to.gettext(
                "Easel's engine {number} can't draw until you have mended this: {reason} The other engines draw on.",
                number=number,
                reason=reason,
            )
        case EngineCantWork(reason=reason):
            return to.gettext("Easel can't draw until you have mended this: {reason}", reason=reason)
        case ModelSetAside(model=model):
            return to.gettext(
                "Easel has set the model {model} aside: its image engine died twice while loading it. Requests for it "
                "were refunded, and the other models draw on. Check its files or remove it; it is tried again when Easel "
                "is restarted.",
                model=model,
            )
        case ModelNotLoaded(model=model, reason=reason):
            return to.gettext("Easel could not load the model {model}: {reason}", model=model, reason=reason)


def _drained(told: Drained, to: Language) -> str:
    if not told.waiting:
        return to.gettext(
            "Easel was drained {when}: nothing waits and nothing is drawn. It takes requests again after /admin resume "
            "everywhere:True.",
            when=moment(told.at),
        )
    return to.ngettext(
        "Easel was drained {when}, but for {count} request of servers that are paused themselves. It takes requests "
        "again after /admin resume everywhere:True.",
        "Easel was drained {when}, but for {count} requests of servers that are paused themselves. It takes requests "
        "again after /admin resume everywhere:True.",
        told.waiting,
        when=moment(told.at),
    )


def _gpu_paused(told: GpuPaused, to: Language) -> str:
    if told.engine is not None:
        return to.gettext(
            "Easel's engine {number} is paused: it died {deaths} times within {within}. The last time: {reason} The other "
            "engines draw on. It is tried again every {pause} and when Easel is restarted; the log and `easel doctor` say "
            "more.",
            number=told.engine,
            deaths=told.deaths,
            within=minutes(told.within_s, to),
            reason=how_it_ended(told.end, to),
            pause=minutes(told.again_s, to),
        )
    return to.ngettext(
        "Easel's GPU is paused: its image engine died {deaths} times within {within}. The last time: {reason} {count} "
        "request keeps its place in line. The engine is tried again every {pause} and when Easel is restarted; the log "
        "and `easel doctor` say more.",
        "Easel's GPU is paused: its image engine died {deaths} times within {within}. The last time: {reason} {count} "
        "requests keep their places in line. The engine is tried again every {pause} and when Easel is restarted; the log "
        "and `easel doctor` say more.",
        told.waiting,
        deaths=told.deaths,
        within=minutes(told.within_s, to),
        reason=how_it_ended(told.end, to),
        pause=minutes(told.again_s, to),
    )
