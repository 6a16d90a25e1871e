"""A pool in virtual time: what happens next, and what it does to miners and manager."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pool.records import events
from pool.records.events import AnyEvent
from pool.records.state import Best
from pool.simulation.agenda import Agenda
from pool.simulation.draws import Topic, exponential, uniform
from pool.simulation.manager import SeparateManager, SimulatedManager
from pool.simulation.miners import Candidate, Claim, Miner, Order, Trainer, make_miner
from pool.simulation.outcome import Outcome, Use, Variant
from pool.simulation.rewards import Rewards
from pool.simulation.scenario import Cheat, Scenario
from pool.simulation.tally import Tally

DUE_PER_MS = 10
"""Miners that the manager tells of a new best in a millisecond. It does so between other things,
and once for several bests that come close together."""

_HOUR_MS = 3_600_000


def simulate(
    scenario: Scenario, rewards: Rewards, variant: Variant, seed: int, on_round: Callable[[], None]
) -> Outcome:
    """Run a scenario once; `on_round` is called after each round.

    The outcome is a function of the other arguments.
    """
    with _no_collection():
        world = _World(scenario, rewards, variant, seed)
        for number in range(1, scenario.rounds + 1):
            world.run_round(number)
            on_round()
    return world.tally.outcome(variant, seed, world.manager.books, world.manager.designated)


@contextmanager
def _no_collection() -> Iterator[None]:
    """The state holds no cycles, and looking for some would take a quarter of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _World:
    """Miners, manager, and the agenda between them. Times are milliseconds since the start."""

    def __init__(self, scenario: Scenario, rewards: Rewards, variant: Variant, seed: int) -> None:
        make_manager = SeparateManager if variant is Variant.OFF else SimulatedManager
        self.manager = make_manager(seed, variant is Variant.STRATEGY)
        self.miners = [
            make_miner(number, kind, seed)
            for number, kind in enumerate(
                kind for kind in scenario.classes for _ in range(kind.miners)
            )
        ]
        self.tally = Tally(scenario, self.miners, rewards.images)
        self._scenario = scenario
        self._seed = seed
        self._by_key = {miner.key: miner for miner in self.miners}
        self._trainer = Trainer(rewards, scenario.designs)
        self._agenda = Agenda()
        self._now_ms = 0
        self._end_ms = 0
        self._is_open = False
        self._is_handing_out = False
        self._reactions: Mapping[type, Callable[[Any], None]] = {
            events.LeaseGranted: self._on_lease,
            events.BackupActivated: self._on_lease,
            events.ExploitationGiven: self._on_exploitation,
            events.Rested: self._on_rest,
            events.LeaseParked: self._on_rest,
            events.BestConfirmed: self._on_best,
        }
        for miner in self.miners:
            self._join(miner)

    def run_round(self, number: int) -> None:
        """From the start of the phase to the end of the pause after it."""
        start_ms = self._now_ms
        self._end_ms = start_ms + round(1000 * self._scenario.train_s)
        self._is_open = True
        self._trainer.start_round()
        self.tally.start_round(number)
        for miner in self.miners:
            miner.online_since_ms = start_ms
        self._hear(self.manager.open_round(number, self._end_ms, start_ms))
        self._look()
        self._run_until(self._end_ms)
        self._close(number)
        self._run_until(self._end_ms + round(1000 * self._scenario.pause_s))

    def _look(self) -> None:
        if self._is_open:
            self.manager.look(self._now_ms)
            self._after(self.manager.heartbeat_ms, self._look)

    def _run_until(self, end_ms: int) -> None:
        while (entry := self._agenda.take(end_ms)) is not None:
            self._now_ms, _, happen, arguments = entry
            happen(*arguments)
        self._now_ms = end_ms

    def _after(self, wait_ms: float, happen: Callable[..., None], *arguments: Any) -> None:
        self._agenda.add(self._now_ms + max(1, round(wait_ms)), happen, arguments)

    def _close(self, number: int) -> None:
        self._is_open = False
        for miner in self.miners:
            self._stop(miner)
            miner.order, miner.is_pending = None, False
            if miner.is_online:
                self.tally.connected(miner, self._now_ms - miner.online_since_ms)
        self._hear(self.manager.close_round(self._now_ms))
        self.tally.paid(self.manager.pay_round(self._now_ms))
        for miner in self.miners:
            if miner.kind.cheat is Cheat.DEFECTS and miner.results > miner.kind.cheats_after:
                self._expel(miner)

    # Coming and going.

    def _join(self, miner: Miner) -> None:
        if miner.is_banned:
            return
        miner.is_online, miner.online_since_ms = True, self._now_ms
        self._hear(self.manager.join(miner, self._now_ms))
        if per_hour := miner.kind.departures_per_hour:
            mean_ms = _HOUR_MS / per_hour
            stays_ms = exponential(
                mean_ms, Topic.DEPARTURE, self._seed, miner.number, miner.absences
            )
            self._after(stays_ms, self._leave, miner)

    def _leave(self, miner: Miner) -> None:
        if miner.is_banned:
            return
        if self._is_open:
            self.tally.connected(miner, self._now_ms - miner.online_since_ms)
            self.tally.lost(miner, self._now_ms)
        self._stop(miner)
        miner.is_online, miner.order, miner.is_pending = False, None, False
        draw = (self._seed, miner.number, miner.absences)
        miner.absences += 1
        is_silent = uniform(Topic.SILENCE, *draw) < miner.kind.silent
        if is_silent:
            self._after(2 * self.manager.heartbeat_ms, self._notice, miner, miner.absences)
        else:
            self._notice(miner, miner.absences)
        away_ms = exponential(1000 * miner.kind.away_s, Topic.RETURN, *draw)
        self._after(away_ms, self._join, miner)

    def _notice(self, miner: Miner, absence: int) -> None:
        if not miner.is_online and miner.absences == absence:
            self._hear(self.manager.leave(miner, self._now_ms))

    def _expel(self, miner: Miner) -> None:
        """It has committed on its own within its lease, which the chain shows."""
        if miner.is_online and not miner.is_banned:
            miner.is_banned, miner.is_online = True, False
            miner.absences += 1
            self.manager.forfeit(miner, self._now_ms)
            self._hear(self.manager.leave(miner, self._now_ms))

    # Work.

    def _hear(self, happened: Iterable[AnyEvent]) -> None:
        """Let miners hear of what concerns them."""
        for event in happened:
            if react := self._reactions.get(type(event)):
                react(event)
        if self.manager.due and not self._is_handing_out:
            self._is_handing_out = True
            self._after(len(self.manager.due) // DUE_PER_MS, self._hand_out)

    def _hand_out(self) -> None:
        self._is_handing_out = False
        self._hear(self.manager.hand_out(self._now_ms))

    def _on_lease(self, event: events.LeaseGranted | events.BackupActivated) -> None:
        miner, number = self._by_key[event.miner], event.search
        is_backup = isinstance(event, events.BackupActivated)
        self.tally.leased(miner, number, self._now_ms, is_backup)
        search = self.manager.search(number)
        self._order(miner, Order(event.assignment, number, search.seed, len(search.rewards), None))

    def _on_exploitation(self, event: events.ExploitationGiven) -> None:
        assignment = self.manager.pool.miners[event.miner].assignment(event.assignment)
        order = Order(event.assignment, None, assignment.seed, 0, event.work.base)
        self._order(self._by_key[event.miner], order)

    def _on_rest(self, event: events.Rested | events.LeaseParked) -> None:
        self._order(self._by_key[event.miner], None)

    def _on_best(self, event: events.BestConfirmed) -> None:
        best = event.best
        self.tally.best(self._by_key[best.finder], best.correct, self._now_ms)
        self._after(self._scenario.confirm_ms, self._bring, best)

    def _order(self, miner: Miner, order: Order | None) -> None:
        """The miner goes on with it after the candidate that it is at, as real ones do."""
        if not miner.is_online:
            # It left without a word: the order gets lost.
            return
        if order is not None:
            self.manager.accept_lease(miner, order.assignment, self._now_ms)
        if miner.candidate is None:
            self._take(miner, order)
        else:
            miner.pending, miner.is_pending = order, True

    def _take(self, miner: Miner, order: Order | None) -> None:
        miner.order, miner.is_pending = order, False
        if order is not None:
            miner.episode = order.first
            self._begin(miner)

    def _begin(self, miner: Miner) -> None:
        candidate = self._trainer.begin(miner)
        miner.candidate, miner.begun_ms = candidate, self._now_ms
        if self._now_ms + candidate.busy_ms < self._end_ms:
            self._after(candidate.busy_ms, self._finish, miner, candidate)

    def _stop(self, miner: Miner) -> None:
        if miner.candidate is not None:
            self.tally.spent(miner, Use.ABANDONED, self._now_ms - miner.begun_ms)
            miner.candidate = None

    def _finish(self, miner: Miner, candidate: Candidate) -> None:
        if miner.candidate is not candidate:
            return
        claim = self._trainer.claim(miner, candidate, self.manager.best)
        miner.candidate = None
        miner.results += 1
        miner.episode += 1
        judged_ms = max(self._now_ms, miner.judged_ms)
        if self.manager.claims_best(claim):
            judged_ms += self._scenario.confirm_ms
        miner.judged_ms = judged_ms
        # The miner goes on at once, before it hears of the verdict.
        if miner.is_pending:
            self._take(miner, miner.pending)
        elif miner.order is not None:
            self._begin(miner)
        if judged_ms > self._now_ms:
            self._after(judged_ms - self._now_ms, self._judge, miner, claim)
        else:
            self._judge(miner, claim)

    def _judge(self, miner: Miner, claim: Claim) -> None:
        happened = self.manager.judge(miner, claim, self._now_ms)
        verdict = happened[0]
        if isinstance(verdict, events.ResultAccepted):
            self.tally.accepted(miner, claim, verdict.work)
        else:
            is_stale = isinstance(verdict, events.ResultStale)
            self.tally.spent(miner, Use.STALE if is_stale else Use.REFUSED, claim.busy_ms)
        self._hear(happened)

    def _bring(self, best: Best) -> None:
        if self._is_open:
            self._hear(self.manager.bring_base(best, self._now_ms))
