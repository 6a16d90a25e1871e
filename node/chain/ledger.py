"""Accounts and transfers; value is moved or issued, never lost."""

from __future__ import annotations

from collections.abc import Mapping

from node.chain.envelope import Signed
from node.chain.errors import InvalidBlock, Reason
from node.chain.messages import Transfer
from node.chain.state import Account

Accounts = dict[bytes, Account]


def apply_transfer(accounts: Accounts, transfer: Signed[Transfer]) -> None:
    """Move the amount in place. Raises InvalidBlock and changes nothing if a rule is broken."""
    message, payer = transfer.message, accounts.get(transfer.signer, Account())
    # 1. Something is moved.
    if message.amount == 0:
        raise InvalidBlock(Reason.TRANSFER_AMOUNT, "a transfer of nothing")
    # 2. It is the payer's next transfer, so that none is replayed.
    if message.nonce != payer.nonce:
        raise InvalidBlock(
            Reason.TRANSFER_NONCE, f"nonce {message.nonce}, the account is at {payer.nonce}"
        )
    # 3. The payer holds it.
    if message.amount > payer.balance:
        raise InvalidBlock(
            Reason.TRANSFER_BALANCE, f"moves {message.amount} of a balance of {payer.balance}"
        )
    accounts[transfer.signer] = Account(payer.balance - message.amount, payer.nonce + 1)
    credit(accounts, {message.recipient: message.amount})


def credit(accounts: Accounts, amounts: Mapping[bytes, int]) -> None:
    """Add base units to accounts in place; an account begins with its first credit."""
    for address, amount in amounts.items():
        account = accounts.get(address, Account())
        accounts[address] = account._replace(balance=account.balance + amount)
