"""Seals: numbers that attesters fix long before a round and reveal in it (consensus E1).

An attester registers the end of a hash chain; its seal of a round is the preimage that lies as many
steps before the end as the round lies after the registration. So each round has exactly one seal of
each attester: nobody can choose among several, and one that was revealed in a round without a
winner is of no use in any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate, islice
from typing import Annotated

from nacl.signing import SigningKey

from node.chain.codec import Bytes, Uint
from node.chain.hashing import blake, u64

CHAIN_ROUNDS = 4_096
"""Rounds for which a chain has seals; also the most hashes that a check takes, 3 ms of them."""


@dataclass(frozen=True)
class SealChain:
    """What the chain knows of an attester's seals.

    `tip` is the seal of `tip_round`, or the end of the chain at its `start_round`: that of the vote
    that registered it. The attester is not drawn in rounds before `barred_until`.
    """

    tip: Annotated[bytes, Bytes(1)]
    tip_round: Annotated[int, Uint(2)]
    start_round: Annotated[int, Uint(3)]
    barred_until: Annotated[int, Uint(4)] = 0

    @property
    def held(self) -> int:
        """Base units in it: none, as the fine is taken from the bond."""
        return 0

    def can_seal(self, round_number: int) -> bool:
        """Whether the attester may be drawn for a round."""
        is_within = self.tip_round < round_number <= self.start_round + CHAIN_ROUNDS
        return is_within and round_number >= self.barred_until

    def opens(self, seal: bytes, round_number: int) -> bool:
        """Whether this is the seal of a round for which `can_seal` holds."""
        return _hashed(seal, round_number - self.tip_round) == self.tip

    def advanced(self, seal: bytes, round_number: int) -> SealChain:
        """The chain once the seal of a round is known, from which later ones are checked."""
        return replace(self, tip=seal, tip_round=round_number)

    def barred(self, until_round: int) -> SealChain:
        """The chain of an attester that has withheld its seal."""
        return replace(self, barred_until=until_round)


def registered(known: SealChain | None, end: bytes, round_number: int) -> SealChain:
    """The chain after a vote of a round has registered a new end, unless a later vote did already.

    A bar stays: a new chain must be no way around it.
    """
    if known is not None and known.start_round >= round_number:
        return known
    barred_until = 0 if known is None else known.barred_until
    return SealChain(end, round_number, round_number, barred_until)


def needs_chain(known: SealChain | None, round_number: int) -> bool:
    """Whether an attester should register a new chain with its vote of a round: well in time."""
    return known is None or round_number >= known.start_round + CHAIN_ROUNDS // 2


def make_end(key: SigningKey, network_id: bytes, start_round: int) -> bytes:
    """The end of the chain that an attester registers in a round; it follows from its key alone."""
    return make_seal(key, network_id, start_round, start_round)


def make_seal(key: SigningKey, network_id: bytes, start_round: int, round_number: int) -> bytes:
    """The seal of a round by the chain that was registered in `start_round`.

    Raises ValueError for a round in which that chain has none.
    """
    steps = start_round + CHAIN_ROUNDS - round_number
    if not 0 <= steps <= CHAIN_ROUNDS:
        raise ValueError(f"a chain of round {start_round} has no seal of round {round_number}")
    return _hashed(blake("ponas/seal-secret", bytes(key), network_id, u64(start_round)), steps)


def draw_sealers(
    weights: Mapping[bytes, int],
    count: int,
    draw: Callable[[int], bytes],
    is_able: Callable[[bytes], bool],
) -> tuple[bytes, ...]:
    """The first `count` able ones of all keys drawn by weight, ascending; `draw(i)` is a hash.

    Who is able changes nothing in the order of the draw: else whoever can make keys able or not
    could try until the outcome suits it.
    """
    able = (key for key in _draw_all(weights, draw) if is_able(key))
    return tuple(sorted(islice(able, count)))


def _draw_all(weights: Mapping[bytes, int], draw: Callable[[int], bytes]) -> Iterator[bytes]:
    """Key by key in ascending order, the first whose weights so far exceed hash modulo their sum;
    each leaves the pot."""
    left = dict(sorted(weights.items()))
    for number in range(len(left)):
        mark = int.from_bytes(draw(number), "big") % sum(left.values())
        sums = zip(left, accumulate(left.values()), strict=True)
        key = next(key for key, reached in sums if reached > mark)
        del left[key]
        yield key


def _hashed(value: bytes, times: int) -> bytes:
    for _ in range(times):
        value = blake("ponas/seal", value)
    return value
