"""Fixtures of the rehearsal's tests: the loopback Discord that the bot's tests have, too."""

from __future__ import annotations

from tests.bot.conftest import evening

__all__ = ["evening"]
