"""Models counted by the real evaluation: what a worker says is what the pool understands."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from nas.designs.genotype import Genotype
from nas.evaluation.model_format import model_length
from nas.execution import worker
from nas.execution.messages import Failure
from nas.jobs import JobFailed
from pool.link.blobs import BlobError
from pool.manager.confirmation import counted_model
from pool.records.refusals import Refusal
from pool.rules.reports import Checked, Refused, check
from tests.pool_states import INFO, handed_out, open_round, valid_report
from tests.pool_world import public


class InThisProcess:
    """An executor that is a worker itself."""

    async def run(self, job: Any) -> Any:
        reply = worker.reply(job, "cpu", lambda: False)
        if isinstance(reply, Failure):
            raise JobFailed(reply.reason, reply.kind)
        return reply

    async def close(self) -> None:
        """Holds nothing."""


def claim(correct: int, act_bits: int = 0) -> Checked:
    """A checked result; with `act_bits`, of a design whose first activations have so many."""
    pool = handed_out(open_round(strong="s"))
    checked = check(valid_report(pool, "s", correct), pool, public("s"), 0)
    if not act_bits:
        return checked
    tokens = list(checked.design.genotype.tokens)
    tokens[6:8] = [0, act_bits]
    design = replace(checked.design, genotype=Genotype.from_tokens(tokens))
    return msgspec.structs.replace(checked, design=design)


async def confirmed(checked: Checked, model: bytes) -> bytes | None:
    async def fetch(hash_: bytes, max_bytes: int) -> bytes:
        return model

    return await counted_model(checked, "digits", fetch, InThisProcess())


def blank_model(checked: Checked) -> bytes:
    """All codes 0: equal logits for every image, so that it names the first class each time."""
    return bytes(model_length(checked.design.genotype, INFO.shape, INFO.classes))


async def test_a_model_that_counts_as_claimed_is_confirmed() -> None:
    checked = claim(36)
    assert await confirmed(checked, blank_model(checked)) == blank_model(checked)


@pytest.mark.parametrize(
    ("correct", "act_bits", "tail", "reason", "detail"),
    [
        (37, 0, b"", Refusal.COUNT_DIFFERS, "the model counts 36 images, not 37"),
        (36, 0, b"1", Refusal.MODEL_FORMAT, "bytes long instead of"),
        (36, 30, b"", Refusal.MODEL_TOO_WIDE, "activations of 30 bits"),
    ],
)
async def test_a_model_with_one_fault_is_refused(
    correct: int, act_bits: int, tail: bytes, reason: Refusal, detail: str
) -> None:
    checked = claim(correct, act_bits)
    with pytest.raises(Refused, match=detail) as caught:
        await confirmed(checked, blank_model(checked) + tail)
    assert caught.value.reason is reason


async def test_a_model_that_does_not_come_is_refused() -> None:
    async def fetch(hash_: bytes, max_bytes: int) -> bytes:
        raise BlobError("the other side does not have it")

    with pytest.raises(Refused, match="did not arrive: the other side") as caught:
        await counted_model(claim(36), "digits", fetch, InThisProcess())
    assert caught.value.reason is Refusal.MODEL_MISSING


async def test_what_this_machine_cannot_count_is_nobodys_fault() -> None:
    class Dying(InThisProcess):
        async def run(self, job: Any) -> Any:
            raise JobFailed("the worker process ended with exit code -9")

    async def fetch(hash_: bytes, max_bytes: int) -> bytes:
        return b""

    assert await counted_model(claim(36), "digits", fetch, Dying()) is None
