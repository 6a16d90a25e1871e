"""The working copy of a state while a block is applied to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from node.chain.bonds import Bond, BondKey
from node.chain.errors import InvalidBlock, Reason, Rejected
from node.chain.messages import MAX_TRANSACTIONS
from node.chain.movements import Movement, MovementKind
from node.chain.state import TABLES, Account, State


class Draft:
    """Moves value between accounts, and in and out of them, with exact totals.

    Tables are immutable, so a rule of another kind assigns the changed one:
    `draft.accounts = draft.accounts.set(...)`. What is debited must be credited, burnt or put into
    a record, and the other way round. `fees` is what the block's signer earns of fees,
    `false_claims` the pieces of evidence so far for which the block's voters have to count, `moved`
    what people will ask about.
    """

    def __init__(self, state: State, round_number: int) -> None:
        self.round = round_number
        self.issued = state.issued
        self.burnt = state.burnt
        self.fees = 0
        self.false_claims = 0
        self.moved: tuple[Movement, ...] = ()
        self.eras = state.eras.enter(round_number)
        self.accounts = state.accounts
        self.bonds = state.bonds
        self.seals = state.seals
        self.tasks = state.tasks
        self.punished = state.punished
        self._state = state
        # Grows only: an account too many in it is looked at in vain.
        self._touched: set[bytes] = set()

    def debit(self, address: bytes, amount: int) -> None:
        """Take base units out of an account. Raises InvalidBlock(BALANCE)."""
        account = self.account(address)
        if amount > account.balance:
            raise InvalidBlock(Reason.BALANCE, f"takes {amount} of a balance of {account.balance}")
        self._set(address, replace(account, balance=account.balance - amount))

    def credit(self, address: bytes, amount: int) -> None:
        """Put base units into an account, which begins with its first credit."""
        account = self.accounts.get(address) or Account(nonce=first_nonce(self.round))
        self._set(address, replace(account, balance=account.balance + amount))

    def give(self, kind: MovementKind, address: bytes, amount: int) -> None:
        """Credit base units whose way to the account the body does not show."""
        if amount:
            self.credit(address, amount)
            self.note(kind, address, amount)

    def note(self, kind: MovementKind, address: bytes, amount: int) -> None:
        """Remember for people what was done to an account."""
        if amount:
            self.moved += (Movement(kind, address, amount),)

    def issue(self, address: bytes, amount: int) -> None:
        """Credit base units that did not exist before."""
        self.issued += amount
        self.credit(address, amount)

    def burn(self, amount: int) -> None:
        """Count base units, which were debited before, as gone for good."""
        self.burnt += amount

    def charge(self, address: bytes, fee: int) -> None:
        """Debit a fee: half is burnt, half is the signer's. Raises InvalidBlock(BALANCE)."""
        self.debit(address, fee)
        self.share_fee(fee)

    def share_fee(self, fee: int) -> None:
        """Share out a fee that was taken: half for the signer, half burnt."""
        self.fees += fee // 2
        self.burn(fee - fee // 2)

    def pay_fees(self, signer: bytes) -> None:
        """Credit the signer of the block with its part of the fees charged so far."""
        self.give(MovementKind.FEES, signer, self.fees)
        self.fees = 0

    def account(self, address: bytes) -> Account:
        """The account of an address; an empty one if it has none."""
        return self.accounts.get(address) or Account()

    def bond(self, key: BondKey) -> Bond | None:
        """The bond of an identity, or None if nothing is in it."""
        return self.bonds.get(key.to_bytes())

    def put_bond(self, key: BondKey, bond: Bond) -> None:
        """Put a changed bond in its place; one that holds nothing any more leaves the state."""
        name = key.to_bytes()
        self.bonds = self.bonds.set(name, bond) if bond.held else self.bonds.delete(name)

    def count_transaction(self, address: bytes) -> None:
        """Move an account on to its next nonce."""
        account = self.account(address)
        self._set(address, replace(account, nonce=account.nonce + 1))

    def sweep(self, deposit: int) -> None:
        """Burn and remove the accounts that this block left with less than the deposit.

        Once, at the end: were an account to come back within a block, its nonces would too.
        """
        for address in self._touched:
            account = self.accounts.get(address)
            if account is not None and account.balance < deposit:
                self.burn(account.balance)
                self.note(MovementKind.SWEPT, address, account.balance)
                self.accounts = self.accounts.delete(address)

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Undo everything done inside if a rule is broken there."""
        before = vars(self).copy()
        try:
            yield
        except Rejected:
            vars(self).update(before)
            raise

    def finish(self, **changes: Any) -> State:
        """The state with all that was done, and these other fields changed."""
        tables = {name: getattr(self, name) for name in TABLES}
        return replace(
            self._state,
            issued=self.issued,
            burnt=self.burnt,
            eras=self.eras,
            moved=self.moved,
            **tables,
            **changes,
        )

    def _set(self, address: bytes, account: Account) -> None:
        self._touched.add(address)
        self.accounts = self.accounts.set(address, account)


def first_nonce(round_number: int) -> int:
    """Nonce that an account begins with in a round.

    Above all that an account of the same address, gone in an earlier round, can have used: a block
    has fewer transactions than lie between two rounds. So nothing is ever replayed.
    """
    return round_number * MAX_TRANSACTIONS
