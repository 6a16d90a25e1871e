"""Putting base units at stake."""

from __future__ import annotations

from dataclasses import replace

from node.chain.bonds import Bond, BondKey, BondKind
from node.chain.context import RoundContext
from node.chain.draft import Draft
from node.chain.envelope import Signed
from node.chain.errors import InvalidBlock, Reason
from node.chain.messages import AddBond


def apply(draft: Draft, context: RoundContext, signed: Signed[AddBond]) -> None:
    """Raises InvalidBlock: BOND_KIND, BOND_OWNER, BOND_AMOUNT, BALANCE."""
    message, key = signed.message, bond_key(signed.message.kind, signed.signer)
    # 1. Who owns a bond stays its owner.
    bond = draft.bond(key) or Bond(message.owner, 0)
    if bond.owner != message.owner:
        raise InvalidBlock(Reason.BOND_OWNER, "the bond has another owner")
    # 2. Dust buys no seat and no turn.
    amount, least = bond.amount + message.amount, context.network.parameters.unit_bond
    if message.amount == 0 or amount < least:
        raise InvalidBlock(Reason.BOND_AMOUNT, f"a bond of {amount}, at least {least} is due")
    draft.debit(signed.signer, message.amount)
    # Whoever pays in is back, and may have a seat again.
    draft.put_bond(key, replace(bond, amount=amount, absent_eras=0))


def bond_key(kind: int, identity: bytes) -> BondKey:
    """Whose bond of which kind. Raises InvalidBlock(BOND_KIND)."""
    if kind not in set(BondKind):
        raise InvalidBlock(Reason.BOND_KIND, f"there are no bonds of kind {kind}")
    return BondKey(BondKind(kind), identity)
