"""Counts what happens in a simulation, by class of miners."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

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
        self._results: Counter[str] = Counter()
        self._leases: Counter[str] = Counter()
        self._backups = 0
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

    def paid(self, weights: Mapping[bytes, int]) -> None:
        """A block pays these weights, by miner."""
        for key, weight in weights.items():
            self._pay[self._class_of.get(key, MANAGER)] += weight

    def leased(self, miner: Miner, search: int, now_ms: int, is_backup: bool) -> None:
        """A miner was given a search, its own or as a backup."""
        if is_backup:
            self._backups += 1
        else:
            self._leases[miner.kind.name] += 1
        loser, left_ms = self._left_ms.pop(search, (miner.key, 0))
        if loser != miner.key:
            self._reassigned_ms.append(now_ms - left_ms)

    def best(self, miner: Miner, correct: int, now_ms: int) -> None:
        """A best of this miner was confirmed."""
        reward = correct / self._images
        self._bests.append(BestPoint(self._round, now_ms / 1000, reward, miner.kind.name))
        self._finals[-1] = reward

    def accepted(self, miner: Miner, claim: Claim, work: int) -> None:
        """A result was accepted, for so much work."""
        self._results[miner.kind.name] += 1
        self._work[miner.kind.name] += work
        self.spent(miner, Use.REPEATED if claim.is_repeat else Use.USEFUL, claim.busy_ms)

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
            backups_activated=self._backups,
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
            results=self._results[name],
            leases=self._leases[name],
            seconds=seconds,
            work=self._work[name] / work if work else 0.0,
            pay=self._pay[name] / pay if pay else 0.0,
            forfeits=sum(book.forfeits for book in own),
        )
