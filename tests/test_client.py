import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import click
import grpc
import pytest
from click.testing import CliRunner, Result

from node.cli.client import main
from node.demo.processes import NodeExited
from node.demo.report import judge
from node.demo.run import Demo
from ponas.v1 import query_service_pb2 as query
from ponas.v1.query_service_pb2_grpc import (
    QueryServiceServicer,
    add_QueryServiceServicer_to_server,
)
from tests.demo_world import SUBSIDY, evidence

BLOCK_ID = "ab" * 32
ADDRESS = "pn" + "a" * 58
BLOCK = query.GetBlockResponse(
    id=BLOCK_ID,
    height=2,
    round=3,
    proposer=ADDRESS,
    winner=query.Winner(
        layers=[query.LayerView(kernel_height=5, num_kernels=24)],
        verified_correct=331,
        test_size=360,
        luts=12_345,
    ),
    payouts=[query.Payout(address=ADDRESS, weight=7, amount=4_500_000_000)],
)


class _Node(QueryServiceServicer):
    """Answers from fixed values and keeps the last request; runs no pool."""

    request: object = None

    def GetStatus(
        self, request: query.GetStatusRequest, context: grpc.ServicerContext
    ) -> query.GetStatusResponse:
        self.request = request
        return query.GetStatusResponse(
            network="devnet", phase=query.PHASE_TRAIN, height=1_234, role="[bold]full"
        )

    def GetBlock(
        self, request: query.GetBlockRequest, context: grpc.ServicerContext
    ) -> query.GetBlockResponse:
        self.request = request
        if request.height > BLOCK.height:
            context.abort(grpc.StatusCode.NOT_FOUND, f"there is no block {request.height} yet")
        return BLOCK

    def GetLists(
        self, request: query.GetListsRequest, context: grpc.ServicerContext
    ) -> query.GetListsResponse:
        self.request = request
        return query.GetListsResponse(round=9)

    def GetRound(
        self, request: query.GetRoundRequest, context: grpc.ServicerContext
    ) -> query.GetRoundResponse:
        self.request = request
        return query.GetRoundResponse(round=9)

    def GetTask(
        self, request: query.GetTaskRequest, context: grpc.ServicerContext
    ) -> query.GetTaskResponse:
        self.request = request
        return query.GetTaskResponse(layers=[query.LayerRanges(kernel_height=[1, 3, 5])])

    def GetAccount(
        self, request: query.GetAccountRequest, context: grpc.ServicerContext
    ) -> query.GetAccountResponse:
        self.request = request
        if request.address != ADDRESS:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the address has a wrong checksum")
        return query.GetAccountResponse(address=ADDRESS, balance=9_000_000_000)

    def GetPool(
        self, request: query.GetPoolRequest, context: grpc.ServicerContext
    ) -> query.GetPoolResponse:
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "this node runs no pool")

    def ListPeers(
        self, request: query.ListPeersRequest, context: grpc.ServicerContext
    ) -> query.ListPeersResponse:
        self.request = request
        peers = [query.Peer(address="a:1", clock_offset_ms=-3), query.Peer(address="b:2")]
        return query.ListPeersResponse(peers=peers, known_addresses=9)

    def ListPoolEvents(
        self, request: query.ListPoolEventsRequest, context: grpc.ServicerContext
    ) -> query.ListPoolEventsResponse:
        self.request = request
        event = query.PoolEventView(
            number=7, at_ms=61_002, kind="left", miner="ab" * 32, detail='{"reason":"cable"}'
        )
        return query.ListPoolEventsResponse(events=[event], next=8)

    def ListMiners(
        self, request: query.ListMinersRequest, context: grpc.ServicerContext
    ) -> query.ListMinersResponse:
        self.request = request
        miner = query.MinerView(
            public_key="cd" * 32,
            activity="trains design 4",
            refused=[query.Counter(reason="late", count=3)],
        )
        return query.ListMinersResponse(miners=[miner])


