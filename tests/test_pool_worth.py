"""Work is computed from the design, and pays once."""

from dataclasses import replace

import pytest

from nas.data.datasets import describe
from nas.designs.design import Design, judge
from nas.designs.genotype import Genotype
from nas.training.protocol import Protocol
from pool.records.seen import Seen, with_paid
from pool.rules.draws import Draws
from pool.rules.prices import price_of
from pool.rules.worth import ShareKeys, Worth, share_keys, work_of, worth_of
from tests.pool_world import SPACE, TASK

INFO = describe("digits")
GENOTYPE = Draws(b"share").genotype(SPACE)
DESIGN = Design(GENOTYPE, feasible=True, dead=False, reason=None, detail="", macs=10_240)
MODEL, OTHER_MODEL = b"\x01" * 32, b"\x02" * 32


def keys(
    genotype: Genotype = GENOTYPE,
    seed: int = 1,
    protocol: Protocol = Protocol.QAT,
    epochs: int = 10,
    model: bytes = MODEL,
) -> ShareKeys:
    return share_keys(genotype, seed, protocol, epochs, model)


def with_other_bits(genotype: Genotype) -> Genotype:
    tokens = list(genotype.tokens)
    tokens[-1] += 1
    return Genotype.from_tokens(tokens)


def worth(new: ShareKeys, *paid: ShareKeys, is_repeatable: bool = True) -> Worth:
    known = Seen()
    for share in paid:
        known = with_paid(known, share.trainings, share.model)
    return worth_of(DESIGN, 10, new, known, is_repeatable)


def test_a_training_pays_its_price_for_every_image_of_every_new_epoch() -> None:
    assert worth(keys()) is Worth.FULL
    assert work_of(Worth.FULL, DESIGN, INFO, 10) == 64_000 * 1_077 * 10


def test_the_size_is_that_of_the_verdict() -> None:
    design = judge(GENOTYPE, TASK)

    assert work_of(Worth.FULL, design, INFO, 1) == price_of(design.macs) * INFO.train


@pytest.mark.parametrize("what", ["infeasible", "dead", "failed"])
def test_what_was_not_trained_pays_nothing(what: str) -> None:
    design = replace(DESIGN, feasible=what != "infeasible", dead=what == "dead")
    epochs = 0 if what == "failed" else 10

    found = worth_of(design, epochs, keys(), Seen(), is_repeatable=True)

    assert found is Worth.UNTRAINED
    assert work_of(found, design, INFO, epochs) == 0


def test_the_same_training_pays_once() -> None:
    found = worth(keys(), keys(model=OTHER_MODEL))

    assert found is Worth.REPEATED
    assert work_of(found, DESIGN, INFO, 10) == 0


def test_the_same_model_pays_once_whatever_it_is_said_to_be() -> None:
    found = worth(keys(), keys(genotype=with_other_bits(GENOTYPE), seed=2))

    assert found is Worth.REPEATED_MODEL
    assert work_of(found, DESIGN, INFO, 10) == 0


@pytest.mark.parametrize("protocol", [Protocol.PTQ, Protocol.COMPAT])
def test_other_bits_on_the_same_float_weights_pay_the_evaluation(protocol: Protocol) -> None:
    earlier = keys(protocol=protocol)
    new = keys(genotype=with_other_bits(GENOTYPE), protocol=protocol, model=OTHER_MODEL)

    assert worth(new, earlier) is Worth.REUSED_WEIGHTS
    assert work_of(Worth.REUSED_WEIGHTS, DESIGN, INFO, 10) == 64_000 * 360 * 10 // 3


def test_other_bits_are_another_training_where_training_sees_them() -> None:
    new = keys(genotype=with_other_bits(GENOTYPE), model=OTHER_MODEL)

    assert worth(new, keys()) is Worth.FULL


@pytest.mark.parametrize("changed", [{"seed": 2}, {"epochs": 11}, {"protocol": Protocol.PTQ}])
def test_other_seeds_epochs_and_protocols_are_new_work(changed: dict[str, int]) -> None:
    assert worth(keys(**changed), keys(model=OTHER_MODEL)) is Worth.FULL  # type: ignore[arg-type]


def test_a_training_that_nothing_can_show_pays_the_evaluation() -> None:
    found = worth(keys(), is_repeatable=False)

    assert found is Worth.NOT_REPEATABLE
    assert work_of(found, DESIGN, INFO, 10) == work_of(Worth.REUSED_WEIGHTS, DESIGN, INFO, 10)


@pytest.mark.parametrize("seed", [-1, 1 << 63])
def test_seeds_out_of_range_are_refused(seed: int) -> None:
    with pytest.raises(ValueError, match="outside 0 to"):
        keys(seed=seed)
