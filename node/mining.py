"""The pool's side of a node: the pool that it runs, and the miner that works here or elsewhere."""

from collections.abc import Callable, Sequence
from functools import partial

from nas.task import Task
from node.chain.codec import decode
from node.chain.envelope import Signed
from node.chain.messages import Commit, Envelope
from node.chain.timing import phase_at
from node.config import Role
from node.consensus.chain import Chain
from node.consensus.clockwork import Producing
from node.consensus.designs import NasDesigns
from node.consensus.producer import Producer
from node.consensus.solo import SoloProducer
from node.net.link import ManagerLink, PeerLink
from node.net.memory import MemoryNetwork, at_once
from node.publishing.library import TaskLibrary
from node.setup import Setup, Surroundings, mines_solo
from node.store.base import Change
from node.tasks import TaskOwner
from pool.manager.manager import Manager
from pool.miner.evidence import Evidence
from pool.miner.miner import Miner, Route
from pool.miner.promises import Promises
from pool.miner.registration import Applicant
from pool.miner.session import Declined

_OWN_POOL = "own pool"


class Mining:
    """`manager` and `miner` are None where the role has none.

    What outlives the miner runs as one of `tasks`; `on_failure` hears of tasks that failed.
    """

    def __init__(
        self,
        setup: Setup,
        outside: Surroundings,
        chain: Chain,
        designs: NasDesigns,
        library: TaskLibrary,
        tasks: TaskOwner,
        on_failure: Callable[[str, BaseException], None],
    ) -> None:
        self._setup = setup
        self._outside = outside
        self._chain = chain
        self._designs = designs
        self._library = library
        self._tasks = tasks
        self._working = TaskOwner(on_failure=on_failure)
        self._promises = Promises(outside.store, self._keep)
        self.manager = self._make_manager()
        self.miner = self._make_miner()

    async def serve(self, link: ManagerLink) -> None:
        """Serve a miner that connected, until its link ends."""
        if self.manager is None:
            await link.close("this node runs no pool")
            return
        await self.manager.serve(link)

    def on_commit(self, commit: Signed[Commit]) -> Sequence[Envelope]:
        """Let the pool know of a commitment: its miners have promised to make none.

        What shows that one has broken its word, if it has.
        """
        shown = () if self.manager is None else self.manager.on_commit(commit)
        return [decode(Envelope, envelope) for envelope in shown]

    def start(self) -> None:
        """Open the pool, and let the miner work."""
        if self.manager is not None:
            self._tasks.spawn(self.manager.run(), name="manager")
        if self.miner is not None:
            self._working.spawn(self.miner.run(), name="miner")

    async def close(self) -> None:
        """End the miner, then the pool, whose leave-taking it would else follow."""
        await self._working.close()
        if self.manager is not None:
            await self.manager.close()

    def on_duty(self, producer: Producer | None) -> Producing | None:
        """The producer, held back while the miner of this node works for another's pool."""
        if producer is None or self.miner is None or not self._setup.pools:
            return producer
        return SoloProducer(
            producer, self.miner, self._promises, self._setup.network, self._outside.clock
        )

    def _make_manager(self) -> Manager | None:
        if self._outside.counter is None or self._outside.auditing is None:
            return None
        if not (mines_solo(self._setup) or self._setup.role is Role.MANAGER):
            return None
        return Manager(
            key=self._setup.identity.signing_key,
            payout_address=self._setup.payout_address,
            network_id=self._setup.network.id,
            executor=self._outside.counter,
            auditing=self._outside.auditing,
            clock=self._outside.clock,
            rng=self._outside.rng,
            fee_permille=self._setup.pool_fee,
            partition=self._setup.partition,
            store=self._outside.store,
            writer=self._outside.writer,
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
        context = self._chain.context(round_number)
        paid = context.paid
        if paid is not None and not self._setup.publishers.accepts(paid.record.publisher):
            raise Declined(f"round {round_number} is of a publisher that is not to be mined for")
        if paid is not None and not self._library.can_train(paid.terms):
            raise ValueError("the images of the published task are not here yet")
        return self._designs.task_on(context, data)

    def _round_now(self) -> int:
        return phase_at(self._setup.network, self._outside.clock.now_ms()).round

    def _routes(self) -> Sequence[Route]:
        """The pools that this node's miner tries in order: over the network, then in here."""
        transport = self._outside.transport
        routes = [Route(name, partial(transport.dial_pool, name)) for name in self._setup.pools]
        if self.manager is not None:
            own = MemoryNetwork(self._outside.clock, at_once)
            own.listen(_OWN_POOL, _no_peer, self.serve)
            dial = partial(own.transport("own miner").dial_pool, _OWN_POOL)
            routes.append(Route(_OWN_POOL, dial, is_own=True))
        return routes


async def _no_peer(link: PeerLink) -> None:
    await link.close("only the miner of this node comes here")
