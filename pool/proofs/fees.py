"""What a pool's manager has taken of payouts, against what it shows and what is usual."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from node.chain.messages import PayoutNotice
from pool.proofs.findings import Finding, Kind
from pool.proofs.logaudit import Log
from pool.rules.payout import MAX_POOL_FEE


def payout_fees(notices: Sequence[PayoutNotice], logs: Mapping[bytes, Log]) -> Mapping[int, int]:
    """The fee in thousandths by round, of notices whose `logs` end with the terms.

    A pool that commits several times in a round has as many terms: the highest fee counts.
    """
    fees: dict[int, int] = {}
    for notice in notices:
        log = logs.get(notice.share_log)
        for terms in log.pages[-1].terms if log is not None and log.pages else ():
            fees[notice.round] = max(terms.fee_permille, fees.get(notice.round, 0))
    return fees


def audit_fees(fees: Mapping[int, int], shown_permille: int) -> Iterator[Finding]:
    """Hints: whether any of the fees is beyond what nodes take, or what the pool shows now."""
    for number, fee in fees.items():
        if fee > MAX_POOL_FEE:
            detail = f"the manager takes {fee} thousandths; no node asks for over {MAX_POOL_FEE}"
            yield Finding(Kind.FEE_DIFFERS, number, detail)
        elif fee > shown_permille:
            detail = f"the manager takes {fee} thousandths, and shows a fee of {shown_permille} now"
            yield Finding(Kind.FEE_DIFFERS, number, detail)
