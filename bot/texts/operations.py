"""What admins and whoever runs the bot read about running it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bot.core.engines.status import EngineView, Phase
from bot.texts.language import Language, Say, fixed

only_the_operator = fixed("Only whoever runs this bot can do that: the application's owner or its team.")
say_why = fixed("Say why in words: whoever asks reads it.")

# ------------------------------------------------------------------ pause and resume

nothing_paused_here = fixed("Nothing is paused on this server.")
nothing_paused_anywhere = fixed("Nothing is paused for the whole bot; a server's own pause is resumed there.")
paused_by_the_operator = fixed(
    "This server has paused nothing: whoever runs this bot has, for everybody, and only they can resume it."
)
resumed_here = fixed("Easel takes requests of this server again, and what waits goes on.")
resumed_here_alone = fixed(
    "This server's own pause is over, but whoever runs this bot has paused it for everybody."
)
draining = fixed(
    "Nothing new is taken, and what waits is drawn: whoever runs this bot gets a direct message when nothing is left."
)
resumed_everywhere = fixed("Easel takes requests again, and what waits goes on.")


def paused(reason: str, to: Language, *, is_everywhere: bool, was_paused: bool) -> str:
    if was_paused:
        return to.gettext("Paused, as before; from now on whoever asks reads: “{reason}”", reason=reason)
    if is_everywhere:
        return to.gettext(
            "Paused for everybody: nothing new is taken, what waits keeps its place, and what is being drawn is finished. "
            "Whoever asks reads: “{reason}”",
            reason=reason,
        )
    return to.gettext(
        "Paused on this server: nothing new is taken, what waits keeps its place, and what is being drawn is finished. "
        "Whoever asks reads: “{reason}”",
        reason=reason,
    )


# ------------------------------------------------------------------ memory and models

no_engine = fixed("The image engine is not there right now: /queue says what it is doing.")
nothing_loaded = fixed("No model is loaded: the memory is free already.")
loaded = fixed("loaded")


def freeing(waiting: int, to: Language) -> str:
    told = to.gettext(
        "The models give their memory back once what is being drawn is finished. The next request has its model loaded "
        "again."
    )
    if not waiting:
        return told
    more = to.ngettext(
        "{count} request waits and has it loaded at once: /admin pause before this keeps the memory free.",
        "{count} requests wait and have it loaded at once: /admin pause before this keeps the memory free.",
        waiting,
    )
    return f"{told} {more}"


def device(name: str, to: Language) -> str:
    return to.gettext("**Models** on {device}", device=name)


def model(title: str, facts: Sequence[str]) -> str:
    """A line of the list; its title comes made safe."""
    return " · ".join([f"**{title}**", *facts])


def loading(title: str, to: Language) -> str:
    return to.gettext(
        "{model} is being loaded, between what is drawn: /admin models show tells when it is there. If it can't be, "
        "whoever runs this bot gets a direct message.",
        model=title,
    )


def loaded_before(title: str) -> Say:
    return lambda to: to.gettext("{model} is loaded already.", model=title)


def not_loaded(title: str) -> Say:
    return lambda to: to.gettext("{model} is not loaded.", model=title)


def unloading(title: str, to: Language) -> str:
    return to.gettext(
        "{model} gives its memory back once what is being drawn with it is finished. Who asks for it next has it loaded "
        "again.",
        model=title,
    )


def draws_nothing(title: str) -> Say:
    return lambda to: to.gettext(
        "{model} draws nothing from words alone: choose another model as the default.", model=title
    )


def default_now(title: str, to: Language) -> str:
    return to.gettext(
        "{model} is used from now on where none is named; what servers, channels and people set comes before it.",
        model=title,
    )


# ------------------------------------------------------------------ engines

engine_head = fixed("**Engines**")
_phases: Mapping[Phase, Say] = {
    Phase.READY: fixed("draws"),
    Phase.LOADING: fixed("is loading"),
    Phase.STARTING: fixed("is starting"),
    Phase.RESTARTING: fixed("is started anew after a crash"),
    Phase.PAUSED: fixed("died too often, and is tried again later"),
    Phase.BROKEN: fixed("can't work"),
    Phase.STOPPED: fixed("has ended"),
}


def engine_line(number: int, facts: Sequence[str]) -> str:
    """A line of the list."""
    return " · ".join([f"**{number}**", *facts])


def engine_state(engine: EngineView, to: Language) -> str:
    if engine.is_held:
        return to.gettext("paused by an admin")
    if engine.is_leaving:
        return to.gettext("is started anew once what it draws is finished")
    told = _phases[engine.status.phase](to)
    return f"{told}: {engine.status.reason}" if engine.status.reason else told


def engine_draws(jobs: int, to: Language) -> str:
    return to.ngettext("{count} request in its hands", "{count} requests in its hands", jobs)


def engine_has_loaded(models: Sequence[str], to: Language) -> str:
    return to.gettext("loaded: {models}", models=to.listed(models))


def engine_lacks(models: Sequence[str], to: Language) -> str:
    return to.gettext("does not offer {models}", models=to.listed(models))


def engine_equals(numbers: Sequence[int], to: Language) -> str:
    if not numbers:
        return to.gettext("draws other last bits than the others")
    return to.gettext("draws the same pixels as {numbers}", numbers=to.listed(map(str, numbers)))


def no_such_engine(number: int, count: int) -> Say:
    return lambda to: to.ngettext(
        "There is no engine {number}: {count} is there, see /admin engine show.",
        "There is no engine {number}: {count} are there, see /admin engine show.",
        count,
        number=number,
    )


def engine_paused_before(number: int) -> Say:
    return lambda to: to.gettext("Engine {number} is paused already.", number=number)


def engine_not_paused(number: int) -> Say:
    return lambda to: to.gettext("Engine {number} is not paused.", number=number)


engine_the_last_one = fixed(
    "No other engine draws right now: /admin pause with everywhere keeps everybody waiting, and says why."
)


def engine_paused(number: int, jobs: int, to: Language) -> str:
    if not jobs:
        return to.gettext(
            "Engine {number} is given nothing more until /admin engine resume; the others draw on.",
            number=number,
        )
    return to.ngettext(
        "Engine {number} is given nothing more until /admin engine resume; {count} request in its hands is finished, and the "
        "others draw on.",
        "Engine {number} is given nothing more until /admin engine resume; {count} requests in its hands are finished, and the "
        "others draw on.",
        jobs,
        number=number,
    )


def engine_resumed(number: int, to: Language) -> str:
    return to.gettext("Engine {number} is given requests again.", number=number)


def engine_restarting(count: int, to: Language) -> str:
    return to.ngettext(
        "{count} engine is started anew once what it draws is finished; requests are taken all the time.",
        "{count} engines are started anew one after the other, each once what it draws is finished; requests are taken all "
        "the time.",
        count,
    )


# ------------------------------------------------------------------ the line

no_such_request = fixed("No request of that number is known here: /admin queue show lists those that wait.")
being_drawn = fixed("It is being drawn already: /admin queue cancel ends it, but its place is gone.")
by_direct_message = fixed("by direct message")
not_in_line_yet = fixed("It is not in line yet: try again in a moment.")


def entry(job_id: int, parts: Sequence[str]) -> str:
    """A line of the list."""
    return f"**{job_id}** · " + " · ".join(part for part in parts if part)


def page(first: int, last: int, total: int, to: Language) -> str:
    return to.gettext("**The line**, {first}–{last} of {total}", first=first, last=last, total=total)


def cancelled(job_id: int, to: Language) -> str:
    return to.gettext("Request {number} is cancelled.", number=job_id)


def moved(job_id: int, place: int | None, to: Language, *, to_front: bool) -> str:
    """`place`: in the line of all, 1 is next."""
    if to_front:
        return to.gettext(
            "Request {number} is the first of these now; in the whole line its place is {place}.",
            number=job_id,
            place=place,
        )
    return to.gettext(
        "Request {number} is the last of these now; in the whole line its place is {place}.",
        number=job_id,
        place=place,
    )


# ------------------------------------------------------------------ announcements

nothing_to_announce = fixed("Say what is to be announced.")
channel_or_everywhere = fixed("Name a channel of this server or announce it everywhere, not both.")
channel_unknown = fixed("I don't see that channel: choose one in which I may write.")


def may_not_write(channel_id: int) -> Say:
    return lambda to: to.gettext(
        "I may not write in {channel}: give me View Channel and Send Messages there.",
        channel=f"<#{channel_id}>",
    )


def you_may_not_write(channel_id: int) -> Say:
    return lambda to: to.gettext("You may not write in {channel} yourself.", channel=f"<#{channel_id}>")


def announced(channel_id: int, to: Language) -> str:
    return to.gettext("Announced in {channel}.", channel=f"<#{channel_id}>")


def perhaps_announced(channel_id: int, to: Language) -> str:
    return to.gettext(
        "Discord's answer got lost: look into {channel} before you announce it again, since it may stand there.",
        channel=f"<#{channel_id}>",
    )


def announced_everywhere(posted: int, servers: int, to: Language) -> str:
    return to.ngettext(
        "Announced on {posted} of {count} server; where there is no channel for system messages, or I may not write there, "
        "it is left out.",
        "Announced on {posted} of {count} servers; where there is no channel for system messages, or I may not write there, "
        "it is left out.",
        servers,
        posted=posted,
    )
