"""I16: what a node has to compute and to carry in a round is bounded, whatever others do."""

from __future__ import annotations

from collections import Counter, defaultdict

from nas.jobs import Count
from node.chain.envelope import Signed
from node.chain.messages import Claim, Payload
from node.chain.timing import phase_at
from tests.sim.watch import Invariant, Watch

OBJECTS_OF_A_KEY = 12
"""What a key that breaks rules may add to a round's gossip: four commits, and a few of the rest."""
OTHER_MESSAGES = 80
"""To one peer in a calm round, beside gossip: requests, answers, and the newest objects again for
who was dropped and came back."""
MESSAGE_BYTES, MODEL_BYTES = 1_024, 2**22
"""A message on average, and the longest model of the designs that worlds search."""


class CheapChecks(Invariant):
    """I16: in a round nobody evaluates more models than V of others, its own and the last winner of
    a published task, nor fetches more than V ahead and V in the walk; and to each peer it sends
    no more than there is to say."""

    name = "I16"

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        self._counts: Counter[tuple[str, int]] = Counter()
        self._models: dict[int, set[bytes]] = defaultdict(set)
        self._fetched: dict[tuple[str, int], set[bytes]] = defaultdict(set)
        self._objects: Counter[int] = Counter()
        self._sent: dict[str, tuple[int, int]] = {}

    def on_count(self, at: str, job: Count) -> None:
        node = self.scene.node(at)
        if at not in self.scene.honest or node is None or job.split != "test":
            return
        now = self._now()
        self._counts[at, now] += 1
        is_paid = node.chain.context(now).paid is not None
        most = self.scene.network.parameters.max_walked + 1 + is_paid
        if self._counts[at, now] > most:
            self.fail(f"{at} evaluates more than {most} models in round {now}")

    def on_signed(self, by: str, signed: Signed[Payload]) -> None:
        if by in self.scene.honest:
            self._objects[self._now()] += 1

    def on_heard(self, at: str, signed: Signed[Payload]) -> None:
        if isinstance(signed.message, Claim):
            self._models[signed.message.round].add(signed.message.model_hash)

    def on_fetch(self, at: str, blob_hash: bytes) -> None:
        now = self._now()
        if at in self.scene.honest and blob_hash in self._models[now]:
            self._fetched[at, now].add(blob_hash)
            most = 2 * self.scene.network.parameters.max_walked
            if len(self._fetched[at, now]) > most:
                self.fail(f"{at} fetches more than {most} models in round {now}")

    def on_round(self, number: int) -> None:
        last = number - 1
        crooked = OBJECTS_OF_A_KEY * len(self.scene.company)
        most = sum(self._objects[each] for each in (last - 1, last)) + crooked + OTHER_MESSAGES
        for name in self.scene.honest:
            before, now = self._sent.get(name, (0, 0)), self.scene.sent(name)
            self._sent[name] = now
            node = self.scene.node(name)
            is_pooled = node is not None and (node.runs_public_pool or node.miner is not None)
            # Whoever finds each other again has a lot to tell.
            if node is None or is_pooled or not self.scene.is_calm(last - 3, last):
                continue
            peers = len(node.peers.sessions())
            messages, size = (after - earlier for earlier, after in zip(before, now, strict=True))
            walked = 2 * self.scene.network.parameters.max_walked
            most_bytes = most * MESSAGE_BYTES + walked * MODEL_BYTES
            if messages > peers * most or size > peers * most_bytes:
                self.fail(f"{name} sends {peers} peers {messages} messages, {size} bytes")

    def _now(self) -> int:
        return phase_at(self.scene.network, self.scene.now_ms()).round
