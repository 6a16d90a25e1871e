"""Views of accounts and what happened to them, one class per message of query_service.proto."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from node.chain.messages import Envelope


@dataclass(frozen=True)
class AccountProofView:
    block: bytes
    round: int
    final: bool
    root_parts: Sequence[bytes]
    siblings: Sequence[bytes]
    other_key: bytes
    other_record: bytes


@dataclass(frozen=True)
class AccountView:
    address: str
    balance: int
    nonce: int
    proof: AccountProofView
    next_nonce: int
    faucet_era: int


@dataclass(frozen=True)
class EntryView:
    height: int
    round: int
    final: bool
    block: bytes
    kind: str
    amount: int
    fee: int
    other: str
    transaction: bytes


@dataclass(frozen=True)
class HistoryView:
    entries: Sequence[EntryView]
    next: int


@dataclass(frozen=True)
class UnbondingView:
    amount: int
    release_era: int


@dataclass(frozen=True)
class BondView:
    kind: str
    identity: str
    owner: str
    amount: int
    unbonding: Sequence[UnbondingView]
    weight: int
    next_weight: int


@dataclass(frozen=True)
class BondsView:
    era: int
    bonds: Sequence[BondView]


@dataclass(frozen=True)
class SubmittedView:
    id: bytes
    reason: str
    detail: str


class Ledger(Protocol):
    """What the query service asks of a node about money; each method may raise a `QueryError`."""

    def account(self, address: str, block: bytes | None) -> AccountView:
        """An account in the state of a block, or of the head; with a proof of it."""
        ...

    def bonds(self, address: str) -> BondsView:
        """The bonds of an identity, and those that the account owns, after the head."""
        ...

    async def history(self, address: str, below: int) -> HistoryView:
        """What blocks below a height did to an account, newest first; 0 starts at the head."""
        ...

    async def submit(self, envelope: Envelope) -> SubmittedView:
        """Take a transaction in for good, or say why not."""
        ...
