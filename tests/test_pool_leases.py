"""A lease is taken only if it is what the order says; each way in which it may differ is told."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from nas.designs.space import Space
from node.chain.envelope import open_as, sign
from node.chain.messages import Lease, LeaseAcceptance
from pool.link.leases import (
    MAX_LEASE_ROUNDS,
    LeaseError,
    accept_lease,
    open_lease,
    subspace_hash,
)
from pool.link.orders import ExploreOrder, Order
from tests.pool_states import SUBSPACE
from tests.pool_world import NETWORK_ID, SPACE, TASK, key_of, public

MANAGER, MINER = public("manager"), public("s")
LEASE = Lease(
    round=3,
    miner=MINER,
    assignment=7,
    subspace_hash=subspace_hash(SUBSPACE),
    search_seed=11,
    episodes=20,
    last_round=3,
)


def order_with(lease: Lease | None, signer: str = "manager") -> Order:
    envelope = None if lease is None else sign(lease, key_of(signer), NETWORK_ID).envelope
    return Order(7, 3, TASK, 0, 1_000, 10, ExploreOrder(SUBSPACE, 11, ()), envelope)


def test_a_lease_that_fits_is_accepted_under_the_miners_key() -> None:
    lease = open_lease(order_with(LEASE), MANAGER, MINER, NETWORK_ID)
    assert lease is not None

    acceptance = open_as(LeaseAcceptance, accept_lease(lease, key_of("s"), NETWORK_ID), NETWORK_ID)

    assert lease.message == LEASE
    assert (acceptance.signer, acceptance.message.lease) == (MINER, lease.id)


def test_an_order_without_a_lease_asks_for_no_promise() -> None:
    assert open_lease(order_with(None), MANAGER, MINER, NETWORK_ID) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"miner": MANAGER}, "another miner's"),
        ({"assignment": 8}, "assignment 8 of round 3, not 7 of round 3"),
        ({"round": 2}, "assignment 7 of round 2, not 7 of round 3"),
        ({"subspace_hash": subspace_hash(SPACE)}, "another subspace"),
        ({"search_seed": 12}, "another search seed"),
        ({"last_round": 2}, "can't hold until round 2"),
        ({"last_round": 4 + MAX_LEASE_ROUNDS}, "can't hold until round 20"),
    ],
)
def test_a_lease_for_something_else_is_not_taken(changes: Mapping[str, Any], reason: str) -> None:
    order = order_with(replace(LEASE, **changes))
    with pytest.raises(LeaseError, match=reason):
        open_lease(order, MANAGER, MINER, NETWORK_ID)


def test_a_lease_of_another_manager_is_not_taken() -> None:
    order = order_with(LEASE, "other")
    with pytest.raises(LeaseError, match="signed by another manager"):
        open_lease(order, MANAGER, MINER, NETWORK_ID)


def test_a_lease_with_a_forged_signature_is_not_taken() -> None:
    order = order_with(LEASE)
    assert order.lease is not None
    forged = replace(order, lease=replace(order.lease, signature=bytes(64)))
    with pytest.raises(LeaseError, match="the signature does not fit"):
        open_lease(forged, MANAGER, MINER, NETWORK_ID)


def test_subspaces_that_differ_in_a_value_have_different_hashes() -> None:
    ranges = SUBSPACE.ranges
    moved = Space((*ranges[:-1], (*ranges[-1][:-1], (*ranges[-1][-1][:-1], 9))))
    assert len({subspace_hash(space) for space in (SPACE, SUBSPACE, moved)}) == 3
