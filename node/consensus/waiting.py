"""Waiting within a phase for what others bring."""

from collections.abc import Callable

from node.clock import Clock

_LOOK_EVERY_MS = 50


async def comes(is_there: Callable[[], bool], due_ms: int, clock: Clock) -> bool:
    """Look again and again; False if it is not there when it is due, at a Unix time in ms."""
    while not is_there():
        if clock.now_ms() >= due_ms:
            return False
        await clock.sleep_until(min(due_ms, clock.now_ms() + _LOOK_EVERY_MS))
    return True
