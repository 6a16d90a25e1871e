"""Results on their way: kept until a manager says what became of them, and sent again if not."""

from __future__ import annotations

import asyncio

import structlog

from pool.link.orders import Order
from pool.rules.reports import Report

MAX_UNACKNOWLEDGED = 1_024
"""Results that a miner keeps; a manager acknowledges within a round trip, so that more than a few
wait only while it is away."""

_log = structlog.get_logger("pool.miner")

Key = tuple[bytes, int, int]
"""Manager, seed of the search or exploitation, and episode."""


class Outbox:
    """Results of the newest round, number `round`, in the order of their making.

    A search may come back under another assignment, on a new link or the same one, from where the
    manager had it then. A link carries everything in order, so that what was sent on it is not
    sent on it again before it was answered.
    """

    def __init__(self) -> None:
        self.round = 0
        self._kept: dict[Key, Report] = {}
        self._seeds: dict[tuple[bytes, int], int] = {}
        self._manager: bytes | None = None
        # In order, as a dict is, what the attached manager is still to be sent; and what it was.
        self._unsent: dict[Key, None] = {}
        self._sent: set[Key] = set()
        self._more = asyncio.Event()

    def __len__(self) -> int:
        """Results that are not acknowledged."""
        return len(self._kept)

    def attach(self, manager: bytes) -> None:
        """From now on `next_result` gives what a manager has to acknowledge, oldest first."""
        self._manager = manager
        self._sent.clear()
        self._unsent = {key: None for key in self._kept if key[0] == manager}
        self._more.set()

    def detach(self) -> None:
        """Give out nothing until the next `attach`."""
        self._manager = None
        self._unsent.clear()

    def put(self, manager: bytes, order: Order, report: Report) -> None:
        """Keep a result of an order. Those of earlier rounds go; so does one too many."""
        if order.round > self.round:
            self._begin_round(order.round)
        self._seeds[manager, order.id] = order.work.seed
        key = (manager, order.work.seed, report.episode)
        if key in self._sent:
            return
        self._kept[key] = report
        if manager == self._manager:
            self._unsent[key] = None
            self._more.set()
        if len(self._kept) > MAX_UNACKNOWLEDGED:
            oldest = next(iter(self._kept))
            self._drop(oldest)
            _log.warning("result_given_up", episode=oldest[2], reason="too many wait for a manager")

    def take(self, manager: bytes, assignment: int, episode: int) -> Report | None:
        """The result that a manager answers, which is kept no longer. It may come again: a manager
        may take back what it has accepted.

        None for one that is not kept: answered before, given up, or never made.
        """
        seed = self._seeds.get((manager, assignment))
        if seed is None:
            return None
        key = (manager, seed, episode)
        self._sent.discard(key)
        return self._drop(key)

    def has_waiting(self, manager: bytes) -> bool:
        """Whether a manager still has a result to acknowledge."""
        return any(key[0] == manager for key in self._kept)

    async def next_result(self) -> Report:
        """The next result for the attached manager, as soon as there is one."""
        while not self._unsent:
            self._more.clear()
            await self._more.wait()
        key = next(iter(self._unsent))
        del self._unsent[key]
        self._sent.add(key)
        return self._kept[key]

    def _begin_round(self, round_number: int) -> None:
        self.round = round_number
        for of_last_round in (self._kept, self._seeds, self._unsent, self._sent):
            of_last_round.clear()

    def _drop(self, key: Key) -> Report | None:
        self._unsent.pop(key, None)
        return self._kept.pop(key, None)
