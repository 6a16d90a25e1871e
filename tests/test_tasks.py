import asyncio
import gc

import pytest
from structlog.testing import capture_logs

from node.tasks import TaskOwner, spawn


async def _fail(reason: str) -> None:
    raise ValueError(reason)


async def test_a_task_survives_garbage_collection_without_a_reference() -> None:
    done: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        await asyncio.sleep(0)
        done.set_result("done")

    owner = TaskOwner()
    owner.spawn(work(), name="work")
    gc.collect()
    assert await done == "done"
    await owner.close()


async def test_a_failure_is_logged_told_and_leaves_the_others_running() -> None:
    told: list[tuple[str, str]] = []
    owner = TaskOwner(on_failure=lambda name, error: told.append((name, str(error))))
    other = owner.spawn(asyncio.Event().wait(), name="other")
    with capture_logs() as logs:
        failing = owner.spawn(_fail("cable cut"), name="gossip")
        await asyncio.wait({failing})
        await asyncio.sleep(0)
    assert [(log["event"], log["task"]) for log in logs] == [("task_failed", "gossip")]
    assert told == [("gossip", "cable cut")]
    assert not other.done()
    assert len(owner) == 1
    await owner.close()


async def test_close_cancels_newest_first_and_waits_for_the_clean_up() -> None:
    ended: list[str] = []
    started = asyncio.Semaphore(0)

    async def work(name: str) -> None:
        try:
            started.release()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(name)

    owner = TaskOwner()
    for name in ("store", "server", "gossip"):
        owner.spawn(work(name), name=name)
    for _ in range(3):
        await started.acquire()
    await owner.close()
    assert ended == ["gossip", "server", "store"]
    assert len(owner) == 0


async def test_an_owned_task_may_close_its_owner() -> None:
    owner = TaskOwner()
    other = owner.spawn(asyncio.Event().wait(), name="other")
    closer = owner.spawn(owner.close(), name="closer")
    await closer
    assert other.cancelled()
    assert not closer.cancelled()


async def test_a_closed_owner_starts_nothing() -> None:
    owner = TaskOwner()
    await owner.close()
    with pytest.raises(RuntimeError, match="'late' was started after its owner was closed"):
        owner.spawn(asyncio.Event().wait(), name="late")


async def test_spawn_logs_a_failure_nobody_waits_for() -> None:
    with capture_logs() as logs:
        task = spawn(_fail("lost"), name="stray")
        await asyncio.wait({task})
        await asyncio.sleep(0)
    assert [(log["event"], log["task"]) for log in logs] == [("task_failed", "stray")]
