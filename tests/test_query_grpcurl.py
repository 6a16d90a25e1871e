"""The real grpcurl against a real server: it lists, describes and calls everything."""

import asyncio
import json
import sys
from base64 import b64encode
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from node.net.grpc_transport import GrpcServer
from node.net.link import ManagerLink, PeerLink
from node.query import QueryServicer
from tests.fixed_views import BLOCK, BLOCK_BYTES, PAGE_HASH, FixedViews, hash_of

GRPCURL = Path(sys.executable).parent / "grpcurl"


async def _peer(link: PeerLink) -> None:
    await link.close("not here")


async def _miner(link: ManagerLink) -> None:
    await link.close("not here")


async def grpcurl(address: str, *arguments: str, data: str = "") -> str:
    options = ["-plaintext", "-emit-defaults", *(["-d", data] if data else [])]
    process = await asyncio.create_subprocess_exec(
        str(GRPCURL),
        *options,
        address,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.decode()


def with_server(scenario: Callable[[str], Awaitable[None]]) -> None:
    async def run() -> None:
        server = GrpcServer(QueryServicer(FixedViews()), _peer, _miner)
        address = await server.start("127.0.0.1:0")
        await scenario(address)
        await server.stop(0)

    asyncio.run(run())


def test_list_names_every_service() -> None:
    async def scenario(address: str) -> None:
        assert set((await grpcurl(address, "list")).split()) == {
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
            "ponas.v1.PeerService",
            "ponas.v1.PoolService",
            "ponas.v1.QueryService",
        }

    with_server(scenario)


def test_describe_shows_services_and_messages() -> None:
    async def scenario(address: str) -> None:
        everything = await grpcurl(address, "describe")
        assert "rpc Exchange ( stream" in everything
        assert "rpc Mine ( stream" in everything
        message = await grpcurl(address, "describe", "ponas.v1.GetStatusResponse")
        assert "final_round" in message

    with_server(scenario)


TRANSACTION = {
    "kind": "KIND_TRANSFER",
    "payload": "AA==",
    "public_key": b64encode(bytes(32)).decode(),
    "signature": b64encode(bytes(64)).decode(),
}
CALLS = {
    "GetStatus": ("", "round", "7"),
    "GetBlock": (json.dumps({"height": 5}), "id", BLOCK.id.hex()),
    "GetBlockContents": (json.dumps({"height": 5}), "transactions", None),
    "GetRound": ("", "phase", "PHASE_CLAIM"),
    "GetLists": ("", "attesters", None),
    "GetTask": (json.dumps({"round": 7}), "dataset", "digits"),
    "GetAccount": (json.dumps({"address": "pn-miner"}), "balance", "90"),
    "ListBonds": (json.dumps({"address": "pn-miner"}), "era", "3"),
    "GetHistory": (json.dumps({"address": "pn-miner"}), "entries", None),
    "SubmitTransaction": (json.dumps({"transaction": TRANSACTION}), "id", hash_of(4).hex()),
    "ListTasks": ("", "tasks", None),
    "GetTaskResults": (json.dumps({"task": hash_of(20).hex()}), "results", None),
    "GetTaskTerms": (json.dumps({"task": hash_of(20).hex()}), "terms", b"terms".hex()),
    "ListRoundTasks": (json.dumps({"since": 7}), "tasks", None),
    "GetModel": (json.dumps({"hash": hash_of(22).hex()}), "total", "7"),
    "GetPool": ("", "round", "7"),
    "ListMiners": ("", "miners", None),
    "ListPoolEvents": ("", "next", "8"),
    "ListPeers": ("", "peers", None),
    "GetBlockBytes": (json.dumps({"height": 5}), "header", BLOCK_BYTES.header.hex()),
    "GetReceipts": ("", "receipts", None),
    "GetPayoutNotices": ("", "notices", None),
    "GetShareLog": (json.dumps({"hash": PAGE_HASH.hex()}), "round", "7"),
}


def test_every_query_method_answers() -> None:
    async def scenario(address: str) -> None:
        listed = (await grpcurl(address, "list", "ponas.v1.QueryService")).split()
        assert {name.rpartition(".")[2] for name in listed} == set(CALLS)
        for method, (data, field, value) in CALLS.items():
            answer = json.loads(
                await grpcurl(address, f"ponas.v1.QueryService/{method}", data=data)
            )
            assert field in answer, method
            assert value is None or answer[field] == value, method

    with_server(scenario)


@pytest.mark.parametrize("service", ["", "ponas.v1.PeerService", "ponas.v1.PoolService"])
def test_health_is_serving(service: str) -> None:
    async def scenario(address: str) -> None:
        answer = await grpcurl(
            address, "grpc.health.v1.Health/Check", data=json.dumps({"service": service})
        )
        assert json.loads(answer)["status"] == "SERVING"

    with_server(scenario)
