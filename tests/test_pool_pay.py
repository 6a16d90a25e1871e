"""Pay through the manager: audits, forfeits, leases that are broken, notices of what is paid."""

from typing import TypeVar

from nas.designs.genotype import Genotype
from node.chain.codec import decode
from node.chain.commits import compute_payout_root
from node.chain.envelope import open_as, open_envelope, sign
from node.chain.hashing import blob_hash
from node.chain.messages import (
    Claim,
    Commit,
    Envelope,
    Lease,
    LeaseAcceptance,
    PayoutNotice,
)
from node.wire import envelope_from_proto
from ponas.v1 import pool_service_pb2 as pb
from pool.decisions.pay import LEASE_BROKEN, OVERDUE
from pool.proofs.receipts import check_notice
from pool.proofs.recount import lines_of_log
from pool.proofs.sharelog import FIRST_PAGE, Page, open_page
from pool.proofs.shelf import PageShelf
from pool.records import events
from pool.rules.audits import ANSWER_MS, Fault
from pool.rules.payout import TOTAL_WEIGHT
from tests.pool_world import NETWORK_ID, PoolWorld, key_of, public
from tests.scripted import scripted_model
from tests.test_pool_manager import RawMiner, trained
from tests.virtual_time import virtual_time

S = public("s")


E = TypeVar("E", bound=events.Event)


def of_kind(world: PoolWorld, kind: type[E]) -> list[E]:
    return [event for event in world.history() if isinstance(event, kind)]


def claim_of(model: bytes, genotype: bytes, root: bytes) -> Claim:
    return Claim(
        1, bytes(32), 0, genotype, blob_hash(model), root, b"s" * 32, 0, (), bytes(32), bytes(32)
    )


async def audited(world: PoolWorld, miner: RawMiner, blob: bytes | None) -> None:
    """A best, then a lesser result, whose audit is answered with this blob."""
    assignment = await miner.expect("assignment")
    await miner.deliver(assignment, 300)
    await miner.send(trained(assignment, 290, episode=1)[0])
    await miner.serve_blob(blob)
    await world.pass_ms(300)


@virtual_time
async def test_the_first_shares_of_a_miner_are_all_audited() -> None:
    world = PoolWorld()
    world.start_round()
    miner = await RawMiner(world, "s").connect()
    assignment = await miner.expect("assignment")
    await miner.deliver(assignment, 300)
    report, model = trained(assignment, 290, episode=1)
    await miner.send(report)
    await miner.serve_blob(model)
    await world.pass_ms(300)

    assert [event.passed for event in of_kind(world, events.ShareAudited)] == [True]
    assert not world.manager.state.audits
    assert not of_kind(world, events.WorkForfeited)
    await world.close()


@virtual_time
async def test_a_share_without_its_model_forfeits_the_window_and_bans() -> None:
    world = PoolWorld()
    world.start_round()
    await audited(world, await RawMiner(world, "s").connect(), None)

    (lost,) = of_kind(world, events.WorkForfeited)
    assert (lost.miner, lost.reason) == (S, Fault.MODEL_MISSING)
    assert not world.manager.state.books.earned
    assert [event.miner for event in of_kind(world, events.Banned)] == [S]
    assert not world.manager.state.miners[S].connected
    await world.close()


@virtual_time
async def test_a_share_whose_model_counts_less_is_forfeited() -> None:
    world = PoolWorld()
    world.start_round()
    miner = await RawMiner(world, "s").connect()
    assignment = await miner.expect("assignment")
    await miner.deliver(assignment, 300)
    report, _ = trained(assignment, 290, episode=1)
    worse = scripted_model("digits", Genotype.from_bytes(report.genotype), 200, 200)
    await miner.send(report.but(model_hash=blob_hash(worse)))
    await miner.serve_blob(worse)
    await world.pass_ms(300)

    (lost,) = of_kind(world, events.WorkForfeited)
    assert (lost.reason, lost.detail) == (Fault.COUNT_DIFFERS, "the model counts 200, not 290")
    await world.close()


