"""Whatever the other side says, nobody falls over, and work with honest ones goes on."""

import random
from functools import partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from immutables import Map
from structlog.testing import capture_logs

from node.net.link import LinkClosed, ManagerLink
from ponas.v1 import pool_service_pb2 as pb
from ponas.v1 import types_pb2
from ponas.v1.types_pb2 import BlobChunk, Envelope
from pool.link.wire import PROTOCOL_VERSION, assignment_to_wire, report_to_wire
from pool.miner.failover import MAX_DRAIN_WAIT_MS
from pool.miner.miner import Miner, Route
from pool.records import events
from pool.records.strengths import Strength
from tests.any_message import message_of, swallow
from tests.pool_states import (
    after,
    best_of,
    handed_out,
    in_hand,
    open_round,
    round_of,
)
from tests.pool_world import (
    NETWORK_ID,
    PHASE_MS,
    TASK,
    PoolWorld,
    applicant,
    evidence_of,
    no_promises,
    public,
)
from tests.scripted import ScriptedExecutor
from tests.test_pool_manager import RawMiner, trained
from tests.virtual_time import run_virtual

EXAMPLES = 100
CHALLENGE = pb.MineResponse(
    challenge=pb.Challenge(
        nonce=bytes(32), network_id=NETWORK_ID, protocol_version=PROTOCOL_VERSION, manager=bytes(32)
    )
)


def orders() -> list[pb.MineResponse]:
    """One exploration and one exploitation as a pool hands them out."""
    pool = handed_out(open_round(strong="s", weak="w"))
    pool = after(pool, events.BestConfirmed(0, best_of("s")), events.BaseArrived(0, best_of("s")))
    return [
        pb.MineResponse(assignment=assignment_to_wire(in_hand(pool, name), round_of(pool), 0))
        for name in ("s", "w")
    ]


EXPLORATION, EXPLOITATION = orders()
FROM_POOLS = [
    CHALLENGE,
    EXPLORATION,
    EXPLOITATION,
    pb.MineResponse(welcome=pb.Welcome(strength=pb.STRENGTH_STRONG, heartbeat_ms=1_000)),
    pb.MineResponse(acknowledgement=pb.Acknowledgement(acceptance=pb.ACCEPTANCE_REFUSED)),
    pb.MineResponse(shared_best=pb.SharedBest(round=1)),
    pb.MineResponse(blob_request=pb.BlobRequest(hash=bytes(32))),
    pb.MineResponse(blob_chunk=BlobChunk(hash=b"w" * 32, total=3, data=b"abc")),
    pb.MineResponse(idle=pb.Idle(reason="a rest")),
    pb.MineResponse(drain=pb.Drain(reason="an update", wait_ms=1_000)),
    pb.MineResponse(
        payout_notice=Envelope(
            kind=types_pb2.KIND_PAYOUT_NOTICE, payload=b"x", public_key=bytes(32)
        )
    ),
]


async def pool_at_work() -> tuple[PoolWorld, RawMiner]:
    """A pool with an honest miner at work, and somebody else about to connect."""
    world = PoolWorld()
    world.start_round()
    world.add_miner("s", Strength.STRONG)
    await world.pass_ms(3_000)
    return world, RawMiner(world, "t")


async def first_result() -> pb.Result:
    """What that somebody could answer its first assignment with, breaking no rule."""
    world, other = await pool_at_work()
    report, _ = trained(await (await other.connect()).expect("assignment"), 350)
    await world.close()
    return report_to_wire(report)


FROM_MINERS = [
    pb.MineRequest(blob_request=pb.BlobRequest(hash=bytes(32))),
    pb.MineRequest(blob_chunk=BlobChunk(hash=bytes(32), total=3, data=b"abc")),
    pb.MineRequest(heartbeat=pb.Heartbeat()),
    pb.MineRequest(result=run_virtual(first_result())),
]


async def _no_peers(link: Any) -> None:
    await link.close("this is a pool only")


@settings(max_examples=EXAMPLES)
@given(
    challenge=st.one_of(*[st.just(CHALLENGE)] * 4, message_of([CHALLENGE])),
    messages=st.lists(message_of(FROM_POOLS), min_size=1, max_size=6),
)
def test_no_pool_breaks_a_miner(
    challenge: pb.MineResponse, messages: list[pb.MineResponse]
) -> None:
    if challenge.challenge.protocol_version != PROTOCOL_VERSION or (
        len(challenge.challenge.network_id) == 32 and challenge.challenge.network_id != NETWORK_ID
    ):
        # Of another network or version: the miner gives up, which has its own test.
        challenge = CHALLENGE

    async def run() -> None:
        world = PoolWorld()
        is_hostile = True
        results: list[pb.Result] = []

        async def serve(link: ManagerLink) -> None:
            if is_hostile:
                await swallow(link, [challenge, *messages])
                return
            await link.send(CHALLENGE)
            await link.send(EXPLORATION)
            try:
                while True:
                    message = await link.receive()
                    if message.HasField("result"):
                        results.append(message.result)
            except LinkClosed:
                pass

        world.network.listen("raw", _no_peers, serve)
        miner = Miner(
            applicant=applicant("s", Strength.STRONG),
            routes=(Route("raw", partial(world.network.transport("s").dial_pool, "raw")),),
            task_of=lambda _, data: TASK,
            executor=ScriptedExecutor(world.clock),
            clock=world.clock,
            rng=random.Random(1),
            promises=no_promises(),
            evidence=evidence_of("s"),
        )
        running = world.spawn(miner.run(), "miner")
        await world.pass_ms(5_000)
        # The pool comes to its senses.
        is_hostile = False
        world.network.stop("raw")
        world.network.listen("raw", _no_peers, serve)
        # Long enough for a pool that asked to be left alone.
        await world.pass_ms(2 * MAX_DRAIN_WAIT_MS + 25_000)

        assert not running.done()
        assert results
        await world.close()

    with capture_logs() as logs:
        run_virtual(run())
    # Each fault is told by its own rule, not by the net under all of them.
    assert "pool_at_fault" not in {log["event"] for log in logs}


@settings(max_examples=EXAMPLES)
@given(
    registers=st.booleans(),
    messages=st.lists(message_of(FROM_MINERS), min_size=1, max_size=6),
)
def test_no_miner_breaks_its_pool(registers: bool, messages: list[pb.MineRequest]) -> None:
    async def run() -> None:
        world, hostile = await pool_at_work()
        if registers:
            await hostile.connect()
        else:
            await hostile.dial()
        world.spawn(swallow(hostile.link, messages), "hostile")
        await world.pass_ms(1_000)
        before = world.manager.state.miners[public("s")]
        await world.pass_ms(12_000)

        state = world.manager.state
        after = state.miners[public("s")]
        assert after.accepted > before.accepted
        assert after.refused == Map()
        assert world.manager.best() is not None
        world.manager.close_round()
        await world.pass_ms(PHASE_MS)
        await world.close()

    with capture_logs() as logs:
        run_virtual(run())
    assert "task_failed" not in {log["event"] for log in logs}
