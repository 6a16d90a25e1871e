"""A search without training: an executor whose results are a function of its jobs.

Everything above `nas` (pool, consensus, whole simulated networks) runs against it in virtual
time. It keeps the promises of the real one: proposals follow from the space, the seed and the
rewards of earlier batches; training is deterministic, ends with canonical model bytes of the right
length, and is a little better when it starts from given weights; `Count` is a function of the
model's bytes alone and finds on the validation split what `Train` reported.
"""

from __future__ import annotations

import hashlib
import random
from typing import overload

from nas.data.datasets import describe
from nas.designs.genotype import Genotype
from nas.evaluation.model_format import model_length
from nas.jobs import (
    Count,
    Counted,
    FailureKind,
    Job,
    JobFailed,
    Proposal,
    Propose,
    Refuted,
    Result,
    Retrain,
    Rewind,
    Train,
    Trained,
    TrainingState,
    Verify,
    rewards_needed,
)
from node.clock import Clock

# The model's last codes (the biases of the last classes, int32) hold a mark of the data that it was
# trained on, and its counts.
_MARK_AT, _CODES_AT = -12, -8
_WEIGHTS_TAG = b"scripted weights"
PRECISION = "scripted"
# Trained models count between these parts of a thousand of the validation images.
_WORST, _BEST = 500, 900


class ScriptedExecutor:
    """Implements `nas.jobs.Executor`; each kind of job takes its milliseconds on the clock.

    Jobs run side by side without bound.
    """

    def __init__(
        self, clock: Clock, train_ms: int = 1_500, count_ms: int = 100, propose_ms: int = 10
    ) -> None:
        self._clock = clock
        self._train_ms = train_ms
        self._count_ms = count_ms
        self._propose_ms = propose_ms

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
    async def run(self, job: Job) -> Result:
        match job:
            case Propose():
                await self._pass(self._propose_ms)
                return _propose(job)
            case Train():
                await self._pass(self._train_ms)
                return _train(job, self._train_ms)
            case Rewind():
                await self._pass(self._train_ms * job.epoch // job.train.epochs)
                return TrainingState(_state(job.train, job.epoch))
            case Retrain():
                await self._pass(self._train_ms // job.train.epochs)
                return _retrain(job)
            case Count():
                await self._pass(self._count_ms)
                return _count(job)
            case Verify():
                await self._pass(self._count_ms)
                counted = _count(job.count)
                # As if the lie showed in the last image only.
                return counted if counted.correct == job.claimed else Refuted(counted.size)

    async def close(self) -> None:
        """Holds nothing."""

    async def _pass(self, duration_ms: int) -> None:
        await self._clock.sleep_until(self._clock.now_ms() + duration_ms)


def scripted_model(dataset: str, genotype: Genotype, validation: int, test: int) -> bytes:
    """Canonical bytes of a model that counts exactly so many images of the two splits."""
    info = describe(dataset)
    length = model_length(genotype, info.shape, info.classes)
    # Two designs of one length that count alike would else be one model.
    body = hashlib.blake2b(genotype.to_bytes()).digest().ljust(length + _MARK_AT, bytes(1))
    codes = validation.to_bytes(4, "little") + test.to_bytes(4, "little")
    return body + _mark_of(dataset) + codes


def reworth(model: bytes, correct: int) -> bytes:
    """The same model, which counts so many images of either split instead."""
    return model[:_CODES_AT] + 2 * correct.to_bytes(4, "little")


def scripted_score(dataset: str, model: bytes, split: str) -> int:
    """How many images of a split a model counts: as many as by chance on data of somebody else."""
    info = describe(dataset)
    if model[_MARK_AT:_CODES_AT] != _mark_of(dataset):
        return (info.validation if split == "validation" else info.test) // info.classes
    return scripted_count(model, split)


def _mark_of(dataset: str) -> bytes:
    """What stands for the data that a model knows: those of an instance, whatever tests it."""
    instance = dataset.partition("/")[0]
    return hashlib.blake2b(instance.encode(), digest_size=4).digest()


def scripted_count(model: bytes, split: str) -> int:
    """How many images of `validation` or `test` a scripted model counts."""
    at = _CODES_AT if split == "validation" else _CODES_AT + 4
    return int.from_bytes(model[at : at + 4 or None], "little")


def _propose(job: Propose) -> Proposal:
    told = job.rewards[: rewards_needed(job.episode)]
    rng = random.Random(repr((job.space.ranges, job.seed, told, job.episode)))
    return Proposal(job.space.sample(rng))


def _train(job: Train, train_ms: int) -> Trained:
    info = describe(job.task.dataset)
    draw = random.Random(repr((job.genotype.tokens, job.seed)))
    if job.initial_weights is None:
        correct = info.validation * draw.randint(_WORST, _BEST) // 1_000
    else:
        start = int.from_bytes(job.initial_weights[len(_WEIGHTS_TAG) :], "little")
        correct = min(info.validation, start + draw.randint(0, 3))
    test = max(0, min(info.test, correct * info.test // info.validation + draw.randint(-4, 4)))
    return Trained(
        model=scripted_model(job.task.dataset, job.genotype, correct, test),
        weights=_WEIGHTS_TAG + correct.to_bytes(8, "little"),
        correct=correct,
        size=info.validation,
        epochs=job.epochs,
        seconds=train_ms / 1_000,
        states=tuple(
            hashlib.blake2b(_state(job, epoch), digest_size=32).digest()
            for epoch in range(job.epochs + 1)
        ),
        precision=PRECISION,
    )


def _state(job: Train, epoch: int) -> bytes:
    inputs = repr((job.genotype.tokens, job.seed, job.initial_weights, epoch))
    return hashlib.blake2b(inputs.encode(), digest_size=64).digest()


def _retrain(job: Retrain) -> TrainingState:
    """The next state of the training; from a state of another one, something else."""
    before = _state(job.train, job.epoch)
    if len(job.state) != len(before):
        detail = f"the state is {len(job.state)} bytes long instead of {len(before)}"
        raise JobFailed(detail, FailureKind.WEIGHTS)
    if job.state != before:
        return TrainingState(hashlib.blake2b(job.state, digest_size=64).digest())
    return TrainingState(_state(job.train, job.epoch + 1))


def _count(job: Count) -> Counted:
    info = describe(job.dataset)
    expected = model_length(job.genotype, info.shape, info.classes)
    if len(job.model) != expected:
        detail = f"the model is {len(job.model)} bytes long instead of {expected}"
        raise JobFailed(detail, FailureKind.MODEL_FORMAT)
    sizes = {"validation": info.validation, "test": info.test}
    logits_hash = hashlib.blake2b(job.split.encode() + job.model, digest_size=32).digest()
    correct = scripted_score(job.dataset, job.model, job.split)
    return Counted(correct, sizes[job.split], logits_hash)
