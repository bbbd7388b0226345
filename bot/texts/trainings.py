"""What people read of trainings: sets of pictures, their start, how far one is and how it ended. Pure."""

from __future__ import annotations

from bot.core.training import told
from bot.core.training.told import Learning, Seen
from bot.job import Reason, ReasonCode
from bot.texts import reasons
from bot.texts.amounts import credit, duration
from bot.texts.language import Language, Say, fixed
from bot.training import Sharing, Training, TrainingState

not_offered = fixed("Training is not switched on here: whoever runs the bot decides that.")
not_in_cluster = fixed("Training is not offered where the engines run in a Ray cluster.")
not_allowed = fixed("You may not train here: admins allow it with /limits.")
bad_name = fixed("A name is made of small letters, digits, - and _, at most 40 of them.")
bad_trigger = fixed("The trigger has to be words, without commas or brackets.")
not_yours = fixed("That training is somebody else's.")
no_such = fixed("There is no training of that name here: /train list shows them.")
gone = fixed("That training is gone.")
none_yet = fixed("There are no trainings yet: /train new begins one.")
none_open = fixed("You have no set that pictures can be added to: /train new begins one.")
started = fixed("That training was started: its pictures stay as they are.")
is_over = fixed("That training is not under way.")
under_way = fixed("That training is under way: cancel it first.")
not_taught = fixed("Only what was taught to its end can be shared.")
no_picture = fixed("That set has no pictures yet: add some with /train add.")
one_picture = fixed("One picture teaches only itself: add at least a second one.")
not_kept = fixed("The picture could not be kept: whoever runs the bot has to look at the disk.")
not_deleted = fixed(
    "Its files could not be deleted: whoever runs the bot has to look at the disk. Then try again."
)
bad_captions = fixed("Each line begins with the number of its picture and a colon, such as 1: a red snail.")
role_missing = fixed("Say which role.")
only_narrower = fixed("You may only let fewer people use it: who else may is for admins to decide.")
blocked_meanwhile = fixed("You may make nothing here for now: a moderator decided that meanwhile.")
shared_so = fixed("It is shared so already.")
dropped = fixed("Nothing was started, and nothing is charged.")
captions_form = fixed("Captions")
captions_field = fixed("A line for each picture")
which_set = fixed("To which set?")


def name_taken(name: str, to: Language) -> str:
    return to.gettext("There is a LoRA or a training called {name} already: take another name.", name=name)


def cannot_learn(title: str, to: Language) -> str:
    return to.gettext("{model} can't be taught: its kind takes no LoRA that is trained here.", model=title)


def too_many_steps(most: int, to: Language) -> str:
    return to.ngettext(
        "You may train for at most {count} step.", "You may train for at most {count} steps.", most
    )


def too_many_under_way(most: int, to: Language) -> str:
    return to.ngettext(
        "You may have {count} training at once: wait for it, or cancel it.",
        "You may have {count} trainings at once: wait for one, or cancel one.",
        most,
    )


def too_dear(cost: int, left: int, to: Language) -> str:
    return to.gettext(
        "It costs {cost}, and you have {left} left: fewer steps cost less.",
        cost=credit(cost, to),
        left=credit(left, to),
    )


def made(training: Training, to: Language, *, everyday: bool) -> str:
    text = to.gettext(
        "The set **{name}** is there: add pictures with /train add or the menu of a message, then /train start.",
        name=training.name,
    )
    return f"{text}\n-# ⚠️ {_everyday(training.trigger, to)}" if everyday else text


def _everyday(trigger: str, to: Language) -> str:
    return to.gettext(
        "“{trigger}” is an everyday word: the model will draw it differently from now on wherever the LoRA is used. Two words are better.",
        trigger=trigger,
    )


def added(name: str, count: int, total: int, to: Language) -> str:
    """`total`: that it has now."""
    return to.ngettext(
        "{count} picture is added to **{name}**, which has {total} now.",
        "{count} pictures are added to **{name}**, which has {total} now.",
        count,
        name=name,
        total=to.number(total),
    )


def not_added(name: str, why: str, to: Language) -> str:
    return to.gettext("{name} is left out: {why}", name=name, why=why)


there_already = fixed("it is in the set already.")
no_room = fixed("the set is full, or you keep as much as you may.")
unreadable = fixed("it can't be read as a PNG, JPEG or WebP picture.")


no_such_picture = fixed("That set has no picture of that number: /train pictures shows them.")


def removed(name: str, number: int, left: int, to: Language) -> str:
    """`left`: how many it still has."""
    return to.ngettext(
        "Picture {number} is taken out of **{name}**, which has {count} picture now.",
        "Picture {number} is taken out of **{name}**, which has {count} pictures now.",
        left,
        name=name,
        number=number,
    )


no_caption = fixed("no caption yet")


def more_from(name: str, number: int, to: Language) -> str:
    return to.gettext("More of them: `/train pictures name:{name} first:{number}`", name=name, number=number)


def captioned(count: int, to: Language) -> str:
    return to.ngettext("{count} caption is kept.", "{count} captions are kept.", count)


