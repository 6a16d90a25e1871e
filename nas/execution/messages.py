"""What passes between an executor and its worker processes beside jobs and results."""

from dataclasses import dataclass

from nas.jobs import FailureKind


@dataclass(frozen=True)
class Ready:
    """From a worker, first of all: it listens now."""


@dataclass(frozen=True)
class Stop:
    """To a worker: drop the job at hand; nothing if there is none."""


@dataclass(frozen=True)
class Failure:
    """From a worker: the job has no result, for this reason (one sentence)."""

    reason: str
    kind: FailureKind = FailureKind.OTHER
