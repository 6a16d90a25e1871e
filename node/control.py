"""Steering a miner of this machine: a service on a unix socket that only its owner may open."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import grpc
import structlog

from ponas.v1 import control_service_pb2 as pb
from ponas.v1.control_service_pb2_grpc import (
    ControlServiceServicer,
    add_ControlServiceServicer_to_server,
)
from pool.miner.miner import MinerStatus

_OWNER_ONLY = 0o600
# The system's bound on the name of a unix socket, less the zero byte at its end.
_LONGEST_NAME_BYTES = 107

_log = structlog.get_logger("control")


class Steerable(Protocol):
    """A miner, as its operator may steer it."""

    @property
    def status(self) -> MinerStatus: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class ControlServicer(ControlServiceServicer):
    """Answers the control service for one miner."""

    def __init__(self, miner: Steerable) -> None:
        self._miner = miner

    async def PauseMiner(self, request: pb.PauseMinerRequest, context: Any) -> Any:
        self._miner.pause()
        return pb.PauseMinerResponse(miner=self._state())

    async def ResumeMiner(self, request: pb.ResumeMinerRequest, context: Any) -> Any:
        self._miner.resume()
        return pb.ResumeMinerResponse(miner=self._state())

    async def GetMiner(self, request: pb.GetMinerRequest, context: Any) -> Any:
        return pb.GetMinerResponse(miner=self._state())

    def _state(self) -> pb.MinerState:
        status = self._miner.status
        return pb.MinerState(
            activity=status.activity,
            idle=status.is_idle,
            paused=status.is_paused,
            pool=status.pool,
            unacknowledged=status.unacknowledged,
        )


@asynccontextmanager
async def controlling(miner: Steerable | None, socket: Path) -> AsyncIterator[None]:
    """Serve a miner's control at a socket file of mode 0600 until the block ends; None has none.

    A folder whose path is too long for a socket is no reason not to mine, and only warned of.
    """
    path = socket.absolute()
    is_too_long = len(os.fsencode(path)) > _LONGEST_NAME_BYTES
    if is_too_long:
        reason = f"{path} is longer than the {_LONGEST_NAME_BYTES} bytes of a socket's name"
        _log.warning("no_control", reason=reason)
    if miner is None or is_too_long:
        yield
        return
    # A crash may have left one; the folder's store is locked, so nobody else serves here.
    path.unlink(missing_ok=True)
    server = grpc.aio.server()
    add_ControlServiceServicer_to_server(ControlServicer(miner), server)
    server.add_insecure_port(f"unix:{path}")
    path.chmod(_OWNER_ONLY)
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)
        path.unlink(missing_ok=True)
