"""Which shares the manager checks by itself, and what it makes of what it finds.

The draw follows from a secret of the manager and the share, whose model hash is fixed by then: who
reports can't know whether it will be checked (consensus F4). A failed audit costs a miner all its
work in the window (`pool.rules.window.forfeit`) and its streak.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum
from fractions import Fraction

from node.chain.hashing import blake
from pool.rules.delivery import Delivery

CERTAIN_SHARES = 10
"""The first shares of a streak are all audited."""

SUSPICION_FACTOR = 4
"""Each ground of suspicion makes an audit so many times more likely."""

STATE_TIMEOUT_MS = 300_000
"""The least time that a miner has to make a training's state again."""

ANSWER_MS = 1_200_000
"""The least time that a miner has to answer, asked or away. Who has gone to another pool, because
its link broke or this one was mute, looks whether this one is back after ten minutes at most: it
may find it gone once more. The work of who is away or late is held back meanwhile. What one
commitment leaves out, about three of the four that a window has still pay: waiting costs little,
but it is not free."""

_DRAWS = 1 << 64
_CERTAIN = Fraction(1)


class Suspicion(StrEnum):
    """Why a share is audited with a higher chance."""

    TOO_FAST = "too-fast"
    OUT_OF_CLASS = "out-of-class"


class AuditKind(StrEnum):
    """How a share is checked: its model counted exactly, or an epoch of its training repeated."""

    COUNT = "count"
    RETRAIN = "retrain"


class Fault(StrEnum):
    """Why a share failed its audit. OVERDUE is no proof of a lie: the miner was not there."""

    OVERDUE = "overdue"
    MODEL_MISSING = "model-missing"
    MODEL_FORMAT = "model-format"
    COUNT_DIFFERS = "count-differs"
    STATE_MISSING = "state-missing"
    STATE_DIFFERS = "state-differs"


def chance(streak: int, unpaid: int, suspicions: Collection[Suspicion] = ()) -> Fraction:
    """Probability that a share is audited: max(1 / streak, 2 / unpaid), at most 1.

    `streak` are the miner's shares since it joined or failed an audit, `unpaid` those in the window
    that no block has paid: all that it can lose. A cheat then costs twice what it brings, however
    long the streak (consensus F4). After a payout `unpaid` starts anew, and audits are certain.
    """
    if streak < CERTAIN_SHARES or unpaid <= 2:
        return _CERTAIN
    factor: int = SUSPICION_FACTOR ** len(set(suspicions))
    # 1 / streak or 2 / unpaid, whichever is more.
    likely, of = (factor, streak) if unpaid >= 2 * streak else (2 * factor, unpaid)
    return Fraction(likely, of) if likely < of else _CERTAIN


def is_drawn(secret: bytes, share: bytes, probability: Fraction) -> bool:
    """Whether a share is audited; `share` is its hash in the share log, already journalled.

    `secret` is known to the manager alone, and the same after a restart.
    """
    if probability is _CERTAIN:
        # Nothing is drawn that could not turn out otherwise.
        return True
    draw = int.from_bytes(blake("ponas/pool/audit", secret, share)[:8], "big")
    return draw * probability.denominator < _DRAWS * probability.numerator


def kind_of(is_low: bool, is_repeatable: bool, suspicions: Collection[Suspicion]) -> AuditKind:
    """How a drawn share is audited.

    A low count (`pool.rules.classes.is_below_floor`) says little, since untrained models count as
    much, and nothing about epochs that were never run, which make a miner too fast: there an epoch
    is repeated, if this manager computes as the miner does.
    """
    is_doubtful = is_low or Suspicion.TOO_FAST in suspicions
    return AuditKind.RETRAIN if is_doubtful and is_repeatable else AuditKind.COUNT


def precedes(secret: bytes, share: bytes, other: bytes) -> bool:
    """Of two drawn shares of one miner, whether the first is to be audited rather than the second.

    One audit of a miner waits at a time. All its drawn shares have one order, which follows from
    the secret: whichever of them waits in the end, each was equally likely to.
    """

    def place(of: bytes) -> bytes:
        return blake("ponas/pool/audit/order", secret, of)

    return place(share) < place(other)


def state_timeout_ms(delivery: Delivery, phase_ms: int) -> int:
    """How long a miner may take to make a training's state again.

    A candidate is under way, and another training is repeated: at the miner's speed, twice that
    because designs differ in size. Neither takes longer than a train phase.
    """
    if not delivery.results:
        return max(STATE_TIMEOUT_MS, 2 * phase_ms)
    candidate_ms = round(delivery.measured_ms / delivery.results)
    return max(STATE_TIMEOUT_MS, min(4 * candidate_ms, 2 * phase_ms))


def answer_ms(phase_ms: int) -> int:
    """How long a miner has to answer an audit: the time for which it is away or asked.

    Who mines alone meanwhile comes back at the end of its train phase, and may then need as long
    as `state_timeout_ms` gives it at most.
    """
    return max(ANSWER_MS, 3 * phase_ms)


def missing(kind: AuditKind) -> Fault:
    """The verdict on an audit whose answer does not come."""
    return Fault.MODEL_MISSING if kind is AuditKind.COUNT else Fault.STATE_MISSING


def epoch_to_repeat(secret: bytes, share: bytes, epochs: int) -> int:
    """Which epoch of a share is repeated, in [0, epochs): drawn, so that all must have been run.

    Raises ValueError for a share without epochs.
    """
    if epochs < 1:
        raise ValueError("a training that ran no epoch can't be repeated")
    return int.from_bytes(blake("ponas/pool/audit/epoch", secret, share)[:8], "big") % epochs


def judge_count(claimed: int, counted: int) -> Fault | None:
    """The verdict on a counted model."""
    return None if claimed == counted else Fault.COUNT_DIFFERS


def judge_repetition(states: Sequence[bytes], epoch: int, reached: bytes) -> Fault | None:
    """The verdict on a repeated epoch.

    `states` are hashes that the miner reported, each of the state before the epoch of its place;
    `reached` is that of the state which the repetition ended in. The manager starts a training's
    first epoch from the state that follows from the seed, any other from the miner's.
    """
    if epoch + 1 >= len(states):
        return Fault.STATE_MISSING
    return None if states[epoch + 1] == reached else Fault.STATE_DIFFERS
