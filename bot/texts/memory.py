"""What people read about what they keep and look for: favourites, the gallery, searches. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bot.texts import amounts
from bot.texts.language import Language, Say, fixed, noted

# ------------------------------------------------------------------ commands

HISTORY_OPTIONS = {
    "words": noted('Words of the prompt, the negative prompt or the model; "in quotes" side by side'),
    "favourites": noted("Only what you starred"),
    "model": noted("Only pictures of this model"),
    "server": noted("Whose pictures: yours, or everybody's where the admins share them"),
}
GALLERY = noted("The gallery of this server, and whether its pictures can be looked through")
GALLERY_SET = noted("Name the channel where starred pictures are shown")
GALLERY_SET_OPTIONS = {"channel": noted("The gallery")}
GALLERY_OFF = noted("Show starred pictures in no channel any more")
GALLERY_SHARING = noted("Whether people may look through everybody's pictures with /history")
GALLERY_SHARING_OPTIONS = {"on": noted("Only what stands in channels that they can see")}

# ------------------------------------------------------------------ ⭐ and ✉️

starred = fixed("⭐ It is among your favourites: find them with `/history favourites:True`.")
unstarred = fixed("It is none of your favourites any more.")
nothing_to_keep = fixed("There is no finished picture to keep here.")
mailed = fixed("✉️ I sent it to you.")
dms_closed = fixed(
    "You take no direct messages from this server: allow them in its privacy settings, then press ✉️ again."
)
original = fixed("Original message")


def drawn_privately(address: str) -> Say:
    return lambda to: to.gettext(
        "✉️ It comes to you alone, in [our direct messages]({address}).", address=address
    )


def with_problem(done: Say, problem: Say) -> Say:
    return lambda to: f"{done(to)} {problem(to)}"


# ------------------------------------------------------------------ the gallery

gallery_off = fixed("Starred pictures are shown in no channel any more; what stands in the gallery stays.")
sharing_on = fixed("People here may look through everybody's pictures, in the channels that they can see.")
sharing_off = fixed("People here look through their own pictures alone.")
gallery_gone = fixed("The gallery's channel is gone: an admin can name another with `/gallery set`.")
copy_not_taken = fixed("Discord did not take the copy for the gallery: a later ⭐ tries again.")
copy_blocked = fixed("AutoMod let no copy into the gallery.")
copy_not_kept = fixed("The gallery got no copy, since the picture is not kept any more.")
_PERMISSIONS: dict[str, Say] = {
    "view_channel": fixed("View Channel"),
    "send_messages": fixed("Send Messages"),
    "attach_files": fixed("Attach Files"),
    "read_message_history": fixed("Read Message History"),
}
"""As Discord calls them."""
GALLERY_NEEDS = tuple(_PERMISSIONS)


def gallery_set(channel_id: int) -> Say:
    return lambda to: to.gettext(
        "Starred pictures are shown in {channel} from now on.", channel=_channel(channel_id)
    )


def gallery_closed(channel_id: int, missing: Sequence[str]) -> Say:
    """`missing`: permissions as discord.py names them."""

    return lambda to: to.gettext(
        "I can't post in the gallery {channel}: ask an admin to give me {permissions} there.",
        channel=_channel(channel_id),
        permissions=permissions(missing, to),
    )


def permissions(names: Sequence[str], to: Language) -> str:
    """Of `GALLERY_NEEDS`."""
    return to.listed(_PERMISSIONS[name](to) for name in names)


def _channel(channel_id: int) -> str:
    return f"<#{channel_id}>"


# ------------------------------------------------------------------ /history

not_shared = fixed(
    "The admins of this server let people look through their own pictures alone: leave out `server`."
)
search_forgotten = fixed("What this page was searched by is not kept any more: use /history again.")
no_favourites_yet = fixed("You have no favourites here yet: press ⭐ under a picture.")
nothing_found = fixed("No picture was found: try fewer or other words.")
no_words = fixed("Words consist of letters or digits: type at least one.")


def found(first: int, last: int, total: str, to: Language, *, favourites: bool, everybody: bool) -> str:
    """Above a page; `total` as `so_many` has it."""
    values = {"first": first, "last": last, "total": total}
    if favourites:
        return to.gettext("**Your favourites** {first}–{last} of {total}", **values)
    if everybody:
        return to.gettext("**Everybody's images** {first}–{last} of {total}", **values)
    return to.gettext("**Your images** {first}–{last} of {total}", **values)


def so_many(total: int, to: Language, *, is_more: bool) -> str:
    return to.gettext("more than {total}", total=to.number(total)) if is_more else to.number(total)


def searched_by(words: str, model: str) -> str:
    """As shown already; empty where nobody filtered by that."""
    return " · ".join(part for part in (f"🔎 {words}" if words else "", model) if part)


def by(user_id: int, entry: str, to: Language) -> str:
    """An entry that is another person's."""
    return to.gettext("{who}: {entry}", who=amounts.mention(user_id), entry=entry)


def starred_image(entry: str, image: int, to: Language) -> str:
    """`image` counts from 1."""
    return to.gettext("{entry} · ⭐ image {image}", entry=entry, image=image)
