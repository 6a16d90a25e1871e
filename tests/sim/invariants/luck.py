"""I15: who has a part of the computing power wins that part of the rounds."""

from __future__ import annotations

from math import sqrt

from node.chain.messages import Claim
from tests.sim.mint import BEST
from tests.sim.watch import Invariant, Watch

STANDARD_ERRORS = 5
"""By how many more wins must lie above the expected ones to be no luck: it is looked at after every
round of many worlds."""


class NoEdge(Invariant):
    """I15: of the calm rounds of the standing task, whoever breaks rules wins no more than its part
    of the units that took part, but for luck.

    Models of scripts that stand for endless computing, better than any mint's, don't count.
    """

    name = "I15"

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        self._rounds = self._wins = 0
        self._expected = self._variance = 0.0

    def on_round(self, number: int) -> None:
        last = number - 1
        nodes = (self.scene.node(name) for name in self.scene.honest)
        block = next((node.chain.tree.head().block for node in nodes if node is not None), None)
        if block is None or block.round != last or not self.scene.is_calm(last, last):
            return
        claim, company = block.header.message, self.scene.company
        node = next(node for name in self.scene.honest if (node := self.scene.node(name)))
        context = node.chain.tree.context_for(block.parent, last)
        is_fair = (
            isinstance(claim, Claim)
            and context.paid is None
            and claim.correct <= context.test_images * BEST // 1_000
        )
        if not is_fair:
            return
        theirs = sum(unit.producer in company for unit in block.body.units)
        share = theirs / len(block.body.units)
        self._wins += block.header.signer in company
        self._rounds += 1
        self._expected += share
        self._variance += share * (1 - share)
        if self._wins > self._expected + STANDARD_ERRORS * sqrt(self._variance):
            self.fail(f"{self._wins} of {self._rounds} rounds won, {self._expected:.1f} expected")
