"""Whose turn it is when something is pressed, chosen or filled in: told by the id alone, after any restart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import discord
import pytest
from discord import ui

from bot.chat import tree
from bot.chat.client import Interaction
from bot.chat.errors import UserError
from bot.chat.router import Feature
from bot.job import Job
from tests.kit.world import World

NEWER = "was made by a newer version of Easel, and this one does not know it."


class Form(ui.Modal, title="Say it anew"):
    words = ui.Label[Any](text="Words", component=ui.TextInput[Any](custom_id="words"))


@dataclass(slots=True)
class Remixing:
    """A feature of another version: a button that opens a form, and a menu."""

    told: list[tuple[int, int | None, Mapping[str, Any]]] = field(default_factory=list[Any])

    @property
    def feature(self) -> Feature:
        return Feature(
            presses={"blend": self.open, "pick": self.pick, "fail": self.fail},
            forms={"blend": self.take, "fail": self.refuse},
        )

    async def open(self, interaction: Interaction, job: Job, image: int | None) -> None:
        await interaction.response.send_modal(Form(custom_id=f"easel:1:blend:{job.id}:{image}"))

    async def take(
        self, interaction: Interaction, job: Job, image: int | None, fields: Mapping[str, Any]
    ) -> None:
        self.told.append((job.id, image, fields))
        await interaction.response.send_message("taken", ephemeral=True)

    async def pick(self, interaction: Interaction, job: Job, image: int | None) -> None:
        data: Any = interaction.data
        self.told.append((job.id, image, {"values": data["values"]}))
        await interaction.response.send_message("picked", ephemeral=True)

    async def fail(self, interaction: Interaction, _job: Job, _image: int | None) -> None:
        await interaction.response.send_modal(Form(custom_id="easel:1:fail:1"))

    async def refuse(
        self, _interaction: Interaction, _job: Job, _image: int | None, _fields: Mapping[str, Any]
    ) -> None:
        raise UserError(lambda _to: "Not in these words.")


@pytest.fixture
def remixing(monkeypatch: pytest.MonkeyPatch) -> Remixing:
    """From the next start of a bot on, it has this feature as well."""
    remixing = Remixing()
    monkeypatch.setattr(tree, "FEATURES", (*tree.FEATURES, SimpleNamespace(FEATURE=remixing.feature)))
    return remixing


def a_button(custom_id: str) -> ui.Button[Any]:
    return ui.Button[Any](label=custom_id, custom_id=custom_id)


async def test_a_form_that_was_opened_before_a_restart_is_taken(remixing: Remixing, world: World) -> None:
    """The next process knows no form in memory; its id says which job's it is, and what was filled in arrives."""
    await world.imagined()
    message = await world.post(a_button("easel:1:blend:1:0"))
    shown = await world.alice.click(message, "easel:1:blend:1:0")
    await world.restart()
    answer = await world.alice.submit(shown, words="a blue circle")

    assert answer.text == "taken"
    assert remixing.told == [(1, 0, {"words": "a blue circle"})]


async def test_a_form_of_a_newer_version_is_told_so(
    remixing: Remixing, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened, then an older bot was started: its person reads one sentence instead of waiting for nothing."""
    await world.imagined()
    message = await world.post(a_button("easel:1:blend:1:0"))
    shown = await world.alice.click(message, "easel:1:blend:1:0")
    monkeypatch.setattr(tree, "FEATURES", tree.FEATURES[:-1])
    await world.restart()
    answer = await world.alice.submit(shown, words="a blue circle")

    assert (answer.ephemeral, answer.text) == (True, f"This form {NEWER}")
    assert remixing.told == []


async def test_what_fails_in_a_form_is_answered_as_anything_else(remixing: Remixing, world: World) -> None:
    """A refusal is its sentence, for one pair of eyes."""
    await world.imagined()
    shown = await world.alice.click(await world.post(a_button("easel:1:fail:1")), "easel:1:fail:1")
    answer = await world.alice.submit(shown, words="a blue circle")

    assert (answer.ephemeral, answer.text) == (True, "Not in these words.")


async def test_menus_come_the_same_way(remixing: Remixing, world: World) -> None:
    """What was chosen is the handler's to read, after a restart too."""
    await world.imagined()
    options = [discord.SelectOption(label=name, value=name) for name in ("red", "blue")]
    message = await world.post(ui.Select[Any](custom_id="easel:1:pick:1", options=options))
    await world.restart()
    answer = await world.alice.select(message, "easel:1:pick:1", "blue")

    assert answer.text == "picked"
    assert remixing.told == [(1, None, {"values": ["blue"]})]


@pytest.mark.parametrize("custom_id", ["easel:1:vary:1:0", "easel:2:reroll:1", "easel:1:saved:older:8"])
async def test_a_button_of_a_newer_version_is_told_so(world: World, custom_id: str) -> None:
    """An unknown verb, list or generation of ids is one sentence, and no job."""
    answer = await world.alice.click(await world.post(a_button(custom_id)), custom_id)

    assert (answer.ephemeral, answer.text) == (True, f"This button {NEWER}")
    assert await world.jobs_stored() == 0


async def test_no_posted_message_is_remembered(world: World) -> None:
    """discord.py keeps every view that is not over, for ever: ours are over when they are posted."""
    await world.imagined()
    await world.alice.slash(world.channel, "history")

    assert list(world.client.persistent_views) == []


def test_no_verb_has_two_features() -> None:
    """The second would silently replace the first."""
    for kind in ("presses", "forms", "numbers", "pages"):
        names = [name for feature in tree.FEATURES for name in getattr(feature.FEATURE, kind)]
        assert sorted(names) == sorted(set(names))
