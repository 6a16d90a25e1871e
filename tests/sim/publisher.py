"""A machine that pays for designs: images, prices and keys of its own, and a task in the queue."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache

import numpy as np

from nas.data.sources import Labelled, Parts
from nas.designs.space import Space
from node.assembly import Node
from node.chain.envelope import sign
from node.chain.params import DIGITS
from node.chain.published.rules import REWARD_IN_SUBSIDIES
from node.chain.timing import phase_at, round_start
from node.publishing.prepare import Offer, Prepared, prepare
from node.publishing.shelf import MemoryShelf, OwnTask
from node.setup import Setup, Surroundings

SHARDS = 2
"""Paid rounds of a task."""
PAUSE_ROUNDS = 4
"""A task is published in every so-manieth round only, so that there are standing ones too."""
FEE = 100_000
TEST_IMAGES = 100
"""In a shard."""
_TRAIN_IMAGES = 300


class LastingShelf(MemoryShelf):
    """Tells a node that starts anew all tasks that its machine has ever made."""

    def __init__(self) -> None:
        super().__init__()
        self._made: list[OwnTask] = []

    def add(self, own: OwnTask) -> None:
        """Keep a task that was just made."""
        self._made.append(own)
        self._own = (*self._own, own)

    def begin_anew(self) -> None:
        """A node starts, which was told nothing yet."""
        self._own = tuple(self._made)


class Publisher(Node):
    """A full node that has a task in the queue from time to time, while its coins last.

    `target` are the images of a shard that a model must get right.
    """

    target = 0

    def __init__(self, setup: Setup, outside: Surroundings) -> None:
        if not isinstance(outside.shelf, LastingShelf):
            raise ValueError("a publisher keeps its tasks")
        self._own_tasks = outside.shelf
        self._own_tasks.begin_anew()
        super().__init__(setup, outside)

    async def run(self) -> None:
        self._tasks.spawn(self._keep_publishing(), name="publish")
        await super().run()

    async def _keep_publishing(self) -> None:
        clock, network = self._outside.clock, self._setup.network
        while True:
            now = phase_at(network, clock.now_ms()).round
            if now % PAUSE_ROUNDS == 0:
                await self._publish()
            await clock.sleep_until(round_start(network, now + 1))

    async def _publish(self) -> None:
        """Hand a task in; it is refused if it can't be paid, or one is on its way already."""
        state, own = self.chain.tree.head().state, self._setup.identity
        if any(record.publisher == own.public_key for record in state.tasks.values()):
            return
        secret = self._outside.rng.randbytes(32)
        made = self._prepare(secret, random.Random(secret))
        terms = replace(
            made.terms, nonce=state.account(own.public_key).nonce, fee=FEE, target=self.target
        )
        self._own_tasks.add(OwnTask(replace(made, terms=terms), secret))
        await self.views.ledger.submit(
            sign(terms, own.signing_key, self._setup.network.id).envelope
        )

    def _prepare(self, secret: bytes, rng: random.Random) -> Prepared:
        parameters = self._setup.network.parameters
        offer = Offer(
            space=Space.uniform(DIGITS.layers, DIGITS.ranges),
            profile="paper",
            protocol="qat",
            epochs=2,
            rounds=SHARDS,
            reward=REWARD_IN_SUBSIDIES * parameters.subsidy,
            target=0,
            margin=0,
            key_holders=(self._setup.identity.public_key,),
        )
        return prepare(_images(), offer, parameters.tasks.max_mac_images, secret, rng.randbytes)


@cache
def _images() -> Parts:
    """Noise: who is scripted learns nothing from it."""
    rng = np.random.default_rng(0)

    def labelled(count: int) -> Labelled:
        return Labelled(rng.integers(0, 256, (count, 1, 8, 8), np.uint8), np.arange(count) % 10)

    return Parts(labelled(_TRAIN_IMAGES), labelled(TEST_IMAGES * SHARDS), 10)
