"""Which invariants a world breaks: none as it is, one when a rule is mutated."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from tests.sim.world import Hack, Plan, World
from tests.virtual_time import run_virtual

Play = Callable[[World], Awaitable[None]]


def broken_by(
    play: Play, plan: Plan, hacks: Mapping[str, Hack] | None = None, seed: int = 1
) -> set[str]:
    """Names of the invariants that a play has broken."""

    async def run() -> set[str]:
        world = World(seed, plan, hacks)
        try:
            await world.start()
            await play(world)
            await world.close()
        except Exception:
            # What else a mutation leads to is not of interest once an invariant has told.
            if not world.watch.broken:
                raise
        return {report.split()[0] for report in world.watch.broken}

    return run_virtual(run())


def rounds(number: int) -> Play:
    """Let so many rounds pass."""

    async def play(world: World) -> None:
        await world.until_round(number + 1)

    return play
