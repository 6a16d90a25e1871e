"""Node processes: started, checked, and ended together with everything they started."""

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

# How long nodes may take for an orderly stop before they are killed.
GRACE_S = 8.0
_LOG_LINES = 12


class DemoError(Exception):
    """The demo can't go on; the text says why."""


class NodeExited(DemoError):
    """A node ended although nobody stopped it; the text has its last log lines."""


@dataclass(frozen=True)
class Launch:
    """What it takes to start one node."""

    name: str
    command: Sequence[str]
    # Gets what the process writes to stdout and stderr.
    log: Path


class Processes:
    """Runs nodes for the length of a `with` block and leaves no process behind it.

    Each node leads a process group of its own: a Ctrl-C in the terminal reaches the demo alone,
    which ends its nodes in order, and the workers of a node that crashed are still found.
    """

    def __init__(self, environment: Mapping[str, str], grace_s: float = GRACE_S) -> None:
        self._environment = environment
        self._grace_s = grace_s
        self._running: list[tuple[Launch, subprocess.Popen[bytes]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def start(self, launch: Launch) -> subprocess.Popen[bytes]:
        """Start a node; it is ended when the `with` block ends, however that happens.

        Raises:
            OSError: the program can't be started.
        """
        with launch.log.open("wb") as log:
            process = subprocess.Popen(
                launch.command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running.append((launch, process))
        return process

    def check(self) -> None:
        """Raise `NodeExited`, naming the first node that no longer runs."""
        for launch, process in self._running:
            if (code := process.poll()) is not None:
                raise NodeExited(
                    f"{launch.name} {_describe_exit(code)} before the demo was over. "
                    f"The end of its log:\n{_tail(launch.log)}"
                )

    def _stop(self) -> None:
        # Blocks on purpose: a second Ctrl-C must not cut the clean-up short.
        for _, process in self._running:
            if process.poll() is None:
                process.terminate()
        deadline_s = time.monotonic() + self._grace_s
        for _, process in self._running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=max(0.0, deadline_s - time.monotonic()))
        for _, process in self._running:
            # Also after an orderly exit: a group outlives its leader while any worker is in it.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._running.clear()


def _describe_exit(code: int) -> str:
    if code >= 0:
        return f"exited with code {code}"
    return f"was killed by {signal.Signals(-code).name}"


def _tail(log: Path) -> str:
    with log.open(errors="replace") as lines:
        return "".join(f"  {line}" for line in deque(lines, _LOG_LINES)) or "  (empty)"
