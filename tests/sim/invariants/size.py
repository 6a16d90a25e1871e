"""I17: who fills the state pays for it, and what is over leaves it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from node.chain.bonds import UNBOND_ERAS
from node.chain.codec import encode
from node.chain.messages import MAX_ATTESTERS
from node.chain.published.record import MAX_TASKS
from node.chain.state import TABLES, State
from node.chain.table import Table
from tests.sim.invariants.money import Step
from tests.sim.watch import Seen

ACCOUNT_BYTES, BOND_BYTES = 64, 320
"""The longest records of accounts and bonds, with their keys: an account costs its deposit, a bond
that of a unit."""
CONSTANT_BYTES = MAX_TASKS * 12_000 + MAX_ATTESTERS * (3 * 128 + (UNBOND_ERAS + 2) * 64)
"""Tasks and what there is for each seat: chains of seals of three eras, and offences punished."""


class StateStaysSmall(Step):
    """I17: the state has no more bytes than a constant and what deposits have paid for, and nothing
    whose time was over at the block before."""

    name = "I17"

    def on_step(self, seen: Seen, before: State, after: State) -> None:
        size = sum(_size(getattr(after, name)) for name in TABLES)
        parameters = self.scene.network.parameters
        held = sum(account.balance for account in after.accounts.values())
        bonded = sum(bond.held for bond in after.bonds.values())
        # Who was punished has paid as well.
        paid = held // parameters.account_deposit * ACCOUNT_BYTES
        paid += (bonded + after.burnt) // parameters.unit_bond * BOND_BYTES
        if size > CONSTANT_BYTES + paid:
            self.fail(f"the state of round {after.round} has {size} bytes")
        for what in _stale(after, parameters.account_deposit, parameters.tasks.lifetime_rounds):
            self.fail(f"{what} is still in the state of round {after.round}")


def _stale(state: State, deposit: int, lifetime_rounds: int) -> Iterator[str]:
    """What should have left a state."""
    era = state.eras.era
    for account in state.accounts.values():
        if account.balance < deposit:
            yield f"an account with {account.balance} base units"
    for bond in state.bonds.values():
        if any(entry.release_era <= era for entry in bond.unbonding):
            yield "a bond that is due to its owner"
    for task in state.tasks.values():
        is_over = task.queued_round + lifetime_rounds <= state.round and not task.closed
        is_done = not task.unreserved and not task.reserved
        if is_over or is_done or any(each.round <= state.round for each in task.reserved):
            yield f"a task of round {task.queued_round}"
    for offence in state.punished.values():
        if state.eras.era_of(offence.round) + UNBOND_ERAS < era:
            yield f"an offence of round {offence.round}"
    if len(state.seals) > 3 * MAX_ATTESTERS:
        yield "a chain of seals without a seat"


def _size(table: Table[Any]) -> int:
    return sum(len(key) + len(encode(record)) for key, record in table.items())
