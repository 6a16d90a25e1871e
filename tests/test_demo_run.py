import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent import futures
from io import StringIO
from pathlib import Path

import grpc
import pytest
from rich.console import Console

from node.chain.bonds import BondKind
from node.chain.genesis import network_from_json
from node.chain.params import DEVNET
from node.clock import SystemClock
from node.config import Role
from node.demo.layout import MEMBERS, STARTUP_MS, make_network, options
from node.demo.processes import NodeExited
from node.demo.run import Demo, run_demo
from node.keyfile import load_identity
from ponas.v1 import query_service_pb2 as query
from ponas.v1.query_service_pb2_grpc import (
    QueryServiceServicer,
    add_QueryServiceServicer_to_server,
)
from tests.demo_world import balances, evidence, status

FAKE_NODE = (sys.executable, str(Path(__file__).with_name("fake_node.py")))
GOOD = evidence()

# A process left behind would hold its pipe open, and the test would wait for it.
pytestmark = pytest.mark.timeout(60)


class _AllNodes(QueryServiceServicer):
    """Answers for all six nodes: three blocks are won."""

    def GetStatus(
        self, request: query.GetStatusRequest, context: grpc.ServicerContext
    ) -> query.GetStatusResponse:
        return status("full")

    def GetBlock(
        self, request: query.GetBlockRequest, context: grpc.ServicerContext
    ) -> query.GetBlockResponse:
        return GOOD.paid[request.height - 1]

    def GetRound(
        self, request: query.GetRoundRequest, context: grpc.ServicerContext
    ) -> query.GetRoundResponse:
        return query.GetRoundResponse()

    def ListPeers(
        self, request: query.ListPeersRequest, context: grpc.ServicerContext
    ) -> query.ListPeersResponse:
        return query.ListPeersResponse()

    def GetTask(
        self, request: query.GetTaskRequest, context: grpc.ServicerContext
    ) -> query.GetTaskResponse:
        return query.GetTaskResponse()

    def GetAccount(
        self, request: query.GetAccountRequest, context: grpc.ServicerContext
    ) -> query.GetAccountResponse:
        balance = balances(GOOD.paid).get(request.address, 0)
        return query.GetAccountResponse(address=request.address, balance=balance)

    def GetPool(
        self, request: query.GetPoolRequest, context: grpc.ServicerContext
    ) -> query.GetPoolResponse:
        return GOOD.pool

    def ListMiners(
        self, request: query.ListMinersRequest, context: grpc.ServicerContext
    ) -> query.ListMinersResponse:
        return query.ListMinersResponse()


