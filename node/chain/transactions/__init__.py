"""Transactions: what is common to all kinds, and one module for each kind.

Fee and nonce are dealt with here, around a kind's own `apply`, which takes the rest of the rules
and the effect. `TRANSACTIONS` in `node.chain.messages` says which kinds there are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from node.chain.codec import encode
from node.chain.context import RoundContext
from node.chain.draft import Draft
from node.chain.envelope import Signed
from node.chain.errors import InvalidBlock, Reason, as_invalid_block
from node.chain.messages import AddBond, Evidence, Faucet, Transaction, Transfer, Unbond
from node.chain.params import Parameters
from node.chain.published.terms import Cancel, Publish, Rebond
from node.chain.transactions import bond, evidence, faucet, publish, transfer, unbond

Apply = Callable[[Draft, RoundContext, Signed[Any]], None]
APPLY: dict[type[Transaction], Apply] = {
    Transfer: transfer.apply,
    Faucet: faucet.apply,
    Publish: publish.apply,
    Cancel: publish.apply_cancel,
    Rebond: publish.apply_rebond,
    AddBond: bond.apply,
    Unbond: unbond.apply,
    Evidence: evidence.apply,
}
"""The rules of each kind: `apply` raises Rejected, and may have changed the draft by then."""


def apply_transaction(draft: Draft, context: RoundContext, signed: Signed[Transaction]) -> None:
    """Apply a transaction. Raises InvalidBlock and changes nothing if a rule is broken."""
    message, payer = signed.message, signed.signer
    # 1. The block space is paid for.
    least = compute_least_fee(context.network.parameters, signed)
    if message.fee < least:
        raise InvalidBlock(Reason.FEE, f"a fee of {message.fee}, at least {least} is due")
    # 2. It is the payer's next transaction, so that none is replayed.
    expected = draft.account(payer).nonce
    if message.nonce != expected:
        raise InvalidBlock(Reason.NONCE, f"nonce {message.nonce}, the account is at {expected}")
    # 3. The kind's own rules, and then the payer still holds the fee.
    with as_invalid_block(), draft.attempt():
        APPLY[type(message)](draft, context, signed)
        draft.charge(payer, message.fee)
        draft.count_transaction(payer)


def compute_least_fee(parameters: Parameters, signed: Signed[Transaction]) -> int:
    """Base units that a transaction has to offer for its bytes."""
    return parameters.fee_per_byte * transaction_size(signed)


def compute_fee_rate(signed: Signed[Transaction]) -> int:
    """What a transaction offers for 2**20 bytes, rounded down: who offers more goes first."""
    return (signed.message.fee << 20) // transaction_size(signed)


def transaction_size(signed: Signed[Transaction]) -> int:
    """Bytes of the canonical envelope."""
    return len(encode(signed.envelope))
