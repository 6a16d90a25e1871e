"""Evidence of false claims: what only who has counted and judged can tell (consensus C7, D9).

A producer can check its own block and count its own model. So one that does not stand was sent to
waste everybody's time, and its unit is burnt.
"""

from collections.abc import Iterable, Iterator, Sequence

from node.chain.envelope import Signed, open_as
from node.chain.forkchoice import BlockTree
from node.chain.messages import Claim, Evidence, Kind, Transaction
from node.chain.ranking import is_ahead
from node.consensus.book import Rounds


def accused(transactions: Iterable[Signed[Transaction]], network_id: bytes) -> list[Signed[Claim]]:
    """The claims that these transactions call false. Raises Rejected."""
    return [claim for signed in transactions for claim in _accused(signed, network_id)]


def credible(
    transactions: Iterable[Signed[Transaction]], rounds: Rounds, tree: BlockTree, parent: bytes
) -> Sequence[Signed[Transaction]]:
    """Transactions for a block on `parent`, without those that accuse a claim which nobody had to
    walk, or which this node has not found false.

    No block of an honest node may carry any other: its voters count for themselves.
    """
    return [
        signed
        for signed in transactions
        if all(
            is_refuted(claim, rounds) and was_walked(tree, parent, claim)
            for claim in _accused(signed, tree.network.id)
        )
    ]


def is_refuted(claim: Signed[Claim], rounds: Rounds) -> bool:
    """Whether this node has found that a claim's model counts otherwise, or its block breaks
    another rule."""
    book = rounds.known(claim.message.round)
    if book is None:
        return False
    verdict = book.counts.get(claim.id)
    return claim.id in book.refusals or (verdict is not None and not verdict.holds)


def was_walked(tree: BlockTree, parent: bytes, claim: Signed[Claim]) -> bool:
    """Whether a claim stood in the way of those who made the chain up to `parent`.

    It built on the head of its round, and ranked before the winner if that round has one. What
    ranked behind cost nobody an evaluation, and must not cost one afterwards.
    """
    last = tree.entry(parent)
    if last.block is None or last.block.round != claim.message.round:
        return claim.message.parent == parent
    if claim.message.parent != last.block.parent:
        return False
    winner = last.block.header.message
    if not isinstance(winner, Claim):
        return True
    context = tree.context_for(last.block.parent, last.block.round)
    return is_ahead(context, claim, Signed(last.block.header.envelope, winner, last.id))


def _accused(signed: Signed[Transaction], network_id: bytes) -> Iterator[Signed[Claim]]:
    shown = signed.message.shown if isinstance(signed.message, Evidence) else ()
    if len(shown) == 1 and shown[0].kind == Kind.CLAIM:
        yield open_as(Claim, shown[0], network_id)
