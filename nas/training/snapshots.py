"""What a training run is worth: the counts after its epochs under a reward rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nas.networks.weights import State
from nas.training.protocol import RewardRule

OnEpoch = Callable[[float | None], None]
"""Hears the share of images that were right after each epoch; None if they are not yet counted."""

WINDOW = 5
"""Epochs whose mean the authors take (nas.md 1.3)."""


@dataclass(frozen=True)
class Snapshot:
    """A network after an epoch: canonical model bytes, float weights, and its exact count."""

    model: bytes
    weights: State
    correct: int


class Ledger:
    """Snapshots in the order of their epochs, of which no more are kept than the rule needs."""

    def __init__(self, rule: RewardRule) -> None:
        self._rule = rule
        self._counts: list[int] = []
        self._chosen: Snapshot | None = None

    def add(self, snapshot: Snapshot) -> None:
        """Enter the snapshot of the next epoch."""
        self._counts.append(snapshot.correct)
        if (
            self._chosen is None
            or self._rule is RewardRule.LAST_FIVE
            or snapshot.correct > self._chosen.correct
        ):
            self._chosen = snapshot

    def result(self) -> tuple[Snapshot, tuple[int, ...]]:
        """The snapshot that is the model, and the counts whose mean is the reward.

        A mean belongs to no model; the last epoch's is handed out with it. Raises ValueError
        when there is no snapshot.
        """
        if self._chosen is None:
            raise ValueError("training needs at least 1 epoch")
        if self._rule is RewardRule.BEST:
            return self._chosen, (self._chosen.correct,)
        counts = self._counts[-WINDOW:]
        return self._chosen, tuple(counts if len(counts) == WINDOW else counts[-1:])
