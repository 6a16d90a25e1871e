"""What a node's users hand in outlives crashes, evictions and forks, until it is final."""

from __future__ import annotations

from dataclasses import replace

import pytest
from nacl.signing import SigningKey

from node.chain.envelope import Signed, sign
from node.chain.errors import Reason, Rejected
from node.chain.messages import Transaction
from node.consensus import mempool as mempool_module
from node.consensus import submissions as submissions_module
from tests.chain_world import (
    ATTESTERS,
    ENDOWMENT,
    FEE,
    PARAMETERS,
    PRODUCERS,
    ScriptedDesigns,
    World,
    make_network,
)
from tests.desk import Desk
from tests.task_world import SUBSIDY, make_terms

ONE, OTHER = PRODUCERS
PAYEE = b"r" * 32


@pytest.fixture
def desk() -> Desk:
    return Desk(World())


def transfer(
    desk: Desk, nonce: int, fee: int = FEE, key: SigningKey = ONE, amount: int = 1
) -> Signed[Transaction]:
    return desk.world.transfer(key, PAYEE, amount, nonce, fee)


async def test_what_was_taken_in_is_there_after_a_crash_and_sent_again(desk: Desk) -> None:
    row = transfer(desk, 0), transfer(desk, 1)
    await desk.submit(*row)
    desk.start()
    assert desk.mempool.transactions() == ()
    await desk.submissions.follow()
    assert desk.mempool.transactions() == row
    assert desk.sent == [signed.envelope for signed in row]


async def test_nothing_is_kept_or_sent_of_what_was_refused(desk: Desk) -> None:
    for signed, reason in (
        (transfer(desk, 1), Reason.ORPHAN_NONCE),
        (transfer(desk, 0, fee=1), Reason.FEE),
        (desk.world.vote(ATTESTERS[0], desk.world.genesis), Reason.WRONG_KIND),
    ):
        with pytest.raises(Rejected) as refused:
            await desk.submissions.submit(signed.envelope)
        assert refused.value.reason is reason
    assert (desk.kept, desk.sent) == (0, [])


async def test_a_task_that_can_not_be_searched_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only the search engine can tell; a block that carried it would be refused by all."""
    refusal = (Reason.INFEASIBLE, "no such hardware")
    monkeypatch.setattr(ScriptedDesigns, "refuse_task", lambda _self, _terms: refusal)
    chain = replace(
        PARAMETERS, subsidy=SUBSIDY, tasks=replace(PARAMETERS.tasks, min_test_images=20)
    )
    desk = Desk(World(make_network(chain)))
    terms = make_terms(fee=10 * FEE)
    with pytest.raises(Rejected) as refused:
        await desk.submissions.submit(sign(terms, ONE, desk.world.network.id).envelope)
    assert refused.value.reason is Reason.INFEASIBLE
    assert desk.mempool.transactions() == ()


async def test_handing_in_twice_is_no_error(desk: Desk) -> None:
    signed = transfer(desk, 0)
    desk.mempool.add(signed, desk.chain.next_context(), desk.chain.tree.head().state)
    # It waits already, as a peer sent it; now it is kept too.
    await desk.submit(signed, signed)
    assert (desk.kept, desk.sent) == (1, [signed.envelope])


async def test_it_is_kept_until_it_is_final(desk: Desk) -> None:
    signed = transfer(desk, 0)
    await desk.submit(signed)
    await desk.mine(signed)
    await desk.submissions.follow()
    assert desk.kept == 1
    # With votes for this block and the next one the first is final.
    for _ in range(2):
        await desk.mine()
        await desk.submissions.follow()
    assert desk.chain.tree.final.round == 1
    assert desk.kept == 0
    assert len(desk.mempool) == 0


async def test_what_a_losing_fork_had_waits_again(desk: Desk) -> None:
    signed = transfer(desk, 0)
    await desk.submit(signed)
    await desk.mine(signed)
    rival = await desk.mine(fork=desk.world.genesis)
    for vote in desk.world.votes(rival.id, ATTESTERS):
        desk.chain.add_vote(vote)
    await desk.submissions.follow()
    assert desk.chain.tree.head().id == rival.id
    assert desk.mempool.transactions() == (signed,)


async def test_what_can_not_apply_any_more_goes_with_those_behind_it(desk: Desk) -> None:
    poor = ENDOWMENT - 2 * FEE
    row = transfer(desk, 0, amount=poor), transfer(desk, 1, amount=FEE - 1_000)
    await desk.submit(row[0])
    # The sender has spent its money through another node.
    await desk.mine(transfer(desk, 0, amount=ENDOWMENT - 2 * FEE - 1))
    for _ in range(2):
        await desk.mine()
    await desk.submissions.follow()
    assert desk.kept == 0
    with pytest.raises(Rejected):
        await desk.submit(row[1])


async def test_one_that_only_the_head_refuses_is_kept(desk: Desk) -> None:
    signed = transfer(desk, 0, amount=ENDOWMENT // 2)
    await desk.submit(signed)
    desk.start()
    # The head's chain has another transaction of this nonce, but may still lose.
    await desk.mine(transfer(desk, 0, amount=ENDOWMENT - FEE))
    await desk.submissions.follow()
    assert desk.kept == 1
    assert desk.mempool.transactions() == ()


async def test_an_evicted_one_comes_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool_module, "MAX_HELD", 1)
    cheap, dear = transfer(desk, 0), transfer(desk, 0, 9 * FEE, OTHER)
    await desk.submit(cheap)
    desk.mempool.add(dear, desk.chain.next_context(), desk.chain.tree.head().state)
    await desk.submissions.follow()
    assert (desk.kept, desk.mempool.transactions()) == (1, (dear,))
    await desk.mine(dear)
    for _ in range(2):
        await desk.mine()
    await desk.submissions.follow()
    assert desk.mempool.transactions() == (cheap,)


async def test_the_disk_has_a_bound(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submissions_module, "MAX_HELD", 1)
    await desk.submit(transfer(desk, 0))
    with pytest.raises(Rejected) as refused:
        await desk.submissions.submit(transfer(desk, 1).envelope)
    assert refused.value.reason is Reason.MEMPOOL_FULL
