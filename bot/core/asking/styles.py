"""Styles and defaults: what a wish becomes where it names a style, or says nothing of what its person or channel prefers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from bot.core.asking.refused import NoSuchStyle, Unmet
from bot.core.asking.wish import Quality, Wish
from bot.job import Style

PREFERRED = ("model", "aspect", "quality", "images", "style")
"""Options of a wish for which people and channels may have defaults."""
Preferences = Mapping[str, str]
"""By their names; what is not set is not there."""


def styled(wish: Wish, styles: Iterable[Style]) -> Wish:
    """The wish as its style has it; raises Unmet for one that there is not. A server's own come before the owner's."""
    if wish.style is None:
        return wish
    known = tuple(styles)
    wanted = wish.style.strip().casefold()
    style = next((each for each in known if each.name.casefold() == wanted), None)
    if style is None:
        raise Unmet(NoSuchStyle(name=wish.style, offered=tuple(each.name for each in known)))
    return replace(
        wish,
        prompt=style.applied(wish.prompt),
        negative_prompt=style.applied_negative(wish.negative_prompt or "") or None,
    )


def preferred(wish: Wish, preferences: Iterable[Preferences], offered: Iterable[str]) -> Wish:
    """What was left out, as the first of the preferences that says something has it.

    `offered`: ids of the models that there are: one that is gone is nobody's any more. A shape is not preferred where the
    picture starts from an image, which has its own, nor a number of pictures where one is enlarged.
    """
    models, ordered = set(offered), tuple(preferences)
    found: dict[str, Any] = {}
    for name in PREFERRED:
        value = next((each[name] for each in ordered if name in each), None)
        if value is not None and getattr(wish, name) is None:
            found[name] = value
    if wish.size is not None or wish.image is not None:
        found.pop("aspect", None)
    if wish.upscale is not None:
        found = {name: value for name, value in found.items() if name == "style"}
    if found.get("model") not in models:
        found.pop("model", None)
    if wish.steps is not None:
        found.pop("quality", None)
    if "quality" in found:
        found["quality"] = next((kind for kind in Quality if kind == found["quality"]), None)
    if "images" in found:
        found["images"] = int(found["images"]) if found["images"].isdecimal() else None
    return replace(wish, **found)
