"""Counting a miner's model, and telling the model's faults from those of this machine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from nas.data.datasets import describe
from nas.designs.genotype import Genotype
from nas.evaluation.model_format import model_length
from nas.jobs import Count, Executor, FailureKind, JobFailed
from pool.link.blobs import BlobError
from pool.records.refusals import Refusal
from pool.rules.reports import Checked, Refused

# Of these two the model is the cause; of any other (a process that died, memory that ran out)
# perhaps not.
_FAULTS = {
    FailureKind.MODEL_FORMAT: Refusal.MODEL_FORMAT,
    FailureKind.MODEL_TOO_WIDE: Refusal.MODEL_TOO_WIDE,
}

_log = structlog.get_logger("pool.confirmation")

FetchModel = Callable[[bytes, int], Awaitable[bytes]]
"""Gets the model with a hash, of at most so many bytes; raises BlobError."""


async def counted_model(
    checked: Checked, dataset: str, fetch: FetchModel, executor: Executor
) -> bytes | None:
    """The model of a result, its count of validation images confirmed by exact evaluation.

    None when this machine could not count it, which says nothing about the result. Raises Refused
    when the model does not come, is none, or counts another number of images.
    """
    report, genotype = checked.report, checked.design.genotype
    try:
        model = await fetch(report.model_hash, _model_length(genotype, dataset))
    except BlobError as error:
        raise Refused(Refusal.MODEL_MISSING, f"the model did not arrive: {error}") from error
    try:
        counted = await executor.run(Count(dataset, "validation", genotype, model))
    except JobFailed as error:
        fault = _FAULTS.get(error.kind)
        if fault is None:
            _log.error("model_not_counted", reason=str(error))
            return None
        raise Refused(fault, str(error)) from error
    if counted.correct != report.correct:
        detail = f"the model counts {counted.correct} images, not {report.correct}"
        raise Refused(Refusal.COUNT_DIFFERS, detail)
    return model


def _model_length(genotype: Genotype, dataset: str) -> int:
    info = describe(dataset)
    return model_length(genotype, info.shape, info.classes)
