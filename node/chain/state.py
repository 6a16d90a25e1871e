"""What the chain knows after a block, and the hash that pins it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple

from node.chain.bonds import Bond, BondKey, BondKind
from node.chain.codec import Uint
from node.chain.eras import NOBODY, Candidate, Eras, Seats, draw_seats
from node.chain.genesis import Network
from node.chain.hashing import blake, u64
from node.chain.movements import Movement
from node.chain.offence import Punished
from node.chain.published.record import TaskRecord
from node.chain.seals import SealChain
from node.chain.table import Table

VOTE_WINDOW = 32
"""Blocks back for which a body may still include votes."""
TABLES = ("accounts", "bonds", "seals", "tasks", "punished")
"""The tables of a state, by the names of their fields, in the order in which the root has them.

Whoever adds a table adds its field to `State` and `Draft`, and its name here."""


class Checkpoint(NamedTuple):
    """A block by round and id; orders by round."""

    round: int
    id: bytes


@dataclass(frozen=True)
class Account:
    """Balance in base units; `nonce` is that of the account's next transaction.

    `faucet_era` is 1 more than the era in which it last drew from the faucet, 0 for never.
    """

    balance: Annotated[int, Uint(1)] = 0
    nonce: Annotated[int, Uint(2)] = 0
    faucet_era: Annotated[int, Uint(3)] = 0

    @property
    def held(self) -> int:
        return self.balance


@dataclass(frozen=True)
class Ancestor:
    """A recent block with what its votes need.

    `source` is the checkpoint justified in its state, `voters` has bit i set once the
    vote of the i-th seat of its era for it is in a body.
    """

    block: Checkpoint
    source: Checkpoint
    voters: bytes = NOBODY


@dataclass(frozen=True)
class State:
    """Everything a block is judged against.

    `issued` and `burnt` count base units since genesis. `ancestors` are the last
    `VOTE_WINDOW` blocks before this one, oldest first. `moved` is told to people alone, and no
    part of the state: neither its hash nor a snapshot has it.
    """

    round: int
    height: int
    beacon: bytes
    justified: Checkpoint
    ancestors: tuple[Ancestor, ...]
    issued: int
    burnt: int
    eras: Eras
    accounts: Table[Account]
    bonds: Table[Bond]
    seals: Table[SealChain]
    tasks: Table[TaskRecord]
    punished: Table[Punished]
    moved: tuple[Movement, ...] = field(default=(), compare=False)

    def account(self, address: bytes) -> Account:
        """The account of an address; an empty one if it has none."""
        return self.accounts.get(address) or Account()

    def bond(self, key: BondKey) -> Bond | None:
        """The bond of an identity, or None if nothing is in it."""
        return self.bonds.get(key.to_bytes())


def seats_of_all(state: State, max_weight: int) -> Seats:
    """The seats of a state's bonds as they would be if nobody had been absent."""
    kind = bytes((BondKind.ATTEST,))
    bonds = ((key[1:], bond) for key, bond in state.bonds.items() if key.startswith(kind))
    return draw_seats((Candidate(key, bond.amount, 0) for key, bond in bonds), max_weight)


def genesis_state(network: Network) -> State:
    """State of round 0: the endowments, and genesis itself justified."""
    return State(
        round=0,
        height=0,
        beacon=blake("ponas/genesis-beacon", network.id),
        justified=Checkpoint(0, network.genesis_id),
        ancestors=(),
        issued=0,
        burnt=0,
        eras=_genesis_eras(network),
        accounts=Table((row.address, Account(row.balance)) for row in network.accounts),
        bonds=Table(
            (BondKey(BondKind(row.kind), row.identity).to_bytes(), Bond(row.owner, row.amount))
            for row in network.bonds
        ),
        seals=Table(),
        tasks=Table(),
        punished=Table(),
    )


def _genesis_eras(network: Network) -> Eras:
    """Genesis draws the seats of the first two eras."""
    parameters = network.parameters
    attesters = (row for row in network.bonds if row.kind == BondKind.ATTEST)
    seats = draw_seats(
        (Candidate(row.identity, row.amount, 0) for row in attesters), parameters.max_weight
    )
    return Eras(parameters.era_rounds, 0, seats, seats, 0, Seats())


def compute_held(state: State) -> int:
    """Base units in all tables; with `burnt` they are what genesis gave and `issued`."""
    tables: list[Table[Any]] = [getattr(state, name) for name in TABLES]
    return sum(record.held for table in tables for record in table.values())


def compute_root(state: State) -> bytes:
    """The hash that a header names."""
    return combine_roots(root_parts(state))


def combine_roots(parts: Sequence[bytes]) -> bytes:
    """Hash of a state whose `root_parts` are these."""
    return blake("ponas/state", *parts)


def root_parts(state: State) -> tuple[bytes, ...]:
    """Hash of all that is not in a table, then the root of each table."""
    ancestors = (
        field
        for each in state.ancestors
        for field in (_checkpoint_bytes(each.block), _checkpoint_bytes(each.source), each.voters)
    )
    head = blake(
        "ponas/state/head",
        u64(state.round),
        u64(state.height),
        state.beacon,
        _checkpoint_bytes(state.justified),
        blake("ponas/ancestors", *ancestors),
        u64(state.issued),
        u64(state.burnt),
        _eras_hash(state.eras),
    )
    return (head, *(getattr(state, name).root for name in TABLES))


def _eras_hash(eras: Eras) -> bytes:
    return blake(
        "ponas/eras",
        u64(eras.rounds),
        u64(eras.era),
        eras.current.root,
        eras.next.root,
        u64(eras.last_era),
        eras.last.root,
        eras.seen,
    )


def _checkpoint_bytes(checkpoint: Checkpoint) -> bytes:
    return u64(checkpoint.round) + checkpoint.id
