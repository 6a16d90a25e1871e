"""States of trainings made again for audits: asked for by hash, and too large to be kept."""

from __future__ import annotations

import structlog

from nas.jobs import Executor, JobFailed, Rewind, Train

_KEPT_TRAININGS = 1_024

_log = structlog.get_logger("pool.miner")


class Trainings:
    """Remembers the newest trainings by the hashes of their states.

    A state is made again by the executor, which takes jobs in order: it waits for the candidates
    under way and goes before the next one, so that no training is thrown away for it.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._trainings: dict[Train, tuple[bytes, ...]] = {}

    def remember(self, training: Train, states: tuple[bytes, ...]) -> None:
        """Keep what a training has said of its states; the oldest makes room."""
        self._trainings[training] = states
        if len(self._trainings) > _KEPT_TRAININGS:
            del self._trainings[next(iter(self._trainings))]

    async def make(self, hash_: bytes) -> bytes | None:
        """The state with a hash, made from the seed; None for one that no training here had."""
        for training, states in self._trainings.items():
            if hash_ in states:
                try:
                    made = await self._executor.run(Rewind(training, states.index(hash_)))
                except JobFailed as error:
                    _log.error("state_not_made", reason=str(error))
                    return None
                return made.state
        return None
