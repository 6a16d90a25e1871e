"""What a node with nothing to do takes."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from nas.bench.figures import Clock, Figure
from node.demo.layout import NODE_PROGRAM
from node.demo.processes import Launch, Processes
from node.folder import DataFolder

STARTUP_S = 60


def measure_idle(settling_s: float, seconds: float, clock: Clock) -> tuple[Figure, ...]:
    """Processor and memory of a full node of `devnet` that has no peers and nothing to do.

    The node runs `settling_s` before it is measured, as its worker loads PyTorch at the start.
    """
    percent, node_mib, all_mib = _observe_idle_node(settling_s, seconds, clock)
    cpu_spread = f"mean over {seconds:g} s, worker included"
    cpu_floor = "timers of rounds and gRPC"
    mib_spread = f"{all_mib:.0f} with the worker that waits for models to count"
    mib_floor = "Python, gRPC, RocksDB and NumPy; in the worker PyTorch"
    return (
        Figure("idle_cpu", percent, "% of a core", 1, None, cpu_spread, cpu_floor),
        Figure("idle_memory", node_mib, "MiB", 1, None, mib_spread, mib_floor),
    )


def _observe_idle_node(
    settling_s: float, seconds: float, clock: Clock
) -> tuple[float, float, float]:
    """Percent of a core, MiB of the node's own process, MiB of it and its worker."""
    with tempfile.TemporaryDirectory() as path, Processes(os.environ) as processes:
        folder = DataFolder(Path(path) / "node")
        words = ("--role", "full", "--network", "devnet", "--listen", "127.0.0.1:0")
        command = (*NODE_PROGRAM, *words, "--data-dir", str(folder.path))
        node = processes.start(Launch("the node", command, Path(path) / "log"))

        def pause(pause_s: float) -> None:
            with suppress(subprocess.TimeoutExpired):
                node.wait(pause_s)
            processes.check()

        _wait_for(folder.address_file, pause, clock)
        pause(settling_s)
        members = group_members(node.pid)
        used_s, started = sum(map(cpu_seconds, members)), clock()
        pause(seconds)
        percent = 100 * (sum(map(cpu_seconds, members)) - used_s) / (clock() - started)
        memory = [memory_mib(member, "VmRSS") for member in members]
        return percent, memory_mib(node.pid, "VmRSS"), sum(memory)


def _wait_for(file: Path, pause: Callable[[float], None], clock: Clock) -> None:
    deadline = clock() + STARTUP_S
    while not file.exists():
        if clock() > deadline:
            raise TimeoutError(f"the node did not listen within {STARTUP_S} s")
        pause(0.1)


def group_members(leader: int) -> list[int]:
    """The processes of a process group."""
    members = []
    for folder in Path("/proc").glob("[0-9]*"):
        # Others may end while this looks.
        with suppress(ProcessLookupError):
            if os.getpgid(int(folder.name)) == leader:
                members.append(int(folder.name))
    return members


def memory_mib(pid: int | None, field: str) -> float:
    """A memory field of /proc/PID/status, as VmRSS (resident now) or VmHWM (its peak)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) / 1024
    raise ValueError(f"/proc/{pid}/status has no {field}")


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used so far, in user mode and in the kernel."""
    # The clock that clock_getcpuclockid(3) names: /proc/PID/stat counts in hundredths of a
    # second, which is more than an idle node uses.
    return time.clock_gettime(~pid << 3 | 2)
