"""Vote accounting: what is justified, what is final, and who broke the rules.

Casper FFG (Buterin and Griffith, 2017) with one checkpoint a round; final only by a
link over consecutive rounds (consensus A1, A2).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from node.chain.eras import Seats
from node.chain.messages import Vote
from node.chain.offence import Offence
from node.chain.state import Checkpoint


class Link(NamedTuple):
    """What a vote supports: the target as a child of the source, which may lie rounds back."""

    source: Checkpoint
    target: Checkpoint


@dataclass(frozen=True)
class Watermark:
    """Highest source and target rounds an attester has signed; kept on disk before sending."""

    source_round: int = 0
    target_round: int = 0


def link_of(vote: Vote) -> Link:
    """The link that a vote supports."""
    return Link(Checkpoint(vote.source_round, vote.source), Checkpoint(vote.round, vote.target))


def slashable(a: Link, b: Link) -> Offence | None:
    """The offence that one attester commits by signing both links, if any."""
    if a.target.round == b.target.round:
        return Offence.DOUBLE_VOTE if a != b else None
    outer, inner = (a, b) if a.target.round > b.target.round else (b, a)
    return Offence.SURROUND if outer.source.round < inner.source.round else None


def is_safe_to_sign(signed: Watermark, link: Link) -> bool:
    """Whether a link is an offence with no link that was signed before."""
    is_newer = link.target.round > signed.target_round
    return is_newer and link.source.round >= signed.source_round


def advance(signed: Watermark, link: Link) -> Watermark:
    """The watermark after signing a link."""
    return Watermark(
        max(signed.source_round, link.source.round), max(signed.target_round, link.target.round)
    )


class Tally:
    """Counts links of attesters. The order in which they come does not matter.

    Begins with blocks that are justified, the newest of which is final. Takes each link at its
    word; whether the target descends from the source is the
    caller's to check.
    """

    def __init__(self, justified: Iterable[Checkpoint]) -> None:
        self._voters: dict[Link, set[bytes]] = {}
        self._quorum_links: set[Link] = set()
        self.justified = set(justified)
        self.final = {max(self.justified)}

    def add(self, voter: bytes, link: Link, seats: Seats) -> None:
        """Count an attester for a link, once; `seats` are those of the target's era."""
        voters = self._voters.setdefault(link, set())
        voters.add(voter)
        if link not in self._quorum_links and seats.is_quorum(voters):
            self._quorum_links.add(link)
            self._settle()

    def take_justified(self, checkpoint: Checkpoint) -> None:
        """Take a block for justified because a chain shows it: links may begin there."""
        if checkpoint not in self.justified:
            self.justified.add(checkpoint)
            self._settle()

    def take_final(self, checkpoint: Checkpoint) -> None:
        """Take a block for final on the word of somebody who may say so."""
        self.take_justified(checkpoint)
        self.final.add(checkpoint)

    def forget_below(self, round_number: int) -> None:
        """Drop what is of earlier rounds, to bound the memory."""
        self.justified = {c for c in self.justified if c.round >= round_number}
        self.final = {c for c in self.final if c.round >= round_number}
        self._voters = {k: v for k, v in self._voters.items() if k.target.round >= round_number}
        self._quorum_links = {k for k in self._quorum_links if k.target.round >= round_number}

    def _settle(self) -> None:
        # A quorum link counts once its source is justified, which may come later.
        while fresh := self._reached() - self.justified:
            self.justified |= fresh
        self.final |= {
            link.source
            for link in self._quorum_links
            if link.source in self.justified and link.target.round == link.source.round + 1
        }

    def _reached(self) -> set[Checkpoint]:
        return {link.target for link in self._quorum_links if link.source in self.justified}
