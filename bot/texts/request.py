"""A request in words: what of it matters to its picture, as lines for people and as the command that asks for it again. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bot.core.asking.request_facts import RequestFacts
from bot.job import Action, Job, JobState, Review
from bot.texts import amounts
from bot.texts.commands import OPTION
from bot.texts.contract import misread
from bot.texts.language import Language, Say, fixed

Shown = Callable[[str], str]
"""What makes a name fit for a message."""


# ------------------------------------------------------------------ under a picture


def settings(job: Job, to: Language, *, shown: Shown) -> str:
    """All that matters to a picture and how long it took, on one line."""
    parts = _settings(job, to, shown)
    if job.render_seconds is not None:
        parts.append(amounts.seconds(job.render_seconds, to))
    return " · ".join(parts)


def shared_settings(jobs: Sequence[Job], to: Language, *, shown: Shown) -> str:
    """What of that is the same for all of them."""
    first, *others = (_settings(job, to, shown) for job in jobs)
    return " · ".join(part for part in first if all(part in other for other in others))


def _settings(job: Job, to: Language, shown: Shown) -> list[str]:
    facts = RequestFacts.of(job.request)
    parts = [
        *_drawing(facts, to),
        start(facts, to),
        tiled(facts, to),
        shown(to.listed(map(str, job.request.loras))),
        shown(facts.model),
    ]
    return [part for part in parts if part]


def _drawing(facts: RequestFacts, to: Language) -> Iterator[str]:
    if facts.seed is not None:
        seeds = f"`{facts.seed}`" + (f" … `{facts.last_seed}`" if facts.last_seed is not None else "")
        yield to.gettext("seed {seed}", seed=seeds)
    yield amounts.size(facts.size)
    if facts.steps is not None:
        yield to.gettext("{steps} steps", steps=facts.steps)
    if facts.guidance is not None:
        yield guidance(facts.guidance, facts.guidance_until, to)
    if facts.sampler is not None and not facts.is_plain:
        yield " ".join(filter(None, (facts.sampler, facts.schedule)))


def guidance(scale: float, until: float | None, to: Language) -> str:
    """`until`: after that share of the steps it is left out; None: it never is."""
    if until is None:
        return to.gettext("guidance {guidance}", guidance=format(scale, "g"))
    share = to.number(round(100 * until))
    return to.gettext("guidance {guidance} until {share} %", guidance=format(scale, "g"), share=share)


def start(facts: RequestFacts, to: Language) -> str:
    """What a picture was made from besides words; empty where nothing."""
    if facts.references:
        count = facts.references
        return to.ngettext("edited from {count} image", "edited from {count} images", count)
    times, at = facts.upscale, "" if facts.strength is None else f"{facts.strength:g}"
    if times is not None and facts.is_plain:
        return to.gettext("upscaled {times}× with Lanczos", times=times)
    if times is not None and at:
        return to.gettext("upscaled {times}× at {strength}", times=times, strength=at)
    if times is not None:
        return to.gettext("upscaled {times}×", times=times)
    if at and facts.has_mask:
        return to.gettext("within a mask of an image at {strength}", strength=at)
    return to.gettext("from an image at {strength}", strength=at) if at else ""


def tiled(facts: RequestFacts, to: Language) -> str:
    """Empty where its edges do not meet."""
    return to.gettext("tiled") if facts.is_tiled else ""


_reviewed: dict[str, Say] = {
    Review.REMOVED: fixed("A moderator looked at it."),
    Review.UNASKED: fixed("No moderator could be asked: there is no channel for that here."),
    Review.UNREACHED: fixed("No moderator could be asked: the question did not get into their channel."),
    Review.EXPIRED: fixed("No moderator has looked at it in time."),
}


def withheld(job: Job, to: Language) -> str:
    """What a safety checker kept back; empty where nothing."""
    count, of = sum(image.flagged and image.path is None for image in job.images), len(job.images)
    if not count:
        return ""
    if of == 1:
        told = to.gettext("The image was withheld by the safety checker and not charged.")
    else:
        told = to.ngettext(
            "{count} of {of} images were withheld by the safety checker and not charged.",
            "{count} of {of} images were withheld by the safety checker and not charged.",
            count,
            of=of,
        )
    why = _reviewed.get(job.review or "")
    return told if why is None else f"{told} {why(to)}"


def asked_in(header: str, channel: str, to: Language) -> str:
    """Above a picture that is not where it was asked for."""
    return to.gettext("{header} in {channel}", header=header, channel=channel)


def unfinished(prompt: str, to: Language) -> str:
    """The alternative text of a preview."""
    return to.gettext("Unfinished: {prompt}", prompt=prompt)


def shown_again(header: str, job: Job, by: int, to: Language) -> str:
    """Above what was taken out of a set or shown again, by whom."""
    if by == job.user_id:
        return to.gettext("{header}, image {number}", header=header, number=job.id)
    return to.gettext(
        "{header}, image {number}, posted by {who}", header=header, number=job.id, who=amounts.mention(by)
    )


_ACTIONS: dict[str, Say] = {
    Action.REROLL: fixed("Rerolled"),
    Action.VARY_SUBTLE: fixed("Varied a little"),
    Action.VARY_STRONG: fixed("Varied a lot"),
    Action.UPSCALE_2: fixed("Upscaled 2×"),
    Action.UPSCALE_4: fixed("Upscaled 4×"),
    Action.REMIX: fixed("Remixed"),
    Action.EDIT: fixed("Edited"),
    Action.REDRAW: fixed("Redrawn"),
}


def made(job: Job, to: Language) -> str:
    """An entry of what was made from another picture."""
    how = _ACTIONS.get(job.action)
    return f"{job.id} – " + (f"{how(to)}: " if how is not None else "") + job.request.prompt


# ------------------------------------------------------------------ 📋 Info


_STATES: dict[JobState, Say] = {
    JobState.ACCEPTED: fixed("accepted"),
    JobState.QUEUED: fixed("queued"),
    JobState.RUNNING: fixed("running"),
    JobState.RENDERED: fixed("rendered"),
    JobState.DELIVERED: fixed("delivered"),
    JobState.FAILED: fixed("failed"),
    JobState.CANCELLED: fixed("cancelled"),
}


def asked(job: Job, to: Language) -> str:
    """By whom and when, what became of it, and what it cost."""
    when = f"<t:{int(job.created_at)}:f>"
    return to.gettext(
        "**By {who}**, asked {when}, {state}, {price}",
        who=amounts.mention(job.user_id),
        when=when,
        state=_STATES[job.state](to),
        price=amounts.credit(job.charged, to),
    )


def seeds(job: Job, to: Language) -> str:
    told = [image.seed for image in job.images] or [job.request.seed]
    return to.gettext("Seeds: {seeds}", seeds=to.listed(map(str, told)))


drawn_otherwise = fixed(
    "Drawn by another kind of engine than the picture with this seed that it repeats, since none of that kind was up: it may "
    "differ in details."
)


def parent(job: Job, to: Language) -> str:
    """What it was made from, and how."""
    how = _ACTIONS.get(job.action)
    if how is None:
        return to.gettext("Made from image {number}", number=job.parent_id)
    return to.gettext("{how} from image {number}", how=how(to), number=job.parent_id)


def number(job: Job, to: Language) -> str:
    return to.gettext("Image {number}: `/show number:{number}` posts it again", number=job.id)


def files_to_attach(facts: RequestFacts, to: Language) -> Iterator[str]:
    """A line for what a command can't carry, if it is to carry anything."""
    if images := facts.references or int(facts.has_image and not facts.has_mask):
        yield to.ngettext(
            "Attach the same image to the command.",
            "Attach the same {count} images to the command, in their order.",
            images,
        )
    elif facts.has_mask:
        yield to.gettext("Attach the same image and mask to the command.")


