"""What can happen to a pool: every change of its state is one of these, with the inputs it had.

A manager appends them to its journal before anybody hears of the change, and people read them by
`ponas pool events`. What follows from an event is `pool.records.transition.apply`'s business.
"""

from __future__ import annotations

from nas.designs.space import Space
from pool.records.state import Best, Exploitation, Record, Refusal, RoundTask, Strength


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


class Restarted(Event, frozen=True, tag="restarted"):
    """The manager was started anew, so that nobody is connected."""


class Retyped(Event, frozen=True, tag="retyped"):
    """A miner is treated otherwise from now on, by what it delivered."""

    miner: bytes
    strength: Strength
    reason: str


class RoundOpened(Event, frozen=True, tag="round-opened"):
    """A round begins, with so many `explorers`; every draw in it follows from `seed`."""

    task: RoundTask
    seed: bytes
    explorers: int


class RoundClosed(Event, frozen=True, tag="round-closed"):
    """The train phase is over; the round's records stay until the next one is opened."""


class SearchDrawn(Event, frozen=True, tag="search-drawn"):
    """A new search: its subspace, and how it came about (`pool.partition.base.Subspace`)."""

    search: int
    subspace: Space
    is_whole: bool
    redraws: int
    merged: int
    repeat: int


class LeaseGranted(Event, frozen=True, tag="lease-granted"):
    """A miner is given a search that is its own from now on, if it was not before."""

    miner: bytes
    assignment: int
    search: int
    budget: int


class LeaseAccepted(Event, frozen=True, tag="lease-accepted"):
    """The miner has signed that it accepts the lease; `acceptance` is its encoded envelope."""

    miner: bytes
    assignment: int
    acceptance: bytes


class LeaseParked(Event, frozen=True, tag="lease-parked"):
    """A backup's own lease waits while it goes on with another's search."""

    miner: bytes
    search: int


class LeaseResumed(Event, frozen=True, tag="lease-resumed"):
    """A backup goes back to its own search, or to none; the other one's owner is back, or it
    is complete."""

    miner: bytes
    search: int


class BackupActivated(Event, frozen=True, tag="backup-activated"):
    """A backup goes on with the search of a miner that has left, from its next episode."""

    miner: bytes
    assignment: int
    search: int
    owner: bytes
    next_episode: int
    budget: int


class ExploitationGiven(Event, frozen=True, tag="exploitation-given"):
    """A miner trains on from the base, and may have its weights."""

    miner: bytes
    assignment: int
    work: Exploitation


class Rested(Event, frozen=True, tag="rested"):
    """A miner has nothing to do, and why."""

    miner: bytes
    reason: str


class ResultAccepted(Event, frozen=True, tag="result-accepted"):
    """A result counts, for `work` units of work.

    `epochs` are those trained anew; `share` is the key that must be new for a result to be paid.
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
    share: bytes
    work: int


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


AnyEvent = (
    Joined
    | TurnedAway
    | Left
    | Restarted
    | Retyped
    | RoundOpened
    | RoundClosed
    | SearchDrawn
    | LeaseGranted
    | LeaseAccepted
    | LeaseParked
    | LeaseResumed
    | BackupActivated
    | ExploitationGiven
    | Rested
    | ResultAccepted
    | ResultRefused
    | ResultStale
    | BestConfirmed
    | BaseArrived
)
