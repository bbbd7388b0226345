"""A server's lists of words, as its admins read about them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bot.texts.language import Language, Say, fixed

SHOWN = 5
ENTRY_SHOWN = 60

nothing_named = fixed(
    "Name at least one word: letters or digits that something can be met by, with * at its ends alone."
)
no_text = fixed("This is no text file (UTF-8): save the list as plain text, one entry a line.")
nothing_forbidden = fixed("Nothing is forbidden here yet: add words with /mod words add.")
file_note = fixed("The lists are attached.")


def _quoted(entries: Sequence[str], to: Language) -> str:
    shown = [f"“{entry[:ENTRY_SHOWN]}”" for entry in entries[:SHOWN]]
    more = len(entries) - SHOWN
    return to.listed([*shown, *([to.ngettext("{count} more", "{count} more", more)] if more > 0 else [])])


def counts(forbidden: int, allowed: int, to: Language) -> str:
    return to.gettext(
        "{forbidden} entries are forbidden in prompts, and {allowed} allowed all the same.",
        forbidden=to.number(forbidden),
        allowed=to.number(allowed),
    )


def told(*, on: bool, to: Language) -> str:
    if on:
        return to.gettext("Whoever meets one is told which.")
    return to.gettext("Whoever meets one is not told which.")


def added(count: int, to: Language) -> str:
    return to.ngettext("{count} entry is new on the list.", "{count} entries are new on the list.", count)


def removed(count: int, to: Language) -> str:
    return to.ngettext("{count} entry is gone.", "{count} entries are gone.", count)


def not_there(entries: Sequence[str]) -> Say:
    return lambda to: to.gettext(
        "{entries} is not on this list: /mod words show has all.", entries=_quoted(entries, to)
    )


def left_out(entries: Sequence[str], to: Language) -> str:
    """What can be no entry."""
    return to.gettext(
        "Left out, as nothing or everything would meet it: {entries}.", entries=_quoted(entries, to)
    )


def too_many(most: int) -> Say:
    return lambda to: to.gettext(
        "A list holds at most {most} entries: leave some out, or join them with * at their ends.",
        most=to.number(most),
    )


def too_large(most_kb: int) -> Say:
    return lambda to: to.gettext("A list may have {most} KB: leave some out.", most=to.number(most_kb))
