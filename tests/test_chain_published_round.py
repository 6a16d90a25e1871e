"""Rounds played for a published task, block by block: what they demand and where the money goes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from node.chain.block import Block
from node.chain.commits import commit_id
from node.chain.envelope import Signed, sign
from node.chain.errors import InvalidBlock, Reason, Rejected
from node.chain.lists import fold
from node.chain.messages import Body, CertifiedUnit, Commit, Transaction, Vote
from node.chain.movements import Movement, MovementKind
from node.chain.params import FAST, Parameters
from node.chain.published.play import check_key
from node.chain.published.queue import make_bitmap
from node.chain.published.record import MAX_TASKS, TaskRecord
from node.chain.published.sealing import shard_key
from node.chain.published.terms import Cancel, Key, Publish, Rebond
from node.chain.state import State, compute_held
from node.chain.transactions import publish
from tests.chain_world import (
    ATTESTERS,
    PAYOUTS,
    PRODUCERS,
    ClaimPlan,
    World,
    make_network,
    public,
)
from tests.task_world import LIMITS, SECRET, SUBSIDY, make_terms

PARAMETERS = replace(FAST, subsidy=SUBSIDY, account_deposit=1, unit_fee=0, tasks=LIMITS)
PUBLISHER, MINER = PRODUCERS
REWARD = make_terms().reward
FEE = 20_000
ADDRESSES = [line.address for line in PAYOUTS]


class TaskWorld(World):
    """A chain that grows at its head, with a publisher that has one task at a time."""

    def __init__(self, parameters: Parameters = PARAMETERS) -> None:
        super().__init__(make_network(parameters))
        self.head = self.genesis

    @property
    def state(self) -> State:
        return self.tree.entry(self.head).state

    @property
    def record(self) -> TaskRecord:
        (record,) = self.state.tasks.values()
        return record

    @property
    def task_id(self) -> bytes:
        ((task_id, _),) = self.state.tasks.items()
        return task_id

    def balance(self, key: SigningKey | bytes) -> int:
        address = key if isinstance(key, bytes) else public(key)
        return self.state.account(address).balance

    def grow(self, block: Block) -> None:
        self.head = self.add(block).id
        supply = self.network.supply + self.state.issued
        assert compute_held(self.state) + self.state.burnt == supply

    def signed(self, message: Any, key: SigningKey = PUBLISHER) -> Signed[Transaction]:
        nonce = self.state.account(public(key)).nonce
        return sign(replace(message, nonce=nonce, fee=FEE), key, self.network.id)

    def next_round(self) -> int:
        return self.state.round + 1

    def skip(self, *transactions: Any, places: tuple[int, ...] | None = None) -> None:
        """A fallback block, with the votes of all for the head that say whose data they hold."""
        votes: tuple[Signed[Vote], ...] = ()
        if places is not None:
            bits = make_bitmap(places)
            votes = tuple(self.vote(key, self.head, tasks_held=bits) for key in ATTESTERS)
        chosen = tuple(
            item if isinstance(item, Signed) else self.signed(item) for item in transactions
        )
        block = self.fallback_block(self.head, self.next_round(), 0, votes, chosen)
        assert len(block.transactions) == len(chosen)
        self.grow(block)

    def publish(self, terms: Publish | None = None) -> None:
        self.skip(terms or make_terms())

    def publish_and_reserve(self, terms: Publish | None = None) -> None:
        """Up to the parent of a round that has a published task."""
        self.publish(terms)
        self.skip()
        self.skip()
        self.skip(places=(0,))
        self.skip()
        assert self.context(self.head, self.next_round()).paid is not None

    def plan(self, shard: int = 0, **changes: Any) -> ClaimPlan:
        plan = ClaimPlan(producer=MINER, correct=16, secrets=(shard_key(SECRET, shard),))
        return replace(plan, **changes)

    def win(self, shard: int = 0, **changes: Any) -> None:
        plan = self.plan(shard, **changes)
        self.grow(self.claim_block(self.head, self.next_round(), plan))

    def withhold(self, **changes: Any) -> Block:
        """A fallback that names the key of the round; two units are certified, one is not."""
        round_number = self.next_round()
        context = self.context(self.head, round_number)
        assert context.paid is not None
        commits = [
            (public(key), Commit(round_number, unit, bytes([unit]) * 32))
            for key, unit in ((MINER, 0), (PUBLISHER, 1), (MINER, 1))
        ]
        ids = [commit_id(self.network.id, *commit) for commit in commits]
        lists = [
            self.list(key, round_number, tuple(sorted(ids if key is ATTESTERS[0] else ids[:2])))
            for key in ATTESTERS
        ]
        units = sorted(zip(ids[:2], commits[:2], strict=True))
        commit_ids, proofs = fold(lists)
        body = Body(
            commit_ids=commit_ids,
            lists=proofs,
            units=tuple(
                CertifiedUnit(key, commit.unit, commit.commitment) for _, (key, commit) in units
            ),
        )
        missing = changes.pop("missing", (context.paid.sealed.key,))
        return self.fallback_block(
            self.head, round_number, missing=missing, body=replace(body, **changes)
        )


@pytest.fixture
def world() -> TaskWorld:
    return TaskWorld()


def refusal(world: TaskWorld, block: Block) -> Reason:
    with pytest.raises(InvalidBlock) as refused:
        world.apply(block)
    return refused.value.reason


def publish_refusal(world: TaskWorld, *items: Any) -> Reason:
    """Why the last transaction does not stand; a block of one's own leaves it out."""
    chosen = tuple(item if isinstance(item, Signed) else world.signed(item) for item in items)
    block = world.fallback_block(world.head, world.next_round(), 0)

    def put(body: Body) -> Body:
        return replace(body, transactions=tuple(signed.envelope for signed in chosen))

    return refusal(world, world.fallback_block(world.head, block.round, 0, change_body=put))


