"""The worker process: one job at a time from a pipe, one reply to each.

Whatever arrives on the pipe during a job calls the job off: a Stop, or the end of the pipe because
the parent closed it or died. The process then has nothing left to do and ends.
"""

import os
import re
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import torch
from threadpoolctl import threadpool_limits

from nas.data import datasets
from nas.data.cache import cache_folder
from nas.evaluation.evaluate import count
from nas.evaluation.exact import EvaluationError
from nas.evaluation.model_format import ModelFormatError
from nas.evaluation.verify import verify
from nas.execution.cancel import ShouldStop
from nas.execution.messages import Failure, Ready, Stop
from nas.jobs import Count, FailureKind, Job, Propose, Result, Retrain, Rewind, Train, Verify
from nas.networks.weights import WeightsError
from nas.strategies import search
from nas.training.replay import retrain, rewind
from nas.training.steps import release_unused_memory
from nas.training.train import train
from nas.training.weights_cache import WeightsCache

NICENESS = 5
"""Trainers fill every core; the node's votes and blocks must not wait for them."""


def main(connection: Connection, device: str) -> None:
    """Serve jobs until the pipe ends. `device` is `auto`, `cpu` or `cuda[:n]`."""
    # Ctrl-C reaches the whole process group; the parent decides what becomes of its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    torch.set_num_threads(1)
    threadpool_limits(1)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        connection.send(Ready())
        while True:
            message = connection.recv()
            if not isinstance(message, Stop):
                connection.send(reply(message, device, connection.poll))
    except (EOFError, OSError):
        return


def reply(job: Job, device: str, should_stop: ShouldStop) -> Result | Failure:
    """The result of a job, or why it has none: no job may end the process."""
    return attempt(lambda: _result_of(job, device, should_stop))


def attempt(work: Callable[[], Result]) -> Result | Failure:
    """What `work` returns, or why it raised; memory that it lacked on a GPU is given back."""
    try:
        return work()
    except Exception as error:
        failure = Failure(_reason_of(error), _kind_of(error))
        is_short = _shortage(error) is not None
    # Not before: as long as the error is there, its frames hold what the job had on the device.
    if is_short:
        release_unused_memory()
    return failure


def _result_of(job: Job, device: str, should_stop: ShouldStop) -> Result:
    match job:
        case Propose():
            return search.propose(job)
        case Train():
            dataset = datasets.load(job.task.dataset)
            cache = WeightsCache(cache_folder() / "weights")
            return train(job, dataset, device, should_stop, time.perf_counter, cache)
        case Rewind():
            return rewind(job, datasets.load(job.train.task.dataset), device, should_stop)
        case Retrain():
            return retrain(job, datasets.load(job.train.task.dataset), device, should_stop)
        case Count():
            return count(job, datasets.load(job.dataset), device, should_stop)
        case Verify():
            return verify(job, datasets.load(job.count.dataset), device, should_stop)


def _reason_of(error: Exception) -> str:
    """Why a job has no result, in a sentence."""
    shortage = _shortage(error)
    if shortage is None:
        return f"{type(error).__name__}: {error}"
    wanted = re.search(r"allocate (\S+ \w+)", str(shortage))
    return f"the GPU has too little memory{f' (another {wanted[1]})' if wanted else ''}"


def _kind_of(error: Exception) -> FailureKind:
    match error:
        case ModelFormatError():
            return FailureKind.MODEL_FORMAT
        case EvaluationError():
            return FailureKind.MODEL_TOO_WIDE
        case WeightsError():
            return FailureKind.WEIGHTS
        case _:
            return FailureKind.OTHER


def _shortage(error: BaseException | None) -> BaseException | None:
    """The error itself or one behind it that is a lack of memory on a GPU.

    Within a recording it is behind: PyTorch then reports that the recording could not end.
    """
    while error is not None and not isinstance(error, torch.OutOfMemoryError):
        error = error.__context__
    return error
