"""Steering a node of this machine: one call over the socket in its data folder."""

from typing import Any

import click
import grpc
from google.protobuf.message import Message

from node.errors import ExitCode
from node.folder import DataFolder
from ponas.v1.control_service_pb2_grpc import ControlServiceStub

_TIMEOUT_S = 5.0


class _NotRunning(click.ClickException):
    exit_code = ExitCode.UNREACHABLE


def steer(folder: DataFolder, method: str, request: Message) -> Any:
    """What a node answers to a call; a failure ends the program with one sentence."""
    socket = folder.control_socket.absolute()
    if not socket.exists():
        raise _NotRunning(f"No node runs in {folder.path}; name its folder with --data-dir.")
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        stub: Any = ControlServiceStub(channel)
        try:
            return getattr(stub, method)(request, timeout=_TIMEOUT_S)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
                raise click.ClickException(f"{error.details()}.".capitalize()) from None
            raise _NotRunning(f"The node in {folder.path} does not answer.") from None
