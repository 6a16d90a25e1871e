"""Entries that an honest manager never writes into its share log are found."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nas.data.datasets import describe
from nas.designs.design import judge
from nas.designs.genotype import Genotype
from pool.proofs.entries import audit_entries
from pool.proofs.findings import Kind
from pool.proofs.pricing import Training, most_work, pricing
from pool.proofs.sharelog import FIRST_PAGE, Page, Share
from pool.rules.worth import Worth, work_of
from tests.nas_models import devnet_design
from tests.pool_world import TASK
from tests.proof_world import MANAGER, share

INFO = describe(TASK.dataset)
TRAINING = Training(INFO, TASK.epochs, TASK.max_mac_images)
DESIGN = devnet_design(1)
FULL = work_of(Worth.FULL, judge(DESIGN, TASK), INFO, TASK.epochs)


def entry(name: str = "a", number: int = 1, **changes: Any) -> Share:
    """An entry that is credited all that its training takes."""
    return msgspec.structs.replace(
        share(name, work=FULL, round_number=number),
        **({"genotype": DESIGN.to_bytes(), "epochs": TASK.epochs} | changes),
    )


def found(rounds: dict[int, list[Share]], known: bool = True) -> list[tuple[Kind, int]]:
    pages = [Page(MANAGER, number, FIRST_PAGE, tuple(each)) for number, each in rounds.items()]
    trainings = dict.fromkeys(rounds, TRAINING) if known else {}
    return [(each.kind, each.round) for each in audit_entries(pages, pricing(trainings))]


def test_the_full_price_is_the_most() -> None:
    assert judge(DESIGN, TASK).feasible
    assert most_work(TRAINING, entry()) == FULL
    assert found({1: [entry("a"), entry("b")], 2: [entry("a", 2)]}) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"work": FULL + 1},
        {"epochs": TASK.epochs - 1},
        # Longer than anybody trains in this round.
        {"epochs": 1_000 * TASK.epochs, "work": FULL + 1},
        {"genotype": b"\x01"},
        {"model_hash": b""},
        {"epochs": 0, "work": 1},
    ],
)
def test_an_entry_beyond_its_price_is_shown(changes: dict[str, Any]) -> None:
    assert found({1: [entry("a"), entry("b", **changes)]}) == [(Kind.ENTRY_TOO_DEAR, 1)]


def test_a_design_that_nobody_may_count_is_worth_nothing() -> None:
    bound = judge(DESIGN, TASK).macs * INFO.test
    allowed, forbidden = Training(INFO, 10, bound), Training(INFO, 10, bound - 1)

    assert most_work(allowed, entry()) > 0
    assert most_work(forbidden, entry()) == 0


def test_a_round_whose_task_is_not_known_is_not_priced() -> None:
    assert found({1: [entry(work=10**15)]}, known=False) == []


def test_a_training_that_is_paid_twice_is_shown() -> None:
    again = msgspec.structs.replace(entry("b"), training_seed=entry("a").training_seed)

    assert found({1: [entry("a"), again]}) == [(Kind.PAID_TWICE, 1)]


@pytest.mark.parametrize("number", [1, 2])
def test_a_model_that_is_paid_twice_is_shown(number: int) -> None:
    again = entry("b", number, model_hash=entry("a").model_hash)
    rounds = {1: [entry("a")], 2: [entry("c", 2)]}
    rounds[number] = [*rounds[number], again]

    assert found(rounds) == [(Kind.PAID_TWICE, number)]


def test_what_was_paid_nothing_may_come_again() -> None:
    unpaid = msgspec.structs.replace(entry("a"), work=0)

    assert found({1: [entry("a"), unpaid, unpaid]}) == []


def test_bits_and_seeds_make_trainings_different() -> None:
    other = Genotype.from_bytes(DESIGN.to_bytes()[:-1] + bytes([DESIGN.to_bytes()[-1] ^ 1]))
    seed = entry("a").training_seed

    entries = [entry("a"), entry("b"), entry("c", genotype=other.to_bytes(), training_seed=seed)]
    assert found({1: entries}) == []
