"""Long work beside the event loop, which has heartbeats and gossip to see to.

What is handed over must be pure: it reads what nobody changes, and changes nothing.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Aside(Protocol):
    """Does long work while the event loop goes on, one piece after the other."""

    async def __call__(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """What `work` returns or raises. If the caller gives up, so may the work."""
        ...


class OneThread:
    """Implements `Aside`.

    The interpreter runs one thread at a time, so that more would only keep the loop waiting longer;
    beside one it gets its turn every few milliseconds, and while a signature is checked.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="aside")

    async def __call__(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, partial(work, *args, **kwargs))

    def close(self) -> None:
        """Begin nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)


async def inline(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Implements `Aside` under a loop with virtual time, in which work takes none."""
    return work(*args, **kwargs)