@pytest.fixture
def fake_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Environment of fake nodes whose queries one server answers; a descriptor of their pipe.

    The demo's own folder is made below `tmp_path`.
    """
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    # It need not answer what the demo does not ask.
    add_QueryServiceServicer_to_server(_AllNodes(), server)  # type: ignore[abstract]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    # Open for both, so that no side's opening has to wait for the other.
    descriptor = os.open(fifo, os.O_RDWR)
    monkeypatch.setenv("FAKE_FIFO", str(fifo))
    monkeypatch.setenv("FAKE_ADDRESS", f"127.0.0.1:{port}")
    (tmp_path / "demos").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "demos"))
    yield descriptor
    server.stop(grace=None).wait()


def _demo(wanted: int = 3, keep: bool = False, is_terminal: bool = False) -> tuple[Demo, StringIO]:
    screen = StringIO()
    console = Console(file=screen, width=100, force_terminal=is_terminal, highlight=False)
    return Demo(wanted, keep, DEVNET, FAKE_NODE, SystemClock(), console), screen


def _folders(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "demos").iterdir())


def _assert_all_ended(tmp_path: Path, descriptor: int) -> None:
    with (tmp_path / "fifo").open() as fifo:
        os.close(descriptor)
        assert set(fifo.read().splitlines()) <= {"ready"}


def test_a_demo_ends_with_a_report_and_nothing_left_behind(tmp_path: Path, fake_world: int) -> None:
    demo, screen = _demo()
    report = run_demo(demo)
    assert report is not None
    assert report.ok, report.problems
    assert [won.height for won in report.rounds] == [1, 2, 3]
    assert len(report.nodes) == 6
    lines = screen.getvalue().splitlines()
    assert any(
        line.startswith("block 3 of round 3: won by pn-manager with 330/360") for line in lines
    )
    assert "All nodes agree on this chain, and the payouts add up." in screen.getvalue()
    assert _folders(tmp_path) == []
    _assert_all_ended(tmp_path, fake_world)


def test_a_terminal_gets_the_live_view(fake_world: int) -> None:
    demo, screen = _demo(is_terminal=True)
    run_demo(demo)
    assert "Round 0" in screen.getvalue()
    assert "\x1b[" in screen.getvalue()


def test_keep_leaves_keys_network_and_logs(tmp_path: Path, fake_world: int) -> None:
    demo, screen = _demo(keep=True)
    run_demo(demo)
    (root,) = _folders(tmp_path)
    assert f"Keys, chains and logs are in {root}" in screen.getvalue()
    network = network_from_json((root / "network.json").read_text())
    keys = {
        member.name: load_identity(root / member.name / "node.key", None).public_key
        for member in MEMBERS
    }
    assert {bond.identity for bond in network.bonds if bond.kind == BondKind.ATTEST} == {
        keys[member.name] for member in MEMBERS if member.role is Role.FULL
    }
    assert (root / "weak" / "node.log").read_text() == "starting\n"


def test_a_node_that_ends_early_ends_the_demo_and_keeps_its_log(
    tmp_path: Path, fake_world: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_CRASH", "manager")
    demo, screen = _demo()
    with pytest.raises(NodeExited, match="manager exited with code 6"):
        run_demo(demo)
    (root,) = _folders(tmp_path)
    assert str(root) in screen.getvalue()
    _assert_all_ended(tmp_path, fake_world)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything(tmp_path: Path, fake_world: int, number: signal.Signals) -> None:
    code = (
        "import sys, tempfile\n"
        "from rich.console import Console\n"
        "from node.chain.params import DEVNET\n"
        "from node.clock import SystemClock\n"
        "from node.demo.run import Demo, run_demo\n"
        "tempfile.tempdir = sys.argv[1]\n"
        "console = Console()\n"
        "print(run_demo(Demo(9, False, DEVNET, sys.argv[2:], SystemClock(), console)))\n"
    )
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    words = [sys.executable, "-c", code, str(tmp_path / "demos"), *FAKE_NODE]
    demo = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True)
    with open(fake_world, closefd=False) as fifo:
        assert [fifo.readline() for _ in MEMBERS] == ["ready\n"] * len(MEMBERS)
    demo.send_signal(number)
    output, _ = demo.communicate()
    assert demo.returncode == 0
    assert output.endswith("None\n")
    assert _folders(tmp_path) == []
    _assert_all_ended(tmp_path, fake_world)


def test_the_network_gives_the_nodes_time_to_start() -> None:
    keys = {member.name: bytes([place]) * 32 for place, member in enumerate(MEMBERS)}
    network = make_network(DEVNET, keys, now_ms=1_000_000)
    first_round_ms = network.genesis_time_ms + DEVNET.timing.round_ms
    assert first_round_ms == 1_000_000 + STARTUP_MS
    kinds = [bond.kind for bond in network.bonds]
    assert kinds == [BondKind.ATTEST] * 2 + [BondKind.PRODUCE] * 4


def test_each_node_dials_those_before_it(tmp_path: Path) -> None:
    addresses = {"full-1": "127.0.0.1:1", "manager": "127.0.0.1:2"}
    lines = {
        member.name: " ".join(options(member, tmp_path, addresses)).replace(str(tmp_path), "ROOT")
        for member in MEMBERS
    }
    assert lines["full-1"] == (
        "--role full --network ROOT/network.json --data-dir ROOT/full-1 --listen 127.0.0.1:0"
    )
    assert lines["manager"] == (
        "--role manager --network ROOT/network.json --data-dir ROOT/manager --listen 127.0.0.1:0 "
        "--peer 127.0.0.1:1"
    )
    assert lines["weak"] == (
        "--role miner --network ROOT/network.json --data-dir ROOT/weak --listen 127.0.0.1:0 "
        "--peer 127.0.0.1:1 --pool 127.0.0.1:2 --strength weak"
    )
