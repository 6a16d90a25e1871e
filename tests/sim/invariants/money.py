"""I1: no base unit comes from nowhere or goes there."""

from __future__ import annotations

from node.chain.state import compute_held, genesis_state
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
