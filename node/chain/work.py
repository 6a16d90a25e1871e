"""What judging a transaction costs everybody, whether its block stands or not.

A fee is only paid in a block that stands. So the time that a body takes has a bound of its own.
"""

from __future__ import annotations

from node.chain.messages import Evidence, Transaction
from node.chain.published.terms import Publish

MAX_WORK = 2_048
"""Work of all transactions of a block at most, one for a transfer: a signature and two accounts."""

# Evidence shows three signatures beside its own; the witness of a task of 64 layers is scheduled
# on the FPGA, which takes as long as some fifty transfers.
_WORK: dict[type[Transaction], int] = {Evidence: 4, Publish: 64}


def work_of(transaction: Transaction) -> int:
    """How many transfers take as long to judge as this transaction, at most."""
    return _WORK.get(type(transaction), 1)
