"""How long a miner waits for a word that its manager owes it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

FIRST_WORD_MS = 10_000
"""An order, or the reason for none, follows a registration at once; without either for so long the
miner says that it does not mine."""

MUTE_AFTER_MS = 300_000
"""How long a word may be owed. A result that claims the best is answered when it was counted, which
others' claims may come before."""


class Patience:
    """Calls `give_up` when the oldest word that is owed is MUTE_AFTER_MS late.

    The manager owes an order or the reason for none, and then an answer to each result, in order.
    """

    def __init__(self, give_up: Callable[[], None]) -> None:
        self._give_up = give_up
        # By the loop's time, which nobody can set; the oldest first.
        self._due_s: deque[float] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def owed(self) -> None:
        """One more word is owed from now on."""
        self._due_s.append(asyncio.get_running_loop().time() + MUTE_AFTER_MS / 1_000)
        if self._timer is None:
            self._wait()

    def heard(self) -> None:
        """The oldest word that was owed has come."""
        if self._due_s:
            self._due_s.popleft()
        self.end()
        if self._due_s:
            self._wait()

    def end(self) -> None:
        """Wait no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_at(self._due_s[0], self._give_up)
