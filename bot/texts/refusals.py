"""Why a person gets no picture, as they read it: one sentence that says what would help. Pure."""

from __future__ import annotations

import math

from bot.core.asking.refused import (
    Blocked,
    CreditsSpent,
    DaySpent,
    DiskFull,
    ForbiddenByRules,
    InputGone,
    LineFull,
    NoSizeOfModel,
    NoSuchModel,
    NoSuchStyle,
    NothingAtNight,
    NotPermitted,
    NotShared,
    OneOfSeveral,
    PlanGone,
    PressedBefore,
    ProblemOfSeveral,
    PromptProblem,
    QualityAndSteps,
    Refused,
    Repeated,
    ShapeIsKept,
    ShapeUnknown,
    SizeAndAspect,
    TooDear,
    TooFarUpscaled,
    TooManyImages,
    TooManyPixels,
    TooManySteps,
    TooManyTogether,
    TooManyWaiting,
    TooSoon,
)
from bot.core.held_up import Closing, EngineBroken, EnginePaused, EngineStarts, Halted
from bot.core.ports import Irremovable
from bot.limits import Period
from bot.texts.allow_lists import not_permitted, not_shared
from bot.texts.amounts import choice, credit, moment
from bot.texts.inside_prompt import prompt_problem
from bot.texts.language import Language
from bot.texts.tastes import no_such_style
from bot.texts.why_waiting import paused

NAME_SHOWN = 60


def refusal(refused: Refused, to: Language) -> str:
    if isinstance(refused, PromptProblem):
        return prompt_problem(refused, to)
    if isinstance(refused, ProblemOfSeveral):
        return _of_several(refused, to)
    match refused:
        case (
            TooManyPixels()
            | NoSizeOfModel()
            | TooFarUpscaled()
            | TooManySteps()
            | TooManyImages()
            | TooDear()
        ):
            return _of_the_picture(refused, to)
        case TooManyWaiting() | TooSoon() | LineFull() | CreditsSpent() | DaySpent() | NothingAtNight():
            return _of_what_was_used(refused, to)
        case Blocked():
            return _blocked(refused, to)
        case ForbiddenByRules() | NotPermitted() | NotShared():
            return _by_admins(refused, to)
        case DiskFull():
            return to.gettext(
                "Easel's disk is almost full, so nothing new is taken: please ask an admin to make room."
            )
        case InputGone():
            return to.gettext("The picture this was made from is no longer kept: use /imagine with it again.")
        case Repeated() | PressedBefore():
            return _twice(refused, to)
        case (
            NoSuchModel()
            | NoSuchStyle()
            | SizeAndAspect()
            | ShapeIsKept()
            | ShapeUnknown()
            | QualityAndSteps()
        ):
            return _of_the_wish(refused, to)
        case Closing() | Halted() | EngineBroken() | EnginePaused() | EngineStarts():
            return _for_now(refused, to)


def _blocked(refused: Blocked, to: Language) -> str:
    if refused.until is None:
        told = to.gettext(
            "You are blocked from making images on this server: only its admins can change that."
        )
    else:
        told = to.gettext(
            "You are blocked from making images on this server; that ends {when}.", when=moment(refused.until)
        )
    reason = to.gettext("Reason: {reason}", reason=refused.reason) if refused.reason else ""
    return "\n".join(line for line in (told, reason, refused.appeal) if line)


def _by_admins(refused: ForbiddenByRules | NotPermitted | NotShared, to: Language) -> str:
    if isinstance(refused, NotShared):
        return not_shared(refused.name, to)
    if isinstance(refused, NotPermitted):
        return not_permitted(refused, to)
    return _by_rules(refused.entry, to)


def _by_rules(entry: str | None, to: Language) -> str:
    if entry is None:
        return to.gettext("This server's rules forbid something in these words: ask for it in other ones.")
    return to.gettext("This server's rules forbid “{entry}”: ask for it in other words.", entry=entry)


