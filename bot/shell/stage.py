"""The people of the demo's simulated Discord, who act as a script says. Decides nothing; knows no browser."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import discord
from simcord.actors import MemberActor
from simcord.backend.errors import BackendError, SetupError
from simcord.builders import ChannelHandle
from simcord.components import walk_components
from simcord.results import InteractionResult, ResponseMessage

from bot.chat.client import EaselClient
from bot.shell.live_page import LivePage
from bot.shell.scripts import Act, Asks, FillsIn, Presses, Restarts, Says, Script, Types

T = TypeVar("T")
LOOK_S = 0.1
WITHIN_S = 600.0
"""What an act waits for has come by then, a model that loads slowly too, or the script ends: somebody on the page may have
made it impossible."""


class CutShort(Exception):
    """The script can't go on, and why."""


class Stage:
    """Plays scripts among what others do on the page: its people press buttons under what came of their own acts alone."""

    def __init__(
        self,
        page: LivePage,
        channel: ChannelHandle,
        people: Mapping[str, MemberActor],
        *,
        greeting: discord.Message,
        restart: Callable[[], Awaitable[None]],
    ) -> None:
        self._page = page
        self._channel = channel
        self._people = people
        self._greeting = greeting
        self._restart = restart
        self._answers: list[InteractionResult] = []

    async def play(self, script: Script) -> None:
        """Raises CutShort."""
        if script.is_watched:
            await self._page.visited.wait()
        for act in script.acts:
            await asyncio.sleep(script.pause_s)
            if script.is_watched and not isinstance(act, Restarts):
                await self._page.look_as(self._people[act.who])
            try:
                await self._perform(act)
            except (SetupError, BackendError) as error:
                raise CutShort(str(error)) from error

    async def _perform(self, act: Act) -> None:
        match act:
            case Restarts():
                await self._restart()
            case Says():
                person, answered = self._people[act.who], self._greeting if act.is_reply else None
                await self._page.take_turn(lambda: person.send(self._channel, act.text, reply_to=answered))
            case Types() | Presses():
                answer = await self._ask(act)
                self._answers.append(answer)
                await self._until(act, lambda: self._has_come(act, answer))

    async def _ask(self, act: Types | Presses) -> InteractionResult:
        person = self._people[act.who]
        if isinstance(act, Types):
            return await self._page.take_turn(
                lambda: self._page.env.slash(person, self._channel, act.command, act.options)
            )
        message = await self._until(act, lambda: self._pressable(act.label))
        answer = await self._page.take_turn(lambda: person.click(message, label=act.label))
        if not isinstance(act, FillsIn):
            return answer
        form = await self._until(act, lambda: _form(answer))
        return await self._page.take_turn(lambda: person.submit_modal(answer, form | dict(act.fields)))

    async def _until(self, act: Asks, look: Callable[[], Awaitable[T | None]]) -> T:
        deadline = time.monotonic() + WITHIN_S
        while not (seen := await look()):
            if time.monotonic() > deadline:
                raise CutShort(f"nothing came of {act}")
            await asyncio.sleep(LOOK_S)
        return seen

    def _messages(self) -> list[ResponseMessage]:
        """What came of its own acts, the newest first."""
        answers = (answer.response for answer in self._answers)
        found = {message.id: message for message in answers if message is not None}
        return [found[message_id] for message_id in sorted(found, reverse=True)]

    async def _pressable(self, label: str) -> ResponseMessage | None:
        """The newest message with that button."""
        for message in self._messages():
            for part in walk_components(message.components):
                if part.get("label") == label and not part.get("disabled"):
                    return message
        return None

    async def _has_come(self, act: Asks, answer: InteractionResult) -> bool:
        """Whether its pictures are there, and what is told with them."""
        if act.tells and not any(act.tells in self._words(message) for message in self._messages()):
            return False
        if not act.pictures:
            return True
        message = answer.response
        if message is None or len(message.attachments) < act.pictures:
            return False
        client = self._page.env.bot
        assert isinstance(client, EaselClient)
        drawn = await client.services.store.jobs.live()
        return all(job.message_id != message.id for job in drawn)

    def _words(self, message: ResponseMessage) -> str:
        """All of it as it is shown: with people's names, without the stars of what is bold."""
        parts = walk_components(message.components)
        words = "\n".join([message.content, *(part.get("content", "") for part in parts)])
        names = {str(person.id): name for name, person in self._people.items()}
        return re.sub(r"<@(\d+)>", lambda found: f"@{names.get(found[1], found[1])}", words.replace("**", ""))


async def _form(answer: InteractionResult) -> dict[str, Any] | None:
    """The fields of the form that was opened, as the bot filled them in."""
    if answer.modal is None:
        return None
    return {
        part["custom_id"]: [each["value"] for each in part["options"] if each.get("default")]
        if "options" in part
        else part.get("value", "")
        for part in walk_components(answer.modal["components"])
        if "custom_id" in part
    }
