"""Steering a node of this machine: a service on a unix socket that only its owner may open."""

import os
from collections.abc import AsyncIterator, Callable
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
    """Answers the control service for one node: its miner, if it has one, and whom it banned."""

    def __init__(self, miner: Steerable | None, unban: Callable[[str], bool]) -> None:
        self._miner = miner
        self._unban = unban

    async def PauseMiner(self, request: pb.PauseMinerRequest, context: Any) -> Any:
        miner = await self._miner_of(context)
        miner.pause()
        return pb.PauseMinerResponse(miner=_state(miner))

    async def ResumeMiner(self, request: pb.ResumeMinerRequest, context: Any) -> Any:
        miner = await self._miner_of(context)
        miner.resume()
        return pb.ResumeMinerResponse(miner=_state(miner))

    async def GetMiner(self, request: pb.GetMinerRequest, context: Any) -> Any:
        return pb.GetMinerResponse(miner=_state(await self._miner_of(context)))

    async def Unban(self, request: pb.UnbanRequest, context: Any) -> Any:
        lifted = self._unban(request.subject)
        if lifted:
            _log.info("unbanned", subject=request.subject)
        return pb.UnbanResponse(lifted=lifted)

    async def _miner_of(self, context: Any) -> Steerable:
        if self._miner is not None:
            return self._miner
        # It raises: what comes after is never reached.
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "this node does not mine")
        raise RuntimeError("the call was ended")


def _state(miner: Steerable) -> pb.MinerState:
    status = miner.status
    return pb.MinerState(
        activity=status.activity,
        idle=status.is_idle,
        paused=status.is_paused,
        pool=status.pool,
        unacknowledged=status.unacknowledged,
    )


@asynccontextmanager
async def controlling(
    miner: Steerable | None, unban: Callable[[str], bool], socket: Path
) -> AsyncIterator[None]:
    """Serve a node's control at a socket file of mode 0600 until the block ends.

    A folder whose path is too long for a socket is no reason not to run, and only warned of.
    """
    path = socket.absolute()
    if len(os.fsencode(path)) > _LONGEST_NAME_BYTES:
        reason = f"{path} is longer than the {_LONGEST_NAME_BYTES} bytes of a socket's name"
        _log.warning("no_control", reason=reason)
        yield
        return
    # A crash may have left one; the folder's store is locked, so nobody else serves here.
    path.unlink(missing_ok=True)
    server = grpc.aio.server()
    add_ControlServiceServicer_to_server(ControlServicer(miner, unban), server)
    server.add_insecure_port(f"unix:{path}")
    path.chmod(_OWNER_ONLY)
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)
        path.unlink(missing_ok=True)
