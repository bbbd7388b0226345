"""`easel.toml` and the environment become frozen settings; every problem is told at once. Knows no Discord and no SQL."""

from __future__ import annotations

from bot.config.load import FILE_NAME, find, load, typed_model
from bot.config.settings import (
    KEYS,
    SECTIONS,
    VARIABLES,
    Address,
    CeilingsSection,
    ConfigError,
    DataSection,
    EngineSection,
    LimitsSection,
    MetricsSection,
    QueueSection,
    Settings,
    WrongOption,
    make_private,
)
from bot.config.wrong_settings import allowed

__all__ = [
    "FILE_NAME",
    "KEYS",
    "SECTIONS",
    "VARIABLES",
    "Address",
    "CeilingsSection",
    "ConfigError",
    "DataSection",
    "EngineSection",
    "LimitsSection",
    "MetricsSection",
    "QueueSection",
    "Settings",
    "WrongOption",
    "allowed",
    "find",
    "load",
    "make_private",
    "typed_model",
]
