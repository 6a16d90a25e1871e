"""Since when nothing has gone wrong: what liveness may be asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.chain.timing import round_start

if TYPE_CHECKING:
    from tests.sim.world import World


class Peace:
    """Counts troubles, and looks at every round whether the honest hear each other."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._last_trouble_ms = 0
        self._troubles = 0
        self._together_since = 1
        # Whether machines that can split the honest keep still.
        self.is_truce = False

    def disturb(self) -> None:
        """Something went wrong just now, and is over."""
        self._last_trouble_ms = self._world.now_ms()

    def break_out(self) -> None:
        """Something goes wrong until `make_up`."""
        self._troubles += 1

    def make_up(self) -> None:
        """All that went wrong is over."""
        self._troubles = 0
        self.disturb()

    def on_round(self, number: int) -> None:
        """A round begins."""
        if not (self._are_linked() and self._are_enough()):
            self._together_since = number + 1

    def has_lasted(self, first_round: int, last_round: int) -> bool:
        """Whether a time was calm that ends now, with the start of the round after the last."""
        began_ms = round_start(self._world.network, first_round)
        is_quiet = not self._troubles and self._last_trouble_ms < began_ms
        return is_quiet and self._together_since <= first_round

    def _are_enough(self) -> bool:
        """Whether more than two thirds are honest, run and have a clock good enough to sign."""
        tolerance_ms = self._world.network.parameters.timing.round_ms // 200
        weights = self._world.weights()
        weight = sum(
            weights.get(self._world.key(name), 0)
            for name in self._up()
            if abs(self._world.machines[name].skew_ms) <= tolerance_ms
        )
        return 3 * weight > 2 * sum(weights.values())

    def _are_linked(self) -> bool:
        """Whether there is a way from each honest machine that runs to each other, by honest ones
        alone."""
        names = {self._world.key(name): name for name in self._up()}
        if not names:
            return False
        reached, fresh = set[str](), {min(names.values())}
        while fresh:
            reached |= fresh
            keys = {
                session.public_key
                for name in fresh
                for session in self._world[name].peers.sessions()
            }
            fresh = {names[key] for key in keys if key in names} - reached
        return len(reached) == len(names)

    def _up(self) -> list[str]:
        return [name for name in self._world.honest if self._world.node(name) is not None]
