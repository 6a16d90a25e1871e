"""Work is computed from the design and pays once."""

import pytest

from nas.data.datasets import describe
from nas.designs.design import Design, judge
from nas.designs.genotype import Genotype
from pool.rules.draws import Draws
from pool.rules.shares import share_key, work_of
from tests.pool_world import SPACE, TASK

INFO = describe("digits")
GENOTYPE = Draws(b"share").genotype(SPACE)
DESIGN = Design(GENOTYPE, feasible=True, dead=False, reason=None, detail="", macs=1_000)


def test_work_is_macs_times_images_times_new_epochs() -> None:
    assert work_of(DESIGN, INFO, 10, is_repeat=False) == 1_000 * 1_077 * 10


def test_the_macs_are_those_of_the_verdict() -> None:
    design = judge(GENOTYPE, TASK)

    assert work_of(design, INFO, 1, is_repeat=False) == design.macs * INFO.train > 0


@pytest.mark.parametrize(
    ("feasible", "dead", "is_repeat", "epochs"),
    [
        (False, False, False, 10),
        (True, True, False, 10),
        (True, False, True, 10),
        (True, False, False, 0),
    ],
    ids=["infeasible", "dead", "repeat", "no new epochs"],
)
def test_what_needs_no_training_pays_nothing(
    feasible: bool, dead: bool, is_repeat: bool, epochs: int
) -> None:
    design = Design(GENOTYPE, feasible, dead, None, "", macs=1_000)

    assert work_of(design, INFO, epochs, is_repeat) == 0


def test_a_share_is_named_by_design_and_seed() -> None:
    tokens = list(GENOTYPE.tokens)
    tokens[-1] = 7
    other = Genotype.from_tokens(tokens)

    assert len({share_key(GENOTYPE, 1), share_key(GENOTYPE, 2), share_key(other, 1)}) == 3
    assert share_key(GENOTYPE, 1) == share_key(GENOTYPE, 1)


@pytest.mark.parametrize("seed", [-1, 1 << 63])
def test_seeds_out_of_range_are_refused(seed: int) -> None:
    with pytest.raises(ValueError, match="outside 0 to"):
        share_key(GENOTYPE, seed)
