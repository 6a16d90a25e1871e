"""What can happen to a pool: every change of its state is one of these, with the inputs it had.

A manager appends them to its journal before anybody hears of the change, and people read them by
`ponas pool events`. What follows from an event is `pool.records.transition.apply`'s business.
"""

from __future__ import annotations

from pool.partition.base import Subspace
from pool.records.floods import Flood
from pool.records.refusals import Refusal
from pool.records.state import (
    Audit,
    Best,
    Exploitation,
    KeptLease,
    Promise,
    Record,
    RoundTask,
)
from pool.records.strengths import Strength
from pool.rules.audits import Suspicion
from pool.rules.reliability import Finding
from pool.rules.worth import Worth


class Event(Record, frozen=True):
    """Something that happened at `at_ms`."""

    at_ms: int


class Joined(Event, frozen=True, tag="joined"):
    """A miner has registered, for the first time or again; how it is treated, and why."""

    miner: bytes
    payout_address: bytes
    declared: Strength
    strength: Strength
    reason: str


class TurnedAway(Event, frozen=True, tag="turned-away"):
    """A connection did not register as it must; `miner` is empty unless its key was proved."""

    miner: bytes
    reason: str


class Left(Event, frozen=True, tag="left"):
    """A miner's connection has ended; its shares stay, and its lease waits for it."""

    miner: bytes
    reason: str


class Forgotten(Event, frozen=True, tag="forgotten"):
    """Miners that have left, with nothing coming to them, are known no longer."""

    miners: tuple[bytes, ...]


class Restarted(Event, frozen=True, tag="restarted"):
    """The manager was started anew, so that nobody is connected."""


class ClockStepped(Event, frozen=True, tag="clock-stepped"):
    """The manager's clock was set forward or back, by `by_ms`, to `at_ms`."""

    by_ms: int


class Retyped(Event, frozen=True, tag="retyped"):
    """A miner is treated otherwise from now on, by what it delivered."""

    miner: bytes
    strength: Strength
    reason: str


class RoundOpened(Event, frozen=True, tag="round-opened"):
    """A round begins, with so many `explorers`; every draw in it follows from `seed`.

    `forgotten` are miners that left long ago and have nothing coming to them.
    """

    task: RoundTask
    seed: bytes
    explorers: int
    forgotten: tuple[bytes, ...] = ()


class RoundClosed(Event, frozen=True, tag="round-closed"):
    """The train phase is over; the round's records stay until the next one is opened."""


class LeaseGranted(Event, frozen=True, tag="lease-granted"):
    """A miner is given a search that is its own from now on, if it was not before.

    `drawn` is set for a new search: its subspace, and how it came about.
    """

    miner: bytes
    assignment: int
    search: int
    budget: int
    drawn: Subspace | None = None


class LeaseAccepted(Event, frozen=True, tag="lease-accepted"):
    """The miner has signed that it accepts the lease of an assignment."""

    miner: bytes
    assignment: int
    kept: KeptLease


class LeaseParked(Event, frozen=True, tag="lease-parked"):
    """A backup's own lease waits while it goes on with another's search."""

    miner: bytes
    search: int


class LeaseResumed(Event, frozen=True, tag="lease-resumed"):
    """A backup goes back to its own search, or to none; the other one's owner is back, or it
    is complete."""

    miner: bytes
    search: int


class SearchGivenUp(Event, frozen=True, tag="search-given-up"):
    """A miner's last results of a search, so many, all came without any training: they are taken
    back, and others may have the search."""

    miner: bytes
    search: int
    results: int


class BackupsDesignated(Event, frozen=True, tag="backups-designated"):
    """Who stands in for whom from now on, as (protected, backup), and what that follows from."""

    backups: tuple[tuple[bytes, bytes], ...]
    finding: Finding


class BackupActivated(Event, frozen=True, tag="backup-activated"):
    """A backup goes on with the search of a miner that has left, from its next episode.

    `owner` is whose lease the search is.
    """

    miner: bytes
    assignment: int
    search: int
    owner: bytes
    next_episode: int
    budget: int


