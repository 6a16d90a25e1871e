"""A miner's own producer is on duty only without a pool, and never in a round under a lease."""

import asyncio
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from node.chain.genesis import DEVNET_GENESIS
from node.chain.messages import Lease
from node.chain.timing import Phase, deadline, round_start
from node.clock import LoopClock
from node.consensus.solo import SoloProducer
from node.store.memory import MemoryStore
from pool.miner.promises import Promises
from tests.pool_world import no_promises
from tests.virtual_time import virtual_time

NETWORK = replace(DEVNET_GENESIS, genesis_time_ms=0)


def lease(first: int, last: int) -> Lease:
    return Lease(first, bytes(32), 1, bytes(32), 0, 5, last)


class Duty:
    """A producer that notes when it was called, and a miner that is alone when told to be."""

    def __init__(self) -> None:
        self.alone = asyncio.Event()
        self.promises = no_promises()
        self.clock = LoopClock(asyncio.get_running_loop())
        self.called: list[tuple[str, int, int]] = []
        self.solo = SoloProducer(self, self, self.promises, NETWORK, self.clock)

    async def train(self, round_number: int) -> None:
        self.called.append(("train", round_number, self.clock.now_ms()))

    async def claim(self, round_number: int) -> None:
        self.called.append(("claim", round_number, self.clock.now_ms()))


@virtual_time
async def test_a_lone_miner_trains_and_claims() -> None:
    duty = Duty()
    duty.alone.set()
    await duty.clock.sleep_until(round_start(NETWORK, 2))
    await duty.solo.train(2)
    await duty.solo.claim(2)
    assert [(what, number) for what, number, _ in duty.called] == [("train", 2), ("claim", 2)]


@virtual_time
async def test_a_pooled_miner_does_not_train() -> None:
    duty = Duty()
    await duty.clock.sleep_until(round_start(NETWORK, 2))
    await duty.solo.train(2)
    assert duty.called == []
    assert duty.clock.now_ms() == deadline(NETWORK, 2, Phase.TRAIN)


@virtual_time
async def test_a_miner_that_loses_its_pools_trains_in_the_time_left() -> None:
    duty = Duty()
    lost_ms = round_start(NETWORK, 2) + 5_000
    await duty.clock.sleep_until(round_start(NETWORK, 2))
    asyncio.get_running_loop().call_later(5, duty.alone.set)
    await duty.solo.train(2)
    assert duty.called == [("train", 2, lost_ms)]


@virtual_time
async def test_a_lease_forbids_a_commitment_until_its_last_round_is_over() -> None:
    duty = Duty()
    duty.alone.set()
    duty.promises.accept(lease(2, 3))
    with capture_logs() as logs:
        for number in (2, 3, 4):
            await duty.clock.sleep_until(round_start(NETWORK, number))
            await duty.solo.train(number)
    assert [number for _, number, _ in duty.called] == [4]
    assert [(log["event"], log["round"]) for log in logs] == [
        ("not_committing", 2),
        ("not_committing", 3),
    ]


def test_who_commits_alone_takes_no_lease_of_that_round() -> None:
    promises = no_promises()
    assert promises.commit_alone(3)
    assert not promises.may_accept(lease(3, 3))
    with pytest.raises(ValueError, match="commits on its own in round 3"):
        promises.accept(lease(3, 3))
    assert promises.may_accept(lease(4, 4))


def test_a_lease_holds_through_a_restart() -> None:
    store = MemoryStore()
    Promises(store, store.write).accept(lease(4, 5))
    restarted = Promises(store, store.write)
    assert not restarted.commit_alone(5)
    assert restarted.commit_alone(6)


def test_an_older_lease_ends_no_newer_one() -> None:
    promises = no_promises()
    promises.accept(lease(4, 6))
    promises.accept(lease(5, 5))
    assert not promises.commit_alone(6)