# The queue.


def test_publishing_locks_the_rewards_and_burns_a_fee_for_the_data(world: TaskWorld) -> None:
    before = world.balance(PUBLISHER)
    world.publish()
    terms = make_terms()
    fee = LIMITS.publish_fee(terms.data_bytes) + 2 * SUBSIDY // 5
    assert world.record.held == terms.escrow
    assert world.balance(PUBLISHER) == before - terms.escrow - fee - FEE
    assert world.state.burnt == fee + FEE // 2


def test_terms_that_break_a_rule_do_not_stand_in_a_block(world: TaskWorld) -> None:
    assert publish_refusal(world, make_terms(epochs=0)) is Reason.TASK_EPOCHS


def test_a_task_that_the_engine_can_not_serve_does_not_stand(world: TaskWorld) -> None:
    world.designs.refused[make_terms().witness] = (Reason.TASK_WITNESS, "too large")
    assert publish_refusal(world, make_terms()) is Reason.TASK_WITNESS


def test_escrow_and_fee_for_the_data_are_due_at_once(world: TaskWorld) -> None:
    terms = make_terms(reward=world.balance(PUBLISHER) // 3)
    assert publish_refusal(world, terms) is Reason.BALANCE


def test_a_publisher_has_one_task_at_a_time(world: TaskWorld) -> None:
    world.publish()
    assert publish_refusal(world, make_terms(epochs=3)) is Reason.TASK_PUBLISHER
    world.skip(world.signed(make_terms(), MINER))
    assert len(world.state.tasks) == 2


def test_a_full_queue_takes_a_better_task_in_place_of_the_worst(
    world: TaskWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "MAX_TASKS", 1)
    world.publish()
    before, worst = world.balance(PUBLISHER), world.record
    assert publish_refusal(world, world.signed(make_terms(), MINER)) is Reason.TASK_QUEUE
    better = make_terms(reward=worst.terms.reward + 1)
    world.skip(world.signed(better, MINER))
    assert (world.record.publisher, world.record.place) == (public(MINER), 0)
    assert world.balance(PUBLISHER) == before + worst.terms.escrow
    refund = Movement(MovementKind.REFUNDED, public(PUBLISHER), worst.terms.escrow)
    assert refund in world.state.moved


def test_the_queue_has_a_place_for_each_bit_of_a_vote() -> None:
    assert MAX_TASKS == 8 * 4
    assert len(make_bitmap([MAX_TASKS - 1])) == 4


def test_a_task_needs_the_word_of_a_quorum_that_its_data_are_there(world: TaskWorld) -> None:
    world.publish()
    for _ in range(2):
        world.skip()
    votes = tuple(
        world.vote(key, world.head, tasks_held=make_bitmap((0,))) for key in ATTESTERS[:2]
    )
    world.grow(world.fallback_block(world.head, world.next_round(), 0, votes))
    assert len(world.record.holders) == 2
    world.skip()
    assert not world.record.reserved
    more = (world.vote(ATTESTERS[2], world.head, tasks_held=make_bitmap((0,))),)
    world.grow(world.fallback_block(world.head, world.next_round(), 0, more))
    assert world.record.reservation(world.state.round + 2) is not None


def test_a_round_after_a_gap_has_the_standing_task(world: TaskWorld) -> None:
    world.publish_and_reserve()
    number = world.next_round()
    assert world.context(world.head, number).paid is not None
    assert world.context(world.head, number + 2).paid is None
    assert world.context(world.head, number + 3).paid is None


def test_a_monopolist_has_every_other_round(world: TaskWorld) -> None:
    world.publish_and_reserve()
    paid = []
    for _ in range(6):
        paid.append(world.context(world.head, world.next_round()).paid is not None)
        world.skip()
    assert paid == [True, False, True, False, True, False]


def test_cancelling_gives_back_what_is_not_reserved(world: TaskWorld) -> None:
    world.publish_and_reserve()
    before = world.balance(PUBLISHER)
    world.skip(Cancel(0, 0, world.task_id))
    assert world.balance(PUBLISHER) == before + 2 * REWARD + REWARD * 4 // 5 - FEE
    assert len(world.state.tasks) == 0


@pytest.mark.parametrize("kind", [Cancel, Rebond])
def test_nobody_else_has_a_say_in_a_task(world: TaskWorld, kind: Any) -> None:
    world.publish()
    stranger = world.signed(kind(0, 0, world.task_id), MINER)
    assert publish_refusal(world, stranger) is Reason.TASK_UNKNOWN
    assert publish_refusal(world, kind(0, 0, b"x" * 32)) is Reason.TASK_UNKNOWN


def test_a_task_that_is_not_suspended_takes_no_bond(world: TaskWorld) -> None:
    world.publish()
    assert publish_refusal(world, Rebond(0, 0, world.task_id)) is Reason.TASK_SUSPENDED


def test_a_task_expires_and_its_rewards_are_given_back() -> None:
    world = TaskWorld(replace(PARAMETERS, tasks=replace(LIMITS, lifetime_rounds=3)))
    world.publish()
    before = world.balance(PUBLISHER)
    for _ in range(2):
        world.skip()
    assert len(world.state.tasks) == 1
    world.skip()
    assert len(world.state.tasks) == 0
    assert world.balance(PUBLISHER) == before + 3 * REWARD


# A won round.


def test_a_won_round_pays_the_lines_burns_a_fifth_and_issues_nothing(world: TaskWorld) -> None:
    world.publish_and_reserve()
    issued, burnt = world.state.issued, world.state.burnt
    world.win()
    assert [world.balance(address) for address in ADDRESSES] == [1_050, 350]
    assert world.state.issued == issued
    # No vote of the block earns, so that the attesters' tenth is burnt as well.
    assert world.state.burnt == burnt + REWARD * 3 // 10
    assert world.record.held == 2 * REWARD


def test_attesters_earn_their_tenth_with_their_votes(world: TaskWorld) -> None:
    world.publish_and_reserve()
    before = world.balance(ATTESTERS[0])
    world.win(votes=world.votes(world.head, ATTESTERS))
    assert world.balance(ATTESTERS[0]) == before + 44
    assert world.record.held == 2 * REWARD


def test_all_producers_solve_one_problem_and_no_other_shard_s(world: TaskWorld) -> None:
    world.publish_and_reserve()
    context = world.context(world.head, world.next_round())
    first = context.instance(public(MINER), 0)
    assert first == context.instance(public(PUBLISHER), 1)
    world.skip()
    world.skip()
    assert first != world.context(world.head, world.next_round()).instance(public(MINER), 0)


def test_the_beacon_does_not_depend_on_the_key_that_the_publisher_knows(world: TaskWorld) -> None:
    world.publish_and_reserve()
    won = world.apply(world.claim_block(world.head, world.next_round(), world.plan()))
    lost = world.apply(world.fallback_block(world.head, world.next_round()))
    assert won.beacon == lost.beacon


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"secrets": ()}, Reason.SECRETS),
        ({"secrets": (shard_key(SECRET, 1),)}, Reason.SECRETS),
        ({"secrets": (shard_key(SECRET, 0),) * 2}, Reason.SECRETS),
        ({"correct": 15}, Reason.BELOW_FLOOR),
        ({"correct": 21}, Reason.CORRECT_ABOVE_SIZE),
        ({"incumbent_correct": 1}, Reason.INCUMBENT),
        (
            {"edit_body": lambda body: replace(body, units=(CertifiedUnit(b"p" * 32, 0, SECRET),))},
            Reason.UNITS,
        ),
    ],
)
def test_a_claim_that_breaks_a_rule_is_refused(
    world: TaskWorld, changes: dict[str, Any], reason: Reason
) -> None:
    world.publish_and_reserve()
    block = world.claim_block(world.head, world.next_round(), world.plan(**changes))
    assert refusal(world, block) is reason


