"""Virtual time for asyncio: hours of protocol run in moments, the same way each time.

`VirtualTimeLoop` never waits. When nothing is ready to run, it moves its clock to the next
timer instead; so `asyncio.sleep`, `asyncio.timeout` and every clock that reads
`loop.time()` work unchanged. Time starts at 0.0 s and stands still while code runs, and the
order of callbacks depends on nothing outside the process, which makes a seeded run
repeatable. When nothing is ready and no timer is set, nothing can ever happen again: that
is a `Deadlock`, reported with the tasks that hang.

Threads, subprocesses and sockets live in real time and don't belong on this loop.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class Deadlock(RuntimeError):
    """Nothing is ready to run and no timer is set, but somebody still waits."""


class _NeverWaits(selectors.BaseSelector):
    """Polls without waiting and hands the time it should have waited to `skip`."""

    def __init__(self, skip: Callable[[float | None], None]) -> None:
        self._inner = selectors.DefaultSelector()
        self._skip = skip

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._inner.select(0)
        if not ready:
            self._skip(timeout)
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._inner.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._inner.get_map()

    def close(self) -> None:
        self._inner.close()


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Event loop whose `time()` jumps from timer to timer, in seconds from 0.0."""

    def __init__(self) -> None:
        self._virtual_now = 0.0
        super().__init__(_NeverWaits(self._skip))

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._virtual_now

    def _skip(self, timeout: float | None) -> None:
        if timeout is None:
            names = sorted(_describe(task) for task in asyncio.all_tasks(self))
            raise Deadlock(f"nothing is ready and no timer is set; waiting: {', '.join(names)}")
        self._virtual_now += timeout


def _describe(task: asyncio.Task[Any]) -> str:
    stack = task.get_stack(limit=1)
    where = f" at {stack[-1].f_code.co_qualname}:{stack[-1].f_lineno}" if stack else ""
    return f"{task.get_name()}{where}"


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Runs `main` to its end on a fresh `VirtualTimeLoop`; what it left running is cancelled."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
