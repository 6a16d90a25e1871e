"""What miners owe their audits: an answer each, in a time that goes on while they are away."""

from __future__ import annotations

from collections.abc import Container

from node.clock import Clock


class Answers:
    """Until when each audited miner has to answer, by `clock`, which can't be set.

    A manager that is started anew asks anew, with all the time that there is.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due_ms: dict[bytes, int] = {}
        self._arrived: set[bytes] = set()

    def left_ms(self, miner: bytes, patience_ms: int) -> int:
        """Time that is left to answer; the first call for an audit begins it."""
        now_ms = self._clock.now_ms()
        return max(0, self._due_ms.setdefault(miner, now_ms + patience_ms) - now_ms)

    def arrived(self, miner: bytes) -> None:
        """The miner has answered: from now on its audit waits for this machine."""
        self._arrived.add(miner)

    def settle(self, miner: bytes) -> None:
        """Its audit is over; another one asks anew."""
        self._due_ms.pop(miner, None)
        self._arrived.discard(miner)

    def is_asked(self, miner: bytes) -> bool:
        """Whether its time is running, or was."""
        return miner in self._due_ms

    def is_owed(self, miner: bytes, here: Container[bytes]) -> bool:
        """Whether its audit waits for the miner: it was asked, or is not `here` to be asked."""
        return miner not in self._arrived and (miner in self._due_ms or miner not in here)

    def overdue(self) -> tuple[bytes, ...]:
        """Those that had to answer by now and have not."""
        now_ms = self._clock.now_ms()
        late = (miner for miner, due_ms in self._due_ms.items() if due_ms <= now_ms)
        return tuple(sorted(miner for miner in late if miner not in self._arrived))
