"""What miners owe their audits: an answer each, in a time that runs while they are away."""

from __future__ import annotations

from collections.abc import Container

from node.clock import Clock


class Answers:
    """How long each audited miner still has to answer, by `clock`, which can't be set.

    Its time runs while it is asked or away, and stops while it is here and not asked: then it waits
    for the manager, which may be cut off as well while nobody is here. One that is started anew
    asks anew, with all the time that there is.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left_ms: dict[bytes, int] = {}
        self._running_since_ms: dict[bytes, int] = {}
        self._expected_ms: dict[bytes, int] = {}
        self._arrived: set[bytes] = set()

    def run(self, miner: bytes, patience_ms: int) -> None:
        """The miner is away, or asked: the time runs, `patience_ms` in all."""
        self._left_ms.setdefault(miner, patience_ms)
        self._running_since_ms.setdefault(miner, self._clock.now_ms())

    def stop(self, miner: bytes) -> None:
        """The miner is here, and nothing is asked of it, or nobody is here."""
        if miner in self._running_since_ms:
            self._left_ms[miner] = self.left_ms(miner)
            del self._running_since_ms[miner]

    def ask(self, miner: bytes, timeout_ms: int) -> None:
        """The miner is asked, and should answer within `timeout_ms`. Call `run` as well."""
        self._expected_ms.setdefault(miner, self._clock.now_ms() + timeout_ms)

    def charge(self, miner: bytes, span_ms: int) -> None:
        """Take from the time that is left, unless its audit is over."""
        if miner in self._left_ms:
            self._left_ms[miner] -= span_ms

    def left_ms(self, miner: bytes) -> int:
        """The time that is left to a miner whose time runs, or did."""
        now_ms = self._clock.now_ms()
        passed_ms = now_ms - self._running_since_ms.get(miner, now_ms)
        return max(0, self._left_ms[miner] - passed_ms)

    def arrived(self, miner: bytes) -> None:
        """The miner owes nothing: from now on its audit waits for this machine."""
        self._arrived.add(miner)

    def settle(self, miner: bytes) -> None:
        """Its audit is over; another one asks anew."""
        self._left_ms.pop(miner, None)
        self._running_since_ms.pop(miner, None)
        self._expected_ms.pop(miner, None)
        self._arrived.discard(miner)

    def is_asked(self, miner: bytes) -> bool:
        """Whether a request was sent to it."""
        return miner in self._expected_ms

    def is_owed(self, miner: bytes, here: Container[bytes]) -> bool:
        """Whether its audit waits for the miner: it is not `here` to be asked, or was asked, and
        should have answered by now."""
        if miner in self._arrived:
            return False
        expected_ms = self._expected_ms.get(miner)
        is_late = expected_ms is not None and expected_ms <= self._clock.now_ms()
        return is_late or miner not in here

    def overdue(self, here: Container[bytes]) -> tuple[bytes, ...]:
        """Those that have let all their time pass, and are still owing."""
        late = (miner for miner in self._left_ms if self.left_ms(miner) == 0)
        return tuple(sorted(miner for miner in late if self.is_owed(miner, here)))
