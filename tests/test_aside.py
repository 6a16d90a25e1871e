"""Long work leaves the event loop to others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from node.aside import Aside, OneThread, inline


@pytest.fixture
def thread() -> Iterator[OneThread]:
    aside = OneThread()
    yield aside
    aside.close()


def fail() -> None:
    raise ValueError("this work fails")


async def test_the_loop_goes_on_while_the_thread_works(thread: OneThread) -> None:
    has_begun, may_end = threading.Event(), threading.Event()

    def work() -> int:
        has_begun.set()
        return 7 if may_end.wait(60) else 0

    working = asyncio.ensure_future(thread(work))
    while not has_begun.is_set():
        await asyncio.sleep(0)
    assert not working.done()
    may_end.set()
    assert await working == 7


async def test_work_is_done_in_the_order_of_the_calls(thread: OneThread) -> None:
    done: list[int] = []
    await asyncio.gather(*(thread(done.append, n) for n in range(5)))
    assert done == [0, 1, 2, 3, 4]


async def test_errors_come_to_who_asked(thread: OneThread) -> None:
    asides: tuple[Aside, ...] = (thread, inline)
    for aside in asides:
        with pytest.raises(ValueError, match="this work fails"):
            await aside(fail)
