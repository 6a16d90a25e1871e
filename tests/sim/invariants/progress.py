"""I10, I11: the network goes on, and comes together again after whatever happened to it."""

from __future__ import annotations

from collections import defaultdict

from node.chain.envelope import Signed
from node.chain.messages import Claim, Payload
from node.chain.state import Checkpoint
from node.chain.timing import Phase, deadline
from tests.sim.watch import SLACK_MS, Invariant, Watch


class GoesOn(Invariant):
    """I10: after two calm rounds every round has a block, a result if somebody honest claimed one
    in time, and the block before it is final."""

    name = "I10"

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        self._claims: dict[int, set[bytes]] = defaultdict(set)

    def on_signed(self, by: str, signed: Signed[Payload]) -> None:
        message = signed.message
        if by in self.scene.honest and isinstance(message, Claim):
            due_ms = deadline(self.scene.network, message.round, Phase.CLAIM) - SLACK_MS
            if self.scene.now_ms() <= due_ms:
                self._claims[message.round].add(message.parent)

    def on_round(self, number: int) -> None:
        last = number - 1
        claims = self._claims.pop(last, set())
        if last < 2 or not self.scene.is_calm(last - 2, last):
            return
        is_winnable = claims and last not in self.watch.void
        for name in self.scene.honest:
            node = self.scene.node(name)
            if node is None:
                continue
            tree = node.chain.tree
            head = tree.head()
            if head.state.round != last:
                self.fail(f"{name} has no block of round {last}")
            elif tree.final.round < last - 1:
                self.fail(f"{name} has not finalised round {last - 1}")
            elif is_winnable and head.block is not None and head.block.is_fallback:
                self.fail(f"{name} has no result of round {last}")


class Heals(Invariant):
    """I11: after two calm rounds the honest have one head and one justified block; and nobody
    ever follows a chain without its own final block."""

    name = "I11"

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        self._final: dict[str, Checkpoint] = {}

    def on_finality(self, at: str, justified: Checkpoint, final: Checkpoint) -> None:
        if at in self.scene.honest:
            self._final[at] = max(final, self._final.get(at, final))

    def on_round(self, number: int) -> None:
        last = number - 1
        standing = {}
        for name in self.scene.honest:
            node = self.scene.node(name)
            if node is None:
                continue
            tree = node.chain.tree
            head = tree.head()
            standing[name] = (head.id, tree.justified)
            final = self._final.get(name, tree.final)
            # After a crash that took its last votes with it, its head may be below.
            if head.state.round >= final.round and final.id not in set(
                self.watch.ancestors(head.id)
            ):
                self.fail(f"{name} has left its own final block of round {final.round}")
        if last >= 2 and self.scene.is_calm(last - 2, last) and len(set(standing.values())) > 1:
            self.fail(f"the honest differ after round {last}")
