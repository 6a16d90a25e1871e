"""Mining solo as a fall-back: a miner's own producer, off duty while a pool has its work."""

import asyncio
from typing import Protocol

import structlog

from node.chain.genesis import Network
from node.chain.timing import Phase, deadline
from node.clock import Clock
from node.consensus.clockwork import Producing
from pool.miner.promises import Promises

_log = structlog.get_logger("producer")


class Loner(Protocol):
    """A miner, as far as it matters here whether it mines for a pool."""

    @property
    def alone(self) -> asyncio.Event:
        """Set while it works for this node's own pool."""
        ...


class SoloProducer:
    """Lets `producer` train and commit in a round once the miner is alone, unless a lease forbids.

    A miner that loses its pools in mid-round begins a search of its own with the time left.
    """

    def __init__(
        self, producer: Producing, miner: Loner, promises: Promises, network: Network, clock: Clock
    ) -> None:
        self._producer = producer
        self._miner = miner
        self._promises = promises
        self._network = network
        self._clock = clock

    async def train(self, round_number: int) -> None:
        """Commit a model of the round if the miner has no pool, or loses it before the deadline."""
        left_ms = deadline(self._network, round_number, Phase.TRAIN) - self._clock.now_ms()
        try:
            async with asyncio.timeout(left_ms / 1_000):
                await self._miner.alone.wait()
        except TimeoutError:
            return
        if not self._promises.commit_alone(round_number):
            _log.warning(
                "not_committing", round=round_number, reason="the lease of a pool still forbids it"
            )
            return
        await self._producer.train(round_number)

    async def claim(self, round_number: int) -> None:
        """Claim what was committed in the round, if anything."""
        await self._producer.claim(round_number)
