"""What a person reads when the chat itself refuses something, or when something went wrong. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bot.job import Reason, ReasonCode
from bot.texts.language import Language, Say, fixed
from bot.texts.reasons import why

# ------------------------------------------------------------------ where and who

only_in_servers = fixed("Use this in a server, not in a direct message.")
command_only_in_servers = fixed("Use this command in a server, not in a direct message.")
not_allowed_here = fixed("You may not use this command here.")
older_form = fixed("Discord still shows an older form of this command: reload Discord and try again.")
not_an_admin = fixed("Only people who may manage this server can do that.")
not_in_thread = fixed("I am not in this private thread: mention me here, so that I am added, and ask again.")
thread_locked = fixed(
    "This thread is locked: ask a moderator to unlock it or to give me Manage Threads, and ask again."
)
not_a_member = fixed("Only members of the server where this was asked for may draw with it.")
direct_messages_closed = fixed(
    "Your pictures come to you by direct message alone, but you take none from me: allow them in this server's privacy "
    "settings, or choose another way with /settings. Nothing was charged."
)
not_sent_privately = fixed(
    "Discord did not take the direct message for your picture, and nothing was charged: ask again."
)
_and = fixed(" and ")
_PERMISSIONS: dict[str, Say] = {
    "view_channel": fixed("View Channel"),
    "connect": fixed("Connect"),
    "send_messages": fixed("Send Messages"),
    "send_messages_in_threads": fixed("Send Messages in Threads"),
    "attach_files": fixed("Attach Files"),
}
"""As Discord calls them."""


def may_not_post(missing: Sequence[str]) -> Say:
    """`missing`: permissions as discord.py names them."""

    def say(to: Language) -> str:
        *before, last = [_PERMISSIONS[name](to) for name in missing]
        names = _and(to).join([*([to.listed(before)] if before else []), last])
        return to.gettext(
            "I may not post images here: ask an admin to give me {permissions} in this channel.",
            permissions=names,
        )

    return say


def not_taken_by_option(value: str) -> Say:
    return lambda to: to.gettext("“{value}” is not something this option takes.", value=value)


# ------------------------------------------------------------------ what went wrong

busy = fixed("Easel is busy right now and nothing was charged: try again in a moment.")
needs_repair = fixed("Easel's database needs repair and nothing was charged: please tell an admin.")
discord_unreachable = fixed("Discord did not answer Easel in time: try again in a moment.")
our_fault = fixed("Something went wrong on our side and was logged: please try again.")


def blocked_text(to: Language) -> str:
    """By AutoMod."""
    return to.gettext("{why} Say it in other words.", why=why(Reason.of(ReasonCode.BLOCKED), to))


def blocked_order(to: Language) -> str:
    return to.gettext("{why} Nothing was charged.", why=why(Reason.of(ReasonCode.BLOCKED), to))


words_forgotten = fixed(
    "The words of this picture are not kept here any more, so nothing new is made from it: attach it to /imagine or /edit."
)

# ------------------------------------------------------------------ what is asked for

upscaling_needs_image = fixed("Upscaling needs an image: attach the picture to enlarge.")
mask_needs_image = fixed("A mask needs an image: attach the picture it belongs to as well.")
strength_needs_image = fixed("Strength needs an image: attach the picture to start from as well.")
_image_kind = fixed("The image has to be a PNG, JPEG or WebP picture: attach one of these.")
_mask_kind = fixed("The mask has to be a PNG, JPEG or WebP picture: attach one of these.")
not_fetched = fixed("The picture could not be fetched from Discord and nothing was charged: attach it again.")
fetched_too_slowly = fixed(
    "Discord took too long to hand over the picture and nothing was charged: try again in a moment."
)
not_kept = fixed(
    "The picture could not be stored and nothing was charged: please ask an admin to look at Easel's disk."
)
not_uploaded = fixed("Only pictures that were uploaded to Discord are taken: attach it as a file.")


fits_nowhere = fixed("This picture is too large for Discord here, even as a JPEG: ask for a smaller one.")


def wrong_kind(*, is_mask: bool) -> Say:
    return _mask_kind if is_mask else _image_kind


message_gone = fixed("I can't read that message any more: attach its picture to /edit instead.")
which_picture = fixed(
    "This message shows several pictures: press U and a number under it, then choose here again."
)


def varies_nothing(title: str) -> Say:
    return lambda to: to.gettext(
        "{model} can't start from a picture, so it varies none: press 🔄 Reroll or 🖌️ Edit instead.",
        model=title,
    )


def follows_instructions(title: str) -> Say:
    return lambda to: to.gettext(
        "{model} follows your words as they are: leave out the strength.", model=title
    )


def one_image_only(title: str) -> Say:
    return lambda to: to.gettext("{model} starts from one image: attach no other.", model=title)


def unlike(mask: tuple[int, int] | None, image: tuple[int, int] | None) -> Say:
    """(width, height), None where Discord does not know them."""
    return lambda to: to.gettext(
        "The mask has {mask} and the image {image}: make them alike.",
        mask=_measures(mask, to),
        image=_measures(image, to),
    )


def _measures(size: tuple[int, int] | None, to: Language) -> str:
    if size is None:
        return to.gettext("a size that Discord can't read")
    return to.gettext("{width}×{height} pixels", width=size[0], height=size[1])


def too_large(mb: int) -> Say:
    return lambda to: to.gettext("The picture is larger than {mb} MB: attach a smaller one.", mb=mb)


# ------------------------------------------------------------------ buttons

newer_button = fixed("This button was made by a newer version of Easel, and this one does not know it.")
newer_form = fixed("This form was made by a newer version of Easel, and this one does not know it.")
unknown_image = fixed("This button belongs to an image that this server does not know.")
deleted = fixed("That image was deleted.")
deleted_before = fixed("That image was deleted: ask for a new one with /imagine.")
no_such_picture = fixed("That message has no such picture: press a button under one of its pictures.")
nothing_to_vary = fixed(
    "There is nothing to vary on an enlarged picture: press the button under the picture it was made from."
)
no_such_id = fixed("There is no image of that number here: take one from /history or from 📋 Info.")
not_yours_to_see = fixed("That image is in a channel that you can't see.")
may_not_delete_copy = fixed("Only who asked for this image, who posted it here or a moderator may delete it.")
may_not_delete = fixed("Only the person who asked for this image or a moderator may delete it.")
may_not_cancel = fixed("Only the person who asked for this image or a moderator may cancel it.")
may_not_fetch = fixed("Only the person who asked for this image may fetch it.")
not_finished = fixed("This image is not finished yet: cancel it instead.")
finished_before = fixed("It is finished already.")
over_before = fixed("It is over already.")
nothing_to_fetch = fixed("There is no image of this request to fetch.")
not_kept_any_more = fixed("This image is not kept any more: ask for a new one with /imagine.")
no_images_yet = fixed("You have no images here yet: try /imagine.")
