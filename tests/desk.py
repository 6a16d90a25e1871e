"""A node's chain with mempool and submissions, on a store that outlives its crashes."""

from __future__ import annotations

from node.aside import Aside, inline
from node.chain.block import Block
from node.chain.envelope import Signed
from node.chain.errors import SafetyAlarm
from node.chain.messages import Envelope, Transaction
from node.consensus.chain import Chain
from node.consensus.mempool import Mempool
from node.consensus.searchable import SearchableCheck
from node.consensus.submissions import Submissions
from node.store.base import Store, Table
from node.store.memory import MemoryStore
from node.store.writer import InlineWriter
from node.tasks import TaskOwner
from tests.chain_world import ATTESTERS, PRODUCERS, ClaimPlan, ScriptedDesigns, World


class Desk:
    """A node's chain, mempool and submissions on a store that outlives it."""

    def __init__(self, world: World, store: Store | None = None, aside: Aside = inline) -> None:
        self.world = world
        self.aside = aside
        self.store = store or MemoryStore()
        self.sent: list[Envelope] = []
        self.start()

    def start(self) -> None:
        """As after a crash: only the store is left."""
        writer = InlineWriter(self.store)
        self.chain = Chain(
            self.world.network,
            ScriptedDesigns(),
            self.store,
            writer,
            TaskOwner(),
            self.aside,
            _raise,
        )
        self.mempool = Mempool()
        self.sent.clear()
        self.submissions = Submissions(
            self.chain,
            self.mempool,
            self.store,
            writer,
            SearchableCheck(self.chain, self.mempool, inline),
            self.sent.append,
        )

    async def submit(self, *transactions: Signed[Transaction]) -> None:
        for signed in transactions:
            assert await self.submissions.submit(signed.envelope) == signed

    async def mine(self, *transactions: Signed[Transaction], fork: bytes | None = None) -> Block:
        """A block that carries these, and the votes of all attesters for its parent."""
        parent = self.chain.tree.head().id if fork is None else fork
        number = self.world.tree.head().state.round + 1
        voters = ATTESTERS if parent != self.world.genesis else []
        votes = self.world.votes(parent, voters)
        plan = ClaimPlan(producer=PRODUCERS[1], votes=votes, transactions=transactions)
        block = self.world.add(self.world.claim_block(parent, number, plan))
        await self.chain.adopt(block, self.chain.apply(block))
        return block

    @property
    def kept(self) -> int:
        return len(list(self.store.scan(Table.SUBMITTED)))


def _raise(alarm: SafetyAlarm) -> None:
    raise alarm
