"""Who attests in an era: seats drawn an era ahead from the bonds (consensus A3, A7).

Seats change with eras alone, and those of the next era are known a whole era before it, so that
forks within an era count votes by the same weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, NamedTuple

from node.chain.codec import Bytes, Uint
from node.chain.hashing import blake, u64
from node.chain.messages import MAX_ATTESTERS

MAX_ABSENT_ERAS = 3
"""Eras in a row without an included vote after which a seat is lost (consensus A7)."""


NOBODY = bytes(MAX_ATTESTERS // 8)
"""A bitmap of places with no bit set; place 0 is the lowest bit of the first byte.

Bytes, since an integer of more than 64 places fits no snapshot.
"""


class Candidate(NamedTuple):
    """An attester's bond as far as seats go."""

    attester: bytes
    amount: int
    absent_eras: int


@dataclass(frozen=True)
class Seat:
    """A key that signs lists and votes in an era, and what its signature weighs."""

    attester: Annotated[bytes, Bytes(1)]
    weight: Annotated[int, Uint(2)]


@dataclass(frozen=True)
class Seats:
    """The seats of an era, ascending by key."""

    rows: tuple[Seat, ...] = ()

    @cached_property
    def weights(self) -> dict[bytes, int]:
        """Weight by key, in the order of the places."""
        return {seat.attester: seat.weight for seat in self.rows}

    @cached_property
    def places(self) -> dict[bytes, int]:
        """Place by key: its bit in bitmaps."""
        return {seat.attester: place for place, seat in enumerate(self.rows)}

    @cached_property
    def root(self) -> bytes:
        """Hash over the seats."""
        return blake("ponas/seats", *(seat.attester + u64(seat.weight) for seat in self.rows))

    def is_quorum(self, attesters: Iterable[bytes]) -> bool:
        """Whether the seated ones of these, each counted once, are more than two thirds."""
        return is_quorum(
            sum(self.weights.get(attester, 0) for attester in set(attesters)),
            sum(self.weights.values()),
        )

    def marked(self, bitmap: bytes) -> list[bytes]:
        """Who is in a bitmap of places."""
        bits = int.from_bytes(bitmap, "little")
        return [attester for attester, place in self.places.items() if bits >> place & 1]


@dataclass(frozen=True)
class Eras:
    """The seats that a state knows: of its own era, the next one, and the last one with blocks.

    An era has `rounds` rounds. `seen` has bit i set once the body of a block of this era includes
    a vote of its i-th seat.
    """

    rounds: int
    era: int
    current: Seats
    next: Seats
    last_era: int
    last: Seats
    seen: bytes = NOBODY

    def seats_at(self, round_number: int) -> Seats:
        """Seats of a round's era as far as this state knows: nobody's of earlier ones.

        Those drawn last stay for all later eras, until a block draws anew.
        """
        era = self.era_of(round_number)
        if era > self.era:
            return self.next
        if era == self.era:
            return self.current
        return self.last if era == self.last_era else Seats()

    def era_of(self, round_number: int) -> int:
        """The era in which a round lies; era 0 begins with genesis."""
        return round_number // self.rounds

    def knows(self, round_number: int) -> bool:
        """Whether the seats of a round are here, and no block that is to come can change them."""
        return self.era_of(round_number) in (self.last_era, self.era, self.era + 1)

    def enter(self, round_number: int) -> Eras:
        """The eras in a block of a round, before it has drawn the seats of the next one."""
        era = self.era_of(round_number)
        if era == self.era:
            return self
        return Eras(self.rounds, era, self.next, self.next, self.era, self.current)

    def draws(self, round_number: int) -> bool:
        """Whether a block of a round, the first of its era, may draw the seats of the next one.

        One in the era's last round may not: the next round is played with the state of a block
        two rounds before it, which would not know them.
        """
        return round_number % self.rounds != self.rounds - 1

    def note_vote(self, attester: bytes) -> Eras:
        """The eras after a vote was included."""
        place = self.current.places.get(attester)
        return self if place is None else replace(self, seen=mark(self.seen, place))

    def absentees(self) -> list[bytes]:
        """Seats of this era with no vote included in it so far."""
        seen = set(self.current.marked(self.seen))
        return [attester for attester in self.current.places if attester not in seen]


def mark(bitmap: bytes, place: int) -> bytes:
    """The bitmap with the bit of a place set."""
    bits = int.from_bytes(bitmap, "little") | 1 << place
    return bits.to_bytes(len(bitmap), "little")


def is_quorum(weight: int, total: int) -> bool:
    """Strictly more than two thirds."""
    return 3 * weight > 2 * total


def draw_seats(candidates: Iterable[Candidate], max_weight: int) -> Seats:
    """The `MAX_ATTESTERS` largest bonds, equal ones by lower key; weight `min(bond, max_weight)`.

    Who was absent for too long has none. Unless nobody else is left: a seat that is not
    there can't come back.
    """
    bonded = [candidate for candidate in candidates if candidate.amount > 0]
    present = [c for c in bonded if c.absent_eras < MAX_ABSENT_ERAS] or bonded
    largest = sorted(present, key=lambda c: (-c.amount, c.attester))[:MAX_ATTESTERS]
    return Seats(
        tuple(Seat(c.attester, min(c.amount, max_weight)) for c in sorted(largest, key=_by_key))
    )


def _by_key(candidate: Candidate) -> bytes:
    return candidate.attester
