"""Whether many of those bonded on this node's chain vote for one that excludes it.

Where two sides were apart until each had lost the other's seats, neither counts the other's votes,
and each finalises blocks of its own (consensus A7). But a seat that is lost leaves its bond, and
nobody can forge the votes of bonded keys.
"""

from node.chain.bonds import BondKey, BondKind
from node.chain.envelope import Signed
from node.chain.messages import Vote
from node.chain.state import Checkpoint, seats_of_all
from node.chain.timing import phase_at
from node.clock import Clock
from node.consensus.chain import Chain

_NEAR_ROUNDS = 2
"""Rounds from the clock's, back and ahead, of which votes are heard: who votes now means it now."""


class Dissent:
    """Remembers a vote of each bonded key: one whose source, a justified block, is not known to be
    on this node's final chain."""

    def __init__(self, chain: Chain, clock: Clock) -> None:
        self._chain = chain
        self._clock = clock
        self._votes: dict[bytes, Vote] = {}

    def hear(self, vote: Signed[Vote]) -> bool:
        """Take note of a vote; whether it is news that peers should have too.

        A vote that was noted stays until it turns out to be for this chain, or its voter votes for
        a block of this node.
        """
        message, tree = vote.message, self._chain.tree
        now = phase_at(self._chain.network, self._clock.now_ms()).round
        bond = tree.followed.state.bond(BondKey(BondKind.ATTEST, vote.signer))
        if abs(message.round - now) > _NEAR_ROUNDS or bond is None:
            return False
        noted = self._votes.get(vote.signer)
        if message.target in tree:
            if noted is not None and message.round > noted.round:
                del self._votes[vote.signer]
            return False
        if (noted is not None and self._may_exclude(noted)) or not self._may_exclude(message):
            return False
        self._votes[vote.signer] = message
        return True

    def is_strong(self) -> bool:
        """Whether more than a third of the weight votes so, seats lost by absence counted too:
        fewer may well lie."""
        against = [key for key, vote in self._votes.items() if self._excludes(vote)]
        if not against:
            return False
        network, state = self._chain.network, self._chain.tree.followed.state
        weights = seats_of_all(state, network.parameters.max_weight).weights
        return 3 * sum(weights.get(key, 0) for key in against) > sum(weights.values())

    def _may_exclude(self, vote: Vote) -> bool:
        """Whether its source is not, or not yet, on this node's final chain."""
        return vote.source_round > self._chain.tree.final.round or self._excludes(vote)

    def _excludes(self, vote: Vote) -> bool:
        """Whether what the voter holds justified can't be on one chain with what is final here."""
        return self._chain.denies(Checkpoint(vote.source_round, vote.source))
