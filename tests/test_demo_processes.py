import os
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

import pytest

from node.demo.processes import Launch, NodeExited, Processes

FAKE_NODE = Path(__file__).with_name("fake_node.py")

# A process left behind would hold its pipe open, and the test would wait for it.
pytestmark = pytest.mark.timeout(60)


class _World:
    """A place for fake nodes; `fifo` reads "ready" from each and ends when all of them did."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fifo_path = folder / "fifo"
        os.mkfifo(self.fifo_path)
        # Open for both, so that neither this nor the nodes' opening has to wait for the other.
        self._writer = os.open(self.fifo_path, os.O_RDWR)
        self.fifo: TextIO = self.fifo_path.open()

    def environment(self, **more: str) -> Mapping[str, str]:
        return {**os.environ, "FAKE_FIFO": str(self.fifo_path), **more}

    def launch(self, name: str = "full-1", role: str = "full") -> Launch:
        command = [sys.executable, str(FAKE_NODE), "--role", role, "--data-dir", str(self.folder)]
        return Launch(name, command, self.folder / f"{name}.log")

    def wait_until_ready(self, nodes: int = 1) -> None:
        assert [self.fifo.readline() for _ in range(nodes)] == ["ready\n"] * nodes

    def assert_all_ended(self) -> None:
        """Waits until nobody holds the pipe open."""
        os.close(self._writer)
        self._writer = -1
        assert self.fifo.read() == ""

    def close(self) -> None:
        self.fifo.close()
        if self._writer >= 0:
            os.close(self._writer)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[_World]:
    world = _World(tmp_path)
    yield world
    world.close()


def test_nodes_and_their_workers_end_with_the_block(world: _World) -> None:
    with Processes(world.environment()) as processes:
        processes.start(world.launch("full-1"))
        processes.start(world.launch("full-2"))
        world.wait_until_ready(2)
        processes.check()
    world.assert_all_ended()


def _start_and_fail(world: _World) -> None:
    with Processes(world.environment()) as processes:
        processes.start(world.launch())
        world.wait_until_ready()
        raise RuntimeError


def test_an_error_in_the_block_leaves_nothing_behind(world: _World) -> None:
    with pytest.raises(RuntimeError):
        _start_and_fail(world)
    world.assert_all_ended()


def test_a_node_that_ignores_the_request_is_killed(world: _World) -> None:
    with Processes(world.environment(FAKE_STUBBORN="yes"), grace_s=0.05) as processes:
        processes.start(world.launch())
        world.wait_until_ready()
    world.assert_all_ended()


def test_a_crashed_node_is_named_with_code_and_log(world: _World) -> None:
    with Processes(world.environment(FAKE_CRASH="manager")) as processes:
        processes.start(world.launch("full-1"))
        world.wait_until_ready()
        process = processes.start(world.launch("manager", role="manager"))
        process.wait()
        with pytest.raises(NodeExited) as error:
            processes.check()
    assert str(error.value) == (
        "manager exited with code 6 before the demo was over. The end of its log:\n"
        "  starting\n"
        "  can't listen: the port is in use\n"
    )
    world.assert_all_ended()


def test_the_workers_of_a_killed_node_end_too(world: _World) -> None:
    with Processes(world.environment()) as processes:
        process = processes.start(world.launch())
        world.wait_until_ready()
        process.send_signal(signal.SIGKILL)
        process.wait()
        with pytest.raises(NodeExited, match="full-1 was killed by SIGKILL"):
            processes.check()
    world.assert_all_ended()


def test_only_the_end_of_a_long_log_is_told(world: _World) -> None:
    code = "print('\\n'.join(map(str, range(1_000)))); raise SystemExit(3)"
    launch = Launch("full-1", [sys.executable, "-c", code], world.folder / "long.log")
    with Processes(os.environ) as processes:
        processes.start(launch).wait()
        with pytest.raises(NodeExited) as error:
            processes.check()
    assert str(error.value).endswith("  998\n  999\n")
    assert str(error.value).count("\n") == 13


def test_a_program_that_is_not_there_is_an_error(world: _World) -> None:
    with Processes({}) as processes, pytest.raises(FileNotFoundError):
        processes.start(Launch("full-1", ["/nonexistent/program"], world.folder / "log"))
