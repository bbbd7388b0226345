"""What is pictured, in one file: a step is called like its picture, does something, and says what of the page is cropped."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from playwright.async_api import Locator

from workshop.screenshots.window import Window

SLOW = {"steps": "60", "size": "256x256", "sampler": "Heun"}
"""Takes the starter model long enough to be looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What the steps of one run share."""

    window: Window
    folder: Path
    """For what people attach."""
    kept: dict[str, Locator] = field(default_factory=dict[str, Locator])
    """Messages that a later step goes on from."""


Step = Callable[[Visit], Awaitable[Locator]]


def name_of(step: Step) -> str:
    """Of its picture, without `.png`."""
    return step.__name__.replace("_", "-")  # pyright: ignore[reportFunctionMemberAccess]
