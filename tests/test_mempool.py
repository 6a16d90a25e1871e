"""Which transactions wait, which give way, and what a new head does to them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from node.chain.context import RoundContext
from node.chain.envelope import Signed
from node.chain.errors import Reason, Rejected
from node.chain.messages import Transaction
from node.chain.proposal import select_transactions
from node.chain.state import Account, State
from node.consensus import mempool as mempool_module
from node.consensus.mempool import Mempool
from tests.chain_world import ATTESTERS, ENDOWMENT, FEE, PRODUCERS, World, public

WORLD = World()
HEAD = WORLD.tree.head().state
CONTEXT = WORLD.context(WORLD.genesis, 1)
ONE, OTHER = PRODUCERS
PAYEE = b"r" * 32


def transfer(
    nonce: int, fee: int = FEE, key: SigningKey = ONE, amount: int = 1
) -> Signed[Transaction]:
    return WORLD.transfer(key, PAYEE, amount, nonce, fee)


def filled(*transactions: Signed[Transaction]) -> Mempool:
    mempool = Mempool()
    for signed in transactions:
        mempool.add(signed, CONTEXT, HEAD)
    return mempool


def refusal(mempool: Mempool, signed: Signed[Transaction], head: State = HEAD) -> Reason:
    """Why it may not wait; the mempool is as before."""
    before = mempool.transactions()
    with pytest.raises(Rejected) as refused:
        mempool.add(signed, CONTEXT, head)
    assert mempool.transactions() == before
    return refused.value.reason


def at_nonce(nonce: int, balance: int = ENDOWMENT, key: SigningKey = ONE) -> State:
    """A state whose chain has the sender's transactions before this nonce."""
    return replace(HEAD, accounts=HEAD.accounts.set(public(key), Account(balance, nonce)))


def test_a_row_waits_in_its_order() -> None:
    row = [transfer(nonce) for nonce in range(3)]
    assert filled(*row).transactions() == tuple(row)


def test_what_waits_already() -> None:
    assert refusal(filled(transfer(0)), transfer(0)) is Reason.KNOWN


def test_a_gap() -> None:
    assert refusal(filled(transfer(0)), transfer(2)) is Reason.ORPHAN_NONCE
    assert refusal(Mempool(), transfer(1)) is Reason.ORPHAN_NONCE


def test_a_nonce_that_is_used() -> None:
    assert refusal(Mempool(), transfer(0), at_nonce(1)) is Reason.NONCE


def test_what_the_chain_would_refuse() -> None:
    assert refusal(Mempool(), transfer(0, fee=1)) is Reason.FEE
    assert refusal(Mempool(), transfer(0, amount=0)) is Reason.TRANSFER_AMOUNT
    # Those before it have spent what it would need.
    row = transfer(0, amount=ENDOWMENT // 2), transfer(1, amount=ENDOWMENT // 2)
    assert refusal(filled(row[0]), row[1]) is Reason.BALANCE


def test_a_replacement_offers_a_tenth_more() -> None:
    mempool = filled(transfer(0), transfer(1))
    dearer = transfer(0, fee=FEE + FEE // 10)
    assert refusal(mempool, transfer(0, fee=FEE + FEE // 10 - 1)) is Reason.UNDERPRICED
    mempool.add(dearer, CONTEXT, HEAD)
    assert mempool.transactions() == (dearer, transfer(1))


async def test_a_replacement_may_leave_nothing_for_those_behind_it() -> None:
    greedy = transfer(0, fee=ENDOWMENT - 1)
    mempool = filled(transfer(0), transfer(1))
    mempool.add(greedy, CONTEXT, HEAD)
    await mempool.follow(CONTEXT, HEAD, HEAD)
    assert mempool.transactions() == (greedy,)


def test_a_sender_has_few_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool_module, "MAX_PER_SENDER", 2)
    mempool = filled(transfer(0), transfer(1))
    assert refusal(mempool, transfer(2)) is Reason.SENDER_FULL
    mempool.add(transfer(1, fee=2 * FEE), CONTEXT, HEAD)


async def test_a_sender_wastes_few_checks_of_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool_module, "MAX_WASTED", 2)
    poor = transfer(1, amount=ENDOWMENT)
    mempool = filled(transfer(0), transfer(0, fee=2 * FEE))
    assert refusal(mempool, poor) is Reason.BALANCE
    assert refusal(mempool, poor) is Reason.SENDER_FULL
    assert refusal(mempool, transfer(0, fee=4 * FEE)) is Reason.SENDER_FULL
    # Others are not in the way of it, and the next round is a new one.
    mempool.add(transfer(0, key=OTHER), CONTEXT, HEAD)
    await mempool.follow(CONTEXT, HEAD, HEAD)
    mempool.add(transfer(1), CONTEXT, HEAD)


def test_what_does_not_stand_drives_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool_module, "MAX_HELD", 1)
    generous = transfer(0, fee=9 * FEE, key=OTHER, amount=ENDOWMENT)
    assert refusal(filled(transfer(0)), generous) is Reason.BALANCE


def test_who_offers_least_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool_module, "MAX_HELD", 3)
    cheap, dear = transfer(0, fee=FEE), transfer(1, fee=9 * FEE)
    mempool = filled(cheap, dear, transfer(0, 2 * FEE, OTHER))
    newcomer = ATTESTERS[0]
    assert refusal(mempool, transfer(0, FEE, newcomer)) is Reason.MEMPOOL_FULL
    # A dear one behind a cheap one waits like it, and goes before it.
    mempool.add(transfer(0, FEE + 1_000, newcomer), CONTEXT, HEAD)
    assert dear not in mempool.transactions()
    mempool.add(transfer(0, FEE + 2_000, ATTESTERS[1]), CONTEXT, HEAD)
    assert cheap not in mempool.transactions()
    assert len(mempool) == 3


