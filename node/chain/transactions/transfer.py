"""Moving value from the signer's account to another."""

from __future__ import annotations

from node.chain.context import RoundContext
from node.chain.draft import Draft
from node.chain.envelope import Signed
from node.chain.errors import InvalidBlock, Reason
from node.chain.messages import Transfer


def apply(draft: Draft, context: RoundContext, signed: Signed[Transfer]) -> None:
    """Raises InvalidBlock: TRANSFER_AMOUNT, BALANCE."""
    if signed.message.amount == 0:
        raise InvalidBlock(Reason.TRANSFER_AMOUNT, "a transfer of nothing")
    draft.debit(signed.signer, signed.message.amount)
    draft.credit(signed.message.recipient, signed.message.amount)
