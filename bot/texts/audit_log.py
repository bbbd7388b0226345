"""Who did what, as admins read it in the log. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bot.limits import Limits, PermitKind
from bot.store.audit import AuditEntry, Deed
from bot.store.preferences import GALLERY, MODERATORS
from bot.store.rule_words import WordKind
from bot.store.server_settings import change_of
from bot.texts import allowances
from bot.texts.amounts import mention, moment
from bot.texts.language import Language, fixed

Shown = Callable[[str], str]
"""Makes what people brought safe to show."""
ENTRY_CHARS_MAX = 150

nothing_yet = fixed("Nothing is in the log yet: it has what admins change, and who cancels and deletes what.")
file_note = fixed("The whole log is attached, the newest first.")


def title(first: int, last: int, total: int, to: Language) -> str:
    return to.gettext(
        "**Log** {first}–{last} of {total}",
        first=to.number(first),
        last=to.number(last),
        total=to.number(total),
    )


def line(entry: AuditEntry, defaults: Limits, to: Language, *, shown: Shown) -> str:
    """When, who, what."""
    return to.gettext(
        "{when} by {who}: {what}.",
        when=moment(entry.at),
        who=mention(entry.by_user_id),
        what=_what(_Told(entry=entry, to=to, shown=shown), defaults).removesuffix("."),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What a line says, to whom."""

    entry: AuditEntry
    to: Language
    shown: Shown

    def text(self, name: str) -> str:
        """What people brought."""
        return self.shown(str(self.entry.details.get(name, ""))[:ENTRY_CHARS_MAX])

    def number(self, name: str) -> str:
        return self.to.number(int(self.entry.details.get(name, 0)))

    @property
    def whose(self) -> str:
        return mention(self.entry.user_id) if self.entry.user_id is not None else "–"


def _what(told: _Told, defaults: Limits) -> str:
    if told.entry.deed == Deed.LIMITS and (change := change_of(told.entry)) is not None:
        return allowances.change(change, defaults, told.to)
    return _SAYINGS.get(told.entry.deed, _of_another_version)(told)


def _time_zone(told: _Told) -> str:
    return told.to.gettext("the day begins by the clock of {zone}", zone=told.text("zone"))


def _words(told: _Told) -> str:
    names = told.shown(", ".join(map(str, told.entry.details.get("entries", ())))[:ENTRY_CHARS_MAX])
    added, removed = told.number("added"), told.number("removed")
    if told.entry.details.get("kind") == WordKind.FORBIDDEN:
        return told.to.gettext(
            "forbidden words: {added} new, {removed} gone ({entries})",
            added=added,
            removed=removed,
            entries=names,
        )
    return told.to.gettext(
        "allowed words: {added} new, {removed} gone ({entries})", added=added, removed=removed, entries=names
    )


def _set_to(name: str, value: object) -> str:
    if not value:
        return "–"
    return f"<#{value}>" if name in (MODERATORS, GALLERY) else str(value)


def _preferences(told: _Told) -> str:
    to, details = told.to, told.entry.details
    values = ", ".join(
        f"{name} = {_set_to(name, value)}" for name, value in details.items() if name != "channel"
    )
    settings, channel = told.shown(values[:ENTRY_CHARS_MAX]), f"<#{details.get('channel')}>"
    match ("channel" in details, bool(settings)):
        case (True, True):
            return to.gettext("set for {channel}: {settings}", channel=channel, settings=settings)
        case (True, False):
            return to.gettext("{channel} is as it was at first", channel=channel)
        case (False, True):
            return to.gettext("set for the server: {settings}", settings=settings)
        case _:
            return to.gettext("the server is as it was at first")


def _styles(told: _Told) -> str:
    if told.entry.details.get("is_there"):
        return told.to.gettext("the style “{name}” is new", name=told.text("name"))
    return told.to.gettext("the style “{name}” is gone", name=told.text("name"))


def _cancelled(told: _Told) -> str:
    return told.to.gettext(
        "cancelled request {number} of {whose}", number=told.entry.job_id, whose=told.whose
    )


def _deleted(told: _Told) -> str:
    return told.to.gettext("deleted picture {number} of {whose}", number=told.entry.job_id, whose=told.whose)


def _halted(told: _Told) -> str:
    if told.entry.deed == Deed.DRAINED:
        return told.to.gettext(
            "takes nothing new, and draws what waits: {reason}", reason=told.text("reason")
        )
    return told.to.gettext("paused requests: {reason}", reason=told.text("reason"))


def _models(told: _Told) -> str:
    model = told.text("model")
    match told.entry.deed:
        case Deed.MODEL_LOADED:
            return told.to.gettext("loaded the model {model}", model=model)
        case Deed.MODEL_UNLOADED:
            return told.to.gettext("took the model {model} out of memory", model=model)
        case _:
            return told.to.gettext("{model} is used where no model is named", model=model)


