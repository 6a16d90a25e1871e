"""I2, I3, I9: what is final stays, and nobody honest can be punished."""

from __future__ import annotations

from node.chain.envelope import Signed
from node.chain.finality import Link, link_of, slashable
from node.chain.messages import Claim, List, Payload, Vote
from node.chain.state import Checkpoint
from tests.sim.watch import Invariant, Seen, Watch


class OneHistory(Invariant):
    """I2: no two final blocks exclude each other unless more than a third have provably lied."""

    name = "I2"

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        self._final_at: dict[int, bytes] = {0: self.scene.network.genesis_id}

    def on_finality(self, at: str, justified: Checkpoint, final: Checkpoint) -> None:
        if at not in self.scene.honest:
            return
        for block_id in self.watch.ancestors(final.id):
            seen = self.watch.blocks.get(block_id)
            height = 0 if seen is None else seen.state.height
            known = self._final_at.setdefault(height, block_id)
            if known != block_id:
                self._judge(f"{at} finalised {block_id.hex()[:8]} beside {known.hex()[:8]}")
            elif height < len(self._final_at) - 1:
                break

    def on_alarm(self, at: str) -> None:
        if at in self.scene.honest:
            self._judge(f"{at} found two final blocks that exclude each other")

    def _judge(self, detail: str) -> None:
        if not self.watch.offences.exceed_a_third(self.scene.weights()):
            self.fail(detail)


class OneJustified(Invariant):
    """I3: at most one block of a round is justified unless more than a third have lied."""

    name = "I3"

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        self._justified: dict[int, bytes] = {}

    def on_finality(self, at: str, justified: Checkpoint, final: Checkpoint) -> None:
        if at not in self.scene.honest:
            return
        first = self._justified.setdefault(justified.round, justified.id)
        weights = self.scene.weights()
        if first != justified.id and not self.watch.offences.exceed_a_third(weights):
            self.fail(f"{at} has a second justified block of round {justified.round}")


class NobodyFramed(Invariant):
    """I9: no two objects under an honest key are an offence, whatever happened to its machine, and
    no chain has punished it for one."""

    name = "I9"

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        self._links: dict[bytes, set[Link]] = {}
        self._one_a_round: dict[tuple[type, bytes, int], bytes] = {}

    def on_signed(self, by: str, signed: Signed[Payload]) -> None:
        self._judge(signed)

    def on_heard(self, at: str, signed: Signed[Payload]) -> None:
        self._judge(signed)

    def on_block(self, at: str, seen: Seen) -> None:
        for punished, _ in seen.state.punished.items():
            for name in self.scene.honest:
                if self.scene.key(name) in punished:
                    self.fail(f"{name} is punished in round {seen.state.round}")

    def _judge(self, signed: Signed[Payload]) -> None:
        if signed.signer not in {self.scene.key(name) for name in self.scene.honest}:
            return
        match signed.message:
            case List() | Claim() as message:
                key = (type(message), signed.signer, message.round)
                if self._one_a_round.setdefault(key, signed.id) != signed.id:
                    self.fail(f"two of {type(message).__name__} in round {message.round}")
            case Vote() as vote:
                link, links = link_of(vote), self._links.setdefault(signed.signer, set())
                if link not in links and any(slashable(link, other) for other in links):
                    self.fail(f"two votes that exclude each other, round {vote.round}")
                links.add(link)
