"""Where a network begins: parameters, attesters, units and first accounts.

A network file is the JSON form of `Network`; its id covers everything in it, so two
nodes with one differing number never talk past each other.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from node.chain.errors import NetworkError
from node.chain.hashing import HASH_BYTES, MAX_INT, blake
from node.chain.jsonform import from_json, to_json
from node.chain.messages import MAX_ATTESTERS
from node.chain.params import DEVNET, Parameters


class Attester(NamedTuple):
    """A key that signs lists and votes, and what its signature weighs."""

    public_key: bytes
    weight: int


class Producer(NamedTuple):
    """A key that may commit `units` models in a round."""

    public_key: bytes
    units: int


class Endowment(NamedTuple):
    """Base units that an account holds from the start."""

    address: bytes
    balance: int


@dataclass(frozen=True)
class Network:
    """Everything that two nodes must share to be on one chain.

    Each tuple ascends by key. `genesis_time_ms` is Unix time; round r starts
    r rounds after it.
    """

    parameters: Parameters
    genesis_time_ms: int
    attesters: tuple[Attester, ...]
    units: tuple[Producer, ...]
    accounts: tuple[Endowment, ...]

    def __post_init__(self) -> None:
        _check_table("attesters", self.attesters, most=MAX_INT)
        _check_table("units", self.units, most=self.parameters.max_units)
        _check_table("accounts", self.accounts, most=MAX_INT)
        deposit = self.parameters.account_deposit
        if any(row.balance < deposit for row in self.accounts):
            raise NetworkError(f"accounts: a balance must be at least the deposit of {deposit}")
        if len(self.attesters) > MAX_ATTESTERS:
            raise NetworkError(f"attesters: at most {MAX_ATTESTERS} seats")

    @cached_property
    def id(self) -> bytes:
        """Hash over the network file without spaces, names sorted."""
        text = json.dumps(to_json(self), sort_keys=True, separators=(",", ":"))
        return blake("ponas/network", text.encode())

    @cached_property
    def genesis_id(self) -> bytes:
        """Id of the block of round 0, which nobody signs."""
        return blake("ponas/genesis", self.id)

    @cached_property
    def weights(self) -> dict[bytes, int]:
        """Weight of each attester's signature."""
        return dict(self.attesters)


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


def _check_table(name: str, rows: Sequence[tuple[bytes, int]], most: int) -> None:
    keys = [key for key, _ in rows]
    if any(len(key) != HASH_BYTES for key in keys):
        raise NetworkError(f"{name}: keys have {HASH_BYTES} bytes")
    if keys != sorted(set(keys)):
        raise NetworkError(f"{name}: keys must ascend, each once")
    if any(not 1 <= number <= most for _, number in rows):
        raise NetworkError(f"{name}: numbers must be from 1 to {most}")
    if sum(number for _, number in rows) > MAX_INT:
        raise NetworkError(f"{name}: the sum must stay below 2**63")


DEVNET_GENESIS = Network(
    parameters=DEVNET,
    genesis_time_ms=1_767_225_600_000,  # 2026-01-01T00:00:00Z
    attesters=(),
    units=(),
    accounts=(),
)
"""What the name `devnet` means: nobody attests, but a lone node has a chain to serve."""
