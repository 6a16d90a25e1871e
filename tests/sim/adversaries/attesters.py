"""Attesters that sign what they should not, or not when they should."""

from __future__ import annotations

from dataclasses import replace

from node.assembly import Node
from node.chain.commits import choose_listed
from node.chain.context import RoundContext
from node.chain.envelope import sign
from node.chain.messages import Envelope, List, Vote
from node.chain.published.record import MAX_TASKS
from node.chain.timing import Phase, deadline
from node.consensus.attester import Attester
from tests.sim.adversaries.sending import tell_halves
from tests.sim.world import World

HOARDED_VOTES = 3
"""Votes that a hoarder keeps back."""


class CrookedAttester(Attester):
    """An attester with its node at hand; subclasses change its duties."""

    node: Node

    def _sign(self, message: List | Vote) -> Envelope:
        return sign(message, self._key, self._chain.network.id).envelope


class AttesterHack:
    """Replaces the attester of a node by one of class `kind`."""

    kind: type[CrookedAttester]

    def corrupt(self, world: World, name: str, node: Node) -> None:
        make = node._make_attester

        def make_crooked() -> Attester | None:
            attester = make()
            if attester is not None:
                attester.__class__ = self.kind
                attester.node = node  # type: ignore[attr-defined]
            return attester

        node._make_attester = make_crooked  # type: ignore[method-assign]


class VoteEquivocator(AttesterHack):
    """Votes for one block before one half of its peers, for another before the other half."""

    class kind(CrookedAttester):
        async def vote(self, context: RoundContext, target: bytes) -> None:
            claims = self._rounds.book(context.round).claims.values()
            others = [claim.id for claim in claims if claim.id != target] or [bytes(32)]
            source = self._chain.tree.source_for(target)
            vote = Vote(source.round, source.id, context.round, target, b"", b"")
            tell_halves(self.node, self._sign(vote), self._sign(replace(vote, target=others[-1])))


class VoteWithholder(AttesterHack):
    """Never votes."""

    class kind(CrookedAttester):
        async def vote(self, context: RoundContext, target: bytes) -> None:
            return None


class VoteHoarder(AttesterHack):
    """Keeps its votes back for some rounds, then sends them all at once."""

    class kind(CrookedAttester):
        async def vote(self, context: RoundContext, target: bytes) -> None:
            self.hoard = [*getattr(self, "hoard", ()), self._honest_vote(context, target)]
            if len(self.hoard) >= HOARDED_VOTES:
                for envelope in self.hoard:
                    self._send(envelope)
                self.hoard = []

        def _honest_vote(self, context: RoundContext, target: bytes) -> Envelope:
            source = self._chain.tree.source_for(target)
            return self._sign(Vote(source.round, source.id, context.round, target, b"", b""))


class LazyVoter(AttesterHack):
    """Votes for the highest claim without a look at it, under a digest it has made up."""

    class kind(CrookedAttester):
        async def vote(self, context: RoundContext, target: bytes) -> None:
            claims = self._rounds.book(context.round).eligible_claims()
            best = max(claims, key=lambda claim: claim.message.correct, default=None)
            source = self._chain.tree.source_for(target)
            blind = target if best is None else best.id
            vote = Vote(source.round, source.id, context.round, blind, bytes(32), b"")
            self._send(self._sign(vote))


class VoteForger(AttesterHack):
    """Votes for a claim that nobody has judged yet, from a block that was never justified: who
    keeps the vote until the block comes must not take it for damage."""

    class kind(CrookedAttester):
        async def propose_fallback(self, context: RoundContext) -> None:
            await self._clock.sleep_until(deadline(context.network, context.round, Phase.CLAIM))
            for claim in self._rounds.book(context.round).eligible_claims()[:1]:
                vote = Vote(0, bytes(32), context.round, claim.id, b"", b"")
                self.node.peers.broadcast(self._sign(vote))

        async def vote(self, context: RoundContext, target: bytes) -> None:
            return None


class ListEquivocator(AttesterHack):
    """Lists all commits before one half of its peers, none before the other half."""

    class kind(CrookedAttester):
        async def sign_list(self, context: RoundContext) -> None:
            commits = self._rounds.book(context.round).commits.values()
            full = List(context.round, choose_listed(context, commits))
            tell_halves(self.node, self._sign(full), self._sign(List(context.round, ())))


class ListWithholder(AttesterHack):
    """Never lists."""

    class kind(CrookedAttester):
        async def sign_list(self, context: RoundContext) -> None:
            return None


class LateLister(AttesterHack):
    """Holds its list back until the claims are there, and then decides whom to list."""

    class kind(CrookedAttester):
        async def sign_list(self, context: RoundContext) -> None:
            due_ms = deadline(context.network, context.round, Phase.CLAIM)
            await self._clock.sleep_until(due_ms - 50)
            commits = list(self._rounds.book(context.round).commits.values())
            self._send(self._sign(List(context.round, choose_listed(context, commits[1:]))))


class LaxLister(AttesterHack):
    """Lists whatever comes until claims are due, however late."""

    class kind(CrookedAttester):
        async def sign_list(self, context: RoundContext) -> None:
            await self._clock.sleep_until(deadline(context.network, context.round, Phase.LIST) + 50)
            commits = self._rounds.book(context.round).commits.values()
            self._send(self._sign(List(context.round, choose_listed(context, commits))))


class DataLiar(AttesterHack):
    """Votes that it holds the data of every task, held or not."""

    class kind(CrookedAttester):
        async def vote(self, context: RoundContext, target: bytes) -> None:
            self._library.held_places = lambda _tasks: range(MAX_TASKS)  # type: ignore[assignment, method-assign, return-value]
            await super().vote(context, target)
