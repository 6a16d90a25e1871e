"""The composition root: a configured node with its real clock, network, disk and workers."""

import asyncio
import os
import random

import nacl.utils
import structlog

from nas.executor import LocalExecutor
from node.assembly import Node, Setup, Surroundings
from node.chain.errors import NetworkError, SafetyAlarm
from node.clock import SystemClock
from node.config import Config, Role
from node.errors import ConfigError, NetworkRefusedError, NodeError, SafetyError
from node.folder import DataFolder, open_data_folder
from node.keyfile import PASSPHRASE_VARIABLE, open_identity
from node.net.grpc_transport import GrpcServer, GrpcTransport
from node.query import QueryServicer
from node.store.rocks import RocksStore, open_store
from node.store.writer import ThreadWriter
from pool.miner import WrongPool

_log = structlog.get_logger("node")


async def run(config: Config, stop: asyncio.Event) -> None:
    """Run a node until `stop` is set, then stop it in order. Raises NodeError."""
    folder = open_data_folder(config.data_dir)
    store = open_store(folder.store, config.network.id)
    writer = ThreadWriter(store)
    counter = None if _is_pool_miner(config) else LocalExecutor(1, config.device)
    trainer = LocalExecutor(config.workers, config.device) if config.role is Role.MINER else None
    try:
        await _run_node(config, stop, folder, store, writer, counter, trainer)
    finally:
        for executor in (counter, trainer):
            if executor is not None:
                await executor.close()
        await writer.close()


async def _run_node(
    config: Config,
    stop: asyncio.Event,
    folder: DataFolder,
    store: RocksStore,
    writer: ThreadWriter,
    counter: LocalExecutor | None,
    trainer: LocalExecutor | None,
) -> None:
    identity = open_identity(
        folder.key_file, os.environ.get(PASSPHRASE_VARIABLE), nacl.utils.random
    )
    setup = Setup(
        role=config.role,
        network=config.network,
        identity=identity,
        payout_address=config.payout_address or identity.public_key,
        peers=[str(peer) for peer in config.peers],
        pool=None if config.pool is None else str(config.pool),
        strength=config.strength,
        workers=config.workers,
    )
    outside = Surroundings(
        clock=SystemClock(),
        transport=GrpcTransport(),
        store=store,
        writer=writer,
        counter=counter,
        trainer=trainer,
        # Salts and nonces must not be guessed.
        rng=random.SystemRandom(),
    )
    try:
        node = Node(setup, outside)
    except NetworkError as error:
        raise ConfigError(f"--network can't be used: {error}") from error
    server = GrpcServer(
        QueryServicer(node.views), node.on_peer, node.on_miner if node.runs_public_pool else None
    )
    folder.withdraw_address()
    address = await server.start(str(config.listen))
    folder.publish_address(address)
    _log.info(
        "listening",
        address=address,
        role=str(config.role),
        network=config.network.parameters.name,
        public_key=identity.public_key,
    )
    try:
        await _until_stopped(node, stop)
    finally:
        folder.withdraw_address()
        await node.close()
        await server.stop()


async def _until_stopped(node: Node, stop: asyncio.Event) -> None:
    running = asyncio.ensure_future(node.run())
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            _raise_for_operator(running.exception())
    finally:
        for task in (running, stopping):
            task.cancel()
        await asyncio.gather(running, stopping, return_exceptions=True)


def _raise_for_operator(error: BaseException | None) -> None:
    match error:
        case None | NodeError():
            pass
        case SafetyAlarm():
            error = SafetyError(f"stopped to stay safe: {error}")
        case WrongPool():
            error = NetworkRefusedError(f"--pool: {error}")
    if error is not None:
        raise error


def _is_pool_miner(config: Config) -> bool:
    return config.role is Role.MINER and config.pool is not None