class ExploitationGiven(Event, frozen=True, tag="exploitation-given"):
    """A miner improves the base; from its weights, or else from scratch."""

    miner: bytes
    assignment: int
    work: Exploitation


class Rested(Event, frozen=True, tag="rested"):
    """A miner has nothing to do, and why."""

    miner: bytes
    reason: str


class ResultAccepted(Event, frozen=True, tag="result-accepted"):
    """A result counts, for `work` nanoseconds of the reference core.

    `epochs` are those trained anew. `worth` says why not more was credited; `trainings` are those
    of its `pool.rules.worth.ShareKeys` if it was paid. `is_confirmed` says that the manager has
    counted the model itself. `audit` is set for a share that was drawn, and waits from now on in
    the place of its miner's audit.
    """

    miner: bytes
    assignment: int
    episode: int
    genotype: bytes
    training_seed: int
    correct: int
    size: int
    epochs: int
    model_hash: bytes
    work: int
    worth: Worth
    trainings: tuple[bytes, ...]
    suspicions: tuple[Suspicion, ...]
    is_confirmed: bool
    audit: Audit | None


class ResultRefused(Event, frozen=True, tag="result-refused"):
    """A result does not count; `takes_place` says whether its episode is used up all the same."""

    miner: bytes
    assignment: int
    episode: int
    reason: Refusal
    detail: str
    takes_place: bool


class ResultStale(Event, frozen=True, tag="result-stale"):
    """A result was right but too late."""

    miner: bytes
    assignment: int
    episode: int
    detail: str


class BestConfirmed(Event, frozen=True, tag="best-confirmed"):
    """A new best of the round, confirmed by exact evaluation, is shared with all."""

    best: Best


class BaseArrived(Event, frozen=True, tag="base-arrived"):
    """The weights of a confirmed best are here: weak miners train on from them."""

    base: Best


class ShareAudited(Event, frozen=True, tag="share-audited"):
    """A share has passed its audit, or could not be audited for no fault of its miner's."""

    audit: Audit
    passed: bool
    detail: str


class WorkForfeited(Event, frozen=True, tag="work-forfeited"):
    """A miner has lost its work in the window, by a failed audit or a broken lease.

    `reason` is a stable word; `evidence` are the signed objects that show it, if it is of that
    kind, encoded.
    """

    miner: bytes
    reason: str
    detail: str
    evidence: tuple[bytes, ...] = ()


class Flooded(Event, frozen=True, tag="flooded"):
    """A miner has sent more than it may, so that its link ended."""

    miner: bytes
    what: Flood


class Banned(Event, frozen=True, tag="banned"):
    """A miner is sent away until `until_ms`, for the faults that have added up."""

    miner: bytes
    until_ms: int
    points: int


class PageClosed(Event, frozen=True, tag="page-closed"):
    """A page of the share log is complete and has this hash."""

    round: int
    page: bytes


class Committed(Event, frozen=True, tag="committed"):
    """The pool promises its best model of a round; written before the commitment leaves."""

    promise: Promise


class Paid(Event, frozen=True, tag="paid"):
    """A block of the pool has become final: all work in the window is paid."""

    round: int


AnyEvent = (
    Joined
    | TurnedAway
    | Left
    | Forgotten
    | Restarted
    | ClockStepped
    | Retyped
    | RoundOpened
    | RoundClosed
    | LeaseGranted
    | LeaseAccepted
    | LeaseParked
    | LeaseResumed
    | SearchGivenUp
    | BackupActivated
    | ExploitationGiven
    | Rested
    | ResultAccepted
    | ResultRefused
    | ResultStale
    | BestConfirmed
    | BaseArrived
    | BackupsDesignated
    | ShareAudited
    | WorkForfeited
    | Flooded
    | Banned
    | PageClosed
    | Committed
    | Paid
)
