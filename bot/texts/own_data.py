"""What people read about what is kept of them, and about having it sent or deleted. Pure."""

from __future__ import annotations

from bot.store.personal import Kept
from bot.texts.amounts import moment
from bot.texts.language import Language, fixed

nothing_kept = fixed("Nothing about you is kept here.")
not_yours = fixed("Only the person who asked for this may answer it.")
nothing_deleted = fixed("Nothing was deleted.")
under_way = fixed("Your export is being put together already: it comes as soon as it is ready.")
no_room = fixed("There is no room on the bot's disk to put your export together: try again later.")
begun = fixed(
    "I am putting it together, which may take a minute: it comes here, or by direct message if that takes too long."
)
cut_off = fixed(
    "I could not send all of it: allow direct messages from this server, then ask again with /privacy export."
)
question = fixed(
    "**Delete all that is kept about you?** On every server, and in direct messages with me: your requests with their words, "
    "your pictures and their messages, what you attached, your favourites, settings, searches, reports, trainings with what came of them, and styles that you added. "
    "What still waits or is drawn is cancelled. It can't be undone: /privacy export sends you all of it before."
)
stays = fixed(
    "What stays: limits and blocks that admins set for you; the log of what was done on a server; in the moderators' channel, that a "
    "picture of yours was reported, without it and your words; what others made from your pictures; what you had me send you by "
    "direct message, and what Discord or others kept. That you asked for something, when, and what it cost, is counted without "
    "your name after two days."
)
deleting = fixed(
    "It is being deleted, and that goes on whatever happens: words, pictures and favourites within minutes, messages one "
    "after the other."
)
deleting_already = fixed("It is being deleted already.")


def backups(days: int, to: Language) -> str:
    """Whole days, at least one."""
    return to.ngettext(
        "Backups of the database forget it within {count} day.",
        "Backups of the database forget it within {count} days.",
        days,
    )


def shown(kept: Kept, to: Language, *, retention_days: int, prompts_days: int, searches_days: int) -> str:
    """How much of each kind, and for how long; 0 days are for ever."""
    lines = [
        to.gettext("**What is kept about you**, from all servers and direct messages with me:"),
        _jobs(kept.jobs, to),
        *([words(prompts_days, to)] if prompts_days else []),
        pictures(retention_days, to),
        to.ngettext("- {count} favourite", "- {count} favourites", kept.favourites),
        to.ngettext("- {count} of your /settings", "- {count} of your /settings", kept.settings),
        _searches(kept.searches, searches_days, to),
        to.ngettext(
            "- {count} style that you added to a server",
            "- {count} styles that you added to servers",
            kept.styles,
        ),
        to.ngettext(
            "- {count} limit that an admin set for you",
            "- {count} limits that admins set for you",
            kept.limits + kept.permits,
        ),
        to.ngettext("- {count} block from a server", "- {count} blocks from servers", kept.blocks),
        to.ngettext("- {count} report of a picture", "- {count} reports of pictures", kept.reports),
        to.ngettext(
            "- {count} training: its pictures, their captions, and the LoRA that came of it",
            "- {count} trainings: their pictures, captions, and the LoRAs that came of them",
            kept.trainings,
        ),
        to.ngettext(
            "- {count} line in the log of a server, about what you did or what was done about yours",
            "- {count} lines in the logs of servers, about what you did or what was done about yours",
            kept.log,
        ),
    ]
    if kept.asked_at is not None:
        lines.append(
            to.gettext("You asked {when} to have it deleted: that goes on.", when=moment(kept.asked_at))
        )
    lines.append(to.gettext("/privacy export sends it to you, /privacy delete has it deleted."))
    return "\n".join(lines)


def _jobs(count: int, to: Language) -> str:
    return to.ngettext(
        "- {count} request: its words, settings and times, what it cost, where it stands",
        "- {count} requests: their words, settings and times, what they cost, where they stand",
        count,
    )


def words(days: int, to: Language) -> str:
    return to.ngettext(
        "- of each request, after {count} day, no words any more",
        "- of each request, after {count} days, no words any more",
        days,
    )


def _searches(count: int, days: int, to: Language) -> str:
    told = to.ngettext("- {count} search of /history", "- {count} searches of /history", count)
    if not days:
        return told
    return to.ngettext("{what}, for {count} day", "{what}, for {count} days", days, what=told)


def pictures(days: int, to: Language) -> str:
    if not days:
        return to.gettext("- your pictures and what you attached, as files on the bot's disk")
    return to.ngettext(
        "- your pictures and what you attached, as files on the bot's disk for {count} day",
        "- your pictures and what you attached, as files on the bot's disk for {count} days",
        days,
    )


def part(number: int, of: int, to: Language) -> str:
    """Beside a file."""
    return to.gettext("Part {number} of {of}.", number=number, of=of)


def exported(jobs: int, pictures: int, to: Language, *, left_out: int) -> str:
    """Beside the first file."""
    told = [
        to.ngettext("All about {count} request of yours.", "All about {count} requests of yours.", jobs),
        to.ngettext("{count} picture is with it.", "{count} pictures are with it.", pictures),
    ]
    if left_out:
        told.append(
            to.ngettext(
                "{count} older or larger picture is named with a link to its message.",
                "{count} older or larger pictures are named with links to their messages.",
                left_out,
            )
        )
    return " ".join(told)
