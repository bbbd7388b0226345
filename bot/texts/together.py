"""Several requests at once: the question before anything is drawn, and the message that gathers them. Pure."""

from __future__ import annotations

from bot.texts.amounts import credit
from bot.texts.language import Language, fixed

not_yours = fixed("Only the person who asked for this may have it drawn or dropped.")
dropped = fixed("Nothing is drawn, and nothing was charged.")
all_over = fixed("All of it is over already.")
not_all_finished = fixed("Not all of it is finished yet: cancel the rest instead.")
may_not_cancel = fixed("Only the person who asked for these images or a moderator may cancel them.")
may_not_delete = fixed("Only the person who asked for these images or a moderator may delete them.")


def question(images: int, cost: int, left: int, most: int, to: Language) -> str:
    """Above the list of what would be drawn."""
    return to.ngettext(
        "**Draw {count} image for {cost}?** You have {left} of {most} left.",
        "**Draw {count} images for {cost}?** You have {left} of {most} left.",
        images,
        cost=credit(cost, to),
        left=left,
        most=most,
    )


def requests(count: int, to: Language) -> str:
    return to.ngettext("{count} request", "{count} requests", count)


def images(count: int, to: Language) -> str:
    return to.ngettext("{count} image", "{count} images", count)


def times(entry: str, images: int, to: Language) -> str:
    """An entry of what makes more than one image."""
    return to.gettext("{entry} × {images}", entry=entry, images=images) if images > 1 else entry


def info(prompt: str, number: int, seeds: str, price: int, to: Language) -> str:
    """One of several in 📋 Info."""
    return to.gettext(
        "{prompt} image {number}, seeds {seeds}, {price}",
        prompt=prompt,
        number=number,
        seeds=seeds,
        price=credit(price, to),
    )
