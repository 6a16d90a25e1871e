"""Who takes part in a demo: nodes, files, genesis and command lines."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from node.chain.genesis import Network, first_bonds
from node.chain.params import Parameters
from node.config import Role
from node.folder import DataFolder
from pool.records.strengths import Strength

# Six nodes must start and their workers load PyTorch, on two slow cores. The round of genesis,
# which nobody mines, passes meanwhile.
STARTUP_MS = 20_000

# `ponas-node` of this very installation, wherever its script may lie.
NODE_PROGRAM = (sys.executable, "-c", "from node.cli.daemon import main; main()")


@dataclass(frozen=True)
class Member:
    """One node of the demo; only miners declare a strength."""

    name: str
    role: Role
    strength: Strength = Strength.AUTO


FIRST = Member("full-1", Role.FULL)
MANAGER = Member("manager", Role.MANAGER)
MINERS = (
    Member("strong-1", Role.MINER, Strength.STRONG),
    Member("strong-2", Role.MINER, Strength.STRONG),
    Member("weak", Role.MINER, Strength.WEAK),
)
# Each group dials nodes of the groups before it.
START_ORDER = ((FIRST,), (Member("full-2", Role.FULL), MANAGER), MINERS)
MEMBERS = tuple(member for group in START_ORDER for member in group)


def data_folder(root: Path, member: Member) -> DataFolder:
    """Where a node keeps its files."""
    return DataFolder(root / member.name)


def log_file(root: Path, member: Member) -> Path:
    """What a node prints."""
    return data_folder(root, member).path / "node.log"


def network_file(root: Path) -> Path:
    """The genesis that all nodes are started with."""
    return root / "network.json"


def make_network(parameters: Parameters, public_keys: Mapping[str, bytes], now_ms: int) -> Network:
    """A genesis whose round 1 starts `STARTUP_MS` after `now_ms`; keys are by node name.

    The full nodes attest with equal weight, so both must vote. Manager and miners have a unit
    each to back a commitment. Nobody holds coins beside these bonds. Units cost no fee, so that
    each account holds just what blocks have paid to it.
    """
    parameters = replace(parameters, unit_fee=0)
    return Network(
        parameters=parameters,
        genesis_time_ms=now_ms + STARTUP_MS - parameters.timing.round_ms,
        bonds=first_bonds(
            parameters,
            attesters={public_keys[m.name]: 1 for m in MEMBERS if m.role is Role.FULL},
            producers={public_keys[m.name]: 1 for m in MEMBERS if m.role is not Role.FULL},
        ),
        accounts=(),
    )


def options(member: Member, root: Path, addresses: Mapping[str, str]) -> Sequence[str]:
    """A node's command line; `addresses` are HOST:PORT by name, of the groups before it."""
    words = [
        *("--role", member.role),
        *("--network", str(network_file(root))),
        *("--data-dir", str(data_folder(root, member).path)),
        *("--listen", "127.0.0.1:0"),
    ]
    if member is not FIRST:
        words += ["--peer", addresses[FIRST.name]]
    if member.role is Role.MINER:
        words += ["--pool", addresses[MANAGER.name], "--strength", member.strength]
    return words
