"""The servers that are put under load, each the main function of a process of its own.

Over its pipe each tells its address, then waits for any message, and answers with its usage.
"""

from __future__ import annotations

import asyncio
import random
import resource
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast

from nacl.signing import SigningKey

from node.bench.counting import InstantCounter
from node.bench.setting import NETWORK_ID, TASK, WHOLE_MS
from node.clock import SystemClock
from node.collector import calm_collector
from node.log import LogFormat, LogLevel, configure_logging
from node.net.grpc_transport import GrpcServer
from node.net.link import LinkClosed, ManagerLink, PeerLink
from node.query import QueryServicer
from node.store.rocks import open_store
from node.store.writer import ThreadWriter
from node.views.status import Views
from ponas.v1 import pool_service_pb2 as pb
from pool.link.wire import space_to_wire
from pool.manager.manager import Manager
from pool.records.state import RoundTask

_KIB = 1 << 10

# What the server that only answers gives everybody to do.
_WORK = pb.Assignment(
    id=1,
    round=1,
    remaining_ms=WHOLE_MS,
    epochs=TASK.epochs,
    exploration=pb.Exploration(subspace=space_to_wire(TASK.space)),
)

Serve = Callable[[ManagerLink], Awaitable[None]]


@dataclass(frozen=True)
class Usage:
    """What a server took: most resident memory, and processor time while under load."""

    peak_mib: float
    cpu_s: float


def serve_pool(pipe: Connection, folder: str, seed: int) -> None:
    """A manager with one long round open, its store in `folder`."""

    async def run() -> None:
        rng = random.Random(seed)
        async with AsyncExitStack() as outside:
            store = open_store(Path(folder), NETWORK_ID)
            writer = ThreadWriter(store)
            outside.push_async_callback(writer.close)
            key = SigningKey(rng.randbytes(32))
            clock = SystemClock()
            manager = Manager(
                key=key,
                payout_address=bytes(key.verify_key),
                network_id=NETWORK_ID,
                executor=InstantCounter(),
                auditing=InstantCounter(),
                clock=clock,
                rng=rng,
                store=store,
                writer=writer,
            )
            manager.start_round(RoundTask(1, TASK, TASK.space, clock.now_ms() + WHOLE_MS))
            await _serve(pipe, manager.serve)

    asyncio.run(run())


def serve_echo(pipe: Connection, _folder: str, _seed: int) -> None:
    """A server of the same shape that acknowledges every result at once."""
    asyncio.run(_serve(pipe, _answer_all))


async def _answer_all(link: ManagerLink) -> None:
    challenge = pb.Challenge(nonce=bytes(32), network_id=NETWORK_ID, manager=bytes(32))
    # Ends as the link does, like whatever serves links.
    with suppress(LinkClosed):
        await link.send(pb.MineResponse(challenge=challenge))
        await link.receive()
        await link.send(pb.MineResponse(assignment=_WORK))
        while True:
            message = await link.receive()
            if message.HasField("result"):
                await link.send(pb.MineResponse(acknowledgement=_acknowledged(message.result)))


def _acknowledged(result: pb.Result) -> pb.Acknowledgement:
    return pb.Acknowledgement(
        assignment_id=result.assignment_id,
        episode=result.episode,
        acceptance=pb.ACCEPTANCE_ACCEPTED,
    )


async def _serve(pipe: Connection, serve: Serve) -> None:
    raise_file_limit()
    calm_collector()
    configure_logging(LogFormat.TEXT, LogLevel.ERROR, sys.stderr)

    async def no_peer(link: PeerLink) -> None:
        await link.close("this server has no peers")

    # Nobody asks it anything.
    server = GrpcServer(QueryServicer(cast(Views, None)), no_peer, serve)
    pipe.send(await server.start("127.0.0.1:0"))
    await asyncio.to_thread(pipe.recv)
    before_s = _cpu_s()
    await asyncio.to_thread(pipe.recv)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIB
    pipe.send(Usage(peak_mib, _cpu_s() - before_s))
    await server.stop(grace_s=0)


def raise_file_limit() -> None:
    """Allow this process as many connections as the system lets it have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
