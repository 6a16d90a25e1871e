"""A pool's miner: finds a pool, works on what it is given, and says loudly when it idles.

A solo miner is the same with a manager of its own in the same process, over a link in memory.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from nas.jobs import Executor
from node.clock import Clock
from node.net.link import LinkClosed, MinerLink, Unreachable
from node.tasks import TaskOwner
from pool.link.blobs import Shelf
from pool.miner.evidence import Evidence
from pool.miner.failover import (
    Course,
    End,
    Parting,
    after,
    is_hopeless,
    marked_wrong,
    turned_back,
)
from pool.miner.outbox import Outbox
from pool.miner.promises import Promises
from pool.miner.registration import Applicant, WrongPool, is_there, register
from pool.miner.session import Session, TaskOf, Workshop
from pool.miner.states import Trainings
from pool.miner.work import Bench
from pool.miner.worker import Worker, cause

# Candidates whose weights stay in memory, in case the manager asks for them; models stay longer.
_KEPT_CANDIDATES = 8
_KEPT_MODELS_BYTES = 256 * 1024 * 1024

_log = structlog.get_logger("pool.miner")


@dataclass(frozen=True)
class Route:
    """A pool to mine for: its name for people, how to reach it, and whether it is this node's."""

    name: str
    dial: Callable[[], Awaitable[MinerLink]]
    is_own: bool = False


@dataclass(frozen=True)
class MinerStatus:
    """What a miner does now; `pool` is empty while it works for none."""

    activity: str
    is_idle: bool
    is_paused: bool
    pool: str
    unacknowledged: int


class Miner:
    """Works for the first of `routes` that will have it; a node's own pool comes last.

    `task_of` tells a round's task on a manager's data, by which the miner judges and trains; `rng`
    spreads the attempts to connect. `alone` is set while it works for the node's own pool.
    """

    def __init__(
        self,
        *,
        applicant: Applicant,
        routes: Sequence[Route],
        task_of: TaskOf,
        executor: Executor,
        clock: Clock,
        rng: random.Random,
        promises: Promises,
        evidence: Evidence,
        workers: int = 1,
    ) -> None:
        self._routes = routes
        self._clock = clock
        self._rng = rng
        self._course = Course(len(routes))
        shelf = Shelf(_KEPT_CANDIDATES, _KEPT_MODELS_BYTES)
        bench = Bench(executor, shelf, Trainings(executor), workers)
        self._worker = Worker(bench, clock)
        self._shop = Workshop(
            applicant, bench, self._worker, Outbox(), promises, evidence, task_of, clock
        )
        self._session: Session | None = None
        self._pool = ""
        self._resumed = asyncio.Event()
        self._resumed.set()
        self.alone = asyncio.Event()
        self._worker.stop("not connected yet")

    @property
    def status(self) -> MinerStatus:
        """What it does now."""
        return MinerStatus(
            activity=self._worker.activity,
            is_idle=self._worker.resting.is_set(),
            is_paused=not self._resumed.is_set(),
            pool=self._pool,
            unacknowledged=len(self._shop.outbox),
        )

    def pause(self) -> None:
        """Leave the pool after the candidates under way, until `resume`.

        Leaving lets the manager hand the search on, which would else stand still.
        """
        if self._resumed.is_set():
            self._resumed.clear()
            _log.warning("paused", reason="asked for by the operator")
            self._leave_to_pause()

    def resume(self) -> None:
        """Go back to work."""
        if not self._resumed.is_set():
            self._resumed.set()
            _log.info("resumed")

    async def run(self) -> None:
        """Mine until cancelled. Raises WrongPool when no pool of the list is of this network."""
        tasks = TaskOwner()
        tasks.spawn(self._worker.run(), name="miner's work")
        try:
            while True:
                await self._until_resumed()
                await self._follow(await self._visit(self._routes[self._course.at]))
        finally:
            await tasks.close()

    async def _until_resumed(self) -> None:
        if not self._resumed.is_set():
            self._idle("paused by its operator; `ponas miner resume` ends that")
            await self._resumed.wait()

    async def _follow(self, parting: Parting) -> None:
        """Decide where to turn after a connection has ended, and wait before going there."""
        before = self._course
        self._course = after(before, parting)
        pools = sum(not route.is_own for route in self._routes)
        if parting.end is End.WRONG:
            _log.error("pool_skipped", pool=self._routes[before.at].name, reason=parting.reason)
            if is_hopeless(self._course, pools):
                raise WrongPool(parting.reason)
        reason = f"not connected to the pool: {parting.reason}"
        is_failure = parting.end in (End.LOST, End.MUTE)
        if self._course.at <= before.at and is_failure and pools == len(self._routes):
            reason += "; this node has no unit of its own to mine solo with"
        self._idle(reason)
        wait_ms = self._rng.randint(self._course.wait_ms // 2, self._course.wait_ms)
        await self._clock.sleep_until(self._clock.now_ms() + wait_ms)

    async def _visit(self, route: Route) -> Parting:
        """Work for a pool until the connection ends; whatever goes wrong is said in the parting."""
        begun_ms = self._clock.now_ms()
        try:
            link = await route.dial()
            manager = await register(link, self._shop.applicant)
            parting = await self._work_for(route, Session(self._shop, manager, link))
        except WrongPool as error:
            parting = Parting(End.WRONG, str(error))
        except (Unreachable, LinkClosed) as error:
            parting = Parting(End.LOST, str(error))
        except Exception as error:
            # Whatever a pool brings to light, it must not stop the miner's node.
            reason = f"the pool is at fault: {cause(error)!r}"
            _log.exception("pool_at_fault", reason=reason)
            parting = Parting(End.LOST, reason)
        return replace(parting, held_ms=self._clock.now_ms() - begun_ms)

    async def _work_for(self, route: Route, session: Session) -> Parting:
        self._session, self._pool = session, route.name
        if not self._resumed.is_set():
            self._leave_to_pause()
        if route.is_own:
            self.alone.set()
        try:
            async with asyncio.TaskGroup() as group:
                looking = group.create_task(self._look_back(route, session))
                parting = await session.run()
                looking.cancel()
                return parting
        finally:
            self._session, self._pool = None, ""
            self.alone.clear()
            self._worker.stop("not connected to a pool")

    async def _look_back(self, route: Route, session: Session) -> None:
        """Go back to an earlier pool of the list once it answers; never in the middle of a round
        that this node mines for itself."""
        while self._course.earlier:
            await self._clock.sleep_until(self._clock.now_ms() + self._course.return_after_ms)
            for at in self._course.earlier:
                if not await self._is_back(at):
                    continue
                if route.is_own:
                    await self._worker.resting.wait()
                self._course = turned_back(self._course, at)
                reason = f"goes back to {self._routes[at].name}"
                self._leave(session, reason)
                return

    async def _is_back(self, at: int) -> bool:
        try:
            return await is_there(await self._routes[at].dial(), self._shop.applicant.network_id)
        except Unreachable:
            return False
        except WrongPool as error:
            _log.error("pool_skipped", pool=self._routes[at].name, reason=str(error))
            self._course = marked_wrong(self._course, at)
            return False

    def _leave_to_pause(self) -> None:
        if self._session is not None:
            self._leave(self._session, "paused by its operator")

    def _leave(self, session: Session, reason: str) -> None:
        # From now on no round is begun for this node's own pool.
        self.alone.clear()
        session.leave(Parting(End.LEFT, reason))

    def _idle(self, reason: str) -> None:
        self._worker.stop(reason)
        _log.warning("not_mining", reason=reason)
