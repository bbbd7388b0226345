"""What people do by themselves in the demo: acts, and the scripts made of them. Knows no simulation and no browser.

The demo plays them for whoever looks on; tests/page plays the same evening by clicking, in a real browser.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MONA, GRETA, KOFI, THEO = "mona", "greta", "kofi", "theo-admin"
"""Greta has her Discord in German; the admin may manage the server."""

WELCOME, EVENING, EMPTY = "welcome", "evening", "empty"
"""What `easel demo --script` calls them."""

HEART_AND_STAR = "a yellow heart left of a purple star on a white background"
SLOW_IN_GERMAN = {"bilder": 4, "schritte": 60, "größe": "256x256", "sampler": "Heun"}
"""Takes the starter model long enough to be cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Says:
    """An ordinary message."""

    who: str
    text: str
    is_reply: bool = False
    """To the pinned greeting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asks:
    """What the bot answers."""

    who: str
    pictures: int = 0
    """So many are waited for before the next act."""
    tells: str = ""
    """What is read in the channel then, and waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Types(Asks):
    """A command, with its options as that person's Discord names them."""

    command: str
    options: Mapping[str, str | int] = field(default_factory=dict[str, str | int])


@dataclass(frozen=True, slots=True, kw_only=True)
class Presses(Asks):
    """The newest button with this label."""

    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FillsIn(Presses):
    """Presses it, and sends the form that it opens, with these fields changed."""

    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Restarts:
    """Whoever runs the bot restarts it."""


Act = Says | Types | Presses | Restarts

_WELCOME: tuple[Act, ...] = (
    Types(
        who=GRETA,
        command="imagine",
        options={"prompt": "a yellow moon above a white cloud on a purple background", "seed": 11},
    ),
    Types(
        who=THEO,
        command="imagine",
        options={"prompt": "a red house left of a green tree on a yellow background", "seed": 3},
        pictures=1,
    ),
    Says(who=GRETA, text="Ein Mond über den Wolken 🌙"),
    Presses(who=THEO, label="Favourite"),
    Presses(who=THEO, label="Vary (Subtle)", pictures=1),
    Types(
        who=KOFI,
        command="imagine",
        options={
            "prompt": "a large orange fish on a blue background",
            "images": 4,
            "seed": 4,
            "quality": "quick",
        },
        pictures=4,
    ),
    Says(who=MONA, text="Four fish at once! I'd take the first one."),
    Says(
        who=THEO,
        text=f"Your turn! Type `/imagine`, press Enter, and write `{HEART_AND_STAR}`.",
        is_reply=True,
    ),
)

_EVENING: tuple[Act, ...] = (
    Types(
        who=MONA,
        command="imagine",
        options={"prompt": HEART_AND_STAR, "images": 4, "seed": 7},
        pictures=4,
    ),
    Presses(who=MONA, label="U2", pictures=1),
    Presses(who=MONA, label="2×", pictures=1, tells="upscaled 2×"),
    Presses(who=MONA, label="Favourite"),
    Presses(who=MONA, label="Vary (Strong)", pictures=4, tells="from an image at 0.75"),
    Types(who=MONA, command="history", options={"words": "yellow heart"}, tells="Your images 1–"),
    Restarts(),
    Presses(who=MONA, label="Reroll", pictures=4),
    Types(who=GRETA, command="help", tells="erneuert sich"),
    Types(who=GRETA, command="imagine", options={"prompt": "a red circle", **SLOW_IN_GERMAN}),
    Presses(who=GRETA, label="Abbrechen", tells="Abgebrochen von @greta"),
    Types(
        who=GRETA,
        command="imagine",
        options={"prompt": "a yellow star on a blue background"},
        pictures=1,
    ),
    FillsIn(
        who=GRETA,
        label="Remix",
        fields={"prompt": "a green house on a blue background", "size": "192x128"},
        pictures=1,
        tells="192×128",
    ),
    FillsIn(
        who=GRETA,
        label="Bearbeiten",
        fields={"words": "a red house on a blue background"},
        pictures=1,
        tells="aus einem Bild mit 0.75",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """`is_watched`: begins when somebody looks, who then sees the channel as whoever acts."""

    acts: tuple[Act, ...]
    pause_s: float = 0.0
    """Before each act, for who watches."""
    is_watched: bool = False


SCRIPTS = {
    WELCOME: Script(acts=_WELCOME),
    EVENING: Script(acts=_EVENING, pause_s=4.0, is_watched=True),
    EMPTY: Script(acts=()),
}
