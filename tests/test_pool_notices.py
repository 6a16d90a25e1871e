"""Who has a line in a commitment of its pool gets the proof of it, whenever it was away."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from node.chain.commits import compute_payout_root
from node.chain.envelope import sign
from node.chain.hashing import blake, blob_hash, u64
from node.chain.messages import Claim, PayoutLine, PayoutNotice
from node.store.base import Change
from node.store.memory import MemoryStore
from node.wire import envelope_from_proto, envelope_to_proto
from pool.miner.evidence import Evidence
from pool.proofs.receipts import Objection, ProofError, check_notice, make_notices
from pool.proofs.shelf import KEPT_ROUNDS, ReceiptShelf
from pool.records.state import KEPT_PROMISES
from pool.records.strengths import Strength
from tests.pool_world import NETWORK_ID, PoolWorld, applicant, key_of, public
from tests.test_pool_manager import RawMiner
from tests.virtual_time import virtual_time


async def worked(world: PoolWorld, *names: str) -> dict[str, RawMiner]:
    """A round in which each miner delivers a best of its own."""
    miners = {name: await RawMiner(world, name).connect() for name in names}
    for number, miner in enumerate(miners.values()):
        await miner.deliver(await miner.expect("assignment"), 300 + 10 * number)
        await miner.expect("acknowledgement")
    return miners


async def commit(world: PoolWorld, number: int = 1) -> Claim:
    """Close the round and commit to its best."""
    world.manager.close_round()
    best = world.manager.best()
    assert best is not None
    claim = Claim(
        round=number,
        parent=bytes(32),
        unit=0,
        genotype=best.genotype.to_bytes(),
        model_hash=blob_hash(best.model),
        payout_root=compute_payout_root(best.lines),
        salt=bytes(32),
        correct=0,
        secrets=(),
        body_hash=bytes(32),
        state_root=bytes(32),
    )
    await world.manager.promise(claim, best, blake("test/commitment", u64(number)))
    return claim


async def notices_after_welcome(
    world: PoolWorld, name: str, rounds: Sequence[int]
) -> list[PayoutNotice]:
    """What a miner that connects is sent before it hears what to do, checked."""
    miner = await RawMiner(world, name).connect()
    found = []
    while (message := await miner.receive()).WhichOneof("content") not in ("idle", "assignment"):
        if message.HasField("payout_notice"):
            envelope = envelope_from_proto(message.payout_notice)
            signed = check_notice(envelope, NETWORK_ID, public("manager"), public(name), rounds)
            found.append(signed.message)
    return found


@virtual_time
async def test_who_was_away_at_the_commitment_hears_of_it_on_coming_back() -> None:
    world = PoolWorld()
    world.start_round()
    miners = await worked(world, "s", "t")
    await miners["s"].link.close("gone")
    await world.pass_ms(100)
    claim = await commit(world)

    (notice,) = await notices_after_welcome(world, "s", [1])

    assert notice.payout_root == claim.payout_root
    # Who has no line is told nothing.
    assert await notices_after_welcome(world, "u", [1]) == []
    await world.close()


@virtual_time
async def test_a_manager_killed_before_its_letters_leave_sends_them_when_it_is_back() -> None:
    """The commitment is on disk, and nobody has heard of it."""
    world = PoolWorld()
    world.start_round()
    miners = await worked(world, "s", "t")
    write = world.writer.write

    async def cut_off(changes: Sequence[Change]) -> None:
        await write(changes)
        world.network.stop("pool")

    world.writer.write = cut_off  # type: ignore[method-assign]
    claim = await commit(world)
    await world.crash_manager()
    for miner in miners.values():
        await miner.closed()
    world.start_manager()

    for name in miners:
        (notice,) = await notices_after_welcome(world, name, [1])
        assert notice.payout_root == claim.payout_root
    await world.close()


@virtual_time
async def test_the_newest_commitments_are_told_to_who_comes_back() -> None:
    world = PoolWorld()
    rounds = range(1, KEPT_PROMISES + 2)
    for number in rounds:
        world.start_round(number)
        await worked(world, "s")
        await commit(world, number)
    await world.crash_manager()
    world.start_manager()

    notices = await notices_after_welcome(world, "s", rounds)

    assert [notice.round for notice in notices] == list(rounds[1:])
    await world.close()


@pytest.mark.parametrize(("number", "told"), [(KEPT_ROUNDS, [1]), (KEPT_ROUNDS + 1, [])])
@virtual_time
async def test_a_commitment_of_long_ago_is_told_no_more(number: int, told: list[int]) -> None:
    world = PoolWorld()
    world.start_round(1)
    await worked(world, "s")
    await commit(world, 1)
    await world.crash_manager()
    world.start_manager()
    world.start_round(number)

    notices = await notices_after_welcome(world, "s", [1])

    assert [notice.round for notice in notices] == told
    await world.close()


@virtual_time
async def test_a_miner_goes_on_when_the_pool_last_committed_long_ago() -> None:
    """Also for a manager that sends all that it has promised, as its own round is as old."""
    world = PoolWorld()
    world.start_round(1)
    await worked(world, "s")
    await commit(world, 1)
    await world.crash_manager()
    world.start_manager()
    now = 2 * KEPT_ROUNDS
    store = MemoryStore()
    evidence = Evidence(applicant("s", Strength.STRONG), store, store.write, lambda: now)
    world.add_miner("s", Strength.STRONG, evidence=evidence)
    await world.pass_ms(1_000)

    assert world.manager.state.miners[public("s")].connected
    await world.close()


def kept_by(evidence: Evidence, number: int) -> None:
    """Hand a miner the notice of a round."""
    line = PayoutLine(public("s"), 1_000)
    notice = make_notices(number, bytes(32), bytes(32), [line])[line.address]
    signed = sign(notice, key_of("manager"), NETWORK_ID)
    evidence.keep_notice(public("manager"), envelope_to_proto(signed.envelope))


def test_a_notice_that_comes_again_changes_nothing() -> None:
    written: list[Change] = []
    store = MemoryStore()

    def write(changes: Sequence[Change]) -> None:
        written.extend(changes)
        store.write(changes)

    evidence = Evidence(applicant("s", Strength.STRONG), store, write, lambda: 1)
    with capture_logs() as logs:
        kept_by(evidence, 1)
        kept_by(evidence, 1)

    assert len(written) == 1
    assert [log["event"] for log in logs] == ["payout_announced"]


@pytest.mark.parametrize("number", [100 - KEPT_ROUNDS + 1, 101])
def test_a_notice_of_a_newest_round_is_kept_without_any_work_in_it(number: int) -> None:
    store = MemoryStore()
    evidence = Evidence(applicant("s", Strength.STRONG), store, store.write, lambda: 100)

    kept_by(evidence, number)

    assert len(list(ReceiptShelf(store).notices(number))) == 1


@pytest.mark.parametrize("number", [1, 100 - KEPT_ROUNDS])
def test_a_notice_of_long_ago_is_passed_over(number: int) -> None:
    store = MemoryStore()
    evidence = Evidence(applicant("s", Strength.STRONG), store, store.write, lambda: 100)

    kept_by(evidence, number)

    assert not list(ReceiptShelf(store).rounds())


def test_a_notice_of_a_round_to_come_is_refused() -> None:
    store = MemoryStore()
    evidence = Evidence(applicant("s", Strength.STRONG), store, store.write, lambda: 100)

    with pytest.raises(ProofError) as refused:
        kept_by(evidence, 102)

    assert refused.value.objection is Objection.OTHER_ROUND