def test_the_standing_task_has_no_incumbent(world: TaskWorld) -> None:
    plan = ClaimPlan(incumbent_correct=1)
    assert refusal(world, world.claim_block(world.head, 1, plan)) is Reason.INCUMBENT


def test_the_second_winner_beats_the_first_by_the_margin(world: TaskWorld) -> None:
    world.publish_and_reserve()
    world.win()
    assert world.record.incumbent is not None
    world.skip()
    plan = world.plan(1, correct=18, incumbent_correct=18)
    block = world.claim_block(world.head, world.next_round(), plan)
    assert refusal(world, block) is Reason.INCUMBENT
    world.win(1, correct=19, incumbent_correct=18)
    assert world.record.held == REWARD


def test_each_shard_is_paid_once_and_the_task_then_leaves_the_state(world: TaskWorld) -> None:
    world.publish_and_reserve()
    for shard in range(3):
        world.win(shard, correct=16 + shard, incumbent_correct=14 if shard else 0)
        world.skip()
    assert len(world.state.tasks) == 0
    assert sum(world.balance(address) for address in ADDRESSES) == 3 * REWARD * 7 // 10


# Keys.


def key_of(world: TaskWorld, signer: SigningKey, /, **changes: Any) -> Signed[Key]:
    number = world.next_round()
    message = Key(number, world.task_id, 0, shard_key(SECRET, 0))
    return sign(replace(message, **changes), signer, world.network.id)


