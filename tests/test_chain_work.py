"""The transactions of a block take a bounded time to judge."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.chain.block import Block, open_block
from node.chain.envelope import Signed, sign
from node.chain.errors import InvalidBlock, Reason
from node.chain.messages import Body, Envelope, Evidence, Transaction, Transfer
from node.chain.proposal import select_transactions
from node.chain.state import genesis_state
from node.chain.work import MAX_WORK, work_of
from tests.chain_world import FEE, PRODUCERS, ClaimPlan, World
from tests.task_world import make_terms

PAYER, PAYEE = PRODUCERS


def carrying(world: World, *transactions: Signed[Transaction]) -> Block:
    """A valid block but for what its body now carries."""

    def put(body: Body) -> Body:
        return replace(body, transactions=tuple(signed.envelope for signed in transactions))

    return world.claim_block(world.genesis, 1, ClaimPlan(edit_body=put))


def test_a_block_may_take_so_much_work_and_no_more() -> None:
    world = World()
    row = [world.transfer(PAYER, b"r" * 32, 1, nonce) for nonce in range(MAX_WORK + 1)]
    assert len(carrying(world, *row[:-1]).transactions) == MAX_WORK
    with pytest.raises(InvalidBlock) as refused:
        carrying(world, *row)
    assert refused.value.reason is Reason.TOO_MUCH_WORK


def test_nothing_else_need_be_wrong_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    row = tuple(world.transfer(PAYER, b"r" * 32, 1, nonce) for nonce in range(2))
    block = world.claim_block(world.genesis, 1, ClaimPlan(producer=PAYEE, transactions=row))
    world.apply(block)
    monkeypatch.setattr("node.chain.block.MAX_WORK", 1)
    with pytest.raises(InvalidBlock) as refused:
        open_block(block.header.envelope, block.body_bytes, world.network.id)
    assert refused.value.reason is Reason.TOO_MUCH_WORK


def test_what_is_dear_to_judge_counts_for_more() -> None:
    shown = (Envelope(1, b"p", bytes(32), bytes(64)),)
    assert work_of(Transfer(bytes(32), 1, 0, 0)) == 1
    assert work_of(Evidence(shown, 0, 0)) == 4
    world, most = World(), MAX_WORK // work_of(make_terms())
    assert most == 32
    tasks = [sign(make_terms(nonce=nonce), PAYER, world.network.id) for nonce in range(most + 1)]
    carrying(world, *tasks[:-1])
    with pytest.raises(InvalidBlock) as refused:
        carrying(world, *tasks)
    assert refused.value.reason is Reason.TOO_MUCH_WORK


def test_own_blocks_keep_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    row = [world.transfer(PAYER, b"r" * 32, 1, nonce, FEE) for nonce in range(5)]
    context, state = world.context(world.genesis, 1), genesis_state(world.network)
    assert len(select_transactions(context, state, row, 10**6)) == 5
    monkeypatch.setattr("node.chain.proposal.MAX_WORK", 3)
    assert len(select_transactions(context, state, row, 10**6)) == 3
