"""Who answers what: commands by their names, and what is pressed, chosen or filled in by its id. Knows no feature.

discord.py keeps views and forms in memory and forgets them with the process. So none is remembered here: the id alone says
what is wanted, and the job is looked up anew, whether the message or the form is of this process, of one before a restart
or of an earlier version. An id of a later version gets a sentence.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import discord
from discord import app_commands

from bot.chat import ids, where
from bot.chat.client import EaselClient, Interaction
from bot.chat.errors import UserError, answer_error
from bot.chat.ids import OfJob, OfPage, Verb
from bot.job import Job
from bot.texts import problems

OnJob = Callable[[Interaction, Job, int | None], Awaitable[None]]
"""(interaction, job of this server or whose picture it has, which of its images or None for all of it)."""
OnForm = Callable[[Interaction, Job, int | None, Mapping[str, Any]], Awaitable[None]]
"""The same, and what was filled in: a text, or the chosen values, by the ids of the fields."""
OnNumber = Callable[[Interaction, int], Awaitable[None]]
"""(interaction, the number in its id, which is no job's)."""
OnNumberForm = Callable[[Interaction, int, Mapping[str, Any]], Awaitable[None]]
"""(interaction, the number in its id, what was filled in)."""
OnPage = Callable[[Interaction, OfPage], Awaitable[None]]
"""(interaction, which page of what)."""
IN_SERVERS = app_commands.AppCommandContext(guild=True, dm_channel=False, private_channel=False)
"""Of commands that are about a server, whatever whoever runs the bot allows."""
Command = app_commands.Command[Any, ..., Any] | app_commands.Group | app_commands.ContextMenu


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """A verb of the chat, as its file in `features` offers it: each handler answers, or raises what keeps it from that."""

    commands: tuple[Command, ...] = ()
    """Slash commands, their groups, and context menus."""
    presses: Mapping[str, OnJob] = field(default_factory=dict[str, OnJob])
    """What buttons and selects about a job do, by the verbs of their ids."""
    forms: Mapping[str, OnForm] = field(default_factory=dict[str, OnForm])
    """What filled-in forms about a job do, by the verbs of theirs."""
    numbers: Mapping[str, OnNumber] = field(default_factory=dict[str, OnNumber])
    """What buttons do about something else than a job."""
    forms_of_number: Mapping[str, OnNumberForm] = field(default_factory=dict[str, OnNumberForm])
    """Forms about something else than a job."""
    pages: Mapping[str, OnPage] = field(default_factory=dict[str, OnPage])
    """Lists that can be leafed through."""


class Router(app_commands.CommandTree[EaselClient]):
    """For servers, and direct messages with the bot where those are allowed, whatever the application's page says: where the
    bot itself is not, it can't post.
    """

    def __init__(
        self, client: EaselClient, features: Iterable[Feature], *, takes_direct_messages: bool
    ) -> None:
        super().__init__(
            client,
            allowed_contexts=app_commands.AppCommandContext(
                guild=True, dm_channel=takes_direct_messages, private_channel=False
            ),
            allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
        )
        self._takes_direct_messages = takes_direct_messages
        self._presses: dict[str, OnJob] = {}
        self._forms: dict[str, OnForm] = {}
        self._numbers: dict[str, OnNumber] = {}
        self._number_forms: dict[str, OnNumberForm] = {}
        self._pages: dict[str, OnPage] = {}
        for feature in features:
            for command in feature.commands:
                self._add(command)
            self._presses |= feature.presses
            self._forms |= feature.forms
            self._numbers |= feature.numbers
            self._number_forms |= feature.forms_of_number
            self._pages |= feature.pages
        client.event(self.on_interaction)

    def _add(self, command: Command) -> None:
        """Discord takes fifteen entries in a message's menu since March 2026; discord.py 2.7.1 still stops at five."""
        if isinstance(command, app_commands.ContextMenu):
            self._context_menus[command.name, None, command.type.value] = command
        else:
            self.add_command(command)

    async def interaction_check(self, interaction: Interaction, /) -> bool:
        """A command that came in direct messages all the same is answered: a client may know an older list of them."""
        if interaction.guild_id is not None or self._takes_direct_messages:
            return True
        if interaction.type is not discord.InteractionType.autocomplete:
            await self.on_error(interaction, UserError(problems.command_only_in_servers))
        return False

    async def on_interaction(self, interaction: Interaction) -> None:
        """Commands are answered by the base class, from whose errors those of everything else don't differ."""
        data: Mapping[str, Any] = interaction.data or {}
        custom_id = str(data.get("custom_id", ""))
        if not custom_id.startswith(ids.OURS):
            return
        try:
            await self._answer(interaction, custom_id)
        except Exception as error:  # noqa: BLE001 - discord.py would only log it: the person must get a sentence
            await self.on_error(interaction, error)

    async def on_error(self, interaction: Interaction, error: Exception, /) -> None:
        await answer_error(interaction, error)

    async def _answer(self, interaction: Interaction, custom_id: str) -> None:
        is_form = interaction.type is discord.InteractionType.modal_submit
        read = ids.read(custom_id)
        if isinstance(read, OfJob) and read.verb == Verb.MORE:  # what was chosen is pressed
            read = replace(read, verb=chosen(interaction) or Verb.MORE)
        match read:
            case OfJob(verb=verb, job=number) if is_form and verb in self._number_forms:
                await self._number_forms[verb](interaction, number, _filled_in(interaction))
            case OfJob(verb=verb, job=number, image=image) if is_form and verb in self._forms:
                job = await _job_here(interaction, number, verb)
                await self._forms[verb](interaction, job, image, _filled_in(interaction))
            case OfJob(verb=verb, job=number, image=image) if not is_form and verb in self._presses:
                await self._presses[verb](interaction, await _job_here(interaction, number, verb), image)
            case OfJob(verb=verb, job=number) if not is_form and verb in self._numbers:
                await self._numbers[verb](interaction, number)
            case OfPage(pages=pages) as place if not is_form and pages in self._pages:
                await self._pages[pages](interaction, place)
            case _:
                raise UserError(problems.newer_form if is_form else problems.newer_button)


def chosen(interaction: Interaction) -> str | None:
    """The one value that was chosen in a menu; None for what is no menu."""
    values: Any = (interaction.data or {}).get("values")
    return str(values[0]) if values else None


def _filled_in(interaction: Interaction) -> Mapping[str, Any]:
    """Fields stand in labels or rows, as deep as Discord likes."""
    data: Any = interaction.data
    found, rest = dict[str, Any](), list[Any](data["components"])
    for part in rest:
        rest += [*part.get("components", ()), *([part["component"]] if "component" in part else [])]
        if "custom_id" in part:
            found[part["custom_id"]] = part["value"] if "value" in part else part.get("values")
    return found


async def _job_here(interaction: Interaction, job_id: int, verb: str) -> Job:
    job = await interaction.client.services.store.jobs.get(job_id)
    if job is None or not where.takes(interaction, job):
        raise UserError(problems.unknown_image)
    if job.erased_at is not None and verb in ids.NEED_WORDS:
        raise UserError(problems.words_forgotten if job.deleted_at is None else problems.deleted)
    return job
