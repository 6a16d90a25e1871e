"""What a node has punished that others have proof of."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from node.chain.bonds import BondKey, BondKind
from node.chain.envelope import open_transaction, sign
from node.chain.messages import Commit, Envelope, Lease, LeaseAcceptance
from node.chain.params import FAST
from node.consensus.book import Rounds
from node.consensus.informer import Informer
from tests.chain_world import ATTESTERS, PRODUCERS, World, make_network, public
from tests.desk import Desk

MANAGER, MINER = PRODUCERS[1], PRODUCERS[0]


def broken_lease(desk: Desk, leased_round: int, committed_round: int) -> Sequence[Envelope]:
    network_id = desk.world.network.id
    lease = Lease(leased_round, public(MINER), 1, b"s" * 32, 7, 20, committed_round)
    granted = sign(lease, MANAGER, network_id)
    accepted = sign(LeaseAcceptance(granted.id), MINER, network_id)
    committed = sign(Commit(committed_round, 0, bytes(32)), MINER, network_id)
    return [granted.envelope, accepted.envelope, committed.envelope]


@pytest.fixture
def desk() -> Desk:
    return Desk(World(make_network(FAST)))


def informer_of(desk: Desk, sent: list[Envelope]) -> Informer:
    return Informer(ATTESTERS[0], desk.chain, Rounds(), desk.mempool, sent.append)


async def test_a_broken_lease_costs_a_unit(desk: Desk) -> None:
    sent: list[Envelope] = []
    informer = informer_of(desk, sent)
    await desk.mine()
    informer.accuse(1, broken_lease(desk, 1, 1))
    informer.report(2)
    (envelope,) = sent
    bond = BondKey(BondKind.PRODUCE, public(MINER))
    before = desk.chain.tree.head().state.bond(bond)
    await desk.mine(open_transaction(envelope, desk.world.network.id))
    after = desk.chain.tree.head().state.bond(bond)
    assert before is not None
    assert after is not None
    assert before.amount - after.amount == FAST.unit_bond
    # Nobody is accused twice.
    informer.report(3)
    assert len(sent) == 1


async def test_a_longer_lease_is_the_pools_business(desk: Desk) -> None:
    sent: list[Envelope] = []
    informer = informer_of(desk, sent)
    await desk.mine()
    informer.accuse(3, broken_lease(desk, 1, 3))
    informer.report(4)
    assert sent == []


async def test_a_commit_of_somebody_else_is_no_offence(desk: Desk) -> None:
    sent: list[Envelope] = []
    informer = informer_of(desk, sent)
    lease, acceptance, _ = broken_lease(desk, 1, 1)
    stranger = sign(Commit(1, 0, bytes(32)), ATTESTERS[1], desk.world.network.id)
    informer.accuse(1, [lease, acceptance, stranger.envelope])
    informer.report(2)
    assert sent == []
