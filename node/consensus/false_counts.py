"""Evidence of false counts: what only who has counted can judge (consensus D9)."""

from collections.abc import Iterable, Iterator, Sequence

from node.chain.envelope import Signed, open_as
from node.chain.messages import Claim, Evidence, Kind, Transaction
from node.consensus.book import Rounds


def accused(transactions: Iterable[Signed[Transaction]], network_id: bytes) -> list[Signed[Claim]]:
    """The claims whose counts these transactions call false. Raises Rejected."""
    return [claim for signed in transactions for claim in _accused(signed, network_id)]


def credible(
    transactions: Iterable[Signed[Transaction]], rounds: Rounds, network_id: bytes
) -> Sequence[Signed[Transaction]]:
    """Transactions without those that accuse a claim which this node has not found false.

    No block of an honest node may carry any other: its voters count for themselves.
    """
    return [
        signed
        for signed in transactions
        if all(is_refuted(claim, rounds) for claim in _accused(signed, network_id))
    ]


def is_refuted(claim: Signed[Claim], rounds: Rounds) -> bool:
    """Whether this node has found that a claim's model counts otherwise."""
    book = rounds.known(claim.message.round)
    verdict = None if book is None else book.counts.get(claim.id)
    return verdict is not None and not verdict.holds


def _accused(signed: Signed[Transaction], network_id: bytes) -> Iterator[Signed[Claim]]:
    shown = signed.message.shown if isinstance(signed.message, Evidence) else ()
    if len(shown) == 1 and shown[0].kind == Kind.CLAIM:
        yield open_as(Claim, shown[0], network_id)
