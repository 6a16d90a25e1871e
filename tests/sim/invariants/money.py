"""I1, I12, I13, I19: no base unit comes from nowhere or goes there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import is_dataclass

from node.chain.hashing import MAX_INT
from node.chain.messages import Claim, Evidence, Faucet, Transfer
from node.chain.published.record import TaskRecord, find_paid
from node.chain.state import TABLES, State, compute_held, genesis_state
from tests.sim.watch import Invariant, Seen, Watch


class ValueKept(Invariant):
    """I1: in every state on every fork, what is held or burnt was given by genesis or issued."""

    name = "I1"

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        self._genesis = compute_held(genesis_state(self.scene.network))

    def on_block(self, at: str, seen: Seen) -> None:
        state = seen.state
        there, due = compute_held(state) + state.burnt, self._genesis + state.issued
        if there != due:
            self.fail(f"the state of round {state.round} has {there} base units instead of {due}")


class Step(Invariant):
    """An invariant of every block, by the states before and after it."""

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        self._checked: set[bytes] = set()

    def on_block(self, at: str, seen: Seen) -> None:
        if seen.block.id in self._checked:
            return
        self._checked.add(seen.block.id)
        parent = self.watch.blocks.get(seen.block.parent)
        before = genesis_state(self.scene.network) if parent is None else parent.state
        self.on_step(seen, before, seen.state)

    def on_step(self, seen: Seen, before: State, after: State) -> None:
        """Check a block that is seen for the first time."""


class WashCosts(Step):
    """I12: a round that is paid by a publisher issues nothing and burns a fifth of its reward. If
    one person owns all that is dishonest and the publisher, it is poorer by that fifth at least,
    whoever won, but for what others pay it of their own."""

    name = "I12"

    def on_step(self, seen: Seen, before: State, after: State) -> None:
        played = [
            record
            for record in before.tasks.values()
            if any(each.round == seen.block.round for each in record.reserved)
        ]
        if played and after.issued != before.issued:
            self.fail(f"the paid round {seen.block.round} issues coins")
        due = sum(record.terms.reward // 5 for record in played)
        if after.burnt - before.burnt < due:
            self.fail(f"the paid round {seen.block.round} burns less than a fifth")
        if played and all(record.publisher in self.scene.company for record in played):
            gained = self._wealth(after) - self._wealth(before)
            if gained > self._others_pay(seen) - due:
                self.fail(f"who pays itself for round {seen.block.round} gains {gained}")

    def _wealth(self, state: State) -> int:
        """What the company holds, in accounts, bonds and escrow."""
        company = self.scene.company
        return (
            sum(state.account(key).balance for key in company)
            + sum(bond.held for bond in state.bonds.values() if bond.owner in company)
            + sum(task.held for task in state.tasks.values() if task.publisher in company)
        )

    def _others_pay(self, seen: Seen) -> int:
        """The most that the company may get in a block beside the reward."""
        company, parameters = self.scene.company, self.scene.network.parameters
        paid = len(seen.block.body.units) * parameters.unit_fee
        for transaction in seen.block.transactions:
            message = transaction.message
            paid += message.fee
            if isinstance(message, Transfer) and message.recipient in company:
                paid += message.amount
            if isinstance(message, Evidence):
                paid += parameters.max_weight
        return paid


class EscrowSettled(Step):
    """I13: what a task has locked leaves it shard by shard, each exactly once, whatever became of
    it; and that it goes somewhere is what I1 says."""

    name = "I13"

    def on_step(self, seen: Seen, before: State, after: State) -> None:
        old, new = dict(before.tasks.items()), dict(after.tasks.items())
        for task_id in {*old, *new}:
            now, was = new.get(task_id), old.get(task_id)
            terms = (now or old[task_id]).terms
            left = _shards(now)
            known = set(range(len(terms.shards))) if was is None else _shards(was)
            if not left <= known:
                self.fail(f"shards {sorted(left - known)} of a task come back")
            released = _held(was) - _held(now) if was else len(known) * terms.reward - _held(now)
            bonds = (was.bond if was else 0) - (now.bond if now else 0)
            if released != len(known - left) * terms.reward + bonds:
                self.fail(f"{released} base units leave a task with {len(known - left)} shards")


class NumbersFit(Step):
    """I19: every number in a state is from 0 to 2**63 - 1; no claim counts more than there is;
    payout lines have one order and are paid their part exactly."""

    name = "I19"

    def on_step(self, seen: Seen, before: State, after: State) -> None:
        numbers = [after.round, after.height, after.issued, after.burnt]
        for name in TABLES:
            for record in getattr(after, name).values():
                numbers += [record.held, *_numbers(record)]
        if not all(0 <= number <= MAX_INT for number in numbers):
            self.fail(f"a number of round {after.round} is out of bounds")
        addresses = [line.address for line in seen.block.body.payouts]
        if addresses != sorted(set(addresses)):
            self.fail(f"the payout lines of round {after.round} have no order")
        paid = find_paid(before.tasks.items(), after.round)
        claim, standing = seen.block.header.message, self.scene.network.parameters.task
        if not isinstance(claim, Claim):
            return
        if claim.correct > (standing.test_size if paid is None else paid.terms.test_images):
            self.fail(f"the claim of round {after.round} counts {claim.correct} images")
        is_given = any(isinstance(each.message, Faucet) for each in seen.block.transactions)
        if paid is None and not is_given:
            issued, subsidy = after.issued - before.issued, self.scene.network.parameters.subsidy
            # Without any vote to reward, the attesters' tenth is not issued.
            if issued not in (subsidy, subsidy * 9 // 10):
                self.fail(f"round {after.round} issues {issued} of {subsidy}")


def _numbers(record: object) -> Iterator[int]:
    """Every integer in a record, however deep."""
    if isinstance(record, int):
        yield record
    elif isinstance(record, tuple):
        for part in record:
            yield from _numbers(part)
    elif is_dataclass(record):
        for part in vars(record).values():
            yield from _numbers(part)


def _shards(record: TaskRecord | None) -> set[int]:
    """The shards that a task has still to settle or to give back."""
    if record is None:
        return set()
    total = len(record.terms.shards)
    open_shards = set() if record.closed else set(range(record.used, total))
    return open_shards | {each.shard for each in record.reserved}


def _held(record: TaskRecord | None) -> int:
    return 0 if record is None else record.held
