"""A bounded memory of results, shared by threads."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

Entry = TypeVar("Entry")


class RecentlyUsed(Generic[Entry]):
    """The entries used last, by what they depend on.

    Unlike ``functools.lru_cache`` it keeps no arguments alive: keys are digests, while laws are large.

    Parameters
    ----------
    capacity
        Most entries kept.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[Hashable, Entry] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> Entry | None:
        """Look up an entry and mark it as used."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
            return entry

    def put(self, key: Hashable, entry: Entry) -> None:
        """Keep an entry, in place of the one that was not used for longest where there is no room."""
        with self._lock:
            self._entries[key] = entry
            if len(self._entries) > self._capacity:
                self._entries.popitem(last=False)
