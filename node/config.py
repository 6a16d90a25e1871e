"""What an operator decides about one node. Consensus numbers are not here but in the network."""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from node.chain.errors import NetworkError
from node.chain.genesis import DEVNET_GENESIS, Network, network_from_json
from node.chain.state import Checkpoint
from node.endpoint import Endpoint
from node.errors import ConfigError, SettingError
from node.log import LogFormat, LogLevel
from node.publishing.policy import PublisherPolicy
from pool.partition.base import PartitionKind
from pool.records.strengths import Strength

_DEVICE = re.compile(r"auto|cpu|cuda(:(0|[1-9][0-9]{0,2}))?")
_NAMED_NETWORKS = {DEVNET_GENESIS.parameters.name: DEVNET_GENESIS}
_LARGEST_NETWORK_FILE_BYTES = 16 * 1024 * 1024


class Role(StrEnum):
    """What a node does beside following the chain."""

    FULL = "full"
    MANAGER = "manager"
    MINER = "miner"


@dataclass(frozen=True, slots=True)
class Config:
    """A node's settings, checked when made.

    `pools` are a miner's managers, best first; a miner without one mines solo. `payout_address` is
    a public key of 32 bytes; None pays to the node's own. `partition` is how a manager splits the
    space, `pool_fee` the thousandths of a reward that it keeps. `workers` is the number of
    processes that train and evaluate, on `device`: auto, cpu, cuda or cuda:N. With `no_discovery` a
    node dials its `peers` alone and tells nobody where it listens. `checkpoint` is a final block on
    the operator's word. `publishers` says whose published tasks it mines. With `prune` a node drops
    old blocks.

    Raises:
        SettingError: two settings contradict each other.
    """

    role: Role
    network: Network
    data_dir: Path
    listen: Endpoint
    peers: tuple[Endpoint, ...]
    pools: tuple[Endpoint, ...]
    strength: Strength
    partition: PartitionKind
    pool_fee: int
    payout_address: bytes | None
    workers: int
    device: str
    log_format: LogFormat
    log_level: LogLevel
    insecure_plaintext: bool
    no_discovery: bool
    checkpoint: Checkpoint | None
    publishers: PublisherPolicy
    prune: bool

    def __post_init__(self) -> None:
        if self.pools and self.role is not Role.MINER:
            raise SettingError(f"--pool is for --role miner; a {self.role} node joins no pool")
        if self.strength is not Strength.AUTO and self.role is not Role.MINER:
            raise SettingError(f"--strength is for --role miner; a {self.role} node does not mine")
        if self.partition is not PartitionKind.ALGORITHM1 and self.role is not Role.MANAGER:
            raise SettingError(f"--partition is for --role manager; a {self.role} node has no pool")
        if self.pool_fee and self.role is not Role.MANAGER:
            raise SettingError(f"--pool-fee is for --role manager; a {self.role} node has no pool")
        if self.publishers != PublisherPolicy() and self.role is Role.FULL:
            raise SettingError("--publisher is for nodes that mine; a full node does not")
        if not self.listen.is_loopback and not self.insecure_plaintext:
            raise SettingError(
                f"--listen {self.listen} can be reached from other machines and links are not "
                "encrypted; add --insecure-plaintext to accept that, or listen on 127.0.0.1"
            )


def parse_device(text: str) -> str:
    """A value of `--device`, unchanged.

    Raises:
        ValueError: it is none; whether the machine has the device shows only when it is used.
    """
    if not _DEVICE.fullmatch(text):
        raise ValueError(f"{text!r} is not auto, cpu, cuda or cuda:N")
    return text


def load_network(name_or_path: str) -> Network:
    """The built-in network of that name, or the one in that network file.

    Raises:
        ConfigError: no such network or file, or the file is not a network file.
    """
    if (built_in := _NAMED_NETWORKS.get(name_or_path)) is not None:
        return built_in
    path = Path(name_or_path).expanduser()
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_NETWORK_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"--network {name_or_path} is neither a network file ({error.strerror}) nor one of "
            f"the built-in networks: {', '.join(sorted(_NAMED_NETWORKS))}"
        ) from error
    if len(data) > _LARGEST_NETWORK_FILE_BYTES:
        raise ConfigError(f"network file {path} is larger than a network file can be")
    try:
        return network_from_json(data.decode())
    except (NetworkError, UnicodeDecodeError) as error:
        raise ConfigError(f"network file {path} can't be used: {error}") from error
