"""Each mutated rule of published tasks and of splitting trips its own invariant, and only then."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from node.chain import rewards as rewards_module
from node.chain import transition as transition_module
from node.chain.draft import Draft
from node.chain.messages import Claim, Fallback, Faucet
from node.chain.published import play as play_module
from node.chain.published.escrow import Settlement
from node.chain.published.record import Reservation, TaskRecord
from node.publishing.shelf import MemoryShelf, OwnTask
from tests.sim.test_tasks import PARAMETERS, PUBLISHER, SECRET, prepare_task, signed
from tests.sim.trial import broken_by, rounds
from tests.sim.world import Plan, World

MINTS = Plan(full=4, managers=0, strong=0, weak=0, mints=2)
PAID = replace(MINTS, parameters=PARAMETERS)


async def play_a_task(world: World) -> None:
    """Publish two shards and let both be won."""
    made = prepare_task(world)
    await world.kill(PUBLISHER)
    world.machines[PUBLISHER].shelf = MemoryShelf([OwnTask(made, SECRET)])
    world.boot(PUBLISHER)
    for number, message in ((2, Faucet(0, 0)), (3, made.terms)):
        await world.until_round(number)
        await world[PUBLISHER].views.ledger.submit(signed(world, message).envelope)
    await world.until_round(10)


def test_a_subsidy_in_paid_rounds_breaks_i12(monkeypatch: pytest.MonkeyPatch) -> None:
    assert broken_by(play_a_task, PAID) == set()
    settle = transition_module.settle_shards  # type: ignore[attr-defined]

    def settle_and_issue(draft: Draft, header: Claim | Fallback, *rest: Any) -> None:
        paid = [each.round for record in draft.tasks.values() for each in record.reserved]
        settle(draft, header, *rest)
        if isinstance(header, Claim) and header.round in paid:
            draft.issue(bytes(32), PARAMETERS.subsidy)

    monkeypatch.setattr(transition_module, "settle_shards", settle_and_issue)
    assert "I12" in broken_by(play_a_task, PAID)


def test_winning_all_that_was_paid_breaks_i12(monkeypatch: pytest.MonkeyPatch) -> None:
    def burn_nothing(reward: int, producer: bytes, *_: object) -> Settlement:
        return Settlement({producer: reward}, 0)

    monkeypatch.setattr(play_module, "settle_won", burn_nothing)
    assert broken_by(play_a_task, PAID) == {"I12"}


def test_a_shard_that_is_never_settled_breaks_i13(monkeypatch: pytest.MonkeyPatch) -> None:
    settle = TaskRecord.settle

    def forget_another(self: TaskRecord, reservation: Reservation) -> TaskRecord:
        settled = settle(self, reservation)
        return replace(settled, terms=replace(settled.terms, reward=settled.terms.reward - 1))

    monkeypatch.setattr(TaskRecord, "settle", forget_another)
    assert "I13" in broken_by(play_a_task, PAID)


def test_a_dropped_remainder_breaks_i19(monkeypatch: pytest.MonkeyPatch) -> None:
    assert broken_by(rounds(3), MINTS) == set()
    split = rewards_module.split

    def drop_one(amount: int, weights: Sequence[int]) -> list[int]:
        first, *rest = split(amount, weights)
        return [first - 1, *rest]

    monkeypatch.setattr(rewards_module, "split", drop_one)
    assert broken_by(rounds(3), MINTS) == {"I19"}