def question(
    training: Training, pictures: int, cost: int, left: int, expected_s: float | None, to: Language
) -> str:
    lines = [
        to.ngettext(
            "**{name}** is taught from {count} picture in {steps} steps.",
            "**{name}** is taught from {count} pictures in {steps} steps.",
            pictures,
            name=training.name,
            steps=to.number(training.steps),
        ),
        to.gettext("It costs {cost}; you have {left} left.", cost=credit(cost, to), left=credit(left, to)),
        to.gettext(
            "It takes about {time} while nobody wants a picture, and longer else.",
            time=duration(expected_s, to),
        )
        if expected_s is not None
        else to.gettext("How long it takes shows once it has begun: this model was not taught yet."),
    ]
    return "\n".join(lines)


# ------------------------------------------------------------------ the status message


def head(training: Training, to: Language) -> str:
    return to.gettext(
        "<@{user}> teaches **{name}**, called by “{trigger}”",
        user=training.user_id,
        name=training.name,
        trigger=training.trigger,
    )


def doing(seen: Seen, to: Language) -> str:
    if not isinstance(seen.doing, Learning):
        return to.gettext("It is being prepared.")
    step = seen.doing
    parts = [to.gettext("step {done} of {steps}", done=to.number(step.done), steps=to.number(step.steps))]
    if step.loss is not None:
        parts.append(to.gettext("loss {loss}", loss=to.decimal(step.loss, 3)))
    if step.left_s is not None:
        parts.append(to.gettext("about {time} left", time=duration(step.left_s, to)))
    return " · ".join(parts)


def waits(why: told.Wait, to: Language) -> str:
    match why:
        case told.InLine(ahead=ahead):
            return to.ngettext("{count} training comes first.", "{count} trainings come first.", ahead)
        case told.ForPictures():
            return to.gettext("It waits while somebody wants a picture.")
        case told.ForNight(hour=hour):
            return to.gettext("It goes on at {hour}:00 of the bot's clock.", hour=hour)
        case told.ForHalt():
            return to.gettext("It waits: drawing is paused.")
        case told.ForMemory(needed=needed, free=free):
            if not needed:
                return to.gettext("It waits for memory, and looks again soon.")
            return to.gettext(
                "It needs {needed} GB of memory, {free} are free: it looks again soon.",
                needed=to.decimal(needed / 1e9, 1),
                free=to.decimal(free / 1e9, 1),
            )


def ended(training: Training, to: Language) -> str:
    if training.state is TrainingState.DONE:
        return to.gettext(
            "It is learned: draw with it by `/imagine prompt:{trigger} … lora:{name}`. /train share says who may.",
            trigger=training.trigger,
            name=training.name,
        )
    back = training.cost - training.charged
    given_back = to.gettext("{credits} are given back.", credits=credit(back, to)) if back else ""
    return " ".join(part for part in (why(training.reason, to), given_back) if part)


def why(reason: Reason | None, to: Language) -> str:
    match reason:
        case None:
            return to.gettext("It failed.")
        case Reason(code=told.EndCode.CRASHED):
            return to.gettext("It failed: the process that taught it ended again and again.")
        case Reason(code=told.EndCode.FLAGGED, values=values):
            return to.gettext(
                "It failed: a safety checker objects to the pictures {pictures}.",
                pictures=values.get("pictures", ""),
            )
        case Reason(code=ReasonCode.CANCELLED, values=values):
            return to.gettext("It was cancelled by {who}.", who=values.get("by", ""))
        case Reason(code=ReasonCode.WITHDRAWN):
            return to.gettext("It was cancelled by a moderator.")
        case _:
            return reasons.why(reason, to)


# ------------------------------------------------------------------ lists and the rest


_STATES: dict[TrainingState, Say] = {
    TrainingState.COLLECTING: fixed("collects pictures"),
    TrainingState.WAITING: fixed("waits"),
    TrainingState.RUNNING: fixed("is being taught"),
    TrainingState.DONE: fixed("is learned"),
    TrainingState.FAILED: fixed("failed"),
    TrainingState.CANCELLED: fixed("was cancelled"),
}


def quota(are_open: int, most: int, steps: int, to: Language) -> str:
    """Sets and trainings that have not ended, and how many they may be."""
    return to.gettext(
        "Trainings: {count} of {most}, each up to {steps} steps.",
        count=to.number(are_open),
        most=to.number(most),
        steps=to.number(steps),
    )


def entry(training: Training, pictures: int, to: Language) -> str:
    told_of = to.ngettext("{count} picture", "{count} pictures", pictures)
    parts = [
        _STATES[training.state](to),
        told_of,
        to.ngettext("{count} step", "{count} steps", training.steps),
    ]
    if training.state is TrainingState.DONE:
        parts.append(shared(training, to))
    return f"**{training.name}** (“{training.trigger}”, <@{training.user_id}>): {' · '.join(parts)}"


def shared(training: Training, to: Language) -> str:
    match training.sharing:
        case Sharing.MAKER:
            return to.gettext("for its maker")
        case Sharing.ROLE:
            return to.gettext("for <@&{role}>", role=training.role_id)
        case Sharing.ALL:
            return to.gettext("for everybody here")


def cancelled(name: str, to: Language) -> str:
    return to.gettext("**{name}** is cancelled.", name=name)


def deleted(name: str, to: Language) -> str:
    return to.gettext("**{name}** is deleted, with its pictures and what came of it.", name=name)
