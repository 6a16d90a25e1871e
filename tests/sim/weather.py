"""What the network does to messages: delays, losses, and how many there were."""

from __future__ import annotations

import random
from collections import Counter

CALM_MS = (1, 40)


class Weather:
    """Carries messages between hosts; a simulation may make it worse at any time.

    `delay_ms` is the range from which each delay is drawn, `slow` adds milliseconds to whatever
    a host sends or receives, `lost_permille` of the messages are lost, and their links with them.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.messages: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self.clear()

    def clear(self) -> None:
        """Back to fair weather."""
        self.delay_ms = CALM_MS
        self.slow: dict[str, int] = {}
        self.lost_permille = 0

    def carry(self, sender: str, receiver: str, size: int) -> int | None:
        """See `node.net.memory.Carry`."""
        self.messages[sender] += 1
        self.bytes[sender] += size
        if self._rng.randrange(1_000) < self.lost_permille:
            return None
        slowness_ms = self.slow.get(sender, 0) + self.slow.get(receiver, 0)
        return self._rng.randint(*self.delay_ms) + slowness_ms
