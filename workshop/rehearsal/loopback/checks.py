"""Refuses messages and modals that Discord would refuse; pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from workshop.rehearsal.loopback.errors import ApiError, invalid, too_large
from workshop.rehearsal.loopback.world import (
    BUTTON,
    COMPONENTS_V2,
    SELECTS,
    TEXT_DISPLAY,
    Attachment,
    Json,
    media_items,
    object_in,
    objects_in,
    walk,
)

MAX_COMPONENTS, MAX_V2_TEXT, MAX_CONTENT, MAX_ALT, MAX_FILES = 40, 4000, 2000, 1024, 10
LEGACY_TYPES = frozenset({1})
V2_TOP_LEVEL = frozenset({1, 9, 10, 12, 13, 14, 17})
IN_CONTAINER = V2_TOP_LEVEL - {17}
EMBED_LIMITS = {"title": 256, "description": 4096}


@dataclass(kw_only=True, slots=True)
class Draft:
    """A message as it would look after the request."""

    content: str = ""
    embeds: list[Json] = field(default_factory=list[Json])
    components: list[Json] = field(default_factory=list[Json])
    attachments: list[Attachment] = field(default_factory=list[Attachment])
    flags: int = 0

    @property
    def is_v2(self) -> bool:
        return bool(self.flags & COMPONENTS_V2)


def check(draft: Draft, file_limit: int) -> None:
    """Raise the `ApiError` that Discord would answer with, or return."""
    _files(draft, file_limit)
    _fields(draft)
    _top_level(draft)
    for index, component in enumerate(draft.components):
        _component(component, f"components.{index}")
    _ids(draft.components)
    _references(draft)


def _files(draft: Draft, limit: int) -> None:
    if len(draft.attachments) > MAX_FILES:
        raise ApiError(400, 30015, f"Maximum number of attachments in a message reached ({MAX_FILES})")
    for index, item in enumerate(draft.attachments):
        if len(item.bytes) > limit:
            raise too_large()
        _length(item.description, MAX_ALT, f"attachments.{index}.description")


def _fields(draft: Draft) -> None:
    if draft.is_v2 and (draft.content or draft.embeds):
        name = "content" if draft.content else "embeds"
        text = "The 'content' and 'embeds' fields cannot be used when using MessageFlags.IS_COMPONENTS_V2"
        raise invalid(name, "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2", text)
    _length(draft.content, MAX_CONTENT, "content")
    if not (draft.components or (not draft.is_v2 and (draft.content or draft.embeds or draft.attachments))):
        raise ApiError(400, 50006, "Cannot send an empty message")
    _embeds(draft.embeds)


def _embeds(embeds: list[Json]) -> None:
    if len(embeds) > 10:
        raise invalid("embeds", "BASE_TYPE_MAX_LENGTH", "Must be 10 or fewer in length.")
    total = 0
    for index, embed in enumerate(embeds):
        for key, limit in EMBED_LIMITS.items():
            _length(embed.get(key), limit, f"embeds.{index}.{key}")
            total += len(embed.get(key) or "")
        fields = objects_in(embed, "fields")
        if len(fields) > 25:
            raise invalid(f"embeds.{index}.fields", "BASE_TYPE_MAX_LENGTH", "Must be 25 or fewer in length.")
        for number, item in enumerate(fields):
            _length(item["name"], 256, f"embeds.{index}.fields.{number}.name")
            _length(item["value"], 1024, f"embeds.{index}.fields.{number}.value")
            total += len(item["name"]) + len(item["value"])
        total += len(object_in(embed, "footer").get("text") or "")
        total += len(object_in(embed, "author").get("name") or "")
    if total > 6000:
        raise invalid("embeds", "MAX_EMBED_SIZE_EXCEEDED", "Embed size exceeds maximum size of 6000")


def _top_level(draft: Draft) -> None:
    allowed = V2_TOP_LEVEL if draft.is_v2 else LEGACY_TYPES
    for index, component in enumerate(draft.components):
        _one_of(component, allowed, f"components.{index}")
    if not draft.is_v2 and len(draft.components) > 5:
        raise invalid("components", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 5 in length.")
    everything = list(walk(draft.components))
    if len(everything) > MAX_COMPONENTS:
        text = f"Total number of components exceeds {MAX_COMPONENTS}"
        raise invalid("components", "MAX_COMPONENTS_EXCEEDED", text)
    letters = sum(len(c["content"]) for c in everything if c["type"] == TEXT_DISPLAY)
    if letters > MAX_V2_TEXT:
        text = f"The total displayable text in components exceeds {MAX_V2_TEXT} characters"
        raise invalid("components", "COMPONENT_DISPLAYABLE_TEXT_SIZE_EXCEEDED", text)


def _component(component: Json, path: str) -> None:
    """One component and what is in it; unknown types are refused."""
    kind = component.get("type")
    if kind in SELECTS:
        _select(component, path)
        return
    rule = RULES.get(kind or 0)
    if rule is None:
        raise invalid(f"{path}.type", "UNION_TYPE_CHOICES", f"{kind} is no component of a message.")
    rule(component, path)


def _row(component: Json, path: str) -> None:
    children = objects_in(component, "components")
    selects = sum(child.get("type") in SELECTS for child in children)
    if not children or len(children) > 5 or (selects and len(children) > 1):
        raise invalid(f"{path}.components", "BASE_TYPE_BAD_LENGTH", "1 to 5 buttons, or one select.")
    for index, child in enumerate(children):
        _one_of(child, SELECTS | {BUTTON}, f"{path}.components.{index}")
        _component(child, f"{path}.components.{index}")


def _button(component: Json, path: str) -> None:
    _length(component.get("label"), 80, f"{path}.label")
    is_link = component.get("style") == 5
    if is_link != ("url" in component) or is_link == ("custom_id" in component):
        raise invalid(path, "BUTTON_COMPONENT_INVALID", "A link has a url, any other button a custom_id.")
    if not component.get("label") and not component.get("emoji"):
        raise invalid(f"{path}.label", "BUTTON_COMPONENT_INVALID", "A button needs a label or an emoji.")
    if is_link:
        _length(component["url"], 512, f"{path}.url", least=1)
        return
    _length(component["custom_id"], 100, f"{path}.custom_id", least=1)


def _select(component: Json, path: str) -> None:
    _length(component.get("custom_id"), 100, f"{path}.custom_id", least=1)
    _length(component.get("placeholder"), 150, f"{path}.placeholder")
    options = objects_in(component, "options")
    if component["type"] == 3 and not 1 <= len(options) <= 25:
        raise invalid(f"{path}.options", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 25 in length.")
    for index, option in enumerate(options):
        _length(option["label"], 100, f"{path}.options.{index}.label", least=1)
        _length(option["value"], 100, f"{path}.options.{index}.value", least=1)
        _length(option.get("description"), 100, f"{path}.options.{index}.description")
    values = [option["value"] for option in options]
    if len(set(values)) < len(values):
        raise invalid(f"{path}.options", "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED", "Values must be unique.")


def _text(component: Json, path: str) -> None:
    _length(component.get("content"), MAX_V2_TEXT, f"{path}.content", least=1)


def _section(component: Json, path: str) -> None:
    texts = objects_in(component, "components")
    if not 1 <= len(texts) <= 3:
        raise invalid(f"{path}.components", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 3 in length.")
    for index, child in enumerate(texts):
        _one_of(child, {TEXT_DISPLAY}, f"{path}.components.{index}")
        _component(child, f"{path}.components.{index}")
    accessory = object_in(component, "accessory")
    _one_of(accessory, {BUTTON, 11}, f"{path}.accessory")
    _component(accessory, f"{path}.accessory")


def _thumbnail(component: Json, path: str) -> None:
    _length(component.get("description"), MAX_ALT, f"{path}.description")


def _gallery(component: Json, path: str) -> None:
    items = objects_in(component, "items")
    if not 1 <= len(items) <= 10:
        raise invalid(f"{path}.items", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 10 in length.")
    for index, item in enumerate(items):
        _length(item.get("description"), MAX_ALT, f"{path}.items.{index}.description")


def _container(component: Json, path: str) -> None:
    children = objects_in(component, "components")
    if not children:
        raise invalid(f"{path}.components", "BASE_TYPE_REQUIRED", "This field is required")
    for index, child in enumerate(children):
        _one_of(child, IN_CONTAINER, f"{path}.components.{index}")
        _component(child, f"{path}.components.{index}")


def _nothing(component: Json, path: str) -> None:
    """Separators and file components carry nothing with a limit; file references are checked elsewhere."""


RULES: dict[int, Callable[[Json, str], None]] = {
    1: _row,
    2: _button,
    9: _section,
    10: _text,
    11: _thumbnail,
    12: _gallery,
    13: _nothing,
    14: _nothing,
    17: _container,
}


def _ids(components: list[Json]) -> None:
    everything = list(walk(components))
    for key, code in (("custom_id", "COMPONENT_CUSTOM_ID_DUPLICATED"), ("id", "COMPONENT_ID_DUPLICATED")):
        seen = [c[key] for c in everything if c.get(key)]
        if len(set(seen)) < len(seen):
            raise invalid("components", code, f"Component {key} cannot be duplicated")


def _references(draft: Draft) -> None:
    names = {a.filename for a in draft.attachments}
    media = list(media_items(draft.components))
    media += [embed[key] for embed in draft.embeds for key in ("image", "thumbnail") if embed.get(key)]
    for item in media:
        url = str(item.get("url") or "")
        if not url.startswith(("attachment://", "https://", "http://")):
            raise invalid("components", "URL_TYPE_INVALID_URL", "Not a well formed URL.")
        if url.startswith("attachment://") and url.removeprefix("attachment://") not in names:
            text = f"The referenced attachment {url!r} was not found in this message"
            raise invalid("components", "UNFURLED_MEDIA_ITEM_REFERENCED_ATTACHMENT_NOT_FOUND", text)


def check_modal(data: Json) -> None:
    """A modal's own limits: title, number of fields, custom ids, label texts."""
    _length(data.get("title"), 45, "data.title", least=1)
    _length(data.get("custom_id"), 100, "data.custom_id", least=1)
    components = objects_in(data, "components")
    if not 1 <= len(components) <= 5:
        raise invalid("data.components", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 5 in length.")
    for index, component in enumerate(components):
        _one_of(component, {1, TEXT_DISPLAY, 18}, f"data.components.{index}")
    for component in walk(components):
        if component["type"] in {4, 18}:
            _length(component.get("label"), 45, "data.components.label")
        if component["type"] == 4:
            _length(component.get("placeholder"), 100, "data.components.placeholder")
            _length(component.get("value"), 4000, "data.components.value")
    _ids(components)


def check_choices(data: Json) -> None:
    choices = objects_in(data, "choices")
    if len(choices) > 25:
        raise invalid("data.choices", "BASE_TYPE_MAX_LENGTH", "Must be 25 or fewer in length.")
    for index, choice in enumerate(choices):
        _length(choice["name"], 100, f"data.choices.{index}.name", least=1)
        if isinstance(choice["value"], str):
            _length(choice["value"], 100, f"data.choices.{index}.value", least=1)


def _length(text: str | None, most: int, path: str, *, least: int = 0) -> None:
    if not least <= len(text or "") <= most:
        raise invalid(path, "BASE_TYPE_BAD_LENGTH", f"Must be between {least} and {most} in length.")


def _one_of(component: Json, allowed: frozenset[int] | set[int], path: str) -> None:
    if component.get("type") not in allowed:
        text = f'Value of field "type" must be one of {tuple(sorted(allowed))}.'
        raise invalid(f"{path}.type", "UNION_TYPE_CHOICES", text)
