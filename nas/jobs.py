"""What a worker process can do: jobs, their results, and who runs them.

Jobs are plain frozen values, so that they can be pickled to a spawned process of the same program
(they never cross the network in this form).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, overload

from nas.designs.genotype import Genotype
from nas.designs.space import Space
from nas.task import Task
from nas.training.protocol import EDITION, ResultKey, precision_on
from nas.training.protocol import Protocol as TrainingProtocol

BATCH_EPISODES = 5
"""Episodes that one policy snapshot proposes (the rollouts of an update in the authors' code)."""

SEED_BOUND = 1 << 63
"""Seeds are integers in [0, 2**63)."""


class JobError(ValueError):
    """Values that are no job."""


class FailureKind(StrEnum):
    """What kept a job from a result.

    Of all but OTHER something that came with the job is the cause, so that every machine would
    fail; OTHER may be the machine's (a process that died, memory that ran out).
    """

    MODEL_FORMAT = "model-format"
    MODEL_TOO_WIDE = "model-too-wide"
    """Sums or activations beyond what exact evaluation takes."""
    WEIGHTS = "weights"
    """Weights or a training's state that are not of the design."""
    OTHER = "other"


class JobFailed(Exception):
    """A job ended without a result; the message is one sentence that says why."""

    def __init__(self, reason: str, kind: FailureKind = FailureKind.OTHER) -> None:
        super().__init__(reason)
        self.kind = kind


@dataclass(frozen=True)
class Propose:
    """Ask the search for the design of `episode` (from 0).

    The design is a function of `space`, `seed` and the rewards (in [0, 1], in episode order) of
    all batches before the episode's own; rewards beyond those are ignored.

    Raises JobError when rewards are missing or the seed is out of range.
    """

    task: Task
    space: Space
    seed: int
    rewards: tuple[float, ...]
    episode: int

    def __post_init__(self) -> None:
        _check_seed(self.seed)
        needed = rewards_needed(self.episode)
        if len(self.rewards) < needed:
            raise JobError(
                f"episode {self.episode} follows from {needed} rewards, "
                f"but only {len(self.rewards)} are known"
            )


@dataclass(frozen=True)
class Proposal:
    """The design that the search wants tried."""

    genotype: Genotype


@dataclass(frozen=True)
class Train:
    """Train a design for `epochs`, from `initial_weights` (safetensors bytes) if given."""

    task: Task
    genotype: Genotype
    seed: int
    epochs: int
    initial_weights: bytes | None

    def __post_init__(self) -> None:
        _check_seed(self.seed)
        if self.epochs < 1:
            raise JobError(f"training needs at least 1 epoch, not {self.epochs}")


@dataclass(frozen=True)
class Trained:
    """The snapshot of a training run that its task's reward rule chose, and its reward.

    `model` are its canonical bytes, `weights` its float weights as safetensors. `correct` of
    `size` images of the reward split is an exact count under rule `best`, and the sum over the
    last epochs under `last-five`; the reward is their quotient. `epochs` were asked for and took
    `seconds`. `states` are the BLAKE2b-256 hashes of the training's state before the first epoch
    and after each that was trained; `ptq` may end before all of `epochs`. `precision` says how the
    device computes (`nas.training.protocol.precision_on`), which a repetition has to match.
    """

    model: bytes
    weights: bytes
    correct: int
    size: int
    epochs: int
    seconds: float
    states: tuple[bytes, ...]
    precision: str


@dataclass(frozen=True)
class Rewind:
    """Make the state of a training after `epoch` of its epochs again, from its seed.

    Deterministic on the same kind of device. Raises JobError for an epoch outside 0 to
    `train.epochs`.
    """

    train: Train
    epoch: int

    def __post_init__(self) -> None:
        if not 0 <= self.epoch <= self.train.epochs:
            raise JobError(f"a training of {self.train.epochs} epochs has no state {self.epoch}")


@dataclass(frozen=True)
class Retrain:
    """Repeat one epoch of a training, number `epoch` (from 0), from the `state` before it.

    Deterministic on the same kind of device. Raises JobError for an epoch outside 0 to
    `train.epochs` - 1.
    """

    train: Train
    epoch: int
    state: bytes

    def __post_init__(self) -> None:
        if not 0 <= self.epoch < self.train.epochs:
            raise JobError(f"a training of {self.train.epochs} epochs has no epoch {self.epoch}")


@dataclass(frozen=True)
class TrainingState:
    """All that the next epoch of a training depends on: weights, batch statistics, momentum.

    `state` is canonical safetensors bytes, whose BLAKE2b-256 is the hash in `Trained.states`.
    """

    state: bytes


@dataclass(frozen=True)
class Count:
    """Count the images of a split (`validation` or `test`) that a model classifies correctly."""

    dataset: str
    split: str
    genotype: Genotype
    model: bytes


@dataclass(frozen=True)
class Counted:
    """`correct` of `size` images; `logits_hash` is BLAKE2b-256 over all int64 logits."""

    correct: int
    size: int
    logits_hash: bytes


@dataclass(frozen=True)
class Verify:
    """Check that a model classifies exactly `claimed` images of a split correctly.

    Raises JobError for a negative count.
    """

    count: Count
    claimed: int

    def __post_init__(self) -> None:
        if self.claimed < 0:
            raise JobError(f"no model is right {self.claimed} times")


@dataclass(frozen=True)
class Refuted:
    """The claimed count is wrong, as `evaluated` images show; the true one stays unknown."""

    evaluated: int


Job = Propose | Train | Rewind | Retrain | Count | Verify
Result = Proposal | Trained | TrainingState | Counted | Refuted


class Executor(Protocol):
    """Runs jobs somewhere else.

    `run` raises JobFailed with the reason. Cancelling the task that awaits it cancels the job.
    """

    @overload
    async def run(self, job: Propose) -> Proposal: ...
    @overload
    async def run(self, job: Train) -> Trained: ...
    @overload
    async def run(self, job: Rewind | Retrain) -> TrainingState: ...
    @overload
    async def run(self, job: Count) -> Counted: ...
    @overload
    async def run(self, job: Verify) -> Counted | Refuted: ...

    async def close(self) -> None:
        """End all jobs and everything that ran them."""
        ...


def rewards_needed(episode: int) -> int:
    """How many rewards must be known before `episode` can be proposed.

    Raises JobError for a negative episode.
    """
    if episode < 0:
        raise JobError(f"episodes count from 0, not {episode}")
    return episode // BATCH_EPISODES * BATCH_EPISODES


def result_key(job: Train, content_hash: bytes, device: str = "cpu") -> ResultKey:
    """What the reward of a training job depends on beside its genotype."""
    task = job.task
    return ResultKey(
        protocol=TrainingProtocol(task.protocol),
        reward_rule=task.rule,
        reward_split=task.reward_split,
        precision=precision_on(device),
        data=content_hash.hex(),
        epochs=job.epochs,
        seed=job.seed,
        edition=EDITION,
    )


def training_seed(search_seed: int, dataset: str, genotype: Genotype, replica: int) -> int:
    """The seed of a training run: a hash of search seed, data, architecture and replica.

    The bits are left out, so that designs which differ only in bits start from the same weights.
    Raises JobError unless the search seed is in [0, 2**63) and the replica in [0, 2**32).
    """
    _check_seed(search_seed)
    if not 0 <= replica < 1 << 32:
        raise JobError(f"replica {replica} is outside 0 to 2**32 - 1")
    name = dataset.encode()
    architecture = bytes(value for layer in genotype.architecture for value in layer)
    digest = hashlib.blake2b(digest_size=8, person=b"ponas train seed")
    digest.update(search_seed.to_bytes(8, "little") + replica.to_bytes(4, "little"))
    digest.update(len(name).to_bytes(4, "little") + name + architecture)
    return int.from_bytes(digest.digest(), "little") % SEED_BOUND


def _check_seed(seed: int) -> None:
    if not 0 <= seed < SEED_BOUND:
        raise JobError(f"seed {seed} is outside 0 to 2**63 - 1")
