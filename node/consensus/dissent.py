"""Whether many of those bonded on this node's chain vote for one that excludes it.

Where two sides were apart until each had lost the other's seats, neither counts the other's votes,
and each finalises blocks of its own (consensus A7). But a seat that is lost leaves its bond, and
nobody can forge the votes of bonded keys.
"""

from collections.abc import Mapping

from node.chain.envelope import Signed
from node.chain.messages import Vote
from node.chain.state import Checkpoint, seats_of_all
from node.chain.timing import phase_at
from node.clock import Clock
from node.consensus.chain import Chain

_NEAR_ROUNDS = 2
"""Rounds from the clock's, back and ahead, of which votes are heard: who votes now means it now."""


class Dissent:
    """Remembers a vote of each of the largest bonds: one whose source, a justified block, is not
    known to be on this node's final chain."""

    def __init__(self, chain: Chain, clock: Clock) -> None:
        self._chain = chain
        self._clock = clock
        self._votes: dict[bytes, Vote] = {}
        # The latest round of a vote that was passed on, by its key.
        self._told: dict[bytes, int] = {}
        # As of a final block: what votes weigh, and what these come to, once that was asked.
        self._final = b""
        self._weights: Mapping[bytes, int] = {}
        self._is_strong: bool | None = None

    def hear(self, vote: Signed[Vote]) -> bool:
        """Take note of a vote; whether it is news that peers should have too.

        A vote that was noted stays until it turns out to be for this chain, or its voter votes for
        a block of this node.
        """
        self._follow_finality()
        message = vote.message
        now = phase_at(self._chain.network, self._clock.now_ms()).round
        if abs(message.round - now) > _NEAR_ROUNDS or vote.signer not in self._weights:
            return False
        noted = self._votes.get(vote.signer)
        if message.target in self._chain.tree:
            if noted is not None and message.round > noted.round:
                del self._votes[vote.signer]
                self._is_strong = None
            return False
        if (noted is not None and self._may_exclude(noted)) or not self._may_exclude(message):
            return False
        self._votes[vote.signer] = message
        self._is_strong = None
        # One a round: else a key could take its vote back again and again.
        told = self._told.get(vote.signer, -1)
        self._told[vote.signer] = max(message.round, told)
        return message.round > told

    def is_strong(self) -> bool:
        """Whether more than a third of the weight votes so, seats lost by absence counted too:
        fewer may well lie."""
        self._follow_finality()
        if self._is_strong is None:
            self._votes = {
                key: vote
                for key, vote in self._votes.items()
                if key in self._weights and self._may_exclude(vote)
            }
            final_round = self._chain.tree.final.round
            against = [key for key, vote in self._votes.items() if vote.source_round <= final_round]
            weight = sum(self._weights[key] for key in against)
            self._is_strong = 3 * weight > sum(self._weights.values())
        return self._is_strong

    def _follow_finality(self) -> None:
        final = self._chain.tree.final.id
        if final != self._final:
            max_weight = self._chain.network.parameters.max_weight
            self._weights = seats_of_all(self._chain.final_state, max_weight).weights
            self._told = {key: told for key, told in self._told.items() if key in self._weights}
            self._final, self._is_strong = final, None

    def _may_exclude(self, vote: Vote) -> bool:
        """Whether its source is not, or not yet, on this node's final chain."""
        return vote.source_round > self._chain.tree.final.round or self._excludes(vote)

    def _excludes(self, vote: Vote) -> bool:
        """Whether what the voter holds justified can't be on one chain with what is final here."""
        return self._chain.denies(Checkpoint(vote.source_round, vote.source))
