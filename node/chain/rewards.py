"""Who is paid what for a block, in integers that add up exactly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from node.chain.genesis import Network
from node.chain.hashing import MAX_INT
from node.chain.messages import PayoutLine
from node.chain.params import Parameters

LINES_TO_ATTESTERS = (9, 1)
"""Nine tenths to the payout lines, one to the attesters (consensus H, MONEY)."""
PRODUCER_TO_VOTERS = (1, 7)
"""An eighth of the attesters' part to the block, so that votes are carried."""


def split(amount: int, weights: Sequence[int]) -> list[int]:
    """Divide an amount in proportion to weights; the parts add up to it exactly.

    Largest remainder; equal remainders go to the earlier place. Raises ValueError
    unless the weights are non-negative with a positive sum.
    """
    total = sum(weights)
    if total <= 0 or min(weights) < 0:
        raise ValueError("weights must not be negative and must have a positive sum")
    parts = [amount * weight // total for weight in weights]
    remainders = [amount * weight % total for weight in weights]
    by_remainder = sorted(range(len(weights)), key=remainders.__getitem__, reverse=True)
    for index in by_remainder[: amount - sum(parts)]:
        parts[index] += 1
    return parts


def compute_subsidy(parameters: Parameters, round_number: int, supply: int) -> int:
    """Base units a won round may issue on top of `supply`, which never reaches 2**63.

    Halved, rounded down, every `halving_rounds`.
    """
    # A shift by 63 or more gives 0 for every subsidy, and stays cheap for absurd rounds.
    halvings = min(63, round_number // parameters.halving_rounds)
    return min(parameters.subsidy >> halvings, MAX_INT - supply)


def current_subsidy(network: Network, round_number: int, issued: int) -> int:
    """Base units that a won standing round issues when `issued` were issued before."""
    return compute_subsidy(network.parameters, round_number, network.supply + issued)


def compute_rewards(
    subsidy: int, producer: bytes, payouts: Sequence[PayoutLine], voters: Mapping[bytes, int]
) -> dict[bytes, int]:
    """Amount for each address of a block won in a standing round.

    `voters` is the weight of the votes that the body includes, by attester; without
    any, the attesters' part is not issued.
    """
    for_lines, for_attesters = split(subsidy, LINES_TO_ATTESTERS)
    rewards: Counter[bytes] = Counter()
    line_amounts = split(for_lines, [line.weight for line in payouts])
    for line, amount in zip(payouts, line_amounts, strict=True):
        rewards[line.address] += amount
    if voters:
        for_producer, for_voters = split(for_attesters, PRODUCER_TO_VOTERS)
        rewards[producer] += for_producer
        for voter, amount in attester_rewards(for_voters, voters).items():
            rewards[voter] += amount
    return dict(rewards)


def attester_rewards(amount: int, voters: Mapping[bytes, int]) -> dict[bytes, int]:
    """Share an amount among attesters by the weight of their votes; ties by lower key."""
    keys = sorted(voters)
    return dict(zip(keys, split(amount, [voters[key] for key in keys]), strict=True))
