"""Which bodies a node asks for: of blocks it may still take in, by somebody with a stake."""

from __future__ import annotations

from dataclasses import replace

import pytest
from nacl.signing import SigningKey

from node.chain.block import Block, open_header
from node.chain.envelope import sign
from node.chain.errors import InvalidBlock, Reason, Rejected
from node.chain.hashing import u64
from node.chain.messages import Claim, Fallback
from node.consensus.branching import check_branch, choose_missing
from node.net.protocol import Header, Refusal, Refused
from node.store.base import Put, Table
from tests.chain_world import ATTESTERS, OUTSIDER, PRODUCERS, ClaimPlan, World, make_network
from tests.desk import Desk

LAST_ROUND = 99


@pytest.fixture
async def desk() -> Desk:
    """A chain of four blocks; the last but one is voted for, and the one below it is final."""
    desk = Desk(World())
    for _ in range(4):
        await desk.mine()
    assert desk.chain.tree.final.round == 2
    return desk


def header_of(block: Block) -> Header:
    return open_header(block.header.envelope, make_network().id)


def claim_on(desk: Desk, parent: bytes, round_number: int = 5) -> Header:
    plan = ClaimPlan(producer=PRODUCERS[0])
    return header_of(desk.world.claim_block(parent, round_number, plan))


def chain_ids(desk: Desk) -> list[bytes]:
    """Blocks of the followed chain from genesis on."""
    tree = desk.chain.tree
    return [entry.id for entry in tree.chain(tree.head().id)][::-1]


def refusal(desk: Desk, *branch: Header) -> Refused | Rejected:
    with pytest.raises((Refused, Rejected)) as refused:
        check_branch(desk.chain.tree, branch)
    assert isinstance(refused.value, Refused | Rejected)
    return refused.value


async def test_what_is_here_is_not_missing(desk: Desk) -> None:
    tree = desk.chain.tree
    known = [header_of(each.block) for each in tree.chain(tree.head().id) if each.block]
    new = claim_on(desk, chain_ids(desk)[4])
    assert choose_missing(desk.chain, [*known[::-1], new], LAST_ROUND) == [new]
    assert choose_missing(desk.chain, known[::-1], LAST_ROUND) == []


async def test_a_block_of_which_the_disk_has_kept_the_id_alone_is_missing(desk: Desk) -> None:
    new = claim_on(desk, chain_ids(desk)[4])
    desk.store.write([Put(Table.HEIGHTS, new.id, u64(5))])
    assert choose_missing(desk.chain, [new], LAST_ROUND) == [new]


async def test_nobody_is_ahead_of_the_clock(desk: Desk) -> None:
    new = claim_on(desk, chain_ids(desk)[4], 6)
    assert choose_missing(desk.chain, [new], 6) == [new]
    assert choose_missing(desk.chain, [new], 5) == []


@pytest.mark.parametrize("height", [2, 3, 4])
async def test_a_branch_from_the_final_block_or_above_it_is_asked_for(
    desk: Desk, height: int
) -> None:
    parent = chain_ids(desk)[height]
    check_branch(desk.chain.tree, [claim_on(desk, parent)])
    check_branch(desk.chain.tree, [header_of(desk.world.fallback_block(parent, 5))])


@pytest.mark.parametrize("height", [0, 1])
async def test_a_branch_from_below_the_final_block_is_not(desk: Desk, height: int) -> None:
    branch = claim_on(desk, chain_ids(desk)[height])
    assert refusal(desk, branch).reason is Refusal.LOST_BRANCH


async def test_a_block_that_is_known_no_more_leads_nowhere(desk: Desk) -> None:
    claim = claim_on(desk, chain_ids(desk)[4])
    lost = replace(claim.message, parent=b"?" * 32)
    assert refusal(desk, signed_by(PRODUCERS[0], lost)).reason is Refusal.LOST_BRANCH


async def test_one_that_a_quorum_votes_for_is_asked_for_all_the_same(desk: Desk) -> None:
    """Two final blocks of one height are an alarm, which must not be missed."""
    world = desk.world
    first = world.add(world.claim_block(world.genesis, 1, ClaimPlan(producer=PRODUCERS[0])))
    second = world.add(world.fallback_block(first.id, 5))
    for vote in world.votes(second.id, ATTESTERS[:3]):
        desk.chain.add_vote(vote)
    check_branch(desk.chain.tree, [header_of(first), header_of(second)])
    assert refusal(desk, header_of(first)).reason is Refusal.LOST_BRANCH


def signed_by(key: SigningKey, message: Claim | Fallback) -> Header:
    network_id = make_network().id
    return open_header(sign(message, key, network_id).envelope, network_id)


async def test_a_fallback_is_an_attesters(desk: Desk) -> None:
    fallback = header_of(desk.world.fallback_block(chain_ids(desk)[4], 5))
    assert isinstance(fallback.message, Fallback)
    error = refusal(desk, signed_by(OUTSIDER, fallback.message))
    assert (type(error), error.reason) == (InvalidBlock, Reason.NOT_ATTESTER)


async def test_a_claim_is_of_who_holds_a_unit(desk: Desk) -> None:
    claim = claim_on(desk, chain_ids(desk)[4])
    assert isinstance(claim.message, Claim)
    error = refusal(desk, signed_by(OUTSIDER, claim.message))
    assert (type(error), error.reason) == (InvalidBlock, Reason.NO_UNIT)
