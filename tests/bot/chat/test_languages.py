"""Everybody in their own language: what Discord shows of commands, and what the bot says in one channel to several people."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po
from discord import app_commands

from bot.chat.client import EaselClient
from bot.chat.router import Router
from bot.chat.translator import CommandTranslator
from bot.chat.tree import make_tree
from bot.config.settings import DiscordSection
from bot.job import JobState
from bot.texts import commands
from bot.texts import language as language_module
from bot.texts.language import language
from engine.contract import SCHEDULES, FakeSettings
from tests.bot.chat.conftest import StartWorld
from tests.kit.world import World, labels
from workshop.rehearsal.loopback.commands import check_sync
from workshop.rehearsal.loopback.world import walk

DISCORDS = {"de": "de", "es": "es-ES", "fr": "fr", "ja": "ja", "zh": "zh-CN"}
"""Each catalogue, and what Discord calls its language."""


def said(locale: str, text: str, /, **values: Any) -> str:
    """What the catalogue has for a sentence, which is not English."""
    told = language(locale).gettext(text, **values)
    assert told != text.format(**values)
    return told


# ------------------------------------------------------------------ what Discord shows of commands


async def nothing(*_: object) -> None:
    return None


@pytest.fixture
def router() -> Router:
    return make_tree(EaselClient(on_setup=nothing, on_close=nothing, on_drain=nothing), DiscordSection())


async def payload(router: Router) -> list[dict[str, Any]]:
    translator = CommandTranslator()
    await translator.load()
    return [await each.get_translated_payload(router, translator) for each in router.get_commands()]


def described(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A command, its subcommands and options: all that has a description."""
    if item.get("description"):
        yield item
    for option in item.get("options", ()):
        yield from described(option)


async def test_discord_takes_every_language(router: Router) -> None:
    """Names, lengths and sums are within its limits; no description is left in English."""
    pushed = await payload(router)
    check_sync(pushed)
    locales = {DISCORDS[file.parents[1].name] for file in language_module.LOCALES.glob("*/LC_MESSAGES/*.po")}
    assert {"de"} <= locales
    for command in pushed:
        for item in described(command):
            left_out = locales - item.get("description_localizations", {}).keys()
            assert not left_out, f"{item['name']}, {item['description']!r}: not in {left_out}, or too long"
    menus = {each["name"]: each["name_localizations"] for each in pushed if not each.get("description")}
    assert menus[commands.IMAGE_INFO]["de"] == said("de", commands.IMAGE_INFO)


async def test_commands_keep_their_names_and_options_get_theirs(router: Router) -> None:
    """/imagine is /imagine to everybody; what is filled in there is named in each language, Spanish in America too."""
    (imagine,) = (each for each in await payload(router) if each["name"] == "imagine")
    assert not imagine["name_localizations"]
    assert imagine["description_localizations"]["de"] == said("de", commands.IMAGINE)
    options = {option["name"]: option for option in imagine["options"]}
    assert options["steps"]["name_localizations"]["de"] == "schritte"
    assert "de" not in options["seed"].get("name_localizations", {})  # people call it that
    for spanish, american in (("es-ES", "es-419"), ("zh-CN", "zh-TW")):
        names = options["steps"]["name_localizations"]
        assert names.get(spanish) == names.get(american)


def test_every_name_is_noted_for_translators(router: Router) -> None:
    """Of options, and of choices that are words; and none is noted that is gone. Add it in bot/texts/commands.py."""
    every = [each for each in router.walk_commands() if isinstance(each, app_commands.Command)]
    options = [option for command in every for option in command.parameters]
    choices = {choice.name for option in options for choice in option.choices}
    assert {option.name for option in options} == set(commands.OPTION_NAMES)
    words = *commands.CHOICE_NAMES, *commands.DELIVER_NAMES, *commands.FLAGGED_NAMES
    told = {*words, *SCHEDULES}  # those are names everywhere
    durations = {*commands.BLOCK_DURATIONS.values()}
    assert {name for name in choices - durations if name[0].isalpha()} == told
    assert durations <= choices


def written(folder: Path, **names: str) -> Path:
    """A catalogue of German with these names of options alone."""
    catalogue = Catalog(locale="de")
    for name, german in names.items():
        catalogue.add(name, german, context=commands.OPTION)
    catalogue.add(commands.IMAGINE, "x" * 101)
    file = folder / "de" / language_module.CATALOGUE
    file.parent.mkdir(parents=True)
    with file.open("wb") as opened:
        write_po(opened, catalogue)
    return folder


