"""What people do in the loopback Discord (type commands, click, fill in modals) and what they get back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from workshop.rehearsal.loopback import interactions, payloads
from workshop.rehearsal.loopback.commands import (
    CHAT_INPUT,
    MESSAGE_MENU,
    CannotDo,
    Typing,
    find_component,
)
from workshop.rehearsal.loopback.state import State
from workshop.rehearsal.loopback.world import (
    BUTTON,
    OF_POSTS,
    SELECTS,
    Channel,
    Interaction,
    Json,
    Message,
    Permission,
    User,
    objects_in,
    walk,
)

Kind = Literal["message", "deferred", "deferred_update", "update", "choices", "modal"]
KINDS: dict[int, Kind] = {
    4: "message",
    5: "deferred",
    6: "deferred_update",
    7: "update",
    8: "choices",
    9: "modal",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The bot's first answer to an interaction; `message` is live and shows later edits."""

    kind: Kind
    interaction: Interaction
    message: Message | None
    ms: float
    """From the sending of INTERACTION_CREATE to the arrival of the accepted callback."""
    choices: list[Json]
    modal: Json | None

    @property
    def ephemeral(self) -> bool:
        return self.message is not None and self.message.ephemeral

    @property
    def text(self) -> str:
        """What the answer's message says now ("" where there is none)."""
        return "" if self.message is None else self.message.text

    @property
    def ephemeral_text(self) -> str | None:
        """The text if only the asking person sees it, else None."""
        return self.text if self.ephemeral else None

    @property
    def followups(self) -> list[Message]:
        return self.interaction.followups


def answer_of(interaction: Interaction) -> Answer:
    assert interaction.answer is not None
    assert interaction.answered_ms is not None
    kind, data = interaction.answer["type"], interaction.answer["data"]
    return Answer(
        kind=KINDS[kind],
        interaction=interaction,
        message=interaction.original,
        ms=interaction.answered_ms - interaction.sent_ms,
        choices=objects_in(data, "choices") if kind == 8 else [],
        modal=data if kind == 9 else None,
    )


class World(Protocol):
    """What this part needs of the server."""

    state: State

    async def deliver(self, interaction: Interaction) -> Interaction: ...

    async def until_answered(self, interaction: Interaction, timeout_s: float) -> Answer: ...

    async def suggested(
        self,
        user: User,
        channel: Channel,
        name: str,
        focus: str,
        /,
        *,
        timeout_s: float = 10.0,
        **options: Any,
    ) -> Answer: ...


class People:
    """The acting half of the driver; `send_*` return at once, the others wait for the bot's first answer."""

    async def slash(
        self: World,
        user: User,
        channel: Channel,
        name: str,
        /,
        *,
        timeout_s: float = 10.0,
        despite_permissions: bool = False,
        **options: Any,
    ) -> Answer:
        """Type `/name`, where name may be "group sub"; option types are those of the synced command."""
        data = _command_data(self.state, user, channel, name, options, None, despite_permissions)
        sent = await self.deliver(interactions.create(self.state, interactions.COMMAND, user, channel, data))
        return await self.until_answered(sent, timeout_s)

    async def send_slash(
        self: World, user: User, channel: Channel, name: str, /, *, unchecked: bool = False, **options: Any
    ) -> Interaction:
        """The same without waiting; pass the result to `until_answered`. `unchecked` skips the client's checks."""
        data = _command_data(self.state, user, channel, name, options, None, False, unchecked)
        return await self.deliver(interactions.create(self.state, interactions.COMMAND, user, channel, data))

    async def autocomplete(
        self: World,
        user: User,
        channel: Channel,
        name: str,
        focus: str,
        /,
        timeout_s: float = 10.0,
        **options: Any,
    ) -> list[Json]:
        """The choices for the option `focus`, whose half-typed value is among the options."""
        return (await self.suggested(user, channel, name, focus, timeout_s=timeout_s, **options)).choices

    async def suggested(
        self: World,
        user: User,
        channel: Channel,
        name: str,
        focus: str,
        /,
        *,
        timeout_s: float = 10.0,
        **options: Any,
    ) -> Answer:
        """The whole answer to that."""
        data = _command_data(self.state, user, channel, name, {focus: "", **options}, focus, False)
        sent = await self.deliver(
            interactions.create(self.state, interactions.AUTOCOMPLETE, user, channel, data)
        )
        return await self.until_answered(sent, timeout_s)

    async def click(
        self: World, user: User, message: Message, button: str, /, *, timeout_s: float = 10.0
    ) -> Answer:
        """Press the button with this label, emoji or custom_id."""
        sent = await self.deliver(_click(self.state, user, message, button))
        return await self.until_answered(sent, timeout_s)

    async def send_click(self: World, user: User, message: Message, button: str, /) -> Interaction:
        return await self.deliver(_click(self.state, user, message, button))

    async def select(
        self: World, user: User, message: Message, menu: str, /, *values: str, timeout_s: float = 10.0
    ) -> Answer:
        """Choose in the string select with this custom_id or placeholder."""
        component = find_component(_visible(user, message), menu, SELECTS)
        known = {o["value"] for o in objects_in(component, "options")}
        if strange := set(values) - known:
            raise CannotDo(f"{menu} has no option {sorted(strange)}; there are {sorted(known)}")
        data: Json = {
            "custom_id": component["custom_id"],
            "component_type": component["type"],
            "id": component["id"],
            "values": list(values),
        }
        made = interactions.create(self.state, interactions.COMPONENT, user, message.channel, data, message)
        return await self.until_answered(await self.deliver(made), timeout_s)

    async def menu(
        self: World, user: User, message: Message, name: str, /, *, timeout_s: float = 10.0
    ) -> Answer:
        """Choose this entry of the app's menu of a message."""
        data = _menu_data(self.state, user, message, name)
        kind = interactions.COMMAND
        sent = await self.deliver(interactions.create(self.state, kind, user, message.channel, data))
        return await self.until_answered(sent, timeout_s)

    async def submit(self: World, modal: Answer, /, *, timeout_s: float = 10.0, **values: Any) -> Answer:
        """Fill in the modal of an answer: custom_id of each field -> its text, or list of chosen values."""
        if modal.modal is None:
            raise CannotDo(f"this answer is no modal but {modal.kind}")
        cause = modal.interaction
        data: Json = {"custom_id": modal.modal["custom_id"], "components": _filled(modal.modal, values)}
        kind = interactions.MODAL
        made = interactions.create(self.state, kind, cause.user, cause.channel, data, cause.source)
        return await self.until_answered(await self.deliver(made), timeout_s)


