"""Getting back what is at stake, after the eras in which it can still be taken."""

from __future__ import annotations

from node.chain.bonds import UNBOND_ERAS, unbond
from node.chain.context import RoundContext
from node.chain.draft import Draft
from node.chain.envelope import Signed
from node.chain.errors import InvalidBlock, Reason
from node.chain.messages import Unbond
from node.chain.transactions.bond import bond_key


def apply(draft: Draft, context: RoundContext, signed: Signed[Unbond]) -> None:
    """Raises InvalidBlock: BOND_KIND, BOND_OWNER, BOND_AMOUNT."""
    message = signed.message
    key = bond_key(message.kind, message.identity)
    # 1. The signer owns it.
    bond = draft.bond(key)
    if bond is None or bond.owner != signed.signer:
        raise InvalidBlock(Reason.BOND_OWNER, "the signer owns no such bond")
    # 2. The bond holds it, and what stays is no dust.
    rest, least = bond.amount - message.amount, context.network.parameters.unit_bond
    if message.amount == 0 or rest < 0 or 0 < rest < least:
        raise InvalidBlock(
            Reason.BOND_AMOUNT,
            f"{message.amount} of {bond.amount}, of which {least} must stay or nothing",
        )
    # This era counts for nothing: it may be over at once.
    draft.put_bond(key, unbond(bond, message.amount, draft.eras.era + 1 + UNBOND_ERAS))