async def test_what_discord_would_refuse_stays_english(
    router: Router, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A capital, a space, too many characters, another option's name: one such name would cost all commands."""
    names = {
        "steps": "Schritte",
        "sampler": "wie gezeichnet",
        "guidance": "g" * 33,
        "seed": "zufall",
        "strength": "zufall",
        "images": "prompt",
        "model": "modell",
    }
    monkeypatch.setattr(language_module, "LOCALES", written(tmp_path, **names))
    pushed = await payload(router)
    check_sync(pushed)
    (imagine,) = (each for each in pushed if each["name"] == "imagine")
    assert not imagine["description_localizations"]
    german = {
        o["name"]: o["name_localizations"]["de"] for o in imagine["options"] if "name_localizations" in o
    }
    assert german == {"model": "modell"}


async def test_a_changed_translation_is_pushed_and_an_unchanged_one_is_not(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each start: Discord allows 200 new commands a day, and shows what it was last told."""
    state = world.discord.state
    shown = {key[-1]: command for key, command in state.commands.items()}
    assert shown["imagine"]["description_localizations"]["de"] == said("de", commands.IMAGINE)
    await world.restart()
    assert state.syncs == 1
    monkeypatch.setattr(language_module, "LOCALES", written(tmp_path / "other", model="modell"))
    for _ in range(2):
        await world.restart()
        assert state.syncs == 2


# ------------------------------------------------------------------ what the bot says


def form_texts(form: dict[str, Any]) -> list[str]:
    return [form["title"], *(str(part["label"]) for part in walk(form["components"]) if part.get("label"))]


async def test_two_people_read_two_languages_in_one_channel(world: World) -> None:
    """A job's message speaks its asker's, what one person alone sees theirs; after a restart of the bot too."""
    anna, hana = world.person("anna", locale="de"), world.person("hana", locale="ja")
    theirs = {
        "de": await world.imagined(1, who=anna, seed=7),
        "ja": await world.imagined(2, who=hana, seed=7),
    }
    for _ in range(2):
        for locale, message in theirs.items():
            assert said(locale, "seed {seed}", seed="`7`") in message.text
            assert said(locale, "{steps} steps", steps=8) in message.text
            assert said(locale, "Reroll") in labels(message)
        info = await hana.click(theirs["de"], "Info")
        assert info.ephemeral
        assert said("ja", "Seeds: {seeds}", seeds="7") in info.text
        for who, locale in ((anna, "de"), (hana, "ja"), (world.alice, "en-US")):
            asked = await who.click(theirs["de"], "Remix")
            assert asked.modal is not None
            assert language(locale).gettext("What to keep out") in form_texts(asked.modal)
        await world.restart()
    theirs = {locale: world.message(number) for number, locale in ((1, "de"), (2, "ja"))}
    await hana.click(theirs["de"], said("de", "Reroll"))
    await world.reaches(3, JobState.DELIVERED)
    assert said("ja", "Reroll") in labels(world.message(3))


async def test_who_waits_reads_it_in_their_language(start_world: StartWorld) -> None:
    """Place in line, what holds it up, and how a cancel ended: by the job's row, so after a restart too."""
    world = await start_world(fake=FakeSettings(load_s=30))
    anna, hana = world.person("anna", locale="de"), world.person("hana", locale="ja")
    await world.imagine(anna)
    await world.imagine(hana)
    for _ in range(2):
        await world.says(1, said("de", "Next in line"))
        await world.says(2, said("ja", "{ordinal} in line", ordinal="2nd", number=2))
        await world.restart()
    for who, locale in ((anna, "de"), (hana, "ja")):
        assert said(locale, "**The line**") in (await who.slash(world.channel, "queue")).text
    await hana.click(world.message(2), said("ja", "Cancel"))
    await world.reaches(2, JobState.CANCELLED)


async def test_a_refusal_is_in_the_language_of_who_is_refused(start_world: StartWorld) -> None:
    """With numbers as they are written there, and times that Discord tells by each person's own clock."""
    world = await start_world(limits={"max_pixels": 262144})
    anna, hana = world.person("anna", locale="de"), world.person("hana", locale="ja")
    both = "Give either a size or an aspect, not both."
    for who, locale in ((anna, "de"), (hana, "ja")):
        refused = await world.imagine(who, size="128x128", aspect="1:1")
        assert refused.ephemeral_text == said(locale, both)
        quota = await who.slash(world.channel, "quota")
        assert re.search(r"<t:\d+:R>", quota.text)
    assert (await world.imagine(size="128x128", aspect="1:1")).text == both
    for who, most in ((anna, "262.144"), (world.alice, "262,144")):
        assert most in (await world.imagine(who, size="1024x1024")).text
    small = await world.imagine(anna, size="8x8")
    assert small.ephemeral_text is not None
    assert small.ephemeral_text.startswith("Breite: 64 bis 2048 Pixel")
    british = world.person("bob", locale="en-GB")
    assert (await world.imagine(british, size="128x128", aspect="1:1")).text == both
    assert await world.jobs_stored() == 0


@pytest.mark.parametrize(("locale", "comma"), [("de", ", "), ("ja", "、"), ("zh-CN", "、")])
async def test_what_is_listed_has_the_languages_comma(world: World, locale: str, comma: str) -> None:
    """Names that the engine's contract lists, those that the chat lists, and settings."""
    somebody = world.person("somebody", locale=locale)
    for options in ({"sampler": "nope"}, {"aspect": None, "prompt": "a --ar 9:900"}, {"prompt": "a --qqqq"}):
        refused = await world.imagine(somebody, **{key: told for key, told in options.items() if told})
        assert refused.ephemeral_text is not None
        assert comma in refused.ephemeral_text
        assert (", " in refused.ephemeral_text) == (comma == ", ")
    theirs = await somebody.slash(world.channel, "settings", images=2, quality="quick")
    assert f"**2**{comma}" in theirs.text
