"""What bounds a hostile peer: token buckets, a bounded memory of what was seen, back-off."""

import random
from collections import OrderedDict

from node.clock import Clock

_FIRST_BACKOFF_MS = 500
_LONGEST_BACKOFF_MS = 30_000


# A token in the bucket's own unit, so that every millisecond brings a whole number of them.
_TOKEN = 60_000


class TokenBucket:
    """Allows `per_minute` events a minute on average and `capacity` at once."""

    def __init__(self, clock: Clock, capacity: int, per_minute: int) -> None:
        self._clock = clock
        self._per_minute = per_minute
        self._capacity = self._level = _TOKEN * capacity
        self._filled_ms = clock.now_ms()

    def has(self) -> bool:
        """Whether there is a token."""
        now_ms = self._clock.now_ms()
        # A clock that was set back brings no tokens and takes none.
        passed_ms = max(0, now_ms - self._filled_ms)
        self._filled_ms = now_ms
        self._level = min(self._capacity, self._level + passed_ms * self._per_minute)
        return self._level >= _TOKEN

    def take(self) -> bool:
        """Take a token if there is one."""
        if not self.has():
            return False
        self._level -= _TOKEN
        return True

    def wait_ms(self) -> int:
        """Milliseconds after the last `has` or `take` until the next can succeed."""
        return max(0, -((self._level - _TOKEN) // self._per_minute))


class Seen:
    """Set that forgets its oldest members beyond `capacity`."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._members: OrderedDict[bytes, None] = OrderedDict()

    def __contains__(self, member: bytes) -> bool:
        return member in self._members

    def add(self, member: bytes) -> bool:
        """Add a member; False if it was there."""
        if member in self._members:
            return False
        self._members[member] = None
        if len(self._members) > self._capacity:
            self._members.popitem(last=False)
        return True

    def discard(self, member: bytes) -> None:
        """Forget a member."""
        self._members.pop(member, None)


def backoff_ms(attempt: int, rng: random.Random) -> int:
    """Wait before dialling again after `attempt` failures (from 0): doubling, with jitter.

    Jitter keeps the nodes of a network that came back from dialling in step.
    """
    longest = min(_LONGEST_BACKOFF_MS, _FIRST_BACKOFF_MS << min(attempt, 16))
    return rng.randint(longest // 2, longest)
