"""Token buckets, bounded memory and back-off."""

import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.net.limits import Seen, TokenBucket, backoff_ms


@dataclass
class SetClock:
    at_ms: int = 0

    def now_ms(self) -> int:
        return self.at_ms

    async def sleep_until(self, at_ms: int) -> None:
        self.at_ms = max(self.at_ms, at_ms)


def test_bucket_allows_its_capacity_at_once_then_its_rate() -> None:
    clock = SetClock()
    bucket = TokenBucket(clock, capacity=3, per_minute=120)
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    assert bucket.wait_ms() == 500
    clock.at_ms = 499
    assert not bucket.take()
    clock.at_ms = 500
    assert bucket.take()


@given(st.lists(st.integers(0, 3_000), max_size=60), st.integers(1, 20), st.integers(1, 50))
def test_bucket_never_allows_more_than_it_says(
    pauses_ms: list[int], capacity: int, per_minute: int
) -> None:
    clock = SetClock()
    bucket = TokenBucket(clock, capacity, per_minute)
    num_taken = 0
    for pause_ms in pauses_ms:
        clock.at_ms += pause_ms
        num_taken += bucket.take()
    assert num_taken <= capacity + per_minute * clock.at_ms / 60_000


@given(st.integers(1, 20), st.integers(1, 2_000))
def test_waiting_as_told_is_enough(capacity: int, per_minute: int) -> None:
    clock = SetClock()
    bucket = TokenBucket(clock, capacity, per_minute)
    while bucket.take():
        pass
    clock.at_ms += bucket.wait_ms()
    assert bucket.take()


def test_clock_set_back_gives_nothing() -> None:
    clock = SetClock(at_ms=10_000)
    bucket = TokenBucket(clock, capacity=1, per_minute=60)
    assert bucket.take()
    clock.at_ms = 0
    assert not bucket.take()


def test_seen_forgets_the_oldest() -> None:
    seen = Seen(2)
    assert seen.add(b"a")
    assert not seen.add(b"a")
    seen.add(b"b")
    seen.add(b"c")
    assert [member in seen for member in (b"a", b"b", b"c")] == [False, True, True]
    seen.discard(b"b")
    assert seen.add(b"b")


@pytest.mark.parametrize(("attempt", "longest_ms"), [(0, 500), (3, 4_000), (1_000, 30_000)])
def test_backoff_doubles_up_to_half_a_minute(attempt: int, longest_ms: int) -> None:
    rng = random.Random(3)
    waits = [backoff_ms(attempt, rng) for _ in range(200)]
    assert longest_ms // 2 <= min(waits) <= max(waits) <= longest_ms
    assert len(set(waits)) > 50
