"""Every rule for results: one violated at a time, and its reason stated."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from nas.designs.design import judge
from nas.designs.genotype import Genotype
from pool.decisions.advance import advance
from pool.decisions.members import decide_join, decide_leave
from pool.decisions.rounds import decide_open
from pool.records import events
from pool.records.refusals import Refusal
from pool.records.state import Exploration, PoolState, RoundTask
from pool.records.strengths import Strength
from pool.records.transition import apply, apply_all
from pool.rules.delivery import MAX_BUDGET
from pool.rules.reports import Checked, Refused, Report, Stale, check, claims_best
from tests.pool_states import (
    SUBSPACE,
    after,
    best_of,
    draw,
    handed_out,
    in_hand,
    open_round,
    result_of,
    round_of,
    valid_report,
    with_genotype,
)
from tests.pool_world import PHASE_MS, SPACE, TASK, public


def exploring() -> PoolState:
    return handed_out(open_round(strong="s", weak="w"))


def exploiting() -> PoolState:
    best = best_of("s")
    return after(exploring(), events.BestConfirmed(0, best), events.BaseArrived(0, best))


def refusal_of(report: Report, pool: PoolState, name: str = "s") -> Refused:
    with pytest.raises(Refused) as caught:
        check(report, pool, public(name), 1_000)
    return caught.value


def judged(pool: PoolState, report: Report, name: str = "s") -> Checked:
    return check(report, pool, public(name), 1_000)


def changed_tokens(genotype: Genotype, changes: dict[int, int]) -> Genotype:
    tokens = list(genotype.tokens)
    for at, value in changes.items():
        tokens[at] = value
    return Genotype.from_tokens(tokens)


def test_a_valid_result_of_a_search_passes() -> None:
    pool = exploring()
    checked = judged(pool, valid_report(pool, "s"))

    assert checked.is_trained
    assert checked.design.feasible
    assert claims_best(checked, round_of(pool))


def test_a_valid_result_of_an_exploitation_passes() -> None:
    pool = exploiting()
    checked = judged(pool, valid_report(pool, "w", correct=300), "w")

    assert checked.is_trained
    assert not claims_best(checked, round_of(pool)), "300 is the best already"


BREAKS: dict[Refusal, Callable[[Report], Report]] = {
    Refusal.UNKNOWN_ASSIGNMENT: lambda report: report.but(assignment_id=77),
    Refusal.OUT_OF_ORDER: lambda report: report.but(episode=1),
    Refusal.GENOTYPE: lambda report: report.but(genotype=report.genotype[:-1]),
    Refusal.TRAINING_SEED: lambda report: report.but(training_seed=7),
    Refusal.SIZE: lambda report: report.but(size=1_000),
    Refusal.EPOCHS: lambda report: report.but(epochs=9),
    Refusal.COUNT_ABOVE_SIZE: lambda report: report.but(correct=361),
    Refusal.HASHES: lambda report: report.but(model_hash=b""),
    Refusal.STATES: lambda report: report.but(states=report.states[:1]),
    Refusal.PRECISION: lambda report: report.but(precision="two\nlines"),
    Refusal.UNTRAINED_COUNT: lambda report: report.but(failure="out of memory"),
}


@pytest.mark.parametrize("reason", BREAKS, ids=str)
def test_one_broken_rule_is_named(reason: Refusal) -> None:
    pool = exploring()

    refusal = refusal_of(BREAKS[reason](valid_report(pool, "s")), pool)

    assert refusal.reason is reason
    # What is not even the next result of the search leaves its place to that.
    assert refusal.takes_place == (reason not in (Refusal.UNKNOWN_ASSIGNMENT, Refusal.OUT_OF_ORDER))


def test_a_training_may_end_before_all_of_its_epochs() -> None:
    pool = exploring()
    report = valid_report(pool, "s")

    assert judged(pool, report.but(states=report.states[:2])).is_trained
    longer = (*report.states, bytes(32))
    assert refusal_of(report.but(states=longer), pool).reason is Refusal.STATES
    shorter = (*report.states[:-1], bytes(31))
    assert refusal_of(report.but(states=shorter), pool).reason is Refusal.STATES


def test_another_miners_assignment_is_unknown() -> None:
    pool = handed_out(open_round(strong="st"))

    assert refusal_of(valid_report(pool, "t"), pool, "s").reason is Refusal.UNKNOWN_ASSIGNMENT


def test_a_search_handed_on_is_no_longer_the_first_miners() -> None:
    pool = exploring()
    report = valid_report(pool, "s")
    pool = apply_all(pool, decide_leave(pool, public("s"), "cable", 0))
    pool = after(pool, *decide_join(pool, public("t"), bytes(32), Strength.STRONG, 0))

    assert in_hand(pool, "t").work == Exploration(0)
    with pytest.raises(Stale, match="in other hands"):
        check(report, pool, public("s"), 1_000)


def test_the_last_candidate_of_a_search_that_was_given_up_still_counts() -> None:
    pool = exploring()
    report = valid_report(pool, "s")
    pool = apply_all(pool, decide_leave(pool, public("s"), "cable", 0))

    assert judged(pool, report).is_trained


def test_a_result_under_a_lease_that_is_not_accepted_is_refused() -> None:
    pool = exploring()
    report = valid_report(pool, "s")
    again = decide_join(pool, public("s"), public("s"), Strength.STRONG, 0)
    pool = advance(pool, again, draw, 0).pool
    refusal = refusal_of(report.but(assignment_id=in_hand(pool, "s").id), pool)

    assert refusal.reason is Refusal.LEASE_NOT_ACCEPTED
    assert not refusal.takes_place


def test_without_a_round_every_assignment_is_unknown() -> None:
    report = valid_report(exploring(), "s").but(assignment_id=5)
    pool = open_round(strong="s").but(round=None)

    assert refusal_of(report, pool).reason is Refusal.UNKNOWN_ASSIGNMENT


def test_a_replayed_result_is_a_duplicate() -> None:
    pool = exploring()
    report = valid_report(pool, "s")
    pool = apply(pool, result_of(pool, "s"))

    refusal = refusal_of(report, pool)
    assert refusal.reason is Refusal.DUPLICATE
    assert not refusal.takes_place


def test_a_design_outside_the_subspace_is_refused() -> None:
    pool = exploring()
    inside = valid_report(pool, "s")
    genotype = changed_tokens(Genotype.from_bytes(inside.genotype), {29: 5})
    assert SPACE.contains(genotype)

    report = with_genotype(inside, pool, "s", genotype)

    assert refusal_of(report, pool).reason is Refusal.OUTSIDE_SUBSPACE


def test_an_exploitation_must_train_the_assigned_variant() -> None:
    pool = exploiting()
    asked = valid_report(pool, "w")
    other = changed_tokens(Genotype.from_bytes(asked.genotype), {2: 4})
    if other.to_bytes() == asked.genotype:
        other = changed_tokens(other, {2: 8})

    report = with_genotype(asked, pool, "w", other)

    assert refusal_of(report, pool, "w").reason is Refusal.OTHER_VARIANT


def test_each_attempt_of_an_exploitation_has_its_own_seed() -> None:
    pool = exploiting()
    first = valid_report(pool, "w")
    pool = apply(pool, result_of(pool, "w"))
    second = valid_report(pool, "w")

    assert second.episode == 1
    assert second.training_seed != first.training_seed
    report = second.but(training_seed=first.training_seed)
    assert refusal_of(report, pool, "w").reason is Refusal.TRAINING_SEED


def dead_report(pool: PoolState) -> Report:
    """An untrained result of a dead design; its subspace must allow weights of one bit."""
    report = valid_report(pool, "s")
    genotype = changed_tokens(Genotype.from_bytes(report.genotype), {28: 1, 29: 0})
    report = with_genotype(report, pool, "s", genotype)
    return report.but(correct=36, epochs=0, model_hash=b"", weights_hash=b"", states=())


def in_dying_subspace() -> PoolState:
    pool = exploring()
    round_ = round_of(pool)
    ranges = [*SUBSPACE.ranges[0][:-1], (0, 3, 4)]
    space = type(SUBSPACE).uniform(3, ranges)
    search = round_.searches[0].but(subspace=space)
    return pool.but(round=round_.but(searches=round_.searches.set(0, search)))


def test_a_dead_design_counts_what_a_guess_does() -> None:
    pool = in_dying_subspace()
    report = dead_report(pool)
    checked = judged(pool, report)

    assert checked.design.dead
    assert not checked.is_trained
    assert not claims_best(checked, round_of(pool))
    refusal = refusal_of(report.but(correct=37), pool)
    assert refusal.reason is Refusal.UNTRAINED_COUNT


def test_an_infeasible_design_counts_nothing() -> None:
    pool = exploring()
    round_ = round_of(pool)
    # A bound of one MAC and image makes every design infeasible.
    narrow = round_.task.but(task=replace(TASK, max_mac_images=1))
    pool = pool.but(round=round_.but(task=narrow))
    trained = valid_report(pool, "s")
    report = trained.but(correct=0, epochs=0, model_hash=b"", weights_hash=b"", states=())

    assert not judge(Genotype.from_bytes(report.genotype), narrow.task).feasible
    assert not judged(pool, report).is_trained
    assert refusal_of(trained, pool).reason is Refusal.UNTRAINED_COUNT


def test_a_failed_candidate_is_a_result_of_nothing() -> None:
    pool = exploring()
    failed = valid_report(pool, "s").but(
        failure="out of memory",
        correct=0,
        epochs=0,
        model_hash=b"",
        weights_hash=b"",
        states=(),
    )

    assert not judged(pool, failed).is_trained


def test_results_after_the_phase_are_stale() -> None:
    pool = exploring()
    report = valid_report(pool, "s")

    check(report, pool, public("s"), PHASE_MS - 1)
    with pytest.raises(Stale, match="the train phase is over"):
        check(report, pool, public("s"), PHASE_MS)


def test_results_of_a_closed_round_are_stale() -> None:
    pool = exploring()

    with pytest.raises(Stale, match="the train phase is over"):
        check(valid_report(pool, "s"), apply(pool, events.RoundClosed(1_000)), public("s"), 1_000)


def test_results_of_an_earlier_round_are_stale() -> None:
    pool = exploring()
    report = valid_report(pool, "s")
    task = RoundTask(2, TASK, SPACE, 3 * PHASE_MS)
    pool = apply(pool, events.RoundClosed(PHASE_MS))
    pool = apply_all(pool, decide_open(pool, task, b"seed", 2 * PHASE_MS))

    with pytest.raises(Stale, match="the round of this assignment is over"):
        check(report, handed_out(pool), public("s"), 2 * PHASE_MS + 1)


def test_a_search_with_all_its_episodes_takes_no_more() -> None:
    pool = exploring()
    report = valid_report(pool, "s")
    round_ = round_of(pool)
    full = round_.searches[0].but(rewards=(0.5,) * MAX_BUDGET)
    pool = pool.but(round=round_.but(searches=round_.searches.set(0, full)))

    with pytest.raises(Stale, match="the search has had its 10000 episodes"):
        check(report.but(episode=MAX_BUDGET), pool, public("s"), 1_000)