def _command_data(
    state: State,
    user: User,
    channel: Channel,
    name: str,
    values: dict[str, Any],
    focus: str | None,
    force: bool,
    unchecked: bool = False,
) -> Json:
    first, *rest = name.split()
    command = _offered(state, user, channel, CHAT_INPUT, first, force)
    typed = {key: value for key, value in values.items() if value is not None}
    typing = Typing(messages=state.messages, bot=state.bot, channel=channel, unchecked=unchecked)
    return typing.data(command, rest, typed, focus)


def _offered(state: State, user: User, channel: Channel, kind: int, name: str, force: bool) -> Json:
    """The synced command that this person sees there."""
    _check_takes_commands(user, channel)
    guild_id = None if channel.guild is None else channel.guild.id
    command = state.commands.get((None, kind, name)) or state.commands.get((guild_id, kind, name))
    if command is None:
        known = sorted(key[2] for key in state.commands if key[1] == kind)
        raise CannotDo(f"{name} was never synced; there are {known}")
    contexts = command["contexts"]
    if contexts is not None and (1 if channel.guild is None else 0) not in contexts:
        raise CannotDo(f"{name} is not offered here (contexts {contexts})")
    needed = int(command["default_member_permissions"] or 0)
    if channel.guild is not None and not force and needed & ~channel.permissions_of(user):
        raise CannotDo(f"{user} does not see {name} (default_member_permissions {needed:#x})")
    return command


def _check_takes_commands(user: User, channel: Channel) -> None:
    if channel.kind in OF_POSTS:
        raise CannotDo(f"{channel.name} takes posts only")
    if channel.archived:
        raise CannotDo(f"the thread {channel.name} is archived")
    if channel.locked and not channel.permissions_of(user) & Permission.MANAGE_THREADS:
        raise CannotDo(f"the thread {channel.name} is locked")


def _menu_data(state: State, user: User, message: Message, name: str) -> Json:
    """The message goes along whole, whichever intents the bot has."""
    if message.deleted or message.ephemeral:
        raise CannotDo("such a message has no menu of apps")
    command = _offered(state, user, message.channel, MESSAGE_MENU, name, False)
    number = str(message.id)
    return {
        "id": command["id"],
        "name": command["name"],
        "type": MESSAGE_MENU,
        "target_id": number,
        "resolved": {"messages": {number: payloads.message(message, state.clock, state.app_id)}},
    }


def _visible(user: User, message: Message) -> list[Json]:
    """The components of a message that this person can really see."""
    if message.deleted:
        raise CannotDo("the message is deleted")
    if message.ephemeral and (message.interaction is None or message.interaction.user is not user):
        raise CannotDo(f"{user} does not see this ephemeral message")
    return message.components


def _click(state: State, user: User, message: Message, button: str) -> Interaction:
    component = find_component(_visible(user, message), button, frozenset({BUTTON}))
    data: Json = {"custom_id": component["custom_id"], "component_type": BUTTON, "id": component["id"]}
    return interactions.create(state, interactions.COMPONENT, user, message.channel, data, message)


def _filled(modal: Json, values: dict[str, Any]) -> list[Json]:
    """The modal's components as a submit carries them; a field that is left out keeps its value."""
    fields = {c["custom_id"]: c for c in walk(modal["components"]) if "custom_id" in c}
    if strange := values.keys() - fields.keys():
        raise CannotDo(f"the modal has no field {sorted(strange)}; there are {sorted(fields)}")
    shapes = [_submitted(c, values) for c in modal["components"]]
    return [{**shape, "id": number} for number, shape in enumerate(shapes, start=1)]


def _submitted(component: Json, values: dict[str, Any]) -> Json:
    match component["type"]:
        case 1:
            return {"type": 1, "components": [_submitted(c, values) for c in component["components"]]}
        case 18:
            return {"type": 18, "component": _submitted(component["component"], values)}
        case 10:
            return {"type": 10}
        case kind:
            return {"type": kind, "id": 100, "custom_id": component["custom_id"], **_field(component, values)}


def _field(component: Json, values: dict[str, Any]) -> Json:
    kind, given = component["type"], values.get(component["custom_id"])
    if kind == 4:
        text = str(component.get("value") or "") if given is None else str(given)
        least, most = component.get("min_length") or 0, component.get("max_length") or 4000
        if component.get("required", True):
            least = max(1, least)
        if (text or least) and not least <= len(text) <= most:
            raise CannotDo(f"{component['custom_id']} takes {least} to {most} characters, not {text!r}")
        return {"value": text}
    if kind in {21, 23}:
        default = component.get("default", False) if kind == 23 else None
        return {"value": default if given is None else given}
    preset = [o["value"] for o in objects_in(component, "options") if o.get("default")]
    return {"values": preset if given is None else list(given)}
