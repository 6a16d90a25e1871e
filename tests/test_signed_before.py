"""What an attester has signed survives it, so that it never signs against itself."""

import pytest

from node.chain.messages import Vote
from node.consensus.signed_before import SignedBefore
from node.store.memory import MemoryStore
from node.store.writer import InlineWriter

SOURCE, TARGET, OTHER = bytes([1]) * 32, bytes([2]) * 32, bytes([3]) * 32


def open_record(store: MemoryStore) -> SignedBefore:
    """The record as a node finds it when it starts on this store."""
    return SignedBefore(store, InlineWriter(store))


def vote(source_round: int, target_round: int, target: bytes = TARGET) -> Vote:
    return Vote(source_round, SOURCE, target_round, target, b"", b"")


@pytest.mark.parametrize("restarts", [False, True])
async def test_one_list_a_round(restarts: bool) -> None:
    store = MemoryStore()
    record = open_record(store)
    assert await record.allows_list(3)
    record = open_record(store) if restarts else record
    assert not await record.allows_list(3)
    assert not await record.allows_list(2)
    assert await record.allows_list(4)


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize(
    ("second", "is_allowed"),
    [
        (vote(4, 5, OTHER), False),  # another target of the same round
        (vote(3, 6), False),  # surrounds the first: an earlier source, a later target
        (vote(4, 6), True),
        (vote(5, 6), True),
    ],
)
async def test_no_vote_against_an_earlier_one(
    restarts: bool, second: Vote, is_allowed: bool
) -> None:
    store = MemoryStore()
    record = open_record(store)
    assert await record.allows_vote(vote(4, 5))
    record = open_record(store) if restarts else record
    assert await record.allows_vote(second) is is_allowed
