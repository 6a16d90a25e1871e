"""A node whose clock is off holds its tongue, says why, and speaks again."""

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from node.chain.messages import Kind
from node.chain.params import SEALED
from node.chain.timing import Phase, deadline
from node.readiness import SPLIT
from tests.sim.watch import before
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
async def test_producer_that_must_not_sign_commits_and_claims_nothing_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(seed=1, plan=Plan(full=4, managers=0, strong=0, weak=0, mints=1))
    await world.start()
    mint, sent = world["mint0"], list[int]()
    before(mint.peers, "broadcast", lambda envelope: sent.append(envelope.kind))
    for number, changes, reason in (
        (2, (mint.peers, "clock_offsets_ms", lambda: [51] * 4), "this machine's clock is 51 ms"),
        (3, (mint.chain.tree, "is_split", lambda: True), SPLIT),
        (4, None, ""),
    ):
        await world.until_round(number)
        sent.clear()
        with monkeypatch.context() as patch, capture_logs() as logs:
            if changes is not None:
                patch.setattr(*changes)
            await world.until(number, Phase.CONFIRM)
        assert sent == ([] if reason else [Kind.COMMIT, Kind.CLAIM])
        said = [log for log in logs if log["event"] in ("not_committing", "not_claimed")]
        assert [log["reason"].startswith(reason) for log in said] == [True] * bool(reason)
    await world.close()


@virtual_time
async def test_producer_that_falls_silent_after_its_commitment_claims_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(seed=1, plan=Plan(full=4, managers=0, strong=0, weak=0, mints=1))
    await world.start()
    await world.until(2, Phase.TRAIN)
    monkeypatch.setattr(world["mint0"].chain.tree, "is_split", lambda: True)
    with capture_logs() as logs:
        await world.until(2, Phase.CONFIRM)
    seen = world["full0"].views.round(2)
    assert len(seen.commits) == 1
    assert seen.claims == []
    assert [log["reason"] for log in logs if log["event"] == "not_claimed"] == [SPLIT]
    await world.close()


@pytest.mark.parametrize(
    ("name", "kind", "until_ms"), [("manager0", Kind.COMMIT, -250), ("full0", Kind.SEAL, 100)]
)
@virtual_time
async def test_a_reason_for_silence_that_goes_in_time_costs_nothing(
    name: str, kind: Kind, until_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block that is still being checked is one, and gone a moment later."""
    free = replace(SEALED, unit_fee=0)
    plan = Plan(strong=1, weak=0, parameters=free, weights=(16, 16, 16, 16))
    world = World(seed=1, plan=plan)
    await world.start()
    await world.until_round(6)
    node, sent = world[name], list[tuple[int, int]]()
    before(node.peers, "broadcast", lambda envelope: sent.append((envelope.kind, world.now_ms())))
    lists_ms = deadline(world.network, 6, Phase.TRAIN)
    blocked = range(lists_ms + until_ms - 100, lists_ms + until_ms)
    monkeypatch.setattr(node.chain.tree, "is_split", lambda: world.now_ms() in blocked)
    await world.until(6, Phase.CLAIM)
    (sent_ms,) = (at_ms for sent_kind, at_ms in sent if sent_kind == kind)
    assert blocked.stop <= sent_ms < blocked.stop + 50
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