def test_a_key_holder_opens_the_shard_of_the_round(world: TaskWorld) -> None:
    world.publish_and_reserve(make_terms(key_holders=(public(PUBLISHER),)))
    check_key(world.context(world.head, world.next_round()), key_of(world, PUBLISHER))


@pytest.mark.parametrize(
    ("signer", "changes", "reason"),
    [
        (PUBLISHER, {"round": 1}, Reason.WRONG_ROUND),
        (MINER, {}, Reason.NOT_KEY_HOLDER),
        (PUBLISHER, {"key": shard_key(SECRET, 1)}, Reason.KEY),
        (PUBLISHER, {"shard": 1}, Reason.KEY),
        (PUBLISHER, {"task": b"t" * 32}, Reason.KEY),
    ],
)
def test_a_key_that_opens_nothing_is_refused(
    world: TaskWorld, signer: SigningKey, changes: dict[str, Any], reason: Reason
) -> None:
    world.publish_and_reserve(make_terms(key_holders=(public(PUBLISHER),)))
    context = world.context(world.head, world.next_round())
    with pytest.raises(Rejected) as refused:
        check_key(context, key_of(world, signer, **changes))
    assert refused.value.reason is reason


def test_a_round_of_the_standing_task_has_no_key(world: TaskWorld) -> None:
    world.publish(make_terms(key_holders=(public(PUBLISHER),)))
    with pytest.raises(Rejected) as refused:
        check_key(world.context(world.head, world.next_round()), key_of(world, PUBLISHER))
    assert refused.value.reason is Reason.NOT_KEY_HOLDER


# Rounds without a winner.


def test_a_shard_that_nobody_wins_costs_a_fifth(world: TaskWorld) -> None:
    world.publish_and_reserve()
    before, burnt = world.balance(PUBLISHER), world.state.burnt
    world.skip()
    assert world.balance(PUBLISHER) == before + REWARD * 4 // 5
    assert world.state.burnt == burnt + REWARD // 5


def test_a_round_without_any_block_may_have_opened_its_shard(world: TaskWorld) -> None:
    world.publish_and_reserve()
    before = world.balance(PUBLISHER)
    world.grow(world.fallback_block(world.head, world.next_round() + 1))
    assert world.balance(PUBLISHER) == before + REWARD * 4 // 5
    assert world.record.reservation(world.state.round) is None
    assert world.record.used == 2


def test_a_withheld_key_burns_half_pays_the_certified_units_and_suspends(world: TaskWorld) -> None:
    world.publish_and_reserve()
    before, miner, burnt = world.balance(PUBLISHER), world.balance(MINER), world.state.burnt
    world.grow(world.withhold())
    assert world.state.burnt == burnt + REWARD // 2
    assert world.balance(MINER) == miner + REWARD // 4
    assert world.balance(PUBLISHER) == before + REWARD // 4
    assert world.record.suspended
    for _ in range(3):
        world.skip()
    assert not world.record.reserved


