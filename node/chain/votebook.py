"""The votes a node holds: counted ones, and those that wait for their target."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from node.chain.envelope import Signed
from node.chain.finality import Link, link_of
from node.chain.messages import Vote

HELD_A_ROUND = 2
"""Waiting votes kept of one attester for one round: two are an offence, more only fill memory."""


class VoteBook:
    """Bounded if the caller refuses votes of rounds beyond its clock and calls `forget_below`."""

    def __init__(self) -> None:
        self._counted: dict[tuple[bytes, Link], Signed[Vote]] = {}
        self._waiting: dict[bytes, dict[bytes, Signed[Vote]]] = {}
        # How many of each attester and round wait.
        self._held = Counter[tuple[bytes, int]]()

    def count(self, vote: Signed[Vote]) -> bool:
        """Note a vote whose link was checked; False if this voter's link is known."""
        key = (vote.signer, link_of(vote.message))
        is_new = key not in self._counted
        self._counted.setdefault(key, vote)
        return is_new

    def hold(self, vote: Signed[Vote]) -> bool:
        """Keep a vote until its target is known; False if it is known, or one too many."""
        if vote.id in self._waiting.get(vote.message.target, {}):
            return False
        if self._held[_place(vote)] >= HELD_A_ROUND:
            return False
        self._held[_place(vote)] += 1
        self._waiting.setdefault(vote.message.target, {})[vote.id] = vote
        return True

    def release(self, target: bytes) -> list[Signed[Vote]]:
        """Hand out the votes that waited for a block."""
        released = list(self._waiting.pop(target, {}).values())
        self._held.subtract(map(_place, released))
        return released

    def waiting_voters(self, target: bytes) -> dict[int, set[bytes]]:
        """Who has voted for a block that is not known yet, by the round they say it is of."""
        voters: dict[int, set[bytes]] = {}
        for vote in self._waiting.get(target, {}).values():
            voters.setdefault(vote.message.round, set()).add(vote.signer)
        return voters

    def counted(self) -> tuple[Signed[Vote], ...]:
        """All counted votes, in the order in which they came."""
        return tuple(self._counted.values())

    def latest_targets(self) -> Iterator[tuple[bytes, bytes]]:
        """Voter and target of each voter's newest vote; who signed two there weighs nothing."""
        newest: dict[bytes, list[Link]] = {}
        for voter, link in self._counted:
            links = newest.setdefault(voter, [link])
            if link.target.round > links[0].target.round:
                newest[voter] = [link]
            elif link.target.round == links[0].target.round and link not in links:
                links.append(link)
        return ((voter, links[0].target.id) for voter, links in newest.items() if len(links) == 1)

    def forget_below(self, round_number: int) -> None:
        """Drop votes for earlier rounds."""
        self._counted = {
            key: vote for key, vote in self._counted.items() if vote.message.round >= round_number
        }
        waiting = {
            target: {i: v for i, v in votes.items() if v.message.round >= round_number}
            for target, votes in self._waiting.items()
        }
        self._waiting = {target: votes for target, votes in waiting.items() if votes}
        self._held = Counter(_place(v) for votes in self._waiting.values() for v in votes.values())


def _place(vote: Signed[Vote]) -> tuple[bytes, int]:
    return vote.signer, vote.message.round
