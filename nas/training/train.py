"""Training of one design under a protocol, judged by exact evaluation.

A job gives the same bytes every time on the same kind of CPU: all randomness comes from the job's
seed, and a worker computes on one thread.
"""

from __future__ import annotations

from collections.abc import Callable

from nas.data.dataset import Dataset
from nas.execution.cancel import ShouldStop
from nas.jobs import Train, Trained
from nas.networks import weights
from nas.training import ptq, qat
from nas.training.protocol import Protocol, precision_on
from nas.training.snapshots import Ledger, OnEpoch, Snapshot
from nas.training.steps import enter_own_stream
from nas.training.weights_cache import WeightsCache


def train(
    job: Train,
    dataset: Dataset,
    device: str,
    should_stop: ShouldStop,
    clock: Callable[[], float],
    cache: WeightsCache | None = None,
    on_epoch: OnEpoch | None = None,
) -> Trained:
    """Train a design and return what its task's reward rule makes of it; `clock` counts seconds.

    `cache` spares `ptq` and `compat` the training of float weights that are known already;
    `on_epoch` hears of every epoch that is trained.
    Raises WeightsError for initial weights of another design, ValueError for a design that cannot
    be built or a training that diverges, and Cancelled.
    """
    started = clock()
    ledger = Ledger(job.task.rule)
    states = fit_into(ledger, job, dataset, device, should_stop, cache, on_epoch)
    chosen, counts = ledger.result()
    size = len(counts) * len(dataset.split(job.task.reward_split).labels)
    floats = weights.pack_state(chosen.weights)
    seconds = clock() - started
    precision = precision_on(device)
    return Trained(chosen.model, floats, sum(counts), size, job.epochs, seconds, states, precision)


def fit(
    job: Train,
    dataset: Dataset,
    device: str,
    should_stop: ShouldStop,
    cache: WeightsCache | None = None,
) -> tuple[Snapshot, tuple[int, ...]]:
    """The network that the reward rule chose, and the exact counts whose mean is the reward.

    On CUDA the calling thread is given a stream of its own. Raises as `train` does, and
    torch.OutOfMemoryError.
    """
    ledger = Ledger(job.task.rule)
    fit_into(ledger, job, dataset, device, should_stop, cache)
    return ledger.result()


def fit_into(
    ledger: Ledger,
    job: Train,
    dataset: Dataset,
    device: str,
    should_stop: ShouldStop,
    cache: WeightsCache | None = None,
    on_epoch: OnEpoch | None = None,
) -> tuple[bytes, ...]:
    """As `fit`, but every judged snapshot goes to `ledger`, in the order of the epochs.

    Returns the hashes of the training's states (`nas.jobs.Trained`).
    """
    enter_own_stream(device)
    if job.task.protocol == Protocol.QAT:
        return qat.train(job, dataset, device, should_stop, ledger, on_epoch)
    return ptq.train(job, dataset, device, should_stop, ledger, cache, on_epoch)