def test_a_bond_takes_a_suspended_task_up_again_and_comes_back_at_its_end(
    world: TaskWorld,
) -> None:
    world.publish_and_reserve()
    world.grow(world.withhold())
    before = world.balance(PUBLISHER)
    world.skip(Rebond(0, 0, world.task_id))
    assert world.record.bond == REWARD
    assert world.balance(PUBLISHER) == before - REWARD - FEE
    assert world.record.reserved
    world.skip(Cancel(0, 0, world.task_id))
    world.skip()
    assert world.balance(PUBLISHER) == before + REWARD + REWARD * 4 // 5 - 2 * FEE
    assert len(world.state.tasks) == 0


def test_a_bond_is_burnt_when_a_key_is_withheld_again(world: TaskWorld) -> None:
    world.publish_and_reserve()
    world.grow(world.withhold())
    world.skip(Rebond(0, 0, world.task_id))
    world.skip()
    burnt = world.state.burnt
    world.grow(world.withhold())
    assert world.state.burnt == burnt + REWARD + REWARD // 2
    assert world.record.bond == 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"missing": (b"k" * 32,)}, Reason.MISSING),
        ({"missing": ()}, Reason.FALLBACK_BODY),
        ({"lists": (), "commit_ids": (), "units": ()}, Reason.MISSING_UNPROVED),
        ({"units": ()}, Reason.UNITS),
    ],
)
def test_a_fallback_that_blames_wrongly_is_refused(
    world: TaskWorld, changes: dict[str, Any], reason: Reason
) -> None:
    world.publish_and_reserve()
    assert refusal(world, world.withhold(**changes)) is reason


def test_units_have_one_order_and_are_all_there(world: TaskWorld) -> None:
    world.publish_and_reserve()
    right = world.withhold().body.units
    for units in (right[::-1], right[:1], right * 2, (right[0], replace(right[1], unit=3))):
        assert refusal(world, world.withhold(units=units)) is Reason.UNITS


def test_the_standing_task_can_miss_no_key(world: TaskWorld) -> None:
    block = world.fallback_block(world.head, 1, missing=(b"k" * 32,))
    assert refusal(world, block) is Reason.MISSING


# Money, over whole histories.

STEPS = ("win", "skip", "gap", "withhold", "cancel", "rebond")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(STEPS), max_size=9))
def test_escrow_is_paid_refunded_or_burnt_to_the_last_unit(steps: list[str]) -> None:
    """I13 and I1: `grow` checks the sum in every state."""
    world = TaskWorld()
    world.publish_and_reserve()
    wins = 0
    for step in steps:
        number = world.next_round()
        paid = world.context(world.head, number).paid
        record = next(iter(world.state.tasks.values()), None)
        if step == "win" and paid is not None:
            incumbent = 10 if paid.record.incumbent else 0
            world.win(paid.shard, incumbent_correct=incumbent)
            wins += 1
        elif step == "withhold" and paid is not None:
            world.grow(world.withhold())
        elif step == "gap":
            world.grow(world.fallback_block(world.head, number + 1))
        elif step == "cancel" and record is not None and not record.closed:
            world.skip(Cancel(0, 0, world.task_id))
        elif step == "rebond" and record is not None and record.suspended and not record.closed:
            world.skip(Rebond(0, 0, world.task_id))
        else:
            world.skip()
    paid_to_lines = sum(world.balance(address) for address in ADDRESSES)
    assert paid_to_lines == wins * REWARD * 7 // 10
    assert world.state.issued == 0


def test_a_wash_publisher_ends_poorer(world: TaskWorld) -> None:
    """I12: publisher, miner, payout lines and all attesters are one."""
    own = (PUBLISHER, MINER, *ATTESTERS)

    def wealth() -> int:
        keys = sum(world.balance(key) for key in own)
        lines = sum(world.balance(address) for address in ADDRESSES)
        return keys + lines + sum(record.held for record in world.state.tasks.values())

    before = wealth()
    world.publish_and_reserve()
    for shard in range(3):
        votes = world.votes(world.head, ATTESTERS)
        world.win(shard, incumbent_correct=10 if shard else 0, correct=20, votes=votes)
        world.skip()
    assert len(world.state.tasks) == 0
    assert wealth() <= before - 3 * REWARD // 5
