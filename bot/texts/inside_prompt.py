"""What is wrong inside a prompt, as people read it: flags, alternatives, wildcards. Pure."""

from __future__ import annotations

from bot.core.asking.refused import (
    Contradiction,
    FlagOutOfForm,
    FlagProblem,
    FlagWithoutValue,
    HalfASize,
    NoSuchWildcard,
    PromptProblem,
    TooManyAtOnce,
    UnknownFlag,
    WildcardInCircle,
    WildcardProblem,
    WildcardsTooLong,
    WildcardTooDeep,
    WildcardUnusable,
)
from bot.texts.amounts import listed
from bot.texts.language import Language
from engine.contract import Listed

LISTED = 10
"""Names in a sentence."""
COUNTED_MAX = 1_000_000
NAME_SHOWN = 60


def prompt_problem(problem: PromptProblem, to: Language) -> str:
    if isinstance(problem, FlagProblem):
        return _flag_problem(problem, to)
    return _too_many(problem, to) if isinstance(problem, TooManyAtOnce) else _wildcard_problem(problem, to)


def _flag_problem(problem: FlagProblem, to: Language) -> str:
    match problem:
        case UnknownFlag(typed=typed, nearest=None, known=known):
            return to.gettext(
                "There is no flag “{typed}”: use {known}, or write \\{typed} to have it drawn as a word.",
                typed=typed,
                known=to.listed(known),
            )
        case UnknownFlag(typed=typed, nearest=nearest):
            return to.gettext(
                "There is no flag “{typed}”: did you mean {nearest}? Write \\{typed} to have it drawn as a word.",
                typed=typed,
                nearest=nearest,
            )
        case FlagWithoutValue(typed=typed, example=example):
            return to.gettext(
                "“{typed}” needs a value after it, such as {example}.", typed=typed, example=example
            )
        case (
            FlagOutOfForm(typed=typed, example=example, least=None)
            | FlagOutOfForm(typed=typed, example=example, most=None)
        ):
            return to.gettext(
                "“{typed}” can't be read: write it such as {example}.", typed=typed, example=example
            )
        case FlagOutOfForm(typed=typed, example=example, least=least, most=most):
            return to.gettext(
                "“{typed}” does not fit: it takes a number from {least} to {most}, such as {example}.",
                typed=typed,
                least=f"{least:.10g}",
                most=f"{most:.10g}",
                example=example,
            )
        case Contradiction(first=first, second=second):
            return to.gettext(
                "“{first}” and “{second}” contradict each other: leave one of them out.",
                first=first,
                second=second,
            )
        case HalfASize(typed=typed, missing=missing):
            return to.gettext(
                "“{typed}” is half a size: give {missing} as well, or use --ar instead.",
                typed=typed,
                missing=missing,
            )


def _too_many(problem: TooManyAtOnce, to: Language) -> str:
    if problem.count > COUNTED_MAX:
        return to.gettext(
            "This prompt makes more than a million requests, and {most} at once are the most: leave out some "
            "alternatives or repeats.",
            most=problem.most,
        )
    if problem.most == 1:
        return to.gettext(
            "This prompt makes {count} requests, and one at a time is the most: leave out alternatives and repeats.",
            count=to.number(problem.count),
        )
    return to.gettext(
        "This prompt makes {count} requests, and {most} at once are the most: leave out some alternatives or repeats.",
        count=to.number(problem.count),
        most=problem.most,
    )


def _wildcard_problem(problem: WildcardProblem, to: Language) -> str:
    match problem:
        case NoSuchWildcard(name=name, offered=()):
            return to.gettext(
                "There are no wildcards here: leave out __{name}__, or write \\__{name}__ to have it drawn as it stands.",
                name=name[:NAME_SHOWN],
            )
        case NoSuchWildcard(name=name, offered=offered):
            return to.gettext(
                "There is no wildcard “{name}” here: use {offered}.",
                name=name[:NAME_SHOWN],
                offered=_listed(offered, to),
            )
        case WildcardInCircle(names=names):
            return to.gettext(
                "The wildcard “{name}” includes itself ({way}), so that no words come of it: take another one, "
                "and tell who runs Easel.",
                name=names[0],
                way=" → ".join(names),
            )
        case WildcardTooDeep(name=name, most=most):
            return to.gettext(
                "The wildcard “{name}” holds more than {most} others within one another: take another one.",
                name=name,
                most=most,
            )
        case WildcardUnusable(name=name):
            return to.gettext(
                "The file of the wildcard “{name}” is empty or can't be used: take another one, and tell who "
                "runs Easel.",
                name=name,
            )
        case WildcardsTooLong(most=most):
            return to.gettext(
                "With its wildcards filled in the prompt has more than {most} characters: use fewer of them.",
                most=to.number(most),
            )


def _listed(names: tuple[str, ...], to: Language) -> str:
    shown = tuple(name[:NAME_SHOWN] for name in names[:LISTED])
    return listed(Listed(names=shown, more=max(0, len(names) - LISTED)), to)
