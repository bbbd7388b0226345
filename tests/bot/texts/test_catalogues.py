"""Every language says all that English says: what is missing is told by its text. `make catalogues` adds what is new."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po

from bot.texts import language as language_module
from bot.texts.commands import OPTION
from tests.bot.texts.conftest import ROOT

LANGUAGES = sorted(
    file.parents[1].name for file in language_module.LOCALES.glob(f"*/{language_module.CATALOGUE}")
)
SEPARATORS = {"and", ","}
"""What stands between the parts of a list: other languages need no spaces there."""
INSTEAD = {"ordinal": "number"}
"""What English counts with a word of its own, others with the number."""
BUTTON_MAX, FORM_MAX, DESCRIPTION_MAX = 80, 45, 100
_COMMAND = re.compile(r"(?<![\w/:])/[a-z]+\b")
_OPTION = re.compile(r"/[a-z]+ ([a-z_]+):")
_BUTTON = re.compile(r"(?:🔄|🖌️|📋) (\w+)")


@pytest.mark.parametrize("locale", LANGUAGES)
def test_a_catalogue_is_complete(locale: str, template: Catalog) -> None:
    """Each sentence is there, in all plural forms, and Discord has room for it."""
    file = language_module.LOCALES / locale / language_module.CATALOGUE
    with file.open("rb") as opened:
        catalogue = read_po(opened, locale=locale)
    problems = [*_problems(template, catalogue)]
    if problems:
        where = file.relative_to(ROOT)
        pytest.fail(
            f"{where}: translate these after `make catalogues`:\n" + "\n".join(problems), pytrace=False
        )


def _problems(template: Catalog, catalogue: Catalog) -> Iterator[str]:
    for message in template:
        if message.id:
            found = catalogue.get(message.id, message.context)
            wrong = ["not there"] if found is None else [*_wrong(message, found, catalogue)]
            yield from (f"{_named(message)}: {what}" for what in wrong)
    known = {_key(message) for message in template}
    yield from (
        f"{_named(each)}: no longer in the code" for each in catalogue if each.id and _key(each) not in known
    )


def _key(message: Message) -> tuple[str | None, str]:
    return message.context, message.id if isinstance(message.id, str) else message.id[0]


def _named(message: Message) -> str:
    context, text = _key(message)
    where = ", ".join(Path(file).name for file, _ in message.locations)
    return f"{text!r} ({where}{f', as {context}' if context else ''})"


def _wrong(message: Message, found: Message, catalogue: Catalog) -> Iterator[str]:
    """What is wrong with one translation."""
    several = not isinstance(message.id, str)
    english, forms = _texts(message.id), _texts(found.string)
    if found.fuzzy:
        yield "is marked as fuzzy"
    if not all(forms) or len(forms) != (catalogue.num_plurals if several else 1):
        yield "not translated" if not any(forms) else "not all plural forms are there"
        return
    needed = set[str]().union(*map(_placeholders, english))
    for form in forms:
        yield from _wrong_form(english[-1], form, needed, catalogue)
    if several and "count" in _placeholders(english[-1]) - _placeholders(forms[-1]):
        yield f"{{count}} is missing in {forms[-1]!r}"
    for most in _room(message, english[-1]):
        yield from (f"{len(form)} characters, {most} are the most" for form in forms if len(form) > most)


def _texts(told: Any) -> list[str]:
    """One, or each plural form; "" where there is none."""
    return [told or ""] if told is None or isinstance(told, str) else [str(form or "") for form in told]


def _wrong_form(english: str, form: str, needed: set[str], catalogue: Catalog) -> Iterator[str]:
    names = _placeholders(form)
    if strange := names - needed - {INSTEAD.get(name) for name in needed}:
        yield f"no such placeholder: {sorted(strange)}"
    if missing := {name for name in needed - names if INSTEAD.get(name) not in names} - {"count"}:
        yield f"placeholder missing: {sorted(missing)}"
    if english.strip() not in SEPARATORS and _edges(english) != _edges(form):
        yield "other spaces at its ends"
    for mark in ("`", "**", "-# "):
        if english.count(mark) != form.count(mark):
            yield f"{mark!r} stands there {form.count(mark)} times, not {english.count(mark)}"
    if {*_COMMAND.findall(english)} != {*_COMMAND.findall(form)}:
        yield "other commands are named"
    for option in _OPTION.findall(english):
        if f" {_said(catalogue, option, OPTION)}:" not in form:
            yield f"the option {option} is called {_said(catalogue, option, OPTION)!r} in this language"
    for label in _BUTTON.findall(english):
        if _said(catalogue, label) not in form:
            yield f"the button {label} is called {_said(catalogue, label)!r} in this language"


def _said(catalogue: Catalog, text: str, context: str | None = None) -> str:
    found = catalogue.get(text, context)
    return str(found.string) if found is not None and found.string else text


def _edges(text: str) -> tuple[str, str]:
    return text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]


def _placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def _room(message: Message, english: str) -> Iterator[int]:
    """How long it may be, by where it stands."""
    files = {Path(file).name for file, _ in message.locations}
    if "labels.py" in files:
        yield BUTTON_MAX
    if "forms.py" in files:  # titles, labels, and a description under one
        yield FORM_MAX if len(english) <= FORM_MAX else DESCRIPTION_MAX


# ------------------------------------------------------------------ the check itself


@pytest.mark.parametrize(
    ("english", "said", "problem"),
    [
        ("Everyone", "", "not translated"),
        ("Use {name}.", "Nimm {name}, {nam}.", "no such placeholder: ['nam']"),
        ("Use {name}.", "Nimm es.", "placeholder missing: ['name']"),
        ("{ordinal} in line", "Platz {number}", ""),
        ("Try again.", "Noch einmal. ", "other spaces at its ends"),
        (" and ", "と", ""),
        ("`/quota` says more.", "/quota sagt mehr.", "'`' stands there 0 times"),
        ("Try /imagine.", "Versuch /zeichne.", "other commands are named"),
        ("Ask /show number:1", "Frag /show number:1", "the option number is called 'nummer'"),
        ("Press 🔄 Reroll.", "Drück 🔄 Reroll.", "the button Reroll is called 'Neu würfeln'"),
        (("{count} step", "{count} steps"), ("{count} Schritt", ""), "not all plural forms"),
        (("{count} step", "{count} steps"), ("ein Schritt", "Schritte"), "{count} is missing"),
    ],
)
def test_what_is_wrong_with_a_translation_is_told(
    english: str | tuple[str, str], said: str | tuple[str, str], problem: str
) -> None:
    """By its text, one line for each: lost values, spaces, marks, names of commands, options and buttons."""
    template, catalogue = Catalog(), Catalog(locale="de")
    for text, german, context in (("number", "nummer", OPTION), ("Reroll", "Neu würfeln", None)):
        template.add(text, context=context)
        catalogue.add(text, german, context=context)
    template.add(english, locations=[("bot/texts/labels.py", 1)])
    catalogue.add(english, said)
    told = [*_problems(template, catalogue)]
    assert len(told) == bool(problem)
    assert problem in "".join(told)


def test_too_long_a_label_is_told() -> None:
    """A button's, a form's, and one that is not there at all."""
    template, catalogue = Catalog(), Catalog(locale="de")
    template.add("Edit", locations=[("bot/texts/labels.py", 1)])
    template.add("Seed", locations=[("bot/texts/forms.py", 1)])
    template.add("Model", locations=[("bot/texts/forms.py", 1)])
    catalogue.add("Edit", "b" * 81)
    catalogue.add("Seed", "s" * 46)
    catalogue.add("Gone", "weg")
    assert [*_problems(template, catalogue)] == [
        "'Edit' (labels.py): 81 characters, 80 are the most",
        "'Seed' (forms.py): 46 characters, 45 are the most",
        "'Model' (forms.py): not there",
        "'Gone' (): no longer in the code",
    ]
