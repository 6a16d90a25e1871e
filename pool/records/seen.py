"""What was paid before, so that it is not paid again: trainings of the round, models of a window.

The seed of a training follows from its round's, so that no training comes again in another round.
A stored model might, and is remembered for as many rounds as a block pays.
"""

from __future__ import annotations

import msgspec

from pool.records.tables import Table, persistent, refilled
from pool.rules.window import WINDOW_ROUNDS

MAX_PAST_MODELS = 500_000
"""Models of earlier rounds that are remembered; beyond that the oldest rounds are forgotten. What
a round itself may bring is bounded by the pace of its miners and the rate of their messages."""


class Seen(msgspec.Struct, frozen=True, gc=False):
    """Keys of the shares that were paid, 32 bytes each.

    `trainings` (`pool.rules.worth.ShareKeys.trainings`) and `models` (hashes) are of this round,
    `past` the models of rounds before, old to new.
    """

    trainings: Table[bytes, bool] = persistent()
    models: Table[bytes, bool] = persistent()
    past: tuple[Table[bytes, bool], ...] = ()

    def has_model(self, model_hash: bytes) -> bool:
        """Whether a share of a model with this hash was paid."""
        if model_hash in self.models:
            return True
        for models in self.past:  # noqa: SIM110 (a generator costs more than the look-ups)
            if model_hash in models:
                return True
        return False


def with_paid(seen: Seen, trainings: tuple[bytes, ...], model_hash: bytes) -> Seen:
    """One more share was paid."""
    known = seen.trainings
    for key in trainings:
        known = known.set(key, True)
    return Seen(known, seen.models.set(model_hash, True), seen.past)


def with_next_round(seen: Seen) -> Seen:
    """A round is over; one in which nothing was paid is none of the window's."""
    if not seen.models:
        return seen
    past = (*seen.past, seen.models)[1 - WINDOW_ROUNDS :]
    while len(past) > 1 and sum(map(len, past)) > MAX_PAST_MODELS:
        past = past[1:]
    return Seen(refilled(seen.trainings, {}), refilled(seen.models, {}), past)
