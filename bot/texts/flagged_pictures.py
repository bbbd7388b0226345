"""What becomes of pictures that a safety checker flags, as admins and moderators read it. Pure."""

from __future__ import annotations

from bot.job import Flagged
from bot.texts.language import Language, Say, fixed

_DONE: dict[str, Say] = {
    Flagged.POST: fixed("posted like any other"),
    Flagged.SPOILER: fixed("covered until somebody looks"),
    Flagged.HOLD: fixed("held until a moderator approves them"),
    Flagged.WITHHOLD: fixed("withheld"),
}

not_in_posts = fixed("A post has no settings of its own: ask in a channel, or leave “here” out.")
no_moderators = fixed(
    "There is no channel for moderators yet: until there is one, what is to be held is withheld."
)
nothing_checked = fixed(
    "No model has a safety checker here, so nothing is ever flagged: whoever runs Easel can lend one to all of them."
)
decided_before = fixed("This was decided before.")


def _done(rule: str, to: Language) -> str:
    return _DONE.get(rule, _DONE[Flagged.WITHHOLD])(to)


def of_server(rule: str, adult: str | None, to: Language) -> str:
    """`adult`: the rule of age-restricted channels, None where it is the same."""
    told = to.gettext(
        "Pictures that a safety checker flags are **{what}** on this server.", what=_done(rule, to)
    )
    return told if adult is None else f"{told} {_in_adult(adult, to)}"


def of_channel(rule: str | None, adult: str | None, to: Language) -> str:
    """None: that of the server."""
    if rule is None and adult is None:
        return to.gettext("This channel treats flagged pictures as the server does.")
    told = (
        []
        if rule is None
        else [
            to.gettext(
                "Pictures that a safety checker flags are **{what}** in this channel.", what=_done(rule, to)
            )
        ]
    )
    return " ".join([*told, *([] if adult is None else [_in_adult(adult, to)])])


def _in_adult(rule: str, to: Language) -> str:
    return to.gettext("Where it is age-restricted they are **{what}**.", what=_done(rule, to))


def asked(channel: str, score: str, to: Language) -> str:
    """Above what moderators are to look at."""
    return to.gettext(
        "The safety checker flagged this ({score}), asked for in {channel}. Nobody sees it before one of you has decided.",
        score=score,
        channel=channel,
    )


def decided(by: str, to: Language, *, is_approved: bool) -> str:
    if is_approved:
        return to.gettext("**Approved** by {by}", by=by)
    return to.gettext("**Removed** by {by}", by=by)
