"""`ponas-node` as an operator meets it: real processes, exit codes, logs and folders."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

NODE = Path(sys.executable).with_name("ponas-node")
PATIENCE_S = 60.0
# The settings of whoever runs the tests must not reach the nodes.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("PONAS_")}


async def eventually(condition: Callable[[], bool]) -> None:
    """Look again and again until the condition holds. Raises TimeoutError after a minute."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.05)


def run_to_end(*options: str) -> tuple[int, str]:
    """Exit code and stderr of a node that is expected to end by itself."""
    done = subprocess.run(
        [NODE, *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
        env=ENVIRONMENT,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def contents(folder: Path) -> Mapping[str, bytes]:
    """Every file below a folder, but for RocksDB's diary of having been opened."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith("LOG")
    }


class NodeProcess:
    """A node on a free port, with whatever processes it starts; killed where the block ends."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self._log = folder.with_name(f"{folder.name}.log")
        fixed = ("--data-dir", folder, "--listen", "127.0.0.1:0", "--log-format", "json")
        # A worker of a life before, killed while it started, may still write into the file of then.
        self._log.unlink(missing_ok=True)
        with self._log.open("wb") as log:
            # A session of its own tells its descendants from all other processes.
            self._process = subprocess.Popen(
                [NODE, *fixed, *options],
                stdout=log,
                stderr=log,
                env=ENVIRONMENT,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        self._process.wait(PATIENCE_S)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def address(self) -> str:
        """HOST:PORT, once it listens."""
        await eventually(lambda: self._process.poll() is not None or bool(self.events("listening")))
        assert self._process.poll() is None, self._log.read_text()
        return str(self.events("listening")[0]["address"])

    async def worker(self) -> int:
        """Process id of a worker that has loaded PyTorch."""
        await eventually(lambda: bool(self._workers()))
        return self._workers()[0]

    def processes(self) -> list[int]:
        """The node, if it lives, and everything it has started."""
        return [int(folder.name) for folder in Path("/proc").glob("[0-9]*") if self._owns(folder)]

    def events(self, name: str) -> list[dict[str, Any]]:
        """The lines of the log that tell of an event; every line must be JSON."""
        whole_lines = self._log.read_text().rpartition("\n")[0].splitlines()
        lines = [json.loads(line) for line in whole_lines]
        return [line for line in lines if line["event"] == name]

    async def ended(self) -> tuple[int, list[str]]:
        """Exit code and log of a node that ends by itself."""
        await eventually(lambda: self._process.poll() is not None)
        return self._process.wait(), self._log.read_text().splitlines()

    def stop(self, number: signal.Signals) -> int:
        """Exit code after a signal; minus its number if the node did not handle it."""
        self._process.send_signal(number)
        return self._process.wait(PATIENCE_S)

    def _workers(self) -> list[int]:
        return [pid for pid in self.processes() if has_loaded_torch(pid)]

    def _owns(self, folder: Path) -> bool:
        try:
            # "PID (NAME) STATE PARENT GROUP SESSION ...", where the name may hold anything.
            state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:
            return False  # it has just ended
        return int(session) == self.pid and state != "Z"


def has_loaded_torch(pid: int) -> bool:
    """Whether PyTorch's library is in the memory of a process."""
    try:
        return "libtorch" in Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return False  # it has just ended


def resident_mib(pid: int) -> float:
    """Memory of a process that is in RAM."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (size,) = [line for line in lines if line.startswith("VmRSS:")]
    return int(size.split()[1]) / 1024
