"""Showing an account to somebody who knows nothing but a state root."""

from __future__ import annotations

from dataclasses import dataclass

from node.chain.codec import encode
from node.chain.hashing import HASH_BYTES
from node.chain.state import TABLES, Account, State, combine_roots, root_parts
from node.chain.table import TableProof, verify_proof

_PARTS = 1 + len(TABLES)
_ACCOUNTS = 1 + TABLES.index("accounts")


@dataclass(frozen=True)
class AccountProof:
    """What the state root is the hash of, and the way from the root of the accounts down."""

    root_parts: tuple[bytes, ...]
    way: TableProof


def prove_account(state: State, address: bytes) -> AccountProof:
    """Proof of an account in a state, or that the address has none."""
    return AccountProof(root_parts(state), state.accounts.prove(address))


def verify_account(
    state_root: bytes, address: bytes, account: Account | None, proof: AccountProof
) -> bool:
    """Whether the state has exactly this account, or none if None. Never raises."""
    parts = proof.root_parts
    if len(parts) != _PARTS or any(len(part) != HASH_BYTES for part in parts):
        return False
    if combine_roots(parts) != state_root:
        return False
    record = None if account is None else encode(account)
    return verify_proof(parts[_ACCOUNTS], address, record, proof.way)
