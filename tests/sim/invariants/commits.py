"""I4, I8: a model counts only if it was promised in time, and then it does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from node.chain.commits import commit_id, commit_of
from node.chain.context import RoundContext
from node.chain.envelope import Signed
from node.chain.hashing import u64
from node.chain.messages import Body, Claim, Commit, List, Payload, Seal
from node.chain.published.terms import Key
from node.chain.timing import Phase, deadline
from tests.sim.watch import SLACK_MS, Invariant, Seen, Watch


class PromisedBefore(Invariant):
    """I4: the commit of every result is in lists of a quorum, and somebody honest listed it before
    anybody honest saw a secret or a claim of the round."""

    name = "I4"

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        self._opened_ms: dict[int, int] = {}
        self._listed_ms: dict[bytes, int] = {}
        self._checked: set[bytes] = set()

    def on_signed(self, by: str, signed: Signed[Payload]) -> None:
        if by in self.scene.honest and isinstance(signed.message, List):
            for listed in signed.message.ids:
                self._listed_ms.setdefault(listed, self.scene.now_ms())

    def on_heard(self, at: str, signed: Signed[Payload]) -> None:
        if at in self.scene.honest and isinstance(signed.message, Seal | Key | Claim):
            self._opened_ms.setdefault(signed.message.round, self.scene.now_ms())

    def on_block(self, at: str, seen: Seen) -> None:
        node, header = self.scene.node(at), seen.block.header
        if at not in self.scene.honest or node is None or not isinstance(header.message, Claim):
            return
        if seen.block.id in self._checked:
            return
        self._checked.add(seen.block.id)
        claim = header.message
        context = node.chain.tree.context_for(claim.parent, claim.round)
        own = commit_of(context, claim, header.signer)
        wanted = commit_id(self.scene.network.id, header.signer, own)
        listers = _listers(seen.block.body, wanted)
        if not _is_quorum(context.weights, listers):
            self.fail(f"{at} took a result of round {claim.round} that no quorum listed")
        opened_ms = self._opened_ms.get(claim.round, self.scene.now_ms())
        if self._listed_ms.get(wanted, opened_ms + 1) > opened_ms:
            self.fail(f"{at} took a result of round {claim.round} that nobody honest listed first")


class SealedUntilListed(Invariant):
    """I5: no seal or key leaves an honest holder that has no lists of a quorum."""

    name = "I5"

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        self._listers: dict[tuple[str, int], set[bytes]] = defaultdict(set)

    def on_heard(self, at: str, signed: Signed[Payload]) -> None:
        if isinstance(signed.message, List):
            self._listers[at, signed.message.round].add(signed.signer)

    def on_signed(self, by: str, signed: Signed[Payload]) -> None:
        node, secret = self.scene.node(by), signed.message
        if by not in self.scene.honest or node is None or not isinstance(secret, Seal | Key):
            return
        weights = node.chain.context(secret.round).weights
        if not _is_quorum(weights, self._listers[by, secret.round]):
            self.fail(f"{by} reveals its secret of round {secret.round} without lists")


class InTimeIsCertified(Invariant):
    """I8: a commit that reached all honest attesters in time, with a low ticket, is certified."""

    name = "I8"

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        self._reached: dict[int, dict[bytes, set[str]]] = defaultdict(lambda: defaultdict(set))
        self._commits: dict[int, dict[bytes, Signed[Commit]]] = defaultdict(dict)
        self._lists: dict[int, dict[bytes, tuple[bytes, ...]]] = defaultdict(dict)

    def on_heard(self, at: str, signed: Signed[Payload]) -> None:
        message = signed.message
        if at not in self.scene.honest:
            return
        if isinstance(message, List):
            self._lists[message.round].setdefault(signed.signer, message.ids)
        elif isinstance(message, Commit):
            self._commits[message.round][signed.id] = Signed(signed.envelope, message, signed.id)
            due_ms = deadline(self.scene.network, message.round, Phase.TRAIN) - SLACK_MS
            if self.scene.now_ms() <= due_ms:
                self._reached[message.round][signed.id].add(at)

    def on_round(self, number: int) -> None:
        last = number - 1
        commits, reached = self._commits.pop(last, {}), self._reached.pop(last, {})
        lists = self._lists.pop(last, {})
        attesters = self._attesters()
        node = self.scene.node(min(attesters, default=""))
        if node is None or not self.scene.is_calm(last, last):
            return
        context = node.chain.context(last)
        low = sorted(_ticket(context, each) for each in _first_of_units(context, commits.values()))
        bar = low[: self.scene.network.parameters.max_commits][-1:]
        honest = {self.scene.key(name) for name in self.scene.honest}
        for commit in commits.values():
            is_due = commit.signer in honest and [_ticket(context, commit)] <= bar
            if is_due and attesters <= reached.get(commit.id, set()):
                listers = [key for key, ids in lists.items() if commit.id in ids]
                if not _is_quorum(context.weights, listers):
                    self.fail(f"a commit of round {last} came in time and is not certified")

    def _attesters(self) -> set[str]:
        """The honest attesters that run."""
        weights = self.scene.weights()
        return {
            name
            for name in self.scene.honest
            if self.scene.node(name) is not None and self.scene.key(name) in weights
        }


def _is_quorum(weights: Mapping[bytes, int], listers: Iterable[bytes]) -> bool:
    weight = sum(weights.get(lister, 0) for lister in listers)
    return 3 * weight > 2 * sum(weights.values())


def _first_of_units(
    context: RoundContext, commits: Iterable[Signed[Commit]]
) -> Iterable[Signed[Commit]]:
    """A commit of each unit that there is."""
    units = {(commit.signer, commit.message.unit): commit for commit in commits}
    return [commit for (key, unit), commit in units.items() if unit < context.units(key)]


def _listers(body: Body, wanted: bytes) -> set[bytes]:
    """Attesters whose bit for a commit is set; signatures were checked by the node."""
    if wanted not in body.commit_ids:
        return set()
    place = body.commit_ids.index(wanted)
    return {
        proof.attester
        for proof in body.lists
        if int.from_bytes(proof.bitmap, "little") >> place & 1
    }


def _ticket(context: RoundContext, commit: Signed[Commit]) -> bytes:
    return context.draw("ponas/ticket", commit.signer, u64(commit.message.unit))
