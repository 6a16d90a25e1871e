"""Where a network begins: parameters, first bonds and first accounts.

A network file is the JSON form of `Network`; its id covers everything in it, so two
nodes with one differing number never talk past each other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from node.chain.bonds import BondKind
from node.chain.errors import NetworkError
from node.chain.hashing import HASH_BYTES, MAX_INT, blake
from node.chain.jsonform import from_json, to_json
from node.chain.params import DEVNET, Parameters

RESERVED_FEES = 100
MAX_GENESIS_TIME_MS = 2**48
"""Keeps the times of rounds far below 2**63."""


class FirstBond(NamedTuple):
    """Base units that stand for an identity from the start; `owner` may unbond them."""

    kind: int
    identity: bytes
    owner: bytes
    amount: int


class Endowment(NamedTuple):
    """Base units that an account holds from the start."""

    address: bytes
    balance: int


@dataclass(frozen=True)
class Network:
    """Everything that two nodes must share to be on one chain.

    Bonds ascend by kind and identity, accounts by address. `genesis_time_ms` is Unix time;
    round r starts r rounds after it.
    """

    parameters: Parameters
    genesis_time_ms: int
    bonds: tuple[FirstBond, ...]
    accounts: tuple[Endowment, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.genesis_time_ms <= MAX_GENESIS_TIME_MS:
            raise NetworkError(f"genesis_time_ms: from 0 to {MAX_GENESIS_TIME_MS}")
        if any(row.kind not in set(BondKind) for row in self.bonds):
            raise NetworkError("bonds: kinds are 1 (attest) and 2 (produce)")
        if any(row.amount < self.parameters.unit_bond for row in self.bonds):
            raise NetworkError(f"bonds: amounts must be {self.parameters.unit_bond} at least")
        if any(len(row.owner) != HASH_BYTES for row in self.bonds):
            raise NetworkError(f"bonds: owners have {HASH_BYTES} bytes")
        _check_keys("bonds", [(bytes((row.kind,)), row.identity) for row in self.bonds])
        _check_keys("accounts", [(b"", row.address) for row in self.accounts])
        deposit = self.parameters.account_deposit
        if any(row.balance < deposit for row in self.accounts):
            raise NetworkError(f"accounts: a balance must be at least the deposit of {deposit}")
        if self.supply > MAX_INT:
            raise NetworkError("bonds and accounts: the sum must stay below 2**63")

    @cached_property
    def id(self) -> bytes:
        """Hash over the network file without upgrades and spaces, names sorted."""
        members = to_json(self)
        del members["parameters"]["upgrades"]
        text = json.dumps(members, sort_keys=True, separators=(",", ":"))
        return blake("ponas/network", text.encode())

    @cached_property
    def genesis_id(self) -> bytes:
        """Id of the block of round 0, which nobody signs."""
        return blake("ponas/genesis", self.id)

    @cached_property
    def supply(self) -> int:
        """Base units that exist from the start."""
        return sum(row.amount for row in self.bonds) + sum(row.balance for row in self.accounts)

    def has_first_bond(self, kind: BondKind, identity: bytes) -> bool:
        """Whether an identity is bonded from the start."""
        return any((row.kind, row.identity) == (kind, identity) for row in self.bonds)


def first_bonds(
    parameters: Parameters, attesters: Mapping[bytes, int], producers: Mapping[bytes, int]
) -> tuple[FirstBond, ...]:
    """Bonds of so many units each, owned by their identities.

    A producer's bond holds the fees of `RESERVED_FEES` commitments beside its units, as it may
    have no coins yet to pay them with.
    """
    unit, reserve = parameters.unit_bond, RESERVED_FEES * parameters.unit_fee
    return (
        *(FirstBond(BondKind.ATTEST, key, key, attesters[key] * unit) for key in sorted(attesters)),
        *(
            FirstBond(BondKind.PRODUCE, key, key, producers[key] * unit + reserve)
            for key in sorted(producers)
        ),
    )


def network_to_json(network: Network) -> str:
    """Return the text of a network file."""
    return json.dumps(to_json(network), indent=2) + "\n"


def network_from_json(text: str) -> Network:
    """Read a network file. Raises NetworkError with a sentence that names the field."""
    try:
        members: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NetworkError(f"the network file is not JSON: {error}") from error
    network: Network = from_json(Network, members, "")
    return network


def _check_keys(name: str, keys: Sequence[tuple[bytes, bytes]]) -> None:
    if any(len(key) != HASH_BYTES for _, key in keys):
        raise NetworkError(f"{name}: keys have {HASH_BYTES} bytes")
    if list(keys) != sorted(set(keys)):
        raise NetworkError(f"{name}: keys must ascend, each once")


DEVNET_GENESIS = Network(
    parameters=DEVNET,
    genesis_time_ms=1_767_225_600_000,  # 2026-01-01T00:00:00Z
    bonds=(),
    accounts=(),
)
"""What the name `devnet` means: nobody attests, but a lone node has a chain to serve."""
