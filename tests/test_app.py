"""The node as an operator meets it: what is refused, with which words and code, and how it ends."""

import asyncio
import json
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from node.chain.genesis import Network, network_to_json
from node.chain.params import FAST
from tests.node_process import (
    NodeProcess,
    contents,
    eventually,
    has_loaded_torch,
    resident_mib,
    run_to_end,
)

FULL = ("--role", "full", "--listen", "127.0.0.1:0", "--data-dir")
OTHER_NETWORK = Network(FAST, 0, (), ())


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A manager of devnet, up and running; tests leave it as it is."""
    with NodeProcess(tmp_path_factory.mktemp("nodes") / "manager", "--role", "manager") as node:
        asyncio.run(node.address())
        yield node


@pytest.fixture(scope="module")
def used_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a node of devnet that was stopped in order."""
    folder = tmp_path_factory.mktemp("used") / "full"
    with NodeProcess(folder, "--role", "full") as node:
        asyncio.run(node.address())
        assert node.stop(signal.SIGTERM) == 0
    return folder


@pytest.fixture
def folder(used_folder: Path, tmp_path: Path) -> Path:
    """A copy of that folder to spoil."""
    return shutil.copytree(used_folder, tmp_path / "full")


@pytest.fixture
def closed_port() -> Iterator[str]:
    """An address where nobody listens, nor can while the test runs."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{reserved.getsockname()[1]}"


def network_file(tmp_path: Path, spoil: Callable[[Any], None]) -> str:
    members = json.loads(network_to_json(OTHER_NETWORK))
    spoil(members)
    path = tmp_path / "network.json"
    path.write_text(json.dumps(members))
    return str(path)


def assert_refused(outcome: tuple[int, str], code: int, *words: str) -> None:
    """One sentence with these words, and the code."""
    assert outcome[0] == code, outcome
    assert outcome[1].startswith("ponas-node: ")
    assert outcome[1].count("\n") == 1, outcome[1]
    for word in words:
        assert word in outcome[1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--gpu",), ("No such option '--gpu'",)),
        (("--peer", "example.org"), ("'--peer'", "'example.org' is not HOST:PORT")),
        (("--listen", "127.0.0.1:70000"), ("'--listen'", "no port from 0 to 65535")),
        (("--listen", "0.0.0.0:0"), ("--listen 0.0.0.0:0", "add --insecure-plaintext")),
    ],
)
def test_a_wrong_option_is_named_and_nothing_is_made(
    tmp_path: Path, options: tuple[str, ...], words: tuple[str, ...]
) -> None:
    assert_refused(run_to_end(*FULL, str(tmp_path / "node"), *options), 2, *words)
    assert not (tmp_path / "node").exists()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda file: file.pop("accounts"), "accounts: field is missing"),
        (lambda file: file["parameters"]["timing"].update(vote_ms=1), "timing: 0 < lists_ms <"),
        (lambda file: file["parameters"].update(public=True), "task.insecure: a public network"),
        (lambda file: file["parameters"]["task"].update(dataset="x"), "no data set is called 'x'"),
    ],
)
def test_a_wrong_network_file_is_told_by_its_field_and_nothing_is_made(
    tmp_path: Path, spoil: Callable[[Any], None], words: str
) -> None:
    file = network_file(tmp_path, spoil)
    assert_refused(run_to_end(*FULL, str(tmp_path / "node"), "--network", file), 3, words)
    assert not (tmp_path / "node").exists()


def test_a_network_file_that_is_not_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "network.json").write_text('{"parameters":')
    options = ("--network", str(tmp_path / "network.json"))
    assert_refused(run_to_end(*FULL, str(tmp_path / "node"), *options), 3, "is not JSON")


def test_a_folder_with_a_strangers_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("chapter 1")
    before = contents(tmp_path)
    assert_refused(run_to_end(*FULL, str(tmp_path)), 4, "holds 'thesis.tex'", "nothing was changed")
    assert contents(tmp_path) == before


def test_a_damaged_store_is_left_as_it_is(folder: Path) -> None:
    (folder / "store" / "CURRENT").write_bytes(b"\0 not a manifest")
    before = contents(folder)
    assert_refused(run_to_end(*FULL, str(folder)), 4, "is damaged", "restore it from a backup")
    assert contents(folder) == before


def test_the_folder_of_another_network_is_refused(folder: Path, tmp_path: Path) -> None:
    file = network_file(tmp_path, lambda file: None)
    key = (folder / "node.key").read_bytes()
    refused = run_to_end(*FULL, str(folder), "--network", file)
    assert_refused(refused, 4, "belongs to the network", "choose another --data-dir or --network")
    assert (folder / "node.key").read_bytes() == key


def test_a_damaged_key_file_is_never_replaced(folder: Path) -> None:
    key = folder / "node.key"
    key.write_bytes(key.read_bytes()[:40])
    before = contents(folder)
    assert_refused(run_to_end(*FULL, str(folder)), 5, "node.key is damaged")
    assert contents(folder) == before


async def test_a_port_in_use_is_told(manager: NodeProcess, tmp_path: Path) -> None:
    options = ("--role", "full", "--data-dir", str(tmp_path), "--listen", await manager.address())
    assert_refused(run_to_end(*options), 6, "can't listen on", "the port is in use")


def test_a_second_process_on_a_folder_is_refused(manager: NodeProcess) -> None:
    assert_refused(run_to_end(*FULL, str(manager.folder)), 4, "is in use by another node")


async def test_a_miner_of_another_network_is_sent_away(
    manager: NodeProcess, tmp_path: Path
) -> None:
    file = network_file(tmp_path, lambda file: None)
    with NodeProcess(
        tmp_path / "miner",
        *("--role", "miner", "--network", file, "--pool", await manager.address()),
    ) as miner:
        code, said = await miner.ended()
    assert code == 7
    assert said[-1].startswith("ponas-node: the pool is of network ")
    assert not any("Traceback" in line for line in said)
    await eventually(lambda: miner.processes() == [])


async def test_a_node_keeps_trying_where_nobody_answers(closed_port: str, tmp_path: Path) -> None:
    options = ("--role", "miner", "--peer", closed_port, "--pool", closed_port)
    with NodeProcess(tmp_path / "miner", *options) as miner:
        await eventually(lambda: len(miner.events("not_mining")) > 1)
        await eventually(lambda: len(miner.events("peer_unreachable")) > 1)
        told = miner.events("not_mining")[0], miner.events("peer_unreachable")[0]
        assert miner.stop(signal.SIGINT) == 0
        await eventually(lambda: miner.processes() == [])
    assert [line["level"] for line in told] == ["warning", "warning"]
    assert f"not connected to the pool: {closed_port} can't be reached" in told[0]["reason"]
    assert told[1]["address"] == closed_port


async def test_a_running_node_is_healthy_where_it_says(manager: NodeProcess) -> None:
    assert (manager.folder / "listen").read_text() == f"{await manager.address()}\n"
    async with grpc.aio.insecure_channel(await manager.address()) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_only_the_workers_load_torch_and_both_stay_small(manager: NodeProcess) -> None:
    worker = await manager.worker()
    assert not has_loaded_torch(manager.pid)
    assert resident_mib(manager.pid) < 250
    assert resident_mib(worker) < 1024


@pytest.mark.parametrize("moment", ["workers are loading", "workers are ready"])
async def test_sigterm_leaves_no_process_behind(moment: str, tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "full", "--role", "full") as node:
        await node.address()
        if moment == "workers are ready":
            await node.worker()
        assert node.stop(signal.SIGTERM) == 0
        await eventually(lambda: node.processes() == [])
    assert not (tmp_path / "full" / "listen").exists()
    assert [event["signal"] for event in node.events("stopping")] == ["SIGTERM"]


async def test_workers_end_with_a_killed_node_and_the_next_one_starts(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "full", "--role", "full") as node:
        await node.worker()
        assert node.stop(signal.SIGKILL) == -signal.SIGKILL
        await eventually(lambda: node.processes() == [])
    with NodeProcess(tmp_path / "full", "--role", "full") as node:
        await node.address()
        assert node.stop(signal.SIGTERM) == 0
