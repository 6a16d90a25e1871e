"""Background tasks that can't be lost, fail unseen, or outlive their owner."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import structlog

from node.errors import NodeError

T = TypeVar("T")

_log = structlog.get_logger("tasks")


class TaskOwner:
    """Holds the background tasks of one component.

    Unlike `asyncio.TaskGroup`, one failing task does not cancel the others: a broken connection
    must not stop the node. Every failure is logged; `on_failure(task name, error)` hears of it,
    for a component whose tasks it can't live without.
    """

    def __init__(self, on_failure: Callable[[str, BaseException], None] | None = None) -> None:
        self._on_failure = on_failure
        # asyncio itself holds tasks weakly; without this set a running one may be collected.
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._is_closed = False

    def __len__(self) -> int:
        """Tasks that have not ended."""
        return len(self._tasks)

    def spawn(self, coroutine: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Start a coroutine now and own it until it ends.

        Raises:
            RuntimeError: the owner is closed.
        """
        if self._is_closed:
            coroutine.close()
            raise RuntimeError(f"task {name!r} was started after its owner was closed")
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks[task] = None
        task.add_done_callback(self._on_done)
        return task

    async def close(self) -> None:
        """Cancel what still runs, newest first, and wait until all of it has ended.

        May be called from one of the owned tasks, which is then left to end by itself.
        """
        self._is_closed = True
        own = asyncio.current_task()
        running = [task for task in reversed(self._tasks) if task is not own]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _on_done(self, task: asyncio.Task[Any]) -> None:
        del self._tasks[task]
        if task.cancelled() or (error := task.exception()) is None:
            return
        # What an operator can act on is said in one sentence; the rest is a fault to be traced.
        trace = None if isinstance(error, NodeError) else error
        _log.error("task_failed", task=task.get_name(), reason=str(error), exc_info=trace)
        if self._on_failure is not None:
            self._on_failure(task.get_name(), error)


_background = TaskOwner()


def spawn(coroutine: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
    """Start a coroutine that needs no owner: kept until it ends, its failure logged."""
    return _background.spawn(coroutine, name=name)
