"""Pool messages to records and back; nonsense is refused with a sentence."""

import math

import pytest

from ponas.v1 import pool_service_pb2 as pb
from pool import transition, wire
from pool.state import Strength
from pool.wire import ExploitOrder, ExploreOrder, WireError
from tests.pool_states import best_of, handed_out, in_hand, open_round, round_of, valid_report
from tests.pool_world import PHASE_MS, SPACE


def assignment_of(name: str) -> pb.Assignment:
    pool = transition.confirmed(open_round(strong="s", weak="w"), best_of("s"))
    pool = handed_out(transition.with_base(pool, best_of("s")))
    pool = transition.placed(pool, in_hand(pool, "s").id, 0.25)
    return wire.assignment_to_wire(in_hand(pool, name), round_of(pool), 6_000)


def test_an_exploration_arrives_with_its_rewards_and_the_time_left() -> None:
    order = wire.order_from_wire(assignment_of("s"), now_ms=100)

    assert isinstance(order.work, ExploreOrder)
    assert order.work.rewards == (0.25,)
    assert (order.round, order.epochs) == (1, 10)
    assert order.end_ms == 100 + PHASE_MS - 6_000


def test_an_exploitation_arrives_with_genotype_and_space() -> None:
    work = wire.order_from_wire(assignment_of("w"), now_ms=0).work

    best = best_of("s")
    assert isinstance(work, ExploitOrder)
    assert (work.genotype, work.space, work.weights_hash) == (
        best.genotype,
        SPACE,
        best.weights_hash,
    )


def test_no_time_is_left_after_the_phase() -> None:
    pool = handed_out(open_round(strong="s"))

    message = wire.assignment_to_wire(in_hand(pool, "s"), round_of(pool), PHASE_MS + 1)

    assert message.remaining_ms == 0


def test_a_result_arrives_as_it_was_sent() -> None:
    report = valid_report(handed_out(open_round(strong="s")), "s")

    assert wire.report_from_wire(wire.report_to_wire(report)) == report


def test_a_shared_best_names_design_seed_and_finder() -> None:
    best = best_of("s")
    message = wire.best_to_wire(best, 3)

    assert (message.round, message.genotype, message.finder) == (
        3,
        best.genotype.to_bytes(),
        best.finder,
    )


@pytest.mark.parametrize("strength", Strength)
def test_strengths_survive_the_wire(strength: Strength) -> None:
    assert wire.strength_from_wire(wire.strength_to_wire(strength)) is strength


def test_an_unknown_strength_is_refused() -> None:
    with pytest.raises(WireError, match="0 is no strength"):
        wire.strength_from_wire(0)


def broken(name: str, reason: str) -> pb.Assignment:
    message = assignment_of(name)
    match reason:
        case "at least one epoch":
            message.epochs = 0
        case "without work":
            message.ClearField("work")
        case "reward is outside":
            message.exploration.rewards.append(math.nan)
        case "above 2":
            message.exploration.search_seed = 1 << 63
        case "instead of 10":
            del message.exploration.subspace.layers[0].hyperparameters[9]
        case "a hash has":
            message.exploitation.weights_hash = b"short"
        case "no multiple":
            message.exploitation.genotype = b"123"
        case "outside the round":
            message.exploitation.genotype = bytes([9]) * 30
    return message


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("s", "at least one epoch"),
        ("s", "without work"),
        ("s", "reward is outside"),
        ("s", "above 2"),
        ("s", "instead of 10"),
        ("w", "a hash has"),
        ("w", "no multiple"),
        ("w", "outside the round"),
    ],
)
def test_nonsense_is_refused(name: str, reason: str) -> None:
    with pytest.raises(WireError, match=reason):
        wire.order_from_wire(broken(name, reason), 0)
