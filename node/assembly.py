"""One node out of its parts, by role; everything that touches the outside is passed in."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from nas.jobs import Executor
from nas.task import Task
from node.aside import Aside
from node.chain.bonds import BondKind
from node.chain.envelope import Signed
from node.chain.errors import SafetyAlarm
from node.chain.genesis import Network
from node.chain.messages import Commit, Envelope
from node.chain.params import version_at
from node.chain.state import Checkpoint
from node.chain.timing import phase_at
from node.clock import Clock
from node.config import Role
from node.consensus.attester import Attester
from node.consensus.blobs import Blobs
from node.consensus.book import Rounds
from node.consensus.bootstrap import Bootstrap, check_trust
from node.consensus.chain import Chain
from node.consensus.clockwork import Clockwork, Producing
from node.consensus.counter import Counter
from node.consensus.designs import NasDesigns
from node.consensus.gossip import ChainGate
from node.consensus.history import Historian
from node.consensus.importer import Importer
from node.consensus.informer import Informer
from node.consensus.intake import Intake
from node.consensus.keyholder import KeyHolder
from node.consensus.mempool import Mempool
from node.consensus.producer import Producer
from node.consensus.sealer import Sealer
from node.consensus.signed_before import SignedBefore
from node.consensus.solo import SoloProducer
from node.consensus.submissions import Submissions
from node.consensus.validator import Validator
from node.errors import ConfigError, NodeError
from node.identity import Identity
from node.inspection import NodeViews
from node.ledger_inspection import ChainLedger
from node.listing_inspection import ChainListings
from node.net.drift import ClockVerdict, judge_clock
from node.net.link import ManagerLink, PeerLink, Transport
from node.net.memory import MemoryNetwork, at_once
from node.net.peers import PeerNet
from node.proof_inspection import ShelfProofs
from node.publishing.library import TaskLibrary
from node.publishing.policy import MINES_FOR_ALL, PublisherPolicy
from node.publishing.shelf import Shelf
from node.store.base import Change, Store
from node.store.writer import Writer
from node.task_inspection import ChainTasks
from node.tasks import TaskOwner
from pool.manager.manager import Manager
from pool.miner.evidence import Evidence
from pool.miner.miner import Miner, Route
from pool.miner.promises import Promises
from pool.miner.registration import Applicant
from pool.miner.session import Declined
from pool.partition.base import PartitionKind
from pool.proofs.shelf import PageShelf, ReceiptShelf
from pool.records.strengths import Strength

_OWN_POOL = "own pool"
SPLIT = "the chain has been split for more than an era; its operators have to choose a side"
# Peers asked for blocks when others are ahead: some may be as far behind as this node.
_ASKED_AT_A_GAP = 3


@dataclass(frozen=True)
class Setup:
    """Who the node is and whom it talks to.

    `pools` are the addresses of a miner's managers, best first. A miner with none mines solo; one
    with a unit of its own does so while none of its pools can be reached. A node that `discovers`
    dials others than its `peers` too. `checkpoint` is a final block on its operator's word.
    `publishers` says whose tasks it mines. One that `prunes` drops old blocks.
    """

    role: Role
    network: Network
    identity: Identity
    payout_address: bytes
    peers: Sequence[str] = ()
    pools: Sequence[str] = ()
    strength: Strength = Strength.AUTO
    partition: PartitionKind = PartitionKind.ALGORITHM1
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
        self._mining = TaskOwner(on_failure=self._on_failure)
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
            lambda alarm: self._on_failure("chain", alarm),
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
        self._gate = ChainGate(
            self.chain,
            self._rounds,
            self._mempool,
            intake,
            self._informer,
            self._library,
            outside.clock,
            self._round_tasks,
            self._on_commit,
            lambda: bool(self._why_held_back()),
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
        self._submissions = Submissions(
            self.chain, self._mempool, outside.store, outside.writer, self.peers.offer
        )
        self._promises = Promises(outside.store, self._keep)
        self._manager = self._make_manager()
        self._producer = self._make_producer()
        self.miner = self._make_miner()
        self.views = self._make_views()

    @property
    def runs_public_pool(self) -> bool:
        """Whether miners of other machines may join."""
        return self._setup.role is Role.MANAGER

    async def on_peer(self, link: PeerLink) -> None:
        """Serve a peer that connected, until its link ends."""
        await self.peers.accept(link)

    async def on_miner(self, link: ManagerLink) -> None:
        """Serve a miner that connected, until its link ends."""
        if self._manager is None:
            await link.close("this node runs no pool")
            return
        await self._manager.serve(link)

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
            ),
            self._library,
            self._on_duty(),
        )
        self._tasks.spawn(self.chain.backlog.run(self._outside.aside), name="backlog")
        self._tasks.spawn(self.peers.run(), name="peers")
        if self._bootstrap is not None:
            self._tasks.spawn(self._bootstrap.run(), name="bootstrap")
        self._tasks.spawn(self._make_historian().run(), name="history")
        self._clockwork = self._tasks.spawn(clockwork.run(), name="clockwork")
        if self._manager is not None:
            self._tasks.spawn(self._manager.run(), name="manager")
        if self.miner is not None:
            self._mining.spawn(self.miner.run(), name="miner")
        await self._failure

    def _check_trust(self) -> None:
        network, known_round = self._setup.network, self.chain.tree.final.round
        now_round = phase_at(network, self._outside.clock.now_ms()).round
        if doubt := check_trust(network, now_round, known_round, self._setup.checkpoint):
            raise ConfigError(doubt)

    async def close(self) -> None:
        """End every task and link; the surroundings stay open."""
        if self._clockwork is not None:
            self._clockwork.cancel()
        await self._round_tasks.close()
        # Before the manager, whose leave-taking it would else follow.
        await self._mining.close()
        if self._manager is not None:
            await self._manager.close()
        await self.peers.close()
        await self._tasks.close()

    def listens_at(self, port: int) -> None:
        """Let peers tell each other that this node takes connections at a TCP port."""
        self.peers.listens_at(port)

    def submit(self, envelope: Envelope) -> None:
        """Take an object of this node's own as if it came by gossip, and send it to all peers.

        Raises Rejected.
        """
        self._gate.on_gossip(envelope)
        self.peers.broadcast(envelope)

    def _on_commit(self, commit: Signed[Commit]) -> None:
        if self._manager is not None:
            self._manager.on_commit(commit)

    def _ask_for_blocks(self) -> None:
        peers = self.peers.sessions()
        for peer in self._outside.rng.sample(peers, min(len(peers), _ASKED_AT_A_GAP)):
            self.peers.request_sync(peer.public_key)

    async def _fetch(self, blob_hash: bytes, max_bytes: int) -> bytes:
        return await self.peers.fetch(blob_hash, max_bytes)

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
            self._why_silent,
        )

    def _make_sealer(self) -> Sealer | None:
        if not self._importer.can_count:
            return None
        return Sealer(
            self._setup.identity.signing_key,
            self._rounds,
            self._outside.clock,
            self.submit,
            self._why_silent,
        )

    def _why_silent(self) -> str:
        """Why this node must not sign now; empty if it may."""
        split = SPLIT if self.chain.tree.is_split() else ""
        held_back = self._why_held_back()
        return held_back or self._judge_clock().reason or self.chain.backlog.reason or split

    def _judge_clock(self) -> ClockVerdict:
        round_ms = self._setup.network.parameters.timing.round_ms
        return judge_clock(self.peers.clock_offsets_ms(), round_ms)

    def _why_held_back(self) -> str:
        return "" if self._bootstrap is None else self._bootstrap.reason

    def _make_manager(self) -> Manager | None:
        if self._outside.counter is None or self._outside.auditing is None:
            return None
        if not (mines_solo(self._setup) or self.runs_public_pool):
            return None
        return Manager(
            key=self._setup.identity.signing_key,
            payout_address=self._setup.payout_address,
            network_id=self._setup.network.id,
            executor=self._outside.counter,
            auditing=self._outside.auditing,
            clock=self._outside.clock,
            rng=self._outside.rng,
            partition=self._setup.partition,
            store=self._outside.store,
            writer=self._outside.writer,
        )

    def _make_producer(self) -> Producer | None:
        if self._manager is None:
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
            self._manager,
            self._signed_before,
            self._outside.aside,
            self._outside.clock,
            self._outside.rng,
            self.submit,
            self._setup.publishers,
        )

    def _on_duty(self) -> Producing | None:
        """The producer, held back while the miner of this node works for another's pool."""
        if self._producer is None or self.miner is None or not self._setup.pools:
            return self._producer
        return SoloProducer(
            self._producer,
            self.miner,
            self._promises,
            self._setup.network,
            self._outside.clock,
        )

    def _make_miner(self) -> Miner | None:
        if self._outside.trainer is None or self._setup.role is not Role.MINER:
            return None
        applicant = Applicant(
            self._setup.identity.signing_key,
            self._setup.payout_address,
            self._setup.network.id,
            self._setup.strength,
        )
        return Miner(
            applicant=applicant,
            routes=self._routes(),
            task_of=self.task_of,
            executor=self._outside.trainer,
            clock=self._outside.clock,
            rng=self._outside.rng,
            promises=self._promises,
            evidence=Evidence(applicant, self._outside.store, self._keep, self._round_now),
            workers=self._setup.workers,
        )

    def _keep(self, changes: Sequence[Change]) -> None:
        self._tasks.spawn(self._outside.writer.write(changes), name="keep a word that was given")

    def task_of(self, round_number: int, data: str) -> Task:
        """The task of a round that a pool may give work for now: this one or a neighbour.

        Raises ValueError for any other, since a lease of a far round would forbid mining alone till
        then; and for data that are not the task's. Raises Declined if its publisher is not to be
        mined for.
        """
        if abs(round_number - self._round_now()) > 1:
            raise ValueError(f"it is round {self._round_now()} by this node's clock")
        context = self.chain.context(round_number)
        paid = context.paid
        if paid is not None and not self._setup.publishers.accepts(paid.record.publisher):
            raise Declined(f"round {round_number} is of a publisher that is not to be mined for")
        if paid is not None and not self._library.can_train(paid.terms):
            raise ValueError("the images of the published task are not here yet")
        return self._designs.task_on(context, data)

    def _round_now(self) -> int:
        return phase_at(self._setup.network, self._outside.clock.now_ms()).round

    def _rules_near(self) -> Sequence[int]:
        """Versions of the rules in this round, the one before and the next."""
        now, parameters = self._round_now(), self._setup.network.parameters
        return [version_at(parameters, max(0, number)) for number in (now, now - 1, now + 1)]

    def _routes(self) -> Sequence[Route]:
        """The pools that this node's miner tries in order: over the network, then in here."""
        transport = self._outside.transport
        routes = [Route(name, partial(transport.dial_pool, name)) for name in self._setup.pools]
        if self._manager is not None:
            own = MemoryNetwork(self._outside.clock, at_once)
            own.listen(_OWN_POOL, self.on_peer, self.on_miner)
            dial = partial(own.transport("own miner").dial_pool, _OWN_POOL)
            routes.append(Route(_OWN_POOL, dial, is_own=True))
        return routes

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
            lambda: replace(self._judge_clock(), reason=self._why_silent()),
            self._manager,
            lambda: "" if self.miner is None else self.miner.status.activity,
            ChainListings(self.chain, self._rounds, self._outside.clock),
            ShelfProofs(ReceiptShelf(self._outside.store), PageShelf(self._outside.store)),
            ChainLedger(self.chain, self._submissions),
            ChainTasks(self.chain, self._designs),
        )
