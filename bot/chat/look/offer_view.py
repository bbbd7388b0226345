"""What /models looks like: all that can be drawn with as lines, or a card for one thing, with its picture. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from discord import ui

from bot.chat.look.job_view import BLURPLE
from bot.chat.look.safe import code, cut, plain, utf16_length
from bot.core.asking.offer import Kind, Offer
from bot.texts import newcomers as help_texts
from bot.texts import offers as texts
from bot.texts import progress
from bot.texts.language import Language

TITLE_SHOWN, LINE_SHOWN, DESCRIPTION_SHOWN, ALT_MAX = 60, 120, 500, 200
ROOM = 1200
"""UTF-16 units for each kind, of the 4,000 that a message may have."""


def overview(offered: Sequence[Offer], to: Language) -> ui.LayoutView:
    """A line for each, as far as there is room; the rest is counted."""
    usable = [offer for offer in offered if offer.model is not None or offer.fits]
    by_kind = {kind: [offer for offer in usable if offer.kind is kind] for kind in Kind}
    parts = [
        "\n".join([texts.HEADINGS[kind](to), *_lines(entries, to)])
        for kind, entries in by_kind.items()
        if entries
    ]
    return _panel(*(ui.TextDisplay[Any](part) for part in (*parts, texts.look_closer(to))))


def cards(offers: Sequence[Offer], pictures: Mapping[Kind, str], to: Language) -> ui.LayoutView:
    """One below the other; `pictures`: names of attached files."""
    items: list[ui.Item[Any]] = []
    for offer in offers:
        text = ui.TextDisplay[Any]("\n".join(_card(offer, to)))
        if offer.kind not in pictures:
            items.append(text)
            continue
        url, alt = f"attachment://{pictures[offer.kind]}", cut(offer.title, ALT_MAX)
        items.append(ui.Section[Any](text, accessory=ui.Thumbnail[Any](url, description=alt)))
    return _panel(*items)


def _panel(*items: ui.Item[Any]) -> ui.LayoutView:
    view = ui.LayoutView(timeout=None)
    view.add_item(ui.Container[ui.LayoutView](*items, accent_colour=BLURPLE))
    view.stop()  # nothing in it can be pressed
    return view


def _lines(offers: Sequence[Offer], to: Language) -> list[str]:
    lines, room = list[str](), ROOM
    for offer in offers:
        line = texts.entry(_title(offer), plain(cut(" · ".join(_said(offer, to)), LINE_SHOWN)))
        if offer.model is not None and not lines and len(offers) > 1:
            line += f" · {help_texts.used_where_none_is_named(to)}"
        room -= utf16_length(line) + 1
        if room < 0:
            return [*lines, progress.left_out(len(offers) - len(lines), to)]
        lines.append(line)
    return lines


def _said(offer: Offer, to: Language) -> Iterator[str]:
    if offer.words:
        yield to.listed(offer.words)
    if said := texts.said_of(offer, to):
        yield said


def _title(offer: Offer) -> str:
    return plain(cut(offer.title, TITLE_SHOWN))


def _card(offer: Offer, to: Language) -> list[str]:
    option = "model" if offer.model is not None else offer.kind.value.lower()
    told = [
        texts.heading(offer, _title(offer), to),
        plain(cut(texts.said_of(offer, to), DESCRIPTION_SHOWN)),
        texts.words([code(word, LINE_SHOWN) for word in offer.words], to),
        texts.facts(replace(offer, fits=tuple(plain(cut(title, TITLE_SHOWN)) for title in offer.fits)), to),
        texts.how(offer, code(f"/imagine {option}:{offer.name}", LINE_SHOWN), to),
    ]
    return [line for line in told if line]
