"""A producer without a pool: a model falls from the sky in every round.

Simulations of the consensus need claims, not the search for them. Everything from the commitment
on is what a manager runs.
"""

from __future__ import annotations

import pickle
import random
from collections.abc import Sequence

from nas.data.datasets import describe
from nas.designs.design import is_dead, judge
from nas.designs.genotype import Genotype
from nas.task import Task
from node.assembly import Node
from node.chain.messages import Claim, PayoutLine
from node.consensus.producer import Producer
from node.setup import Setup, Surroundings
from node.store.base import Put, Store, Table
from node.store.writer import Writer
from pool.manager.manager import ConfirmedBest, Promised
from pool.proofs.sharelog import Terms
from pool.records.state import RoundTask
from tests.scripted import scripted_model

WORST, BEST = 550, 920
"""Correct test images of a mint's models, in thousandths."""

_PROMISED = b"what the mint has promised"


class Windfall:
    """Implements `node.consensus.producer.Pool`: finds a model of a random worth at once."""

    def __init__(self, address: bytes, store: Store, writer: Writer, rng: random.Random) -> None:
        self.sync_delays_ms: Sequence[int] = ()
        self._address = address
        self._writer = writer
        self._rng = rng
        self._round: RoundTask | None = None
        data = store.get(Table.POOL_STATE, _PROMISED)
        self._promised: Promised | None = None if data is None else pickle.loads(data)

    def start_round(self, task: RoundTask) -> None:
        """Begin a round, or prepare the next one."""
        self._round = task

    def close_round(self) -> None:
        """Nothing is in hand."""

    def best(self) -> ConfirmedBest | None:
        """The round's model, which counts a random number of images."""
        if self._round is None:
            return None
        task = self._round.task
        genotype = _draw_usable(self._rng, self._round)
        size = describe(task.dataset).test
        correct = size * self._rng.randint(WORST, BEST) // 1_000
        return ConfirmedBest(
            round=self._round.round,
            genotype=genotype,
            model=scripted_model(task.dataset, genotype, correct, correct),
            correct=correct,
            size=size,
            finder=self._address,
            lines=(PayoutLine(self._address, 1),),
            terms=Terms(self._address, self._address, 0),
        )

    async def promise(self, claim: Claim, best: ConfirmedBest, commitment: bytes) -> None:
        """Keep what was committed to, over crashes."""
        promised = Promised(claim, commitment, best.model, best.lines)
        await self._writer.write([Put(Table.POOL_STATE, _PROMISED, pickle.dumps(promised))])
        self._promised = promised

    def promised(self) -> Promised | None:
        """What was committed to last."""
        return self._promised

    @property
    def paid_round(self) -> int:
        """It remembers none."""
        return 0

    def paid(self, round_number: int) -> None:
        """There is nobody to pay."""


class Mint(Node):
    """A full node that produces by windfall."""

    def __init__(self, setup: Setup, outside: Surroundings) -> None:
        rng = random.Random(outside.rng.getrandbits(64))
        self.windfall = Windfall(setup.payout_address, outside.store, outside.writer, rng)
        super().__init__(setup, outside)

    def _make_producer(self) -> Producer:
        return Producer(
            self._setup.identity.signing_key,
            self.chain,
            self._rounds,
            self._mempool,
            self._counter,
            self._importer,
            self._library,
            self._designs,
            self.windfall,
            self._signed_before,
            self._outside.aside,
            self._outside.clock,
            self._outside.rng,
            self.submit,
            self._readiness.why_silent,
        )


def _draw_usable(rng: random.Random, work: RoundTask) -> Genotype:
    task: Task = work.task
    while True:
        genotype = work.space.sample(rng)
        if not is_dead(genotype) and judge(genotype, task, work.space).feasible:
            return genotype
