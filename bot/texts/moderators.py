"""Blocks and reports, as moderators, those who report and those who are blocked read about them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bot.texts import memory
from bot.texts.amounts import mention, moment
from bot.texts.commands import BLOCK_DURATIONS, CHOICE
from bot.texts.language import Language, Say, fixed

# ------------------------------------------------------------------ blocks

admin_not_blocked = fixed(
    "Who may manage this server can't be blocked: take that permission away from them first."
)
bot_not_blocked = fixed("Bots ask for no pictures: there is nothing to block.")
not_oneself = fixed("You can't block yourself: name somebody else.")
nobody_blocked = fixed("Nobody is blocked here.")
appeal_set = fixed("From now on blocked people read that, too.")
appeal_gone = fixed("Blocked people read the reason alone from now on.")
no_appeal = fixed("Blocked people read the reason alone: add something with `/mod appeal text:`.")


def durations(to: Language) -> dict[str, str]:
    """Names of what may be chosen, by seconds."""
    return {str(value): to.translated(name, CHOICE) or name for value, name in BLOCK_DURATIONS.items()}


def blocked(user_id: int, until: float | None, to: Language) -> str:
    who = mention(user_id)
    if until is None:
        return to.gettext("{who} can make no pictures here any more.", who=who)
    return to.gettext("{who} can make no pictures here; that ends {when}.", who=who, when=moment(until))


def not_blocked(user_id: int) -> Say:
    return lambda to: to.gettext(
        "{who} is not blocked by /mod block; what /limits took away comes back with /limits reset.",
        who=mention(user_id),
    )


def unblocked(user_id: int, to: Language) -> str:
    return to.gettext("{who} may make pictures again.", who=mention(user_id))


def blocked_people(first: int, last: int, total: int, to: Language) -> str:
    """Above a page."""
    return to.gettext("**Blocked here** {first}–{last} of {total}", first=first, last=last, total=total)


def block_line(user_id: int, until: float | None, by_user_id: int, reason: str, to: Language) -> str:
    """`reason` as shown already."""
    who, by = mention(user_id), mention(by_user_id)
    if until is None:
        told = to.gettext("⛔ {who}: for ever, by {by}", who=who, by=by)
    else:
        told = to.gettext("⛔ {who}: ends {when}, by {by}", who=who, when=moment(until), by=by)
    return f"{told} · {reason}" if reason else told


def appeal(words: str, to: Language) -> str:
    return to.gettext("Besides the reason, blocked people read: {words}", words=words)


# ------------------------------------------------------------------ the moderators' channel

no_channel = fixed("Reports are read in no channel: name one with `/mod channel channel:`.")
channel_off = fixed("No more reports are taken; those that are open stay where they are.")
channel_gone = fixed("The moderators' channel is gone: an admin can name another with `/mod channel`.")
not_reached = fixed("Discord shows me nothing of this server right now.")


def channel_set(channel_id: int) -> Say:
    return lambda to: to.gettext("Moderators read reports in {channel}.", channel=f"<#{channel_id}>")


def channel_closed(channel_id: int, missing: Sequence[str]) -> Say:
    """`missing`: permissions as discord.py names them."""
    return lambda to: to.gettext(
        "I can't post in the moderators' channel {channel}: ask an admin to give me {permissions} there.",
        channel=f"<#{channel_id}>",
        permissions=memory.permissions(missing, to),
    )


def waiting(count: int, to: Language) -> str:
    return to.ngettext(
        "{count} report waits to be posted there.", "{count} reports wait to be posted there.", count
    )


# ------------------------------------------------------------------ who reports

report_form = fixed("Report to the moderators")
what_is_wrong = fixed("What is wrong with it")
which_one = fixed("Which one")
not_ours = fixed("Only pictures that I posted are reported to this server's moderators here.")
nothing_to_report = fixed("There is no finished picture to report here.")
your_own = fixed("That is your own picture: 🗑️ Delete takes it away.")
nobody_reads = fixed(
    "Nobody reads reports here yet: tell an admin, who can name a channel with /mod channel and delete the picture."
)
reported = fixed("🚩 Thank you: the moderators of this server are told.")
kept = fixed("🚩 Thank you: your report is kept, but the moderators can't read it yet.")
reported_before = fixed("You reported this picture before: the moderators know.")
approved_before = fixed("The moderators looked at this picture before and let it stay.")


block_form = fixed("Block who asked for it")
how_long = fixed("For how long")
what_they_read = fixed("What they are told")


def too_many(most: int) -> Say:
    return lambda to: to.gettext(
        "You reported {most} pictures within a day, which is as many as are taken: tell an admin what can't wait.",
        most=most,
    )


# ------------------------------------------------------------------ who decides

not_a_moderator = fixed("Only people who may manage messages here can decide that.")
somebody_decided = fixed("Somebody else decided that before.")
not_reported = fixed("Nobody reported this picture: /mod blocks people, 🗑️ Delete takes pictures away.")


def decided_before(by_user_id: int) -> Say:
    return lambda to: to.gettext("{who} decided that before.", who=mention(by_user_id))


nobody_any_more = fixed("🚩 Reported by somebody who has left")


def reported_by(count: int, to: Language) -> str:
    return to.ngettext("🚩 Reported by {count} person", "🚩 Reported by {count} people", count)


def said(user_id: int, image: int | None, reason: str, to: Language) -> str:
    """`image` counts from 1; `reason` as shown already."""
    who = mention(user_id)
    if image is not None:
        who = to.gettext("{who}, image {image}", who=who, image=image)
    return to.gettext("{who}: {reason}", who=who, reason=reason) if reason else who


def approved(by_user_id: int, at: float, to: Language) -> str:
    return to.gettext("✅ {who} let it stay {when}.", who=mention(by_user_id), when=moment(at))


def removed(by_user_id: int, at: float, to: Language) -> str:
    return to.gettext("🗑️ {who} removed it {when}.", who=mention(by_user_id), when=moment(at))


not_kept = fixed("🗄️ The picture is not kept any more.")
