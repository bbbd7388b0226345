"""`easel.toml` and the environment become frozen settings; every problem is told at once. Knows no Discord and no SQL."""

from __future__ import annotations

from bot.config.load import find, load
from bot.config.problems import allowed
from bot.config.settings import (
    KEYS,
    SECTIONS,
    VARIABLES,
    CeilingsSection,
    ConfigError,
    DataSection,
    EngineSection,
    LimitsSection,
    QueueSection,
    Settings,
    WrongOption,
    make_private,
)

__all__ = [
    "KEYS",
    "SECTIONS",
    "VARIABLES",
    "CeilingsSection",
    "ConfigError",
    "DataSection",
    "EngineSection",
    "LimitsSection",
    "QueueSection",
    "Settings",
    "WrongOption",
    "allowed",
    "find",
    "load",
    "make_private",
]
