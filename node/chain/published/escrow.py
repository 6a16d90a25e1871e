"""Where the reward of a shard goes: every base unit is paid, given back or burnt (consensus H)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from node.chain.messages import PayoutLine
from node.chain.movements import MovementKind
from node.chain.rewards import PRODUCER_TO_VOTERS, attester_rewards, split

BURNT_ATTESTERS_LINES = (2, 1, 7)
"""Tenths of a won reward: a fifth is burnt, so that paying oneself costs (consensus C1)."""
BURNT_REFUNDED = (1, 4)
"""Of the reward of a shard that was opened for nothing: impossible targets are not free (C6)."""
BURNT_UNITS = (1, 1)
"""Of the reward of a shard whose key was withheld: half to those who worked for it (C3)."""


@dataclass(frozen=True)
class Settlement:
    """Base units by address, and how many are burnt; together the reward of one shard.

    `kind` tells people why, unless the block shows it.
    """

    paid: Mapping[bytes, int]
    burnt: int
    kind: MovementKind | None = None


def settle_won(
    reward: int, producer: bytes, payouts: Sequence[PayoutLine], voters: Mapping[bytes, int]
) -> Settlement:
    """The shard was won. `voters` as in `rewards.compute_rewards`; without any, their part is
    burnt."""
    burnt, for_attesters, for_lines = split(reward, BURNT_ATTESTERS_LINES)
    paid: Counter[bytes] = Counter()
    amounts = split(for_lines, [line.weight for line in payouts])
    for line, amount in zip(payouts, amounts, strict=True):
        paid[line.address] += amount
    if not voters:
        return Settlement(dict(paid), burnt + for_attesters)
    for_producer, for_voters = split(for_attesters, PRODUCER_TO_VOTERS)
    paid[producer] += for_producer
    paid.update(attester_rewards(for_voters, voters))
    return Settlement(dict(paid), burnt)


def settle_open(reward: int, publisher: bytes) -> Settlement:
    """The shard may have been opened, and nobody won it."""
    burnt, refunded = split(reward, BURNT_REFUNDED)
    return Settlement({publisher: refunded}, burnt, MovementKind.REFUNDED)


def settle_withheld(reward: int, publisher: bytes, units: Sequence[bytes]) -> Settlement:
    """The key did not come. `units` are the producers of the certified units, one for each, in
    the order that ties are broken by; without any, the publisher has its half back."""
    burnt, for_units = split(reward, BURNT_UNITS)
    if not units:
        return Settlement({publisher: for_units}, burnt, MovementKind.REFUNDED)
    paid: Counter[bytes] = Counter()
    for producer, amount in zip(units, split(for_units, [1] * len(units)), strict=True):
        paid[producer] += amount
    return Settlement(dict(paid), burnt, MovementKind.COMPENSATED)
