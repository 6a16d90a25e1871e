"""What the chain knows after a block, and the hash that pins it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from node.chain.genesis import Network
from node.chain.hashing import blake, u64
from node.chain.messages import MAX_ATTESTERS

VOTE_WINDOW = 32
"""Blocks back for which a body may still include votes."""


class Checkpoint(NamedTuple):
    """A block by round and id; orders by round."""

    round: int
    id: bytes


class Account(NamedTuple):
    """Balance in base units; `nonce` is the number of transfers made."""

    balance: int = 0
    nonce: int = 0


@dataclass(frozen=True)
class Ancestor:
    """A recent block with what its votes need.

    `source` is the checkpoint justified in its state, `voters` has bit i set once the
    vote of the i-th attester for it is in a body.
    """

    block: Checkpoint
    source: Checkpoint
    voters: int = 0


@dataclass(frozen=True)
class State:
    """Everything a block is judged against; `issued` counts base units since genesis.

    `ancestors` are the last `VOTE_WINDOW` blocks before this one, oldest first.
    """

    round: int
    height: int
    beacon: bytes
    accounts: Mapping[bytes, Account]
    issued: int
    justified: Checkpoint
    ancestors: tuple[Ancestor, ...]


def genesis_state(network: Network) -> State:
    """State of round 0: the endowments, and genesis itself justified."""
    accounts = {row.address: Account(row.balance) for row in network.accounts}
    return State(
        round=0,
        height=0,
        beacon=blake("ponas/genesis-beacon", network.id),
        accounts=MappingProxyType(accounts),
        issued=0,
        justified=Checkpoint(0, network.genesis_id),
        ancestors=(),
    )


def compute_root(state: State) -> bytes:
    """Hash of a state; accounts ascend by address."""
    accounts = (
        address + u64(account.balance) + u64(account.nonce)
        for address, account in sorted(state.accounts.items())
    )
    ancestors = (
        _checkpoint_bytes(ancestor.block)
        + _checkpoint_bytes(ancestor.source)
        + ancestor.voters.to_bytes(MAX_ATTESTERS // 8, "little")
        for ancestor in state.ancestors
    )
    return blake(
        "ponas/state",
        u64(state.round),
        u64(state.height),
        state.beacon,
        blake("ponas/accounts", *accounts),
        u64(state.issued),
        _checkpoint_bytes(state.justified),
        blake("ponas/ancestors", *ancestors),
    )


def _checkpoint_bytes(checkpoint: Checkpoint) -> bytes:
    return u64(checkpoint.round) + checkpoint.id
