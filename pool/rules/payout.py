"""Payout lines of a block: who gets which part of the reward, in exact integers.

An eighth goes to the finder of the winning model, so that handing it in beats keeping it (the
finder's part of real pools, consensus F1); then the manager's fee; the rest follows the work.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from node.chain.messages import PayoutLine
from node.chain.rewards import split

TOTAL_WEIGHT = 1_000_000_000
"""Weights of all lines together: a weight is a part of the reward in billionths."""

MAX_LINES = 1_024
"""Most lines that a body may hold."""

DUST = 1_000
"""Least weight of a line, a millionth of the reward: an account is not worth less."""

MAX_POOL_FEE = 100
"""Most thousandths of a reward that a node takes as its pool's manager: some three times what pools
of other networks take, so that more is a slip of the pen."""

# Parts of the reward, of _WHOLE: the finder's eighth, and a fee in thousandths.
_WHOLE = 8_000
_FINDER = 1_000
_PER_MILLE = 8


class PayoutError(ValueError):
    """Values that no reward can be split by."""


def payout_lines(
    work: Mapping[bytes, int], finder: bytes, manager: bytes, fee_permille: int
) -> tuple[PayoutLine, ...]:
    """Lines ascending by address, each address once, weights of at least DUST.

    `work` maps payout addresses to work in any one unit, `finder` and `manager` are payout
    addresses. Without any work the finder gets all but the fee. Dust, and beyond 1,024 lines the
    smallest parts (of equal ones the higher address), fall to the others; the work stays in the
    window, where it may outgrow dust. Raises PayoutError for negative work or a fee outside 0 to
    875 thousandths.
    """
    if any(units < 0 for units in work.values()):
        raise PayoutError("work can't be negative")
    if not 0 <= fee_permille * _PER_MILLE <= _WHOLE - _FINDER:
        raise PayoutError(f"a fee of {fee_permille} thousandths is outside 0 to 875")
    total = sum(work.values())
    if total == 0:
        # The winning model shows some work, whosever else is not paid: the manager gains nothing.
        work, total = {finder: 1}, 1
    fee = fee_permille * _PER_MILLE
    parts = defaultdict(int, {finder: _FINDER * total})
    parts[manager] += fee * total
    rest = _WHOLE - _FINDER - fee
    for address, units in work.items():
        parts[address] += rest * units
    least = -(-DUST * _WHOLE * total // TOTAL_WEIGHT)
    worthy = [address for address, part in parts.items() if part >= least]
    # Reversed or not, a sort leaves equals in their order.
    kept = sorted(sorted(worthy), key=parts.__getitem__, reverse=True)[:MAX_LINES]
    addresses = sorted(kept)
    weights = split(TOTAL_WEIGHT, [parts[address] for address in addresses])
    return tuple(
        PayoutLine(address=address, weight=weight)
        for address, weight in zip(addresses, weights, strict=True)
    )
