"""One node out of its parts, by role; everything that touches the outside is passed in."""

import asyncio
from collections.abc import Sequence

from node.chain.envelope import Signed
from node.chain.errors import SafetyAlarm
from node.chain.messages import Commit, Envelope
from node.chain.params import version_at
from node.chain.timing import phase_at
from node.config import Role
from node.consensus.attester import Attester
from node.consensus.blobs import Blobs
from node.consensus.book import Rounds
from node.consensus.bootstrap import Bootstrap, check_trust
from node.consensus.chain import Chain
from node.consensus.clockwork import Clockwork
from node.consensus.counter import Counter
from node.consensus.designs import NasDesigns
from node.consensus.dissent import Dissent
from node.consensus.gossip import ChainGate
from node.consensus.history import Historian
from node.consensus.importer import Importer
from node.consensus.informer import Informer
from node.consensus.intake import Intake
from node.consensus.keyholder import KeyHolder
from node.consensus.mempool import Mempool
from node.consensus.producer import Producer
from node.consensus.sealer import Sealer
from node.consensus.searchable import SearchableCheck
from node.consensus.signed_before import SignedBefore
from node.consensus.submissions import Submissions
from node.consensus.validator import Validator
from node.errors import ConfigError, NodeError
from node.inspection.ledger import ChainLedger
from node.inspection.listings import ChainListings
from node.inspection.proofs import ShelfProofs
from node.inspection.status import NodeViews
from node.inspection.tasks import ChainTasks
from node.mining import Mining
from node.net.link import ManagerLink, PeerLink
from node.net.peers import PeerNet
from node.publishing.library import TaskLibrary
from node.readiness import Readiness
from node.setup import Setup, Surroundings
from node.tasks import TaskOwner
from pool.miner.miner import Miner
from pool.proofs.shelf import PageShelf, ReceiptShelf

# Peers asked for blocks when others are ahead: some may be as far behind as this node.
_ASKED_AT_A_GAP = 3


