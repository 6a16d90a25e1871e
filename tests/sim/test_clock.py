"""An attester whose clock is off holds its tongue, says why, and speaks again."""

import pytest

from node.chain.timing import Phase
from tests.sim.world import Plan, World
from tests.virtual_time import virtual_time


@virtual_time
async def test_attester_with_a_wrong_clock_signs_nothing_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(seed=1, plan=Plan(full=4))
    await world.start()
    attester = world["full3"]
    key = world.machines["full3"].setup.identity.public_key
    tolerance_ms = world.network.parameters.timing.round_ms // 200
    for number, offset_ms, is_silent in ((2, tolerance_ms + 1, True), (3, tolerance_ms, False)):
        await world.until_round(number)
        monkeypatch.setattr(attester.peers, "clock_offsets_ms", lambda off=offset_ms: [off] * 4)
        await world.until(number, Phase.CONFIRM)
        seen = world["full0"].views.round(number)
        signers = {each.attester for each in seen.lists} | {each.attester for each in seen.votes}
        status = attester.views.status()
        assert status.clock_offset_ms == offset_ms
        assert (key in signers) is not is_silent
        assert ("behind those of 4 peers" in status.not_signing) is is_silent
        # The others make up a quorum and go on.
        assert len(signers) == 3 + (not is_silent)
    await world.close()


@virtual_time
async def test_what_is_justified_elsewhere_is_adopted_after_a_tenth_of_a_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(seed=2, plan=Plan(full=4, managers=0, strong=0, weak=0))
    await world.start()
    await world.until_round(2)
    calls: list[int] = []
    tree = world["full0"].chain.tree
    # Beside those by the clock there are some when a block on the followed chain is justified.
    monkeypatch.setattr(tree, "adopt_justified", lambda: calls.append(world.now_ms()))
    await world.until(4, Phase.CONFIRM)
    await world.close()
    assert {21_000, 31_000, 41_000} <= set(calls)
