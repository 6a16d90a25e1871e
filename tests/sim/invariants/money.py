"""I1: no base unit comes from nowhere or goes there."""

from __future__ import annotations

from tests.sim.watch import Invariant, Seen


class ValueKept(Invariant):
    """I1: in every state on every fork, what is held equals genesis and what was issued."""

    name = "I1"

    def on_block(self, at: str, seen: Seen) -> None:
        genesis = sum(row.balance for row in self.scene.network.accounts)
        held = sum(account.balance for account in seen.state.accounts.values())
        if held != genesis + seen.state.issued:
            self.fail(f"round {seen.state.round} holds {held}, issued {seen.state.issued}")