class Node:
    """A full node, a manager, a pool's miner or a solo miner.

    | role            | walks claims, attests if seated | runs a pool, produces | trains |
    |-----------------|---------------------------------|-----------------------|--------|
    | full            | yes                             | no                    | no     |
    | manager         | yes                             | yes                   | no     |
    | miner, in a pool| no, follows the votes           | only without its pools| yes    |
    | miner, solo     | yes                             | for itself alone      | yes    |
    """

    def __init__(self, setup: Setup, outside: Surroundings) -> None:
        self._setup = setup
        self._outside = outside
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks = TaskOwner(on_failure=self._on_failure)
        self._round_tasks = TaskOwner(on_failure=self._on_round_failure)
        self._clockwork: asyncio.Task[None] | None = None
        self._rounds, self._mempool = Rounds(), Mempool()
        self._signed_before = SignedBefore(outside.store, outside.writer)
        self._designs = NasDesigns(setup.network.parameters)
        self.chain = Chain(
            setup.network,
            self._designs,
            outside.store,
            outside.writer,
            self._tasks,
            outside.aside,
            lambda alarm: self._on_failure("chain", alarm),
            setup.identity.public_key,
        )
        self._library = TaskLibrary(outside.store, outside.writer, self._fetch, outside.shelf)
        blobs = Blobs(self.chain, self._rounds, self._designs, self._fetch, outside.clock)
        self._counter = Counter(
            self.chain, self._rounds, self._designs, self._library, blobs, outside.counter
        )
        self._importer = Importer(
            self.chain,
            self._rounds,
            self._designs,
            blobs,
            self._counter,
            outside.aside,
            outside.clock,
            judges_others=not setup.pools,
        )
        self._informer = Informer(
            setup.identity.signing_key, self.chain, self._rounds, self._mempool, self.submit
        )
        intake = Intake(
            self.chain,
            self._rounds,
            self._importer,
            outside.aside,
            outside.clock,
            self._round_tasks,
            self._ask_for_blocks,
        )
        searchable = SearchableCheck(self.chain, self._mempool, outside.aside)
        dissent = Dissent(self.chain, outside.clock)
        self._gate = ChainGate(
            self.chain,
            self._rounds,
            self._mempool,
            searchable,
            intake,
            self._informer,
            dissent,
            self._library,
            outside.clock,
            self._round_tasks,
            self._on_commit,
            lambda: self._readiness.holds_history_back(),
        )
        self.peers = PeerNet(
            network_id=setup.network.id,
            key=setup.identity.signing_key,
            handler=self._gate,
            transport=outside.transport,
            clock=outside.clock,
            rng=outside.rng,
            store=outside.store,
            writer=outside.writer,
            addresses=setup.peers,
            discovers=setup.discovers,
            rules=self._rules_near,
        )
        self._bootstrap = self._make_bootstrap()
        self._readiness = Readiness(self.chain, dissent, self.peers, self._bootstrap)
        self._submissions = Submissions(
            self.chain,
            self._mempool,
            outside.store,
            outside.writer,
            searchable,
            self.peers.offer,
        )
        self._mining = Mining(
            setup,
            outside,
            self.chain,
            self._designs,
            self._library,
            self._tasks,
            self._on_failure,
        )
        self._producer = self._make_producer()
        self.views = self._make_views()

    @property
    def miner(self) -> Miner | None:
        """The miner of this node, if it has one."""
        return self._mining.miner

    @property
    def runs_public_pool(self) -> bool:
        """Whether miners of other machines may join."""
        return self._setup.role is Role.MANAGER

    async def on_peer(self, link: PeerLink) -> None:
        """Serve a peer that connected, until its link ends."""
        await self.peers.accept(link)

    async def on_miner(self, link: ManagerLink) -> None:
        """Serve a miner that connected, until its link ends."""
        await self._mining.serve(link)

    async def run(self) -> None:
        """Take part until cancelled.

        Raises what no node can go on after: SafetyAlarm, StoreError, WrongPool, ConfigError.
        """
        self._check_trust()
        clockwork = Clockwork(
            self.chain,
            self._rounds,
            self._submissions,
            self._informer,
            self._outside.clock,
            self._round_tasks,
            Validator(self.chain, self._rounds, self._importer, self._outside.clock)
            if self._importer.can_count
            else None,
            self._make_attester(),
            self._make_sealer(),
            KeyHolder(
                self._setup.identity.signing_key,
                self._rounds,
                self._library,
                self._outside.clock,
                self.submit,
                self._readiness.why_lost,
            ),
            self._library,
            self._mining.on_duty(self._producer),
        )
        self._tasks.spawn(self.chain.backlog.run(self._outside.aside), name="backlog")
        self._tasks.spawn(self.peers.run(), name="peers")
        if self._bootstrap is not None:
            self._tasks.spawn(self._bootstrap.run(), name="bootstrap")
        self._tasks.spawn(self._make_historian().run(), name="history")
        self._clockwork = self._tasks.spawn(clockwork.run(), name="clockwork")
        self._mining.start()
        await self._failure

    def _check_trust(self) -> None:
        checkpoint, tree = self._setup.checkpoint, self.chain.tree
        # A side of a fork that is chosen: the chain may have stood still for long.
        if checkpoint is not None and checkpoint.id in tree and checkpoint > tree.final:
            return
        network = self._setup.network
        now_round = phase_at(network, self._outside.clock.now_ms()).round
        if doubt := check_trust(network, now_round, tree.final.round, checkpoint):
            raise ConfigError(doubt)

    async def close(self) -> None:
        """End every task and link; the surroundings stay open."""
        if self._clockwork is not None:
            self._clockwork.cancel()
        await self._round_tasks.close()
        await self._mining.close()
        await self.peers.close()
        await self._tasks.close()

    def listens_at(self, port: int) -> None:
        """Let peers tell each other that this node takes connections at a TCP port."""
        self.peers.listens_at(port)

    def _on_commit(self, commit: Signed[Commit]) -> None:
        if shown := self._mining.on_commit(commit):
            self._informer.accuse(commit.message.round, shown)

    def submit(self, envelope: Envelope) -> None:
        """Take an object of this node's own as if it came by gossip, and send it to all peers.

        Raises Rejected.
        """
        self._gate.on_gossip(envelope)
        self.peers.broadcast(envelope)

    def _ask_for_blocks(self) -> None:
        peers = self.peers.sessions()
        for peer in self._outside.rng.sample(peers, min(len(peers), _ASKED_AT_A_GAP)):
            self.peers.request_sync(peer.public_key)

    async def _fetch(
        self, blob_hash: bytes, max_bytes: int, named_by: Envelope | None = None
    ) -> bytes:
        return await self.peers.fetch(blob_hash, max_bytes, named_by)

    def _on_round_failure(self, task: str, error: BaseException) -> None:
        # A round that went wrong is over with its end; a lost disk or a split chain is not.
        if isinstance(error, NodeError | SafetyAlarm):
            self._on_failure(task, error)

    def _on_failure(self, task: str, error: BaseException) -> None:
        if not self._failure.done():
            self._failure.set_exception(error)

    def _make_bootstrap(self) -> Bootstrap | None:
        if self._setup.checkpoint is None:
            return None
        return Bootstrap(
            self.chain,
            self._setup.checkpoint,
            self.peers.snapshots,
            self._fetch,
            self._outside.clock,
            self._outside.aside,
            self._ask_for_blocks,
        )

    def _make_historian(self) -> Historian:
        return Historian(
            self.chain,
            self._designs,
            self._outside.store,
            self._outside.writer,
            self.peers.ancestors,
            self._outside.clock,
            self._outside.aside,
            prunes=self._setup.prunes,
        )

    def _make_attester(self) -> Attester | None:
        identity = self._setup.identity
        if not self._importer.can_count:
            return None
        return Attester(
            identity.signing_key,
            self.chain,
            self._rounds,
            self._mempool,
            self._library,
            self._signed_before,
            self._outside.aside,
            self._outside.clock,
            self.submit,
            self._readiness.why_silent,
        )

    def _make_sealer(self) -> Sealer | None:
        if not self._importer.can_count:
            return None
        return Sealer(
            self._setup.identity.signing_key,
            self._rounds,
            self._outside.clock,
            self.submit,
            self._readiness.why_silent,
        )

    def _make_producer(self) -> Producer | None:
        if self._mining.manager is None:
            return None
        return Producer(
            self._setup.identity.signing_key,
            self.chain,
            self._rounds,
            self._mempool,
            self._counter,
            self._importer,
            self._library,
            self._designs,
            self._mining.manager,
            self._signed_before,
            self._outside.aside,
            self._outside.clock,
            self._outside.rng,
            self.submit,
            self._readiness.why_silent,
            self._setup.publishers,
        )

    def _rules_near(self) -> Sequence[int]:
        """Versions of the rules in this round, the one before and the next."""
        network = self._setup.network
        now = phase_at(network, self._outside.clock.now_ms()).round
        near = (now, now - 1, now + 1)
        return [version_at(network.parameters, max(0, number)) for number in near]

    def _make_views(self) -> NodeViews:
        return NodeViews(
            str(self._setup.role),
            self._setup.identity,
            self._setup.payout_address,
            self.chain,
            self._rounds,
            self._designs,
            self._outside.clock,
            self.peers.view,
            self.peers.refused,
            self._readiness.judge,
            self._mining.manager,
            lambda: "" if self.miner is None else self.miner.status.activity,
            ChainListings(self.chain, self._rounds, self._outside.clock),
            ShelfProofs(ReceiptShelf(self._outside.store), PageShelf(self._outside.store)),
            ChainLedger(self.chain, self._submissions),
            ChainTasks(self.chain, self._designs),
        )
