"""Notices another bot that answers with our token: both would draw, charge and write over each other. Ends nothing itself."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable
from types import SimpleNamespace

import aiohttp
import structlog

log = structlog.get_logger(__name__)

ALREADY_ACKNOWLEDGED = 40060
SURE_AT = 2
WITHIN_S = 3600.0
"""Discord's own slips come one at a time."""
REMEMBERED = 1000
_CALLBACK = re.compile(r"/interactions/(\d+)/[^/]+/callback$")


class Rival:
    """Suspects by what Discord says of our own answers to interactions."""

    def __init__(self, on_sure: Callable[[], None]) -> None:
        self._on_sure = on_sure
        self._answers: OrderedDict[int, int] = OrderedDict()
        """Interaction -> how often we have answered it, a repetition after a lost reply included."""
        self._suspicious: dict[int, float] = {}

    def watch(self, trace: aiohttp.TraceConfig) -> None:
        trace.on_request_start.append(self._starts)

    async def _starts(
        self,
        _session: aiohttp.ClientSession,
        _context: SimpleNamespace,
        about: aiohttp.TraceRequestStartParams,
    ) -> None:
        if (match := _CALLBACK.search(about.url.path)) is not None:
            self.answers(int(match[1]))

    def answers(self, interaction_id: int) -> None:
        self._answers[interaction_id] = self._answers.get(interaction_id, 0) + 1
        if len(self._answers) > REMEMBERED:
            self._answers.popitem(last=False)

    def was_faster(self, interaction_id: int) -> bool:
        """Discord calls it answered already (40060): whether that was not us, as far as our own requests tell."""
        if self._answers.get(interaction_id, 0) > 1:
            return False
        self.seen(interaction_id)
        return True

    def seen(self, interaction_id: int) -> None:
        """Its answer is not ours."""
        now = time.monotonic()
        self._suspicious = {known: at for known, at in self._suspicious.items() if now - at < WITHIN_S}
        self._suspicious[interaction_id] = now
        log.warning("answered_by_another", interaction=interaction_id)
        if len(self._suspicious) == SURE_AT:
            self._on_sure()

    def cleared(self, interaction_id: int) -> None:
        """Its answer is ours after all."""
        self._suspicious.pop(interaction_id, None)
