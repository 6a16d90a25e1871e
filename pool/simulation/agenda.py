"""What happens next in virtual time."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

Entry = tuple[int, int, Callable[..., None], tuple[Any, ...]]
"""When, in which order of equals, what, and with which arguments."""

# A span of 256 ms has few entries, which stay in the processor's cache.
_SPAN_BITS = 8


class Agenda:
    """Entries by time, and of one time in the order in which they came."""

    def __init__(self) -> None:
        self._spans: dict[int, list[Entry]] = {}
        self._order: list[int] = []
        self._added = 0

    def add(self, at_ms: int, happen: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        """Have something happen at a time."""
        self._added += 1
        span = at_ms >> _SPAN_BITS
        entries = self._spans.get(span)
        if entries is None:
            entries = self._spans[span] = []
            heapq.heappush(self._order, span)
        heapq.heappush(entries, (at_ms, self._added, happen, arguments))

    def take(self, end_ms: int) -> Entry | None:
        """The next entry, which leaves the agenda; None if it is not before `end_ms`."""
        while self._order:
            entries = self._spans[self._order[0]]
            if entries:
                return heapq.heappop(entries) if entries[0][0] < end_ms else None
            del self._spans[heapq.heappop(self._order)]
        return None