@pytest.fixture
def node() -> Iterator[tuple[_Node, str]]:
    """A query service on a free loopback port, and its HOST:PORT."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    # It need not answer what no command of these tests asks.
    servicer = _Node()  # type: ignore[abstract]
    add_QueryServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, f"127.0.0.1:{port}"
    server.stop(grace=None).wait()


def _run(*words: str, **environment: str) -> Result:
    return CliRunner().invoke(main, words, env={"COLUMNS": "160", **environment})


@pytest.mark.parametrize(
    ("words", "request_message"),
    [
        (["status"], query.GetStatusRequest()),
        (["block"], query.GetBlockRequest()),
        (["block", "0"], query.GetBlockRequest(height=0)),
        (["block", "2"], query.GetBlockRequest(height=2)),
        (["block", BLOCK_ID.upper()], query.GetBlockRequest(id=BLOCK_ID)),
        (["block", "7" * 64], query.GetBlockRequest(id="7" * 64)),
        (["chain", "lists"], query.GetListsRequest()),
        (["chain", "lists", "4"], query.GetListsRequest(round=4)),
        (["round"], query.GetRoundRequest()),
        (["round", "0"], query.GetRoundRequest(round=0)),
        (["task", "round", "9"], query.GetTaskRequest(round=9)),
        (["account", ADDRESS], query.GetAccountRequest(address=ADDRESS)),
        (["miners"], query.ListMinersRequest()),
        (["pool", "events"], query.ListPoolEventsRequest(since=1)),
        (["pool", "events", "--since", "9"], query.ListPoolEventsRequest(since=9)),
    ],
)
def test_each_command_asks_its_question(
    node: tuple[_Node, str], words: list[str], request_message: object
) -> None:
    servicer, address = node
    result = _run(*words, "--node", address)
    assert result.exit_code == 0, result.output
    assert servicer.request == request_message


def test_a_table_shows_values_parts_and_lists(node: tuple[_Node, str]) -> None:
    output = _run("block", "--node", node[1]).output
    assert BLOCK_ID in output
    assert "verified correct  331" in output
    assert "12,345" in output
    assert "pnaaaaaaaa…aaaaaa" in output
    assert "4,500,000,000" in output
    assert "attester rewards  none" in output


def test_enums_lists_and_counters_are_words(node: tuple[_Node, str]) -> None:
    assert "phase               train" in _run("status", "--node", node[1]).output
    assert "1, 3, 5" in _run("task", "round", "--node", node[1]).output
    assert "late 3" in _run("miners", "--node", node[1]).output


def test_what_a_node_says_is_not_read_as_markup(node: tuple[_Node, str]) -> None:
    assert "[bold]full" in _run("status", "--node", node[1]).output


def test_json_is_the_exact_answer(node: tuple[_Node, str]) -> None:
    document = json.loads(_run("block", "--json", "--node", node[1]).output)
    assert document["winner"]["verified_correct"] == 331
    assert document["height"] == "2"
    assert document["fallback"] is False
    assert document["attester_rewards"] == []


def test_the_events_of_a_pool_are_a_table_of_what_was_decided(node: tuple[_Node, str]) -> None:
    lines = _run("pool", "events", "--node", node[1]).output.splitlines()

    assert lines[0].split() == ["number", "time", "event", "miner", "inputs"]
    assert lines[1].split() == [
        "7",
        "00:01:01.002",
        "left",
        "ababababab…ababab",
        '{"reason":"cable"}',
    ]
    assert lines[-1] == "More from event 8 on: --since 8"


def test_the_node_may_come_from_the_environment(node: tuple[_Node, str]) -> None:
    assert _run("status", PONAS_NODE=node[1]).exit_code == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["block", "3"], "there is no block 3 yet"),
        (["account", "pnx"], "the address has a wrong checksum"),
        (["pool"], "this node runs no pool"),
    ],
)
def test_a_refusal_is_the_nodes_own_sentence(
    node: tuple[_Node, str], words: list[str], sentence: str
) -> None:
    result = _run(*words, "--node", node[1])
    assert result.exit_code == 1
    assert result.output == f"Error: {sentence}\n"


def test_nobody_at_the_address_is_one_sentence() -> None:
    with socket.socket() as unused:
        # Bound but not listening: the port is taken and refuses connections.
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        result = _run("status", "--node", address)
    assert result.exit_code == 8
    assert result.output.startswith(f"Error: No node answers at {address}.")
    assert result.output.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["block", "first"], "'first' is neither a height nor an id of 64 hexadecimal digits."),
        (["block", "9" * 30], "is not in the range"),
        (["round", "-1"], "No such option"),
        (["round", "x"], "'x' is not a valid integer"),
        (["account"], "Missing argument 'ADDRESS'"),
        (["status", "--node", "localhost"], "'localhost' is not HOST:PORT"),
        (["demo", "--rounds", "0"], "0 is not in the range"),
        (["demo", "--json", "/nonexistent/report.json"], "there is no folder /nonexistent."),
    ],
)
def test_wrong_use_names_the_option(words: list[str], sentence: str) -> None:
    result = _run(*words)
    assert result.exit_code == 2
    assert sentence in result.output


@pytest.mark.parametrize(
    ("wanted", "exit_code", "is_ok"), [(3, 0, True), (4, 1, False)], ids=["success", "failure"]
)
def test_demo_writes_its_report_and_exits_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: int, exit_code: int, is_ok: bool
) -> None:
    monkeypatch.setattr(
        "node.cli.client.run_demo", lambda demo: judge(evidence(), demo.wanted, SUBSIDY)
    )
    report_file = tmp_path / "report.json"
    result = _run("demo", "--rounds", str(wanted), "--json", str(report_file))
    assert result.exit_code == exit_code
    report = json.loads(report_file.read_text())
    assert report["ok"] is is_ok
    assert len(report["rounds"]) == 3


def test_an_interrupted_demo_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.cli.client.run_demo", lambda demo: None)
    report_file = tmp_path / "report.json"
    result = _run("demo", "--json", str(report_file))
    assert result.exit_code == 130
    assert result.output == "Interrupted; all nodes were ended.\n"
    assert not report_file.exists()


def test_a_node_that_ends_early_is_told_without_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(demo: Demo) -> None:
        raise NodeExited("full-2 exited with code 6 before the demo was over.")

    monkeypatch.setattr("node.cli.client.run_demo", fail)
    result = _run("demo")
    assert result.exit_code == 1
    assert result.output == "Error: full-2 exited with code 6 before the demo was over.\n"


def test_help_lists_every_command_and_exit_code() -> None:
    output = _run("--help").output
    assert isinstance(main, click.Group)
    assert all(name in output for name in main.commands)
    assert "8 no node answers" in output


def test_the_client_starts_without_the_training_libraries() -> None:
    code = "import sys, node.cli.client; print({'torch', 'sklearn'} & set(sys.modules))"
    words = [sys.executable, "-c", code]
    environment = {"PYTHONPATH": ":".join(str(Path(path).resolve()) for path in sys.path)}
    output = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "set()"
