"""Entries that are kept while they are asked for; whatever was not for the longest time leaves. Standard library only."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """At most `most` entries by key, each made by `make` when it is first asked for."""

    def __init__(self, make: Callable[[], Value], most: int) -> None:
        self._make, self._most = make, most
        self._kept: OrderedDict[Key, Value] = OrderedDict()
        """Who was asked for last stands at the end."""

    def of(self, key: Key) -> Value:
        found = self._kept.pop(key) if key in self._kept else self._make()
        self._kept[key] = found
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return found

    def __len__(self) -> int:
        return len(self._kept)
