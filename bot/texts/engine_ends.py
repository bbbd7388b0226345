"""How an engine ended, said for it where it can't any more: read by whoever runs the bot. Pure."""

from __future__ import annotations

from bot.core.engines.deaths import EngineEnd, NotStarted, Perished, SaidWhy, Way
from bot.texts.language import Language, fixed

_unkillable = fixed("It hangs inside its driver, and can't even be killed.")
_hung = fixed("It made no progress any more.")
_garbled = fixed("It sent what no engine sends: check its files and what it was given.")
_device_lost = fixed("The GPU reported an error after which only a new process can use it.")

_host_lost = fixed("Nothing was heard any more of the host on which it ran.")


def how_it_ended(end: EngineEnd, to: Language) -> str:
    match end:
        case NotStarted(problem=problem):
            return to.gettext("Its process could not be started ({problem}).", problem=problem)
        case SaidWhy(reason=reason):
            return reason
        case Perished(reading=None):
            return _perished(end, to)
        case Perished(reading=model):
            loading = to.gettext("It was loading the model {model}: check its files.", model=model)
            return f"{_perished(end, to)} {loading}"


def _perished(end: Perished, to: Language) -> str:
    match end.way:
        case Way.UNKILLABLE:
            return _unkillable(to)
        case Way.HUNG:
            return _hung(to)
        case Way.GARBLED:
            return _garbled(to)
        case Way.DEVICE_LOST:
            return _device_lost(to)
        case Way.HOST_LOST:
            return _host_lost(to)
        case Way.SIGNALLED:
            return to.gettext("Its process was ended by signal {number}.", number=end.code)
        case Way.EXITED:
            return to.gettext("Its process ended with exit code {code}.", code=end.code)
