"""Settings of the whole suite."""

import logging
import os
from collections.abc import Iterator

# Before torch is imported anywhere: one thread a process is fastest for small convolutions.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import structlog
from hypothesis import settings

# Properties are tried on the same examples each time, and time is left to benchmarks.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


def _log_plainly() -> None:
    """Log with traces as Python writes them: the default draws each in colour, for seconds."""
    structlog.reset_defaults()
    plain = structlog.dev.ConsoleRenderer(
        colors=False, exception_formatter=structlog.dev.plain_traceback
    )
    structlog.configure(processors=[structlog.processors.add_log_level, plain])


_log_plainly()


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    """What a test does to the log of the process is not for the next one."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    _log_plainly()
    root.handlers[:], root.level = handlers, level