# ------------------------------------------------------------------ a command that draws another picture


@dataclass(frozen=True, slots=True, kw_only=True)
class CharactersLost:
    """Discord's form can't hold every character of it."""

    option: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptMissing:
    """Discord's form wants one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Misread:
    how: str
    """The contract's words, as the end of a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightTooLong:
    """That of a LoRA has more digits than the option takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesEdited:
    """/imagine takes no images for that."""


Uncopied = CharactersLost | PromptMissing | Misread | WeightTooLong | ImagesEdited
"""Why the command would draw another picture after it was copied."""


def uncopied(why: Uncopied, to: Language) -> str:
    return to.gettext("The command can't be copied exactly: {reason}.", reason=_reason(why, to))


def _reason(why: Uncopied, to: Language) -> str:
    match why:
        case CharactersLost(option=option):
            told = (to.translated(option, OPTION) or option).replace("_", " ")
            return to.gettext("Discord's form can't hold every character of its {option}", option=told)
        case PromptMissing():
            return to.gettext("Discord's form wants a prompt, and it has none")
        case Misread(how=how):
            return misread(how, to)
        case WeightTooLong():
            return to.gettext("the weight of a LoRA has more digits than the option takes")
        case ImagesEdited():
            return to.gettext("/imagine has no option for images to edit")


# ------------------------------------------------------------------ /history


def unpaid(prompt: str, job: Job, price: int, to: Language) -> str:
    """An entry of what could not be posted; its person may still have it."""
    return to.gettext(
        "{prompt} (could not be posted, not charged: 📥 {number} for {price})",
        prompt=prompt,
        number=job.id,
        price=amounts.credit(price, to),
    )


def unposted(prompt: str, job: Job, to: Language) -> str:
    return to.gettext("{prompt} (could not be posted: 📥 {number})", prompt=prompt, number=job.id)


def entry(title: str, job: Job, to: Language, *, shown: Shown) -> str:
    facts = RequestFacts.of(job.request)
    told = [
        to.gettext("seed {seed}", seed=job.request.seed),
        facts.size,
        start(facts, to),
        shown(facts.model),
    ]
    return f"{title} {amounts.moment(job.created_at)} · {', '.join(filter(None, told))}"