@virtual_time
async def test_an_audit_waits_for_a_miner_that_is_away_but_not_for_ever() -> None:
    world = PoolWorld()
    world.start_round()
    miner = await RawMiner(world, "s").connect()
    assignment = await miner.expect("assignment")
    await miner.deliver(assignment, 300)
    await miner.send(trained(assignment, 290, episode=1)[0])
    await miner.expect("blob_request")
    # As long as anybody is here it is not the manager that is away.
    await RawMiner(world, "t").connect()
    await miner.link.close("cable")
    await world.pass_ms(20_000)
    assert len(world.manager.state.audits) == 1
    assert world.manager.state.books.earned, "until then the share is kept"

    await world.pass_ms(ANSWER_MS)
    world.manager.close_round()
    world.start_round(2)
    await world.pass_ms(100)
    assert not world.manager.state.audits
    (lost,) = of_kind(world, events.WorkForfeited)
    assert (lost.reason, lost.detail) == (Fault.OVERDUE, OVERDUE)
    assert not of_kind(world, events.Banned), "not to be there proves no lie"
    await world.close()


@virtual_time
async def test_who_commits_on_its_own_under_a_lease_loses_its_window() -> None:
    world = PoolWorld()
    world.start_round()
    other = await RawMiner(world, "t").connect()
    await other.deliver(await other.expect("assignment"), 310)
    miner = await RawMiner(world, "s").connect()
    await miner.deliver(await miner.expect("assignment"), 320)
    honest = world.manager.state.books.earned[public("t") * 2]
    commit = sign(Commit(1, 0, bytes(32)), key_of("s"), NETWORK_ID)
    assert not world.manager.on_commit(sign(Commit(1, 0, bytes(32)), key_of("manager"), NETWORK_ID))
    assert not world.manager.on_commit(sign(Commit(9, 0, bytes(32)), key_of("s"), NETWORK_ID))
    assert not of_kind(world, events.WorkForfeited)
    told = world.manager.on_commit(commit)
    await world.pass_ms(50)

    (lost,) = of_kind(world, events.WorkForfeited)
    assert told == lost.evidence
    assert (lost.miner, lost.reason) == (S, LEASE_BROKEN)
    lease, acceptance, shown = (decode(Envelope, data) for data in lost.evidence)
    granted = open_as(Lease, lease, NETWORK_ID)
    assert (granted.signer, granted.message.miner) == (public("manager"), S)
    accepted = open_as(LeaseAcceptance, acceptance, NETWORK_ID)
    assert (accepted.signer, accepted.message.lease) == (S, granted.id)
    assert open_envelope(shown, NETWORK_ID).id == commit.id
    assert dict(world.manager.state.books.earned) == {public("t") * 2: honest}
    assert not world.manager.state.miners[S].connected
    await world.close()


@virtual_time
async def test_miners_hear_what_they_are_paid_with_a_proof_before_the_block() -> None:
    world = PoolWorld()
    world.start_round()
    miner = await RawMiner(world, "s").connect()
    await miner.deliver(await miner.expect("assignment"), 300)
    await miner.expect("acknowledgement")
    world.manager.close_round()
    best = world.manager.best()
    assert best is not None
    claim = claim_of(best.model, best.genotype.to_bytes(), compute_payout_root(best.lines))
    await world.manager.promise(claim, best, b"c" * 32)

    envelope = envelope_from_proto(await miner.expect("payout_notice"))
    notice = check_notice(envelope, NETWORK_ID, public("manager"), S, {1}).message
    assert (notice.commitment, notice.payout_root) == (b"c" * 32, claim.payout_root)
    assert notice.weight == TOTAL_WEIGHT
    # And the log that it names gives the same lines to anybody.
    assert lines_of_log(pages(world, notice)) == best.lines
    await world.close()


def pages(world: PoolWorld, notice: PayoutNotice) -> list[Page]:
    found: list[Page] = []
    hash_, shelf = notice.share_log, PageShelf(world.store)
    while hash_ != FIRST_PAGE:
        data = shelf.page(hash_)
        assert data is not None
        found.append(open_page(data, hash_))
        hash_ = found[-1].before
    return found[::-1]


@virtual_time
async def test_a_full_page_of_the_share_log_is_closed_and_the_next_one_names_it() -> None:
    world = PoolWorld()
    world.start_round()
    miner = await RawMiner(world, "s").connect()
    assignment: pb.Assignment = await miner.expect("assignment")
    await miner.deliver(assignment, 300)
    # The same again and again, which pays nothing.
    report, _ = trained(assignment, 290)
    for episode in range(1, 1_030):
        await miner.send(report.but(episode=episode))
        await miner.expect("acknowledgement")
    await world.pass_ms(100)

    (closed,) = of_kind(world, events.PageClosed)[:1]
    books = world.manager.state.books
    assert books.page.before == closed.page
    assert len(books.page.shares) == 1_030 - 1_024
    data = PageShelf(world.store).page(closed.page)
    assert data is not None
    assert len(open_page(data, closed.page).shares) == 1_024
    await world.close()