def _restarted(told: _Told) -> str:
    if (number := told.text("engine")) == "0":
        return told.to.gettext("had all engines started anew")
    return told.to.gettext("had engine {number} started anew", number=number)


def _moved(told: _Told) -> str:
    number, whose = told.entry.job_id, told.whose
    if told.entry.details.get("place") == "front":
        return told.to.gettext("moved request {number} of {whose} to the front", number=number, whose=whose)
    return told.to.gettext("moved request {number} of {whose} to the back", number=number, whose=whose)


def _announced(told: _Told) -> str:
    channel = told.entry.details.get("channel")
    if channel is None:
        return told.to.gettext("announced on all servers: {words}", words=told.text("text"))
    return told.to.gettext(
        "announced in {channel}: {words}", channel=f"<#{channel}>", words=told.text("text")
    )


def _blocked(told: _Told) -> str:
    until, reason = told.entry.details.get("until"), told.text("reason") or "–"
    if until is None:
        return told.to.gettext("blocked {whose} for ever: {reason}", whose=told.whose, reason=reason)
    when = moment(float(until))
    return told.to.gettext(
        "blocked {whose}, which ends {when}: {reason}", whose=told.whose, when=when, reason=reason
    )


def _pictures(told: _Told) -> str:
    number, reason = told.entry.job_id, told.text("reason") or "–"
    match told.entry.deed:
        case Deed.REPORTED:
            return told.to.gettext("reported picture {number}: {reason}", number=number, reason=reason)
        case Deed.APPROVED:
            return told.to.gettext("approved of picture {number}", number=number)
        case _:
            return told.to.gettext("withheld picture {number}", number=number)


def _night(told: _Told) -> str:
    begins, ends = told.entry.details.get("begins"), told.entry.details.get("ends")
    if begins is None:
        return told.to.gettext("the night has no credits of its own any more")
    return told.to.gettext("the night is from {begins}:00 to {ends}:00", begins=begins, ends=ends)


def _permits(told: _Told) -> str:
    details = told.entry.details
    mark = "<#{}>" if details.get("kind") == PermitKind.CHANNEL else "{}"
    listed = [mark.format(name) if name else "–" for name in details.get("names", ())]
    names = told.shown(", ".join(listed)[:ENTRY_CHARS_MAX])
    if details.get("allowed"):
        return told.to.gettext("put on the list of what is allowed: {names}", names=names)
    return told.to.gettext("took off the list of what is allowed: {names}", names=names)


def _of_another_version(told: _Told) -> str:
    """Its own word, and whom and what it was about."""
    entry = told.entry
    about = [told.whose] if entry.user_id is not None else []
    about += [str(entry.job_id)] if entry.job_id is not None else []
    return " ".join([told.shown(entry.deed[:ENTRY_CHARS_MAX]), *about])


_SAYINGS: dict[str, Callable[[_Told], str]] = {
    Deed.TIME_ZONE: _time_zone,
    Deed.WORDS: _words,
    Deed.PREFERENCES: _preferences,
    Deed.STYLES: _styles,
    Deed.CANCELLED: _cancelled,
    Deed.DELETED: _deleted,
    Deed.PAUSED: _halted,
    Deed.DRAINED: _halted,
    Deed.RESUMED: lambda told: told.to.gettext("takes requests again"),
    Deed.FREED: lambda told: told.to.gettext("gave the models' memory back"),
    Deed.MODEL_LOADED: _models,
    Deed.MODEL_UNLOADED: _models,
    Deed.DEFAULT_MODEL: _models,
    Deed.ENGINE_PAUSED: lambda told: told.to.gettext("paused engine {number}", number=told.text("engine")),
    Deed.ENGINE_RESUMED: lambda told: told.to.gettext("resumed engine {number}", number=told.text("engine")),
    Deed.ENGINES_RESTARTED: _restarted,
    Deed.MOVED: _moved,
    Deed.ANNOUNCED: _announced,
    Deed.BLOCKED: _blocked,
    Deed.UNBLOCKED: lambda told: told.to.gettext("let {whose} make pictures again", whose=told.whose),
    Deed.REPORTED: _pictures,
    Deed.APPROVED: _pictures,
    Deed.WITHHELD: _pictures,
    Deed.NIGHT: _night,
    Deed.PERMITS: _permits,
    Deed.TRAINING_SHARED: lambda told: told.to.gettext("said who may use “{name}”", name=told.text("name")),
    Deed.TRAINING_DELETED: lambda told: told.to.gettext(
        "deleted the training “{name}”", name=told.text("name")
    ),
}
