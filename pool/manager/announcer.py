"""News for all miners, told at a pace that leaves time for their results.

A thousand letters at once would keep a result waiting for their whole time. So letters leave a few
at a time, and a newer piece of news overtakes an older one: who has not heard of the older never
does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from node.clock import Clock
from node.tasks import TaskOwner
from ponas.v1.pool_service_pb2 import MineResponse

PORTION = 16
"""Miners that are written to before others get their turn."""

PAUSE_MS = 20
"""Pause after a portion: 800 letters a second, about a tenth of a core."""


class Mailbox(Protocol):
    """Where a miner is written to; after the end of its link this does nothing."""

    def send(self, message: MineResponse) -> None: ...


class Announcer:
    """Tells every mailbox the newest message; `mailboxes` gives those of the connected miners."""

    def __init__(
        self, mailboxes: Callable[[], Iterable[Mailbox]], clock: Clock, tasks: TaskOwner
    ) -> None:
        self._mailboxes = mailboxes
        self._clock = clock
        self._tasks = tasks
        self._news: MineResponse | None = None
        self._waiting: list[Mailbox] = []
        self._is_telling = False

    def announce(self, message: MineResponse) -> None:
        """Tell everybody who is connected, from now on instead of any earlier message."""
        # Whoever has not been told of the last message is first to hear this one.
        waiting = dict.fromkeys((*self._waiting, *self._mailboxes()))
        self._news, self._waiting = message, list(waiting)
        if not self._is_telling:
            self._is_telling = True
            self._tasks.spawn(self._tell(), name="tell all miners")

    async def _tell(self) -> None:
        while self._waiting and self._news is not None:
            portion, self._waiting = self._waiting[:PORTION], self._waiting[PORTION:]
            for mailbox in portion:
                mailbox.send(self._news)
            if self._waiting:
                await self._clock.sleep_until(self._clock.now_ms() + PAUSE_MS)
        self._is_telling = False
