"""News for all miners: everybody hears the newest, at a pace, and nobody what is overtaken."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from node.clock import LoopClock
from node.tasks import TaskOwner
from ponas.v1.pool_service_pb2 import MineResponse, SharedBest
from pool.manager.announcer import PAUSE_MS, PORTION, Announcer
from tests.virtual_time import virtual_time

MINERS = 3 * PORTION


class Letters:
    """A mailbox that keeps what it is sent, with the time in ms."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, int]] = []

    def send(self, message: MineResponse) -> None:
        now_ms = round(1_000 * asyncio.get_running_loop().time())
        self.heard.append((now_ms, message.shared_best.correct))


def news(correct: int) -> MineResponse:
    return MineResponse(shared_best=SharedBest(correct=correct))


def told(play: Callable[[Announcer], Awaitable[None]]) -> list[list[tuple[int, int]]]:
    """What each of MINERS mailboxes heard while `play` went on and until all was told."""

    @virtual_time
    async def run() -> list[list[tuple[int, int]]]:
        mailboxes, tasks = [Letters() for _ in range(MINERS)], TaskOwner()
        clock = LoopClock(asyncio.get_running_loop())
        await play(Announcer(lambda: mailboxes, clock, tasks))
        await clock.sleep_until(clock.now_ms() + 100 * PAUSE_MS)
        await tasks.close()
        return [mailbox.heard for mailbox in mailboxes]

    return run()


def test_everybody_hears_the_news_a_portion_at_a_time() -> None:
    async def play(announcer: Announcer) -> None:
        announcer.announce(news(1))

    expected = [[(at // PORTION * PAUSE_MS, 1)] for at in range(MINERS)]
    assert told(play) == expected


def test_newer_news_overtake_and_reach_first_who_has_waited_longest() -> None:
    async def play(announcer: Announcer) -> None:
        announcer.announce(news(1))
        # The first portion has heard of it.
        await asyncio.sleep(0)
        announcer.announce(news(2))

    heard = told(play)
    assert [correct for _, correct in heard[0]] == [1, 2]
    assert all([correct for _, correct in each] == [2] for each in heard[PORTION:])
    assert heard[0][-1][0] > heard[-1][-1][0]


def test_later_news_are_told_although_all_was_told_before() -> None:
    async def play(announcer: Announcer) -> None:
        announcer.announce(news(1))
        await asyncio.sleep(10)
        announcer.announce(news(2))

    assert all([correct for _, correct in each] == [1, 2] for each in told(play))
