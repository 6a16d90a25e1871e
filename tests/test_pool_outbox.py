"""Results that wait for a manager: which are kept, for whom, and in which order."""

import asyncio

from structlog.testing import capture_logs

from pool.link.orders import ExploreOrder, Order
from pool.miner.outbox import MAX_UNACKNOWLEDGED, Outbox
from pool.rules.reports import Report
from tests.pool_states import SUBSPACE, handed_out, open_round, valid_report
from tests.pool_world import TASK
from tests.virtual_time import virtual_time

A, B = b"a" * 32, b"b" * 32
REPORT = valid_report(handed_out(open_round(strong="s")), "s")
SEARCH = ExploreOrder(SUBSPACE, 7, ())


def order(number: int = 1, round_number: int = 1) -> Order:
    """Assignments of one and the same search."""
    return Order(number, round_number, TASK, 0, 1_000, 10, SEARCH)


def report(episode: int, assignment: int = 1) -> Report:
    return REPORT.but(assignment_id=assignment, episode=episode)


async def sent(outbox: Outbox) -> list[int]:
    """Episodes that the attached manager is sent now."""
    episodes = []
    try:
        async with asyncio.timeout(1):
            while True:
                episodes.append((await outbox.next_result()).episode)
    except TimeoutError:
        return episodes


@virtual_time
async def test_what_is_not_acknowledged_is_sent_again_on_the_next_link() -> None:
    outbox = Outbox()
    outbox.attach(A)
    for episode in (0, 1, 2):
        outbox.put(A, order(), report(episode))
    assert await sent(outbox) == [0, 1, 2]
    outbox.take(A, 1, 1)
    outbox.detach()
    outbox.put(A, order(), report(3))
    assert await sent(outbox) == []

    outbox.attach(A)

    assert await sent(outbox) == [0, 2, 3]


@virtual_time
async def test_a_manager_is_sent_its_own_results_only() -> None:
    outbox = Outbox()
    outbox.put(A, order(), report(0))
    outbox.attach(B)
    outbox.put(B, order(), report(1))
    outbox.put(A, order(), report(2))

    assert await sent(outbox) == [1]
    assert outbox.take(B, 1, 0) is None
    assert [outbox.has_waiting(manager) for manager in (A, B)] == [True, True]
    assert outbox.take(B, 1, 1) == report(1)
    assert [outbox.has_waiting(manager) for manager in (A, B)] == [True, False]


@virtual_time
async def test_an_acknowledgement_before_the_sending_spares_it() -> None:
    outbox = Outbox()
    outbox.attach(A)
    outbox.put(A, order(), report(0))
    outbox.take(A, 1, 0)
    assert await sent(outbox) == []


@virtual_time
async def test_results_of_a_round_that_is_over_are_given_up() -> None:
    outbox = Outbox()
    outbox.put(A, order(), report(0))
    outbox.put(A, order(round_number=2), report(1))
    outbox.attach(A)
    assert await sent(outbox) == [1]


def test_too_many_push_out_the_oldest_and_say_so() -> None:
    outbox = Outbox()
    with capture_logs() as logs:
        for episode in range(MAX_UNACKNOWLEDGED + 1):
            outbox.put(A, order(), report(episode))
    assert len(outbox) == MAX_UNACKNOWLEDGED
    assert outbox.take(A, 1, 0) is None
    assert [(log["event"], log["episode"]) for log in logs] == [("result_given_up", 0)]


@virtual_time
async def test_a_search_that_comes_back_sends_nothing_that_is_on_its_way() -> None:
    outbox = Outbox()
    outbox.attach(A)
    outbox.put(A, order(1), report(0))
    outbox.put(A, order(1), report(1))
    assert await sent(outbox) == [0, 1]
    outbox.take(A, 1, 0)
    # The manager hands the search out again, as it was before these results reached it.
    for episode in (0, 1, 2):
        outbox.put(A, order(2), report(episode, assignment=2))

    assert await sent(outbox) == [0, 2]
    assert outbox.take(A, 1, 1) == report(1)
    for episode in (0, 2):
        assert outbox.take(A, 2, episode) == report(episode, assignment=2)
    assert len(outbox) == 0


@virtual_time
async def test_what_was_refused_may_come_again_under_another_assignment() -> None:
    outbox = Outbox()
    outbox.attach(A)
    outbox.put(A, order(1), report(0))
    assert await sent(outbox) == [0]
    outbox.take(A, 1, 0)
    outbox.put(A, order(2), report(0, assignment=2))
    assert await sent(outbox) == [0]
