"""What came of a simulated pool, as records that can be printed, plotted and compared."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from statistics import fmean

from msgspec import Struct


class Variant(StrEnum):
    """Which rules the pool has."""

    STRATEGY = "strategy"
    """All of them."""

    NO_BACKUPS = "no-backups"
    """No backup is designated, so the search of a miner that leaves waits for a free one."""

    OFF = "off"
    """Every miner, weak or strong, explores a subspace of its own; nothing is shared or resumed."""


class Use(StrEnum):
    """What became of a connected miner's time."""

    USEFUL = "useful"
    """Candidates that were trained and accepted."""

    REPEATED = "repeated"
    """Designs that the search had tried already."""

    REFUSED = "refused"
    STALE = "stale"
    """Results after the end of the phase or of the assignment."""

    ABANDONED = "abandoned"
    """Candidates under way when the miner left or got other work."""

    IDLE = "idle"
    """Nothing to do in the train phase."""


class BestPoint(Struct, frozen=True):
    """The pool's best from a moment on: `reward` in [0, 1], `at_s` since the simulation began."""

    round: int
    at_s: float
    reward: float
    by_class: str


class ClassOutcome(Struct, frozen=True):
    """One class of miners over the whole run.

    `seconds` are of all its miners together, in train phases. `pay` and `work` are shares of the
    whole pool's, in [0, 1]; `results` were accepted.
    """

    name: str
    miners: int
    results: int
    leases: int
    seconds: Mapping[Use, float]
    work: float
    pay: float
    forfeits: int

    def share(self, use: Use) -> float:
        """A use as a share of the connected time; that of `USEFUL` is the utilisation."""
        total = sum(self.seconds.values())
        return self.seconds[use] / total if total else 0.0


class Outcome(Struct, frozen=True):
    """One run: `finals` holds each round's best reward at its end, 0 without any.

    `reassigned_ms` are the times from the loss of a search's miner to the order of the next one.
    """

    title: str
    variant: Variant
    seed: int
    train_s: float
    period_s: float
    finals: tuple[float, ...]
    bests: tuple[BestPoint, ...]
    classes: tuple[ClassOutcome, ...]
    reassigned_ms: tuple[int, ...]
    searches_lost: int
    backups_designated: int
    backups_activated: int
    audits: int
    manager_pay: float

    @property
    def best(self) -> float:
        """The mean over the rounds of the best reward at their end."""
        return fmean(self.finals)