def _twice(refused: Repeated | PressedBefore, to: Language) -> str:
    match refused:
        case Repeated():
            return to.gettext("This request is already on its way.")
        case PressedBefore():
            return to.gettext("You already pressed this button: that image is still being made.")


def _of_several(refused: ProblemOfSeveral, to: Language) -> str:
    match refused:
        case TooManyTogether(images=images, most=most):
            return to.ngettext(
                "This makes {count} image, and one message shows {most} at the most: ask for fewer at once.",
                "This makes {count} images, and one message shows {most} at the most: ask for fewer at once.",
                images,
                most=most,
            )
        case OneOfSeveral(prompt=prompt, refused=why):
            return of_one(prompt, refusal(why, to), to)
        case PlanGone():
            return to.gettext(
                "This was drawn or dropped before, or it is more than an hour old: ask for it with /imagine again."
            )


def of_one(prompt: str, sentence: str, to: Language) -> str:
    """What is said of one request among several."""
    named = prompt if len(prompt) <= NAME_SHOWN else f"{prompt[:NAME_SHOWN]}…"
    return to.gettext("“{prompt}”: {sentence}", prompt=named, sentence=sentence)


def _of_the_wish(
    refused: NoSuchModel | NoSuchStyle | SizeAndAspect | ShapeIsKept | ShapeUnknown | QualityAndSteps,
    to: Language,
) -> str:
    match refused:
        case NoSuchModel(name=name, offered=offered):
            return to.gettext(
                "There is no model “{name}” here: use {offered}.",
                name=name[:NAME_SHOWN],
                offered=choice(name, offered, to),
            )
        case NoSuchStyle(name=name, offered=offered):
            return no_such_style(name, offered, to)
        case SizeAndAspect():
            return to.gettext("Give either a size or an aspect, not both.")
        case ShapeIsKept():
            return to.gettext("Upscaling keeps the image's shape: leave out size and aspect.")
        case ShapeUnknown():
            return to.gettext("Discord can't tell how large this image is: save it anew and attach that.")
        case QualityAndSteps(quality=quality, steps=steps):
            return to.ngettext(
                "The quality “{quality}” chooses the steps itself: leave out either that or the {count} step.",
                "The quality “{quality}” chooses the steps itself: leave out either that or the {count} steps.",
                steps,
                quality=quality,
            )


def _of_the_picture(
    refused: TooManyPixels | NoSizeOfModel | TooFarUpscaled | TooManySteps | TooManyImages | TooDear,
    to: Language,
) -> str:
    match refused:
        case TooManyPixels(size=size, most=most, side=side):
            return to.gettext(
                "{size} is above your limit of {most} pixels: ask for {side}x{side} or smaller.",
                size=size,
                most=to.number(most),
                side=side,
            )
        case NoSizeOfModel(size=size, most=most, model=model):
            return to.gettext(
                "{size} is above your limit of {most} pixels: {model} draws no picture as small as that, so name "
                "another model.",
                size=size,
                most=to.number(most),
                model=model,
            )
        case TooFarUpscaled(size=size, most=most, times=times):
            if times is None:
                return to.gettext(
                    "{size} is above your limit of {most} pixels: take a smaller image.",
                    size=size,
                    most=to.number(most),
                )
            return to.ngettext(
                "{size} is above your limit of {most} pixels: upscale {count} time.",
                "{size} is above your limit of {most} pixels: upscale {count} times.",
                times,
                size=size,
                most=to.number(most),
            )
        case TooManySteps(steps=steps, most=most):
            return to.ngettext(
                "{count} step is above your limit of {most}.",
                "{count} steps are above your limit of {most}.",
                steps,
                most=most,
            )
        case TooManyImages(images=images, most=most):
            return to.ngettext(
                "{count} image is above your limit of {most} per request.",
                "{count} images are above your limit of {most} per request.",
                images,
                most=most,
            )
        case TooDear(cost=cost, most=most, period=Period.NIGHT):
            return to.gettext(
                "This costs {cost} and your night has {most}: ask for fewer images, fewer steps or a smaller size.",
                cost=credit(cost, to),
                most=credit(most, to),
            )
        case TooDear(cost=cost, most=most):
            return to.gettext(
                "This costs {cost} and your day has {per_day}: ask for fewer images, fewer steps or a smaller size.",
                cost=credit(cost, to),
                per_day=credit(most, to),
            )


