"""How a manager's records change: each event makes a new `PoolState` from the old one.

Applying decides nothing: whatever needs a rule, a draw or a clock is in the event. So the events of
a journal give the same state whenever they are applied. Only a round's opening and closing look at
all miners.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pool.records import events
from pool.records.effects import members, pay, results, rounds, work
from pool.records.events import AnyEvent
from pool.records.state import PoolState


def apply(pool: PoolState, event: AnyEvent) -> PoolState:
    """The state after an event that was decided on in this state."""
    return _APPLY[type(event)](pool, event)


def apply_all(pool: PoolState, happened: Iterable[AnyEvent]) -> PoolState:
    """The state after these events, in order."""
    for event in happened:
        pool = apply(pool, event)
    return pool


# Looked up by class: a result is applied hundreds of times a second.
_APPLY: Mapping[type, Callable[[PoolState, Any], PoolState]] = {
    events.Joined: members.joined,
    events.TurnedAway: members.turned_away,
    events.Left: members.left,
    events.Forgotten: members.forgotten,
    events.Restarted: members.restarted,
    events.ClockStepped: members.clock_stepped,
    events.Retyped: members.retyped,
    events.RoundOpened: rounds.round_opened,
    events.RoundClosed: rounds.round_closed,
    events.LeaseGranted: work.lease_granted,
    events.LeaseAccepted: work.lease_accepted,
    events.LeaseParked: work.lease_parked,
    events.LeaseResumed: work.lease_resumed,
    events.SearchGivenUp: work.search_given_up,
    events.BackupActivated: work.backup_activated,
    events.ExploitationGiven: work.exploitation_given,
    events.Rested: work.rested,
    events.ResultAccepted: results.result_accepted,
    events.ResultRefused: results.result_refused,
    events.ResultStale: results.result_stale,
    events.BestConfirmed: results.best_confirmed,
    events.BaseArrived: results.base_arrived,
    events.BackupsDesignated: work.backups_designated,
    events.ShareAudited: pay.share_audited,
    events.WorkForfeited: pay.work_forfeited,
    events.Flooded: pay.flooded,
    events.Banned: pay.banned,
    events.PageClosed: pay.page_closed,
    events.Committed: pay.committed,
    events.Paid: pay.paid,
}
