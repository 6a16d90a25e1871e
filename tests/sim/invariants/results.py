"""I6, I7, I14: who wins has won."""

from __future__ import annotations

from collections import defaultdict

from nas.designs.design import judge
from nas.designs.genotype import Genotype
from node.chain.context import RoundContext
from node.chain.envelope import Signed
from node.chain.hashing import u64
from node.chain.messages import Claim, Payload
from node.chain.params import FLOOR_TIMES_CHANCE
from node.chain.state import Checkpoint
from node.chain.timing import Phase, deadline
from tests.scripted import scripted_score
from tests.sim.watch import SLACK_MS, Invariant, Watch


class TrueResults(Invariant):
    """I6: a justified result counts as claimed and keeps the floor, the hardware and the bound."""

    name = "I6"

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        self._checked: set[bytes] = set()

    def on_finality(self, at: str, justified: Checkpoint, final: Checkpoint) -> None:
        node, seen = self.scene.node(at), self.watch.blocks.get(justified.id)
        if at not in self.scene.honest or node is None or seen is None:
            return
        claim = seen.block.header.message
        if justified.id in self._checked or not isinstance(claim, Claim):
            return
        self._checked.add(justified.id)
        what = f"the justified result of round {claim.round}"
        context = node.chain.tree.context_for(claim.parent, claim.round)
        model = self.watch.models.get(claim.model_hash)
        data = node._designs.test_data(context, seen.block.header.signer, claim)
        if model is None or scripted_score(data, model, "test") != claim.correct:
            self.fail(f"{what} does not count {claim.correct}")
        task, paid = context.network.parameters.task, context.paid
        classes, size = task.classes, task.test_size
        if paid is not None:
            classes, size = paid.terms.classes, paid.terms.test_images
        if claim.correct * classes < FLOOR_TIMES_CHANCE * size:
            self.fail(f"{what} is below the floor")
        space = node._designs.space(context)
        verdict = judge(Genotype.from_bytes(claim.genotype), node._designs.task(context), space)
        if verdict.reason is not None:
            self.fail(f"{what} has a design that is {verdict.reason}")


class BestWins(Invariant):
    """I7: in calm rounds no honest claim loses to one of a lower rank.

    From the second one on: who was on another side of a fork when seals came, with other sealers,
    can't tell whether they came in time, and leaves the round to the votes of others.
    """

    name = "I7"

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        self._claims: dict[int, list[Signed[Claim]]] = defaultdict(list)

    def on_signed(self, by: str, signed: Signed[Payload]) -> None:
        message = signed.message
        if by not in self.scene.honest or not isinstance(message, Claim):
            return
        due_ms = deadline(self.scene.network, message.round, Phase.CLAIM) - SLACK_MS
        if self.scene.now_ms() <= due_ms:
            narrow = Signed(signed.envelope, message, signed.id)
            self._claims[message.round].append(narrow)

    def on_round(self, number: int) -> None:
        last = number - 1
        claims = self._claims.pop(last, [])
        if last in self.watch.void or not self.scene.is_calm(max(1, last - 1), last):
            return
        for name in self.scene.honest:
            node = self.scene.node(name)
            block = None if node is None else node.chain.tree.head().block
            if node is None or block is None or block.round != last:
                continue
            won = block.header.message
            context = node.chain.tree.context_for(won.parent, last)
            for claim in (claim for claim in claims if claim.message.parent == won.parent):
                if not isinstance(won, Claim):
                    self.fail(f"{name} follows a block without a winner in round {last}")
                elif _rank(context, claim.signer, claim.message) < _rank(
                    context, block.header.signer, won
                ):
                    self.fail(f"{name} follows a lower claim in round {last}")


class Fresh(Invariant):
    """I14: a model that was accepted once is worth no more than chance to anybody, ever after.

    Models here are scripted, and know what data they were made for; `tests/test_nas_procedural.py`
    shows the same of real ones.
    """

    name = "I14"

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        self._won: dict[bytes, tuple[int, bytes]] = {}

    def on_finality(self, at: str, justified: Checkpoint, final: Checkpoint) -> None:
        seen = self.watch.blocks.get(justified.id)
        if at not in self.scene.honest or seen is None or not self.scene.network.parameters.seals:
            return
        claim = seen.block.header.message
        if isinstance(claim, Claim):
            won = (claim.round, seen.block.header.signer)
            if self._won.setdefault(claim.model_hash, won) != won:
                self.fail(f"a model of round {self._won[claim.model_hash][0]} wins {claim.round}")


def _rank(context: RoundContext, producer: bytes, claim: Claim) -> tuple[int, bytes]:
    tie = context.draw("ponas/tie", producer, u64(claim.unit), *sorted(claim.secrets))
    return -claim.correct, tie
