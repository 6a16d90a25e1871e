"""What a node is made of: who it is, and the world around it."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from nas.jobs import Executor
from node.aside import Aside
from node.chain.bonds import BondKind
from node.chain.genesis import Network
from node.chain.state import Checkpoint
from node.clock import Clock
from node.config import Role
from node.identity import Identity
from node.net.link import Transport
from node.publishing.policy import MINES_FOR_ALL, PublisherPolicy
from node.publishing.shelf import Shelf
from node.store.base import Store
from node.store.writer import Writer
from pool.partition.base import PartitionKind
from pool.records.strengths import Strength


@dataclass(frozen=True)
class Setup:
    """Who the node is and whom it talks to.

    `pools` are the addresses of a miner's managers, best first. A miner with none mines solo; one
    with a unit of its own does so while none of its pools can be reached. A manager keeps
    `pool_fee` thousandths of a reward. A node that `discovers` dials others than its `peers` too.
    `checkpoint` is a final block on its operator's word. `publishers` says whose tasks it mines.
    One that `prunes` drops old blocks.
    """

    role: Role
    network: Network
    identity: Identity
    payout_address: bytes
    peers: Sequence[str] = ()
    pools: Sequence[str] = ()
    strength: Strength = Strength.AUTO
    partition: PartitionKind = PartitionKind.ALGORITHM1
    pool_fee: int = 0
    workers: int = 1
    discovers: bool = True
    checkpoint: Checkpoint | None = None
    publishers: PublisherPolicy = MINES_FOR_ALL
    prunes: bool = False


@dataclass(frozen=True)
class Surroundings:
    """The node's outside.

    `counter` evaluates models, `trainer` trains them, `auditing` does a manager's audits on a CPU;
    None where the role does none of it. `shelf` keeps images of published tasks.
    `aside` does what would hold up the event loop.
    `rng` must be unpredictable on a real network: it draws salts and nonces.
    """

    clock: Clock
    transport: Transport
    store: Store
    writer: Writer
    counter: Executor | None
    auditing: Executor | None
    trainer: Executor | None
    shelf: Shelf
    aside: Aside
    rng: random.Random


def mines_solo(setup: Setup) -> bool:
    """Whether a node's miner works for itself: always, or while its pools can't be reached."""
    if setup.role is not Role.MINER:
        return False
    own = setup.identity.public_key
    return not setup.pools or setup.network.has_first_bond(BondKind.PRODUCE, own)
