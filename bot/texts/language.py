"""One person's language: a catalogue of translations, or none. Knows no sentence, but how one is looked up and filled in."""

from __future__ import annotations

import gettext
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache
from io import BytesIO
from pathlib import Path

from babel.dates import format_skeleton
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, format_percent

LOCALES = Path(__file__).with_name("locales")
CATALOGUE = "LC_MESSAGES/easel.po"


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    locale: str
    """As CLDR calls it, such as `pt_BR`."""
    translations: gettext.NullTranslations

    def gettext(self, text: str, **values: object) -> str:
        """The sentence with `{name}` filled in."""
        return self.translations.gettext(text).format(**values)

    def ngettext(self, one: str, many: str, count: int, **values: object) -> str:
        """The form that goes with `count`, which fills in `{count}`."""
        return self.translations.ngettext(one, many, count).format(count=count, **values)

    def translated(self, text: str, context: str | None = None) -> str | None:
        """What the catalogue has for a noted text; None where it has nothing, or the same."""
        found = (
            self.translations.gettext(text) if context is None else self.translations.pgettext(context, text)
        )
        return None if found == text else found

    def listed(self, names: Iterable[str]) -> str:
        """Names in a sentence, with this language's comma between them."""
        return self.gettext(", ").join(names)

    def number(self, value: int) -> str:
        """A whole number with its thousands apart."""
        return format_decimal(value, locale=self.locale)

    def decimal(self, value: float, digits: int) -> str:
        """A number with so many digits after its point, or its comma."""
        return format_decimal(
            round(value, digits), format="0" + "." * bool(digits) + "0" * digits, locale=self.locale
        )

    def day(self, day: date) -> str:
        """Of this year or the last, in short."""
        return format_skeleton("MMMd", day, locale=self.locale)

    def percent(self, share: float) -> str:
        return format_percent(share, locale=self.locale)


ENGLISH = Language(locale="en", translations=gettext.NullTranslations())
"""What stands in the code: for whoever runs the bot, and where nobody's language is known."""

Say = Callable[[Language], str]
"""A sentence of which it is not known yet who reads it."""


def fixed(text: str) -> Say:
    """A sentence without values."""
    return lambda to: to.gettext(text)


def noted(text: str) -> str:
    """The same text, noted for translators: somebody else looks it up."""
    return text


def noted_in(context: str, text: str) -> str:
    """The same for a name, which other languages may say otherwise there than in a sentence."""
    assert context
    return text


def language(locale: str | None) -> Language:
    """For a person whose Discord is in `locale`, such as "pt-BR": its own catalogue, the language's, or English."""
    return _language(locale or "", LOCALES)


@lru_cache(maxsize=256)
def _language(locale: str, folder: Path) -> Language:
    wanted, known = locale.replace("-", "_"), _known(folder)
    name = next((name for name in (wanted, wanted.partition("_")[0]) if name in known), None)
    return ENGLISH if name is None else _read(folder / name / CATALOGUE, name)


@cache
def _known(folder: Path) -> frozenset[str]:
    """Names of people's locales never become part of a path: they are compared with these."""
    return frozenset(file.parents[1].name for file in folder.glob(f"*/{CATALOGUE}"))


@lru_cache(maxsize=64)
def _read(file: Path, name: str) -> Language:
    with file.open("rb") as opened:
        catalogue = read_po(opened, locale=name)
    for message in list(
        catalogue
    ):  # Babel would fill in English by this language's rule: "0 credit", as in French
        if message.id and isinstance(message.string, tuple) and not all(message.string):
            catalogue.delete(message.id)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Language(locale=name, translations=gettext.GNUTranslations(compiled))
