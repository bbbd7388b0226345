"""What a server's rules say of a prompt: its lists, made ready once and kept while they stay as they are. Knows no Discord."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bot.core.moderation.folding import load_look_alikes
from bot.core.moderation.word_list import ENTRIES_MAX, WordList
from bot.store.audit import AuditEntry, Deed
from bot.store.preferences import OFF, ON, TELL_WORD, Scope, Taste
from bot.store.rule_words import RuleWords, WordKind
from engine.contract import GenerationRequest

KEPT = 500
"""Servers whose lists are kept ready; those not asked about for the longest time leave first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    forbidden: WordList
    allowed: WordList
    is_told: bool
    """Whether people are told which entry their prompt met."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """A text met an entry."""

    entry: str
    is_told: bool


class Rules:
    """Those of every server. What changes them goes through here, so that nobody is judged by an older list."""

    def __init__(self, words: RuleWords, taste: Taste) -> None:
        self._words, self._taste = words, taste
        self._ready: OrderedDict[int, _Ready | None] = OrderedDict()
        """None: nothing is forbidden there."""
        self._turns = asyncio.Lock()

    async def forbids(self, guild_id: int, request: GenerationRequest) -> Met | None:
        """What of a request is forbidden there, None where nothing is."""
        return await self.forbids_any(guild_id, request.prompt, request.negative_prompt)

    async def forbids_any(self, guild_id: int, *texts: str) -> Met | None:
        """The same for other words of theirs."""
        ready = await self._of(guild_id)
        if ready is None:
            return None
        for text in texts:
            if (entry := ready.forbidden.met_in(text, ready.allowed)) is not None:
                return Met(entry=entry, is_told=ready.is_told)
        return None

    async def lists(self, guild_id: int) -> Mapping[WordKind, tuple[str, ...]]:
        return await self._words.of(guild_id)

    async def is_told(self, guild_id: int) -> bool:
        return (await self._taste.of(Scope.SERVER, guild_id)).get(TELL_WORD) == ON

    async def add(
        self,
        guild_id: int,
        kind: WordKind,
        entries: Sequence[str],
        *,
        by_user_id: int,
        now: float,
        instead: bool = False,
    ) -> int | None:
        """How many are new; None, and nothing is changed, where there would be more than ENTRIES_MAX. `instead`: the others go."""
        async with self._turns:
            added = await self._words.add(
                guild_id,
                kind,
                entries,
                by_user_id=by_user_id,
                now=now,
                most=ENTRIES_MAX,
                instead=instead,
            )
            self._ready.pop(guild_id, None)
            return added

    async def remove(
        self, guild_id: int, kind: WordKind, entries: Iterable[str] | None, *, by_user_id: int, now: float
    ) -> tuple[str, ...]:
        """Those that were there; None: all of them."""
        async with self._turns:
            gone = await self._words.remove(guild_id, kind, entries, by_user_id=by_user_id, now=now)
            self._ready.pop(guild_id, None)
            return gone

    async def tell(self, guild_id: int, *, on: bool, by_user_id: int, now: float) -> None:
        """Whether people are told which entry their prompt met."""
        async with self._turns:
            values = {TELL_WORD: ON if on else OFF}
            entry = AuditEntry(
                at=now, guild_id=guild_id, by_user_id=by_user_id, deed=Deed.PREFERENCES, details=values
            )
            await self._taste.put(Scope.SERVER, guild_id, values, entry)
            self._ready.pop(guild_id, None)

    async def _of(self, guild_id: int) -> _Ready | None:
        if guild_id not in self._ready:
            async with self._turns:
                if guild_id not in self._ready:  # or somebody else had it made meanwhile
                    self._ready[guild_id] = await self._made(guild_id)
        self._ready.move_to_end(guild_id)
        if len(self._ready) > KEPT:
            self._ready.popitem(last=False)
        return self._ready[guild_id]

    async def _made(self, guild_id: int) -> _Ready | None:
        found = await self._words.of(guild_id)
        if not found[WordKind.FORBIDDEN]:
            return None
        forbidden, allowed = await asyncio.to_thread(_lists_of, found)
        return _Ready(forbidden=forbidden, allowed=allowed, is_told=await self.is_told(guild_id))


def _lists_of(found: Mapping[WordKind, Sequence[str]]) -> tuple[WordList, WordList]:
    """(forbidden, allowed). Thousands of entries take a tenth of a second, and the table of look-alikes half of that, once."""
    load_look_alikes()
    return WordList.of(found[WordKind.FORBIDDEN]), WordList.of(found[WordKind.ALLOWED])
