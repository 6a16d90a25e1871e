"""Pool messages to records and back; nonsense is refused with a sentence."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from nas.designs.space import Space
from nas.task import Task
from node.chain.messages import MAX_GENOTYPE_BYTES
from node.chain.published.terms import MAX_EPOCHS
from ponas.v1 import pool_service_pb2 as pb
from pool.link import wire
from pool.link.orders import ExploitOrder, ExploreOrder, order_from_wire
from pool.link.wire import WireError
from pool.records import events
from pool.records.strengths import Strength
from pool.records.transition import apply
from pool.rules.delivery import MAX_BUDGET
from pool.rules.reports import MAX_PRECISION_CHARS
from tests.pool_states import (
    after,
    best_of,
    handed_out,
    in_hand,
    open_round,
    result_of,
    round_of,
    valid_report,
)
from tests.pool_world import PHASE_MS, SPACE, TASK


def assignment_of(name: str) -> pb.Assignment:
    pool = handed_out(open_round(strong="s", weak="w"))
    pool = after(pool, events.BestConfirmed(0, best_of("s")), events.BaseArrived(0, best_of("s")))
    pool = apply(pool, result_of(pool, "s", 90))
    return wire.assignment_to_wire(in_hand(pool, name), round_of(pool), 6_000)


def test_an_exploration_arrives_with_its_rewards_and_the_time_left() -> None:
    order = order_from_wire(assignment_of("s"), TASK, now_ms=100)

    assert isinstance(order.work, ExploreOrder)
    assert order.work.rewards == (0.25,)
    assert (order.round, order.epochs) == (1, 10)
    assert (order.start_ms, order.end_ms) == (100, 100 + PHASE_MS - 6_000)
    assert order.lease is None


def test_an_order_sent_ahead_says_when_it_starts() -> None:
    message = assignment_of("s")
    message.starts_in_ms = 2_000

    assert order_from_wire(message, TASK, now_ms=100).start_ms == 2_100


def test_an_exploitation_arrives_with_genotype_and_space() -> None:
    work = order_from_wire(assignment_of("w"), TASK, now_ms=0).work

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


def broken(changes: Mapping[str, Any]) -> pb.Assignment:
    """A valid exploration with other numbers."""
    message = assignment_of("s")
    for name, value in changes.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"id": 0}, "assignment 0 is outside"),
        ({"id": 1 << 63}, "assignment 9223372036854775808 is outside"),
        ({"round": 1 << 63}, "round 9223372036854775808 is above"),
        ({"remaining_ms": wire.MAX_PHASE_MS + 1}, "no train phase has 604800001 ms left"),
        ({"remaining_ms": 5, "starts_in_ms": 6}, "starts in 6 ms and ends in 5 ms"),
        ({"epochs": 0}, "0 epochs are outside the task's 1 to 10"),
        ({"epochs": 11}, "11 epochs are outside the task's 1 to 10"),
    ],
)
def test_an_order_with_an_impossible_number_is_refused(
    changes: Mapping[str, Any], reason: str
) -> None:
    with pytest.raises(WireError, match=reason):
        order_from_wire(broken(changes), TASK, 0)


def test_an_order_without_work_is_refused() -> None:
    message = assignment_of("s")
    message.ClearField("work")
    with pytest.raises(WireError, match="without work"):
        order_from_wire(message, TASK, 0)


@pytest.mark.parametrize("reward", [math.nan, math.inf, -0.1, 1.1])
def test_what_is_no_reward_is_refused(reward: float) -> None:
    message = assignment_of("s")
    message.exploration.rewards.append(reward)
    with pytest.raises(WireError, match="a reward is outside 0 to 1"):
        order_from_wire(message, TASK, 0)


def test_more_rewards_than_a_search_has_are_refused() -> None:
    message = assignment_of("s")
    message.exploration.rewards.extend([0.5] * (MAX_BUDGET - 1))
    assert order_from_wire(message, TASK, 0)
    message.exploration.rewards.append(0.5)
    with pytest.raises(WireError, match="10001 rewards are more than 10000"):
        order_from_wire(message, TASK, 0)


def change_space(space: pb.SearchSpace, reason: str) -> None:
    match reason:
        case "the space has 2 layers instead of 3":
            del space.layers[2]
        case "layer 1 has 9 ranges":
            del space.layers[0].hyperparameters[9]
        case "layer 2 of the space is not inside":
            space.layers[1].hyperparameters[0].values[:] = [7]
        case "layer 3 of the space is not inside":
            space.layers[2].hyperparameters[0].values[:] = [1] * 1_000
        case "has no values":
            space.layers[0].hyperparameters[0].values[:] = []
        case "must be strictly ascending":
            space.layers[0].hyperparameters[0].values[:] = [3, 1]


@pytest.mark.parametrize("name", ["s", "w"])
@pytest.mark.parametrize(
    "reason",
    [
        "the space has 2 layers instead of 3",
        "layer 1 has 9 ranges",
        "layer 2 of the space is not inside",
        "layer 3 of the space is not inside",
        "has no values",
        "must be strictly ascending",
    ],
)
def test_a_space_that_is_not_inside_the_tasks_is_refused(name: str, reason: str) -> None:
    message = assignment_of(name)
    is_exploration = message.HasField("exploration")
    space = message.exploration.subspace if is_exploration else message.exploitation.space
    change_space(space, reason)
    with pytest.raises(WireError, match=reason):
        order_from_wire(message, TASK, 0)


def test_seeds_end_below_2_to_the_63() -> None:
    exploration, exploitation = assignment_of("s"), assignment_of("w")
    exploration.exploration.search_seed = exploitation.exploitation.training_seed = 1 << 63
    for message in (exploration, exploitation):
        with pytest.raises(WireError, match="is above 2"):
            order_from_wire(message, TASK, 0)


def test_weights_without_a_hash_are_refused() -> None:
    message = assignment_of("w")
    message.exploitation.weights_hash = b"short"
    with pytest.raises(WireError, match="a hash has 32 bytes"):
        order_from_wire(message, TASK, 0)


def with_range(position: int, values: tuple[int, ...]) -> Task:
    """The task with another range for one hyperparameter of every layer."""
    ranges = list(SPACE.ranges[0])
    ranges[position] = values
    return replace(TASK, space=Space.uniform(3, ranges))


@pytest.mark.parametrize(
    ("task", "position", "value", "reason"),
    [
        (TASK, 0, 7, "layer 1: kernel_height 7 is not one of"),
        (with_range(3, (0, 1, 2)), 3, 0, "infeasible: layer 1 has a stride of 0"),
        (replace(TASK, max_mac_images=1), 3, 1, "infeasible: .* MAC for each"),
        (with_range(9, (0, 2, 3, 4, 5)), 19, 0, "to train on from is dead"),
    ],
)
def test_a_design_that_nobody_could_have_trained_is_refused(
    task: Task, position: int, value: int, reason: str
) -> None:
    message = assignment_of("w")
    genotype = bytearray(message.exploitation.genotype)
    genotype[18] = 1
    genotype[position] = value
    message.exploitation.genotype = bytes(genotype)
    for layer, ranges in zip(message.exploitation.space.layers, task.space.ranges, strict=True):
        for range_, values in zip(layer.hyperparameters, ranges, strict=True):
            range_.values[:] = values
    with pytest.raises(WireError, match=reason):
        order_from_wire(message, task, 0)


def test_bytes_that_are_no_genotype_are_refused() -> None:
    message = assignment_of("w")
    message.exploitation.genotype += b"1"
    with pytest.raises(WireError, match="31 bytes are no genotype of 3 layers"):
        order_from_wire(message, TASK, 0)


def test_a_result_of_impossible_size_is_refused() -> None:
    report = valid_report(handed_out(open_round(strong="s")), "s")
    message = wire.report_to_wire(report)
    message.genotype = bytes(wire.MAX_RESULT_BYTES)
    with pytest.raises(WireError, match="is longer than 32768"):
        wire.report_from_wire(message)


def test_a_result_of_the_longest_training_fits() -> None:
    report = valid_report(handed_out(open_round(strong="s")), "s")
    longest = report.but(
        genotype=b"\xff" * MAX_GENOTYPE_BYTES,
        states=(bytes(32),) * (MAX_EPOCHS + 1),
        precision="\U0001f622" * MAX_PRECISION_CHARS,
    )

    assert wire.report_from_wire(wire.report_to_wire(longest)) == longest


def test_a_long_failure_still_fits_a_result() -> None:
    report = valid_report(handed_out(open_round(strong="s")), "s")
    message = wire.report_to_wire(report.but(failure="\U0001f622" * 100_000))

    assert wire.report_from_wire(message).failure


def test_what_the_other_side_says_is_short_and_on_one_line() -> None:
    assert wire.text_from_wire("size:\n\x1b[31mwrong") == "size:  [31mwrong"
    assert len(wire.text_from_wire("a" * 10_000)) == 200


def test_what_becomes_of_a_result_has_a_word_even_if_it_is_unknown() -> None:
    values = (pb.ACCEPTANCE_ACCEPTED, pb.ACCEPTANCE_STALE, pb.ACCEPTANCE_REFUSED, 77, -1)
    words = ["accepted", "stale", "refused", "unknown (77)", "unknown (-1)"]
    assert [wire.acceptance_name(value) for value in values] == words