def test_nobody_makes_room_by_own_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool_module, "MAX_HELD", 1)
    assert refusal(filled(transfer(0)), transfer(1, fee=9 * FEE)) is Reason.MEMPOOL_FULL


async def test_what_a_fork_may_undo_stays_until_it_is_final() -> None:
    row = transfer(0), transfer(1), transfer(2)
    mempool = filled(*row)
    await mempool.follow(CONTEXT, at_nonce(2), HEAD)
    assert mempool.transactions() == row
    # Only the third is new to a block on that head.
    assert select_transactions(CONTEXT, at_nonce(2), mempool.transactions(), 10**6) == row[2:]
    await mempool.follow(CONTEXT, at_nonce(2), at_nonce(1))
    assert mempool.transactions() == row[1:]
    # Another fork has won.
    await mempool.follow(CONTEXT, at_nonce(1), at_nonce(1))
    assert mempool.transactions() == row[1:]
    await mempool.follow(CONTEXT, at_nonce(3), at_nonce(3))
    assert mempool.transactions() == ()


async def test_what_the_head_no_longer_allows_goes() -> None:
    mempool = filled(transfer(0), transfer(1))
    await mempool.follow(CONTEXT, at_nonce(0, balance=FEE + 1), HEAD)
    assert mempool.transactions() == (transfer(0),)


async def test_others_have_their_turn_while_all_that_waits_is_looked_at() -> None:
    mempool = filled(transfer(0), transfer(0, key=OTHER))
    following = asyncio.ensure_future(mempool.follow(CONTEXT, HEAD, at_nonce(1)))
    await asyncio.sleep(0)
    # Not yet looked at; what comes now is looked at with the rest.
    assert len(mempool) == 2
    mempool.add(transfer(1, key=OTHER), CONTEXT, HEAD)
    await following
    assert mempool.transactions() == (transfer(0, key=OTHER), transfer(1, key=OTHER))


ADDED = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 4), st.sampled_from([1, FEE, 2 * FEE, 3 * FEE])),
    max_size=20,
)


@settings(max_examples=50)
@given(ADDED, st.integers(0, 3))
async def test_all_that_waits_can_go_into_one_block(
    added: list[tuple[int, int, int]], used: int
) -> None:
    mempool = Mempool()
    for sender, nonce, fee in added:
        _add(mempool, transfer(nonce, fee, ATTESTERS[sender]), CONTEXT, HEAD)
    waiting = mempool.transactions()
    assert set(select_transactions(CONTEXT, HEAD, waiting, 10**6)) == set(waiting)
    head = at_nonce(used, key=ATTESTERS[0])
    await mempool.follow(CONTEXT, head, head)
    kept = mempool.transactions()
    assert set(kept) == set(select_transactions(CONTEXT, head, waiting, 10**6))


def _add(mempool: Mempool, signed: Signed[Transaction], context: RoundContext, head: State) -> None:
    try:
        mempool.add(signed, context, head)
    except Rejected:
        return
