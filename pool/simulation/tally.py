"""Counts what happens in a simulation, by class of miners."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pool.records import events
from pool.records.events import AnyEvent
from pool.simulation.accounts import Book
from pool.simulation.miners import Claim, Miner
from pool.simulation.outcome import BestPoint, ClassOutcome, Outcome, Use, Variant
from pool.simulation.scenario import MinerClass, Scenario

MANAGER = ""
"""In place of a class: what concerns no miner."""


class Tally:
    """Grows with the run; `outcome` sums it up."""

    def __init__(self, scenario: Scenario, miners: Sequence[Miner], images: int) -> None:
        self._scenario = scenario
        self._images = images
        self._class_of = {miner.key: miner.kind.name for miner in miners}
        self._events: Counter[tuple[str, type[AnyEvent]]] = Counter()
        self._spent_ms: Counter[tuple[str, Use]] = Counter()
        self._connected_ms: Counter[str] = Counter()
        self._work: Counter[str] = Counter()
        self._pay: Counter[str] = Counter()
        self._bests: list[BestPoint] = []
        self._finals: list[float] = []
        self._round = 0
        # By the number of a search, when its miner left it.
        self._left_ms: dict[int, tuple[bytes, int]] = {}
        self._searches_lost = 0
        self._reassigned_ms: list[int] = []

    def start_round(self, number: int) -> None:
        """Searches of the round before are no longer waited for."""
        self._round = number
        self._left_ms.clear()
        self._finals.append(0.0)

    def spent(self, miner: Miner, use: Use, duration_ms: int) -> None:
        """A miner's time went there."""
        self._spent_ms[miner.kind.name, use] += duration_ms

    def connected(self, miner: Miner, duration_ms: int) -> None:
        """A miner was connected so long in a train phase."""
        self._connected_ms[miner.kind.name] += duration_ms

    def lost(self, miner: Miner, now_ms: int) -> None:
        """A miner leaves, perhaps in the middle of a search."""
        if miner.order is not None and miner.order.search is not None:
            self._left_ms[miner.order.search] = (miner.key, now_ms)
            self._searches_lost += 1

    def credited(self, miner: Miner, work: int) -> None:
        """A result of a miner was accepted for so much work."""
        self._work[miner.kind.name] += work

    def paid(self, weights: Mapping[bytes, int]) -> None:
        """A block pays these weights, by miner."""
        for key, weight in weights.items():
            self._pay[self._class_of.get(key, MANAGER)] += weight

    def count(self, event: AnyEvent, now_ms: int) -> None:
        """Something happened in the pool."""
        name = self._class_of.get(getattr(event, "miner", b""), MANAGER)
        self._events[name, type(event)] += 1
        match event:
            case events.LeaseGranted() | events.BackupActivated():
                owner, left_ms = self._left_ms.pop(event.search, (event.miner, 0))
                if owner != event.miner:
                    self._reassigned_ms.append(now_ms - left_ms)
            case events.BestConfirmed():
                reward = event.best.correct / self._images
                by = self._class_of[event.best.finder]
                self._bests.append(BestPoint(self._round, now_ms / 1000, reward, by))
                self._finals[-1] = reward
            case _:
                pass

    def judged(self, miner: Miner, claim: Claim, happened: Iterable[AnyEvent]) -> None:
        """The manager's verdict on a candidate says what its time was worth."""
        use = Use.REPEATED if claim.is_repeat else Use.USEFUL
        for event in happened:
            if isinstance(event, events.ResultRefused):
                use = Use.REFUSED
            elif isinstance(event, events.ResultStale):
                use = Use.STALE
        self.spent(miner, use, claim.busy_ms)

    def outcome(
        self, variant: Variant, seed: int, books: Mapping[bytes, Book], designated: int
    ) -> Outcome:
        """All of it, with what the accounts hold of each miner and the backups designated."""
        scenario = self._scenario
        total = sum(self._pay.values())
        return Outcome(
            title=scenario.title,
            variant=variant,
            seed=seed,
            train_s=scenario.train_s,
            period_s=scenario.train_s + scenario.pause_s,
            finals=tuple(self._finals),
            bests=tuple(self._bests),
            classes=tuple(self._class(kind, books) for kind in scenario.classes),
            reassigned_ms=tuple(self._reassigned_ms),
            searches_lost=self._searches_lost,
            backups_designated=designated,
            backups_activated=self._total(events.BackupActivated),
            audits=sum(book.audits for book in books.values()),
            manager_pay=self._pay[MANAGER] / total if total else 0.0,
        )

    def _class(self, kind: MinerClass, books: Mapping[bytes, Book]) -> ClassOutcome:
        name = kind.name
        seconds = {use: self._spent_ms[name, use] / 1000 for use in Use}
        seconds[Use.IDLE] = self._connected_ms[name] / 1000 - sum(seconds.values())
        work, pay = sum(self._work.values()), sum(self._pay.values())
        own = [book for key, book in books.items() if self._class_of[key] == name]
        return ClassOutcome(
            name=name,
            miners=kind.miners,
            results=self._events[name, events.ResultAccepted],
            leases=self._events[name, events.LeaseGranted],
            seconds=seconds,
            work=self._work[name] / work if work else 0.0,
            pay=self._pay[name] / pay if pay else 0.0,
            forfeits=sum(book.forfeits for book in own),
        )

    def _total(self, kind: type[AnyEvent]) -> int:
        return sum(count for (_, each), count in self._events.items() if each is kind)
