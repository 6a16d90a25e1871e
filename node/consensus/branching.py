"""Where the chain of a peer leaves the one of this node, judged by headers alone.

Bodies are dear to read, and keys are free: before a body is asked for, its chain has to begin where
blocks can still be taken in, by somebody who has a stake there.
"""

from collections.abc import Sequence
from itertools import dropwhile, takewhile

from node.chain.commits import check_unit
from node.chain.errors import InvalidBlock, Reason, as_invalid_block
from node.chain.forkchoice import BlockTree
from node.chain.messages import Fallback
from node.consensus.chain import Chain
from node.net.protocol import Header, Refusal, Refused


def choose_missing(chain: Chain, headers: Sequence[Header], last_round: int) -> Sequence[Header]:
    """Those of a peer's headers, a chain on a known block, that are not here, up to a round."""
    missing = dropwhile(lambda header: chain.has(header.id), headers)
    return list(takewhile(lambda header: header.message.round <= last_round, missing))


def is_above_final(tree: BlockTree, branch: Sequence[Header]) -> bool:
    """Whether a branch begins on the final block or above it."""
    parent = branch[0].message.parent
    return parent in tree and tree.is_descendant(parent, tree.final)


def check_branch(tree: BlockTree, branch: Sequence[Header]) -> None:
    """Whether the bodies of a branch may be asked for. One that leaves the final chain may not,
    unless a quorum votes for it: then there is an alarm to be raised.

    Raises:
        Refused: LOST_BRANCH.
        Rejected: UNKNOWN_PARENT; NOT_ATTESTER and NO_UNIT of the first header's signer.
    """
    if not is_above_final(tree, branch) and not any(tree.is_backed(each.id) for each in branch):
        raise Refused(Refusal.LOST_BRANCH, "the headers leave the chain below the final block")
    first = branch[0]
    context = tree.context_for(first.message.parent, first.message.round)
    if not isinstance(first.message, Fallback):
        with as_invalid_block():
            check_unit(context, first.signer, first.message.unit)
    elif first.signer not in context.weights:
        raise InvalidBlock(Reason.NOT_ATTESTER, f"{first.signer.hex()[:8]} does not attest")
