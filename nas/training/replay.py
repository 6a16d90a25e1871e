"""Repeating part of a training, to see whether somebody did it (design section 5, audits).

A training tells the hashes of its states at the start and after each epoch. Who is asked for an
epoch makes the state before it again from the seed (`rewind`) and hands it out; who asks repeats
the one epoch (`retrain`) and compares the hash of what comes out with the next that was told. All
of it gives the same bytes on the same kind of device only.
"""

from __future__ import annotations

from nas.data.dataset import Dataset
from nas.execution.cancel import ShouldStop
from nas.jobs import Retrain, Rewind, Train, TrainingState
from nas.networks import weights
from nas.training import ptq, qat
from nas.training.descent import Descent
from nas.training.protocol import Protocol
from nas.training.steps import enter_own_stream


def rewind(job: Rewind, dataset: Dataset, device: str, should_stop: ShouldStop) -> TrainingState:
    """The state of a training after so many of its epochs, made again from the seed.

    Raises as `nas.training.train.train` does.
    """
    with _begin(job.train, dataset, device) as descent:
        for _ in range(job.epoch):
            descent.run_epoch(should_stop)
        return TrainingState(weights.pack_state(descent.state()))


def retrain(job: Retrain, dataset: Dataset, device: str, should_stop: ShouldStop) -> TrainingState:
    """The state after one epoch from a given state.

    Raises WeightsError for bytes that are no state of such a training, and otherwise as
    `nas.training.train.train` does.
    """
    with _begin(job.train, dataset, device) as descent:
        descent.resume(job.epoch, job.state)
        descent.run_epoch(should_stop)
        return TrainingState(weights.pack_state(descent.state()))


def _begin(job: Train, dataset: Dataset, device: str) -> Descent:
    enter_own_stream(device)
    begin = qat.begin if job.task.protocol == Protocol.QAT else ptq.begin
    return begin(job, dataset, device)[1]
