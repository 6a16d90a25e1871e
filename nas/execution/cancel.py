"""How long work is called off: it asks between batches and gives up by an exception."""

from collections.abc import Callable

ShouldStop = Callable[[], bool]


class Cancelled(Exception):
    """The work was called off before it had a result."""


def check(should_stop: ShouldStop) -> None:
    """Raise Cancelled if the work has been called off."""
    if should_stop():
        raise Cancelled("the job was cancelled")
