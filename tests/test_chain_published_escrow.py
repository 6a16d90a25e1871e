"""Rewards of published tasks: nothing is made, nothing is lost, and paying oneself costs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.chain.hashing import MAX_INT
from node.chain.messages import PayoutLine
from node.chain.movements import MovementKind
from node.chain.published.escrow import Settlement, settle_open, settle_withheld, settle_won
from tests.task_world import some_hash

rewards = st.integers(1, MAX_INT)
addresses = st.binary(min_size=32, max_size=32)
lines = st.dictionaries(addresses, st.integers(1, 2**40), min_size=1, max_size=8).map(
    lambda weights: tuple(PayoutLine(key, weights[key]) for key in sorted(weights))
)
voters = st.dictionaries(addresses, st.integers(1, 2**40), max_size=8)

PUBLISHER, MINER = some_hash("publisher"), some_hash("miner")


def total(settlement: Settlement) -> int:
    assert min(settlement.burnt, *settlement.paid.values()) >= 0
    return settlement.burnt + sum(settlement.paid.values())


@given(rewards, lines, voters)
def test_a_won_reward_is_paid_and_burnt_exactly(
    reward: int, payouts: tuple[PayoutLine, ...], votes: dict[bytes, int]
) -> None:
    assert total(settle_won(reward, MINER, payouts, votes)) == reward


@given(rewards)
def test_an_open_reward_is_refunded_and_burnt_exactly(reward: int) -> None:
    assert total(settle_open(reward, PUBLISHER)) == reward


@given(rewards, st.lists(addresses, max_size=6))
def test_a_withheld_reward_is_paid_and_burnt_exactly(reward: int, units: list[bytes]) -> None:
    assert total(settle_withheld(reward, PUBLISHER, units)) == reward


def test_a_won_reward_is_a_fifth_burnt_a_tenth_the_attesters_the_rest_the_lines() -> None:
    voter = some_hash("voter")
    settlement = settle_won(10_000, MINER, (PayoutLine(MINER, 1),), {voter: 5})
    assert settlement == Settlement({MINER: 7_000 + 125, voter: 875}, burnt=2_000)


def test_without_earning_votes_the_part_of_the_attesters_is_burnt() -> None:
    settlement = settle_won(10_000, MINER, (PayoutLine(MINER, 1),), {})
    assert settlement == Settlement({MINER: 7_000}, burnt=3_000)


def test_a_shard_opened_for_nothing_costs_a_fifth() -> None:
    assert settle_open(1_000, PUBLISHER) == Settlement({PUBLISHER: 800}, 200, MovementKind.REFUNDED)


def test_a_withheld_key_pays_each_certified_unit_alike() -> None:
    settlement = settle_withheld(1_001, PUBLISHER, [MINER, some_hash("other"), MINER])
    paid = {MINER: 333, some_hash("other"): 167}
    assert settlement == Settlement(paid, 501, MovementKind.COMPENSATED)


def test_a_withheld_key_without_miners_still_burns_half() -> None:
    settlement = settle_withheld(1_000, PUBLISHER, [])
    assert settlement == Settlement({PUBLISHER: 500}, 500, MovementKind.REFUNDED)


@given(rewards.filter(lambda reward: reward >= 10))
def test_who_pays_only_oneself_ends_poorer(reward: int) -> None:
    """I12: publisher, miner, all lines and all attesters are one."""
    settlement = settle_won(reward, PUBLISHER, (PayoutLine(PUBLISHER, 1),), {PUBLISHER: 1})
    assert settlement.paid[PUBLISHER] <= reward - reward // 5
