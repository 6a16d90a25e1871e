"""Receipts that were given of late, for miners that send a result again because no answer came."""

from __future__ import annotations

from collections.abc import Iterable

from node.chain.messages import Receipt
from pool.proofs.receipts import make_receipt
from pool.records import events
from pool.records.effects.results import share_of
from pool.records.events import AnyEvent
from pool.records.state import PoolState
from pool.rules.audits import Suspicion

MAX_RECEIPTS = 16_384
"""Newest receipts that can be given again: at 300 results a second those of a minute."""

_Place = tuple[bytes, int, int]
"""Miner, assignment and episode."""


class Receipts:
    """Makes receipts, and finds those of results that come again in the same round."""

    def __init__(self) -> None:
        self._kept: dict[_Place, Receipt] = {}

    def recall(self, happened: Iterable[AnyEvent], pool: PoolState) -> None:
        """Make those receipts again that went with events of before a restart."""
        for event in happened:
            if isinstance(event, events.RoundOpened):
                self._kept.clear()
            elif isinstance(event, events.ResultAccepted) and event.miner in pool.miners:
                self.give(event, pool)

    def give(self, event: events.ResultAccepted, pool: PoolState) -> Receipt:
        """The receipt for a result of the pool's round. Raises ValueError before any round."""
        if pool.round is None:
            raise ValueError("no round has started")
        share = share_of(event, pool.miners[event.miner].payout_address)
        is_bounded = Suspicion.TOO_FAST in event.suspicions
        worth = Suspicion.TOO_FAST if is_bounded else event.worth
        receipt = make_receipt(pool.round.task.round, share, event.is_confirmed, worth)
        self._kept[event.miner, event.assignment, event.episode] = receipt
        if len(self._kept) > MAX_RECEIPTS:
            del self._kept[next(iter(self._kept))]
        return receipt

    def again(self, event: events.ResultRefused) -> Receipt | None:
        """The receipt of a result that is here already; None for one of long ago."""
        return self._kept.get((event.miner, event.assignment, event.episode))
