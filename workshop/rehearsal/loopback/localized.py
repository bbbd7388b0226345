"""Names and descriptions of commands in other languages, as a sync may contain them; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workshop.rehearsal.loopback.errors import invalid
from workshop.rehearsal.loopback.world import Json, object_in

_LOCALES = (
    "id da de en-GB en-US es-ES es-419 fr hr it lt hu nl no pl pt-BR ro fi sv-SE vi tr cs el bg ru uk hi th zh-CN ja "
    "zh-TW ko"
)
LOCALES = frozenset(_LOCALES.split(" "))


def every(item: Json, field: str, path: str) -> Iterator[tuple[str, str]]:
    """(where it stands, text): the field itself and each of its localisations; raises for an unknown locale."""
    yield f"{path}.{field}", str(item.get(field) or "")
    for locale, text in object_in(item, f"{field}_localizations").items():
        where = f"{path}.{field}_localizations.{locale}"
        if locale not in LOCALES:
            raise invalid(where, "BASE_TYPE_CHOICES", f"{locale} is no locale of Discord's.")
        yield where, str(text)


def longest(item: Json, field: str) -> int:
    """What a field counts for: its longest text in any language."""
    return max(len(text) for _, text in every(item, field, ""))


def check_unique(items: Sequence[Json], path: str) -> None:
    """In no language two of them have one name."""
    for locale in ("", *LOCALES):
        names = [object_in(item, "name_localizations").get(locale) or item["name"] for item in items]
        if len(set(names)) < len(names):
            text = f"Names must be unique, also in {locale}" if locale else "Names must be unique"
            raise invalid(path, "APPLICATION_COMMAND_OPTIONS_NAME_ALREADY_EXISTS", text)
