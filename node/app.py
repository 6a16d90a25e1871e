"""The composition root: a configured node with its real clock, network, disk and workers."""

import asyncio
import os
import random
from contextlib import AsyncExitStack

import nacl.utils
import structlog

from nas.execution.executor import LocalExecutor
from node.aside import OneThread
from node.assembly import Node
from node.chain.errors import NetworkError, SafetyAlarm
from node.clock import SystemClock
from node.collector import calm_collector
from node.config import Config, Role
from node.consensus.designs import NasDesigns
from node.control import controlling
from node.endpoint import parse_endpoint
from node.errors import ConfigError, SafetyError
from node.folder import DataFolder, open_data_folder
from node.identity import Identity
from node.keyfile import PASSPHRASE_VARIABLE, open_identity
from node.net.grpc_transport import GrpcServer, GrpcTransport
from node.publishing.shelf import DiskShelf
from node.query import QueryServicer
from node.setup import Setup, Surroundings, mines_solo
from node.store.rocks import open_store
from node.store.writer import ThreadWriter

_log = structlog.get_logger("node")


async def run(config: Config, stop: asyncio.Event) -> None:
    """Run a node until `stop` is set, then stop it in order. Raises NodeError."""
    try:
        # Before the store is made, which from then on belongs to its network.
        NasDesigns(config.network.parameters)
    except NetworkError as error:
        raise ConfigError(f"--network can't be used: {error}") from error
    calm_collector()
    folder = open_data_folder(config.data_dir)
    identity = open_identity(
        folder.key_file, os.environ.get(PASSPHRASE_VARIABLE), nacl.utils.random
    )
    store = open_store(folder.store, config.network.id)
    async with AsyncExitStack() as outside:
        writer = ThreadWriter(store)
        outside.push_async_callback(writer.close)
        aside = OneThread()
        outside.callback(aside.close)
        setup = _setup(config, identity)
        counter = trainer = auditing = None
        if config.role is not Role.MINER or mines_solo(setup):
            counter = _workers(outside, 1, config.device)
            auditing = _workers(outside, 1, "cpu")
            # A miner that has pools counts only if it loses them; its worker starts when needed.
            if not config.pools:
                counter.start()
        if config.role is Role.MINER:
            trainer = _workers(outside, config.workers, config.device)
            trainer.start()
        surroundings = Surroundings(
            clock=SystemClock(),
            transport=GrpcTransport(),
            store=store,
            writer=writer,
            counter=counter,
            auditing=auditing,
            trainer=trainer,
            shelf=DiskShelf(folder.tasks),
            aside=aside,
            # Salts and nonces must not be guessed.
            rng=random.SystemRandom(),
        )
        try:
            node = Node(setup, surroundings)
            await _serve(config, folder, identity, node, stop)
        except SafetyAlarm as alarm:
            raise SafetyError(f"stopped to stay safe: {alarm}") from alarm


def _workers(outside: AsyncExitStack, workers: int, device: str) -> LocalExecutor:
    executor = LocalExecutor(workers, device)
    outside.push_async_callback(executor.close)
    return executor


def _setup(config: Config, identity: Identity) -> Setup:
    return Setup(
        role=config.role,
        network=config.network,
        identity=identity,
        payout_address=config.payout_address or identity.public_key,
        peers=[str(peer) for peer in config.peers],
        pools=[str(pool) for pool in config.pools],
        strength=config.strength,
        partition=config.partition,
        pool_fee=config.pool_fee,
        workers=config.workers,
        discovers=not config.no_discovery,
        checkpoint=config.checkpoint,
        publishers=config.publishers,
        prunes=config.prune,
    )


async def _serve(
    config: Config, folder: DataFolder, identity: Identity, node: Node, stop: asyncio.Event
) -> None:
    """Listen, take part until told to stop, and say goodbye."""
    server = GrpcServer(
        QueryServicer(node.views),
        node.on_peer,
        node.on_miner if node.runs_public_pool else None,
    )
    folder.withdraw_address()
    address = await server.start(str(config.listen))
    folder.publish_address(address)
    node.listens_at(parse_endpoint(address).port)
    _log.info(
        "listening",
        address=address,
        role=str(config.role),
        network=config.network.parameters.name,
        public_key=identity.public_key,
    )
    try:
        async with controlling(node.miner, node.peers.unban, folder.control_socket):
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
            running.result()
    finally:
        for task in (running, stopping):
            task.cancel()
        await asyncio.gather(running, stopping, return_exceptions=True)