def _of_what_was_used(
    refused: TooManyWaiting | TooSoon | LineFull | CreditsSpent | DaySpent | NothingAtNight, to: Language
) -> str:
    match refused:
        case TooManyWaiting(waiting=waiting, most=most) if waiting > most:  # it was lowered since
            return to.ngettext(
                "You have {count} request waiting, and may have {most}: wait for one to finish or cancel one.",
                "You have {count} requests waiting, and may have {most}: wait for one to finish or cancel one.",
                waiting,
                most=most,
            )
        case TooManyWaiting(waiting=waiting, most=most):
            return to.gettext(
                "You have {waiting} of {most} requests waiting: wait for one to finish or cancel one.",
                waiting=waiting,
                most=most,
            )
        case TooSoon(again_at=again_at):
            return to.gettext(
                "Here everybody waits a while between two requests: ask again {when}.",
                when=moment(math.ceil(again_at)),
            )
        case NothingAtNight(until=until):
            return to.gettext(
                "At night nothing is drawn for you on this server: ask again {when}.",
                when=moment(math.ceil(until)),
            )
        case LineFull():
            return to.gettext("The line is full for everybody: try again in a few minutes.")
        case CreditsSpent():
            return _spent(refused, to)
        case DaySpent(price=price):
            return to.gettext(
                "It costs {price}, and those of the day you asked for it are used up: ask for a new one with /imagine.",
                price=credit(price, to),
            )


def _spent(refused: CreditsSpent, to: Language) -> str:
    cost, left, most = credit(refused.cost, to), refused.left, refused.most
    when = moment(refused.ends_at)
    match refused.period:
        case Period.DAY:
            return to.gettext(
                "This costs {cost} and you have {left} of {per_day} left today; they renew {when}.",
                cost=cost,
                left=left,
                per_day=most,
                when=when,
            )
        case Period.DAYTIME:
            return to.gettext(
                "This costs {cost} and you have {left} of {most} left today; the night, which has credits of its own, "
                "begins {when}.",
                cost=cost,
                left=left,
                most=most,
                when=when,
            )
        case Period.NIGHT:
            return to.gettext(
                "This costs {cost} and you have {left} of {most} left tonight; the day, which has credits of its own, "
                "begins {when}.",
                cost=cost,
                left=left,
                most=most,
                when=when,
            )


def _for_now(refused: Closing | Halted | EngineBroken | EnginePaused | EngineStarts, to: Language) -> str:
    match refused:
        case Closing():
            return to.gettext("Easel is being restarted: ask again in a minute.")
        case Halted(reason=reason, is_draining=True):
            return to.gettext(
                "Easel draws what waits and takes nothing new for now (“{reason}”): ask again later.",
                reason=reason,
            )
        case Halted(reason=reason, is_everywhere=True):
            return to.gettext("Easel is paused (“{reason}”): ask again later.", reason=reason)
        case Halted(reason=reason):
            return to.gettext(
                "An admin has paused Easel on this server (“{reason}”): ask again later.", reason=reason
            )
        case EngineBroken(reason=reason):
            return to.gettext("The image engine can't work right now: {reason}", reason=reason)
        case EnginePaused():
            return to.gettext(
                "{paused} Places in line are kept; please ask again later.", paused=paused(refused, to)
            )
        case EngineStarts():
            return to.gettext("The image engine is just starting: try again in a few seconds.")


def not_removed(problem: Irremovable, to: Language) -> str:
    """Why a message stays that somebody wanted to be deleted."""
    if problem.is_forbidden:
        return to.gettext("I may not delete messages in this channel any more: ask an admin.")
    return to.gettext("Discord did not delete the message: try again later.")
