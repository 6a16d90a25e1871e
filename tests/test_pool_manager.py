"""The manager against miners that are driven message by message, honest and not."""

import asyncio
from contextlib import suppress
from typing import Any, Self

import pytest
from structlog.testing import capture_logs

from nas.designs.genotype import Genotype
from nas.evaluation.model_format import model_length
from nas.jobs import FailureKind, JobFailed, training_seed
from node.chain.envelope import open_as, sign
from node.chain.hashing import blob_hash
from node.chain.messages import Lease, LeaseAcceptance, PoolRegistration
from node.clock import Clock, LoopClock
from node.net.link import LinkClosed, MinerLink
from node.wire import envelope_from_proto, envelope_to_proto
from ponas.v1 import pool_service_pb2 as pb
from pool.link.blobs import chunks
from pool.link.orders import ExploreOrder, order_from_wire
from pool.link.wire import report_to_wire, strength_to_wire
from pool.manager.session import MESSAGES_AT_ONCE
from pool.records.refusals import Refusal
from pool.records.state import RoundTask
from pool.records.strengths import Strength
from pool.rules.payout import TOTAL_WEIGHT
from pool.rules.reports import Report
from tests.pool_states import INFO, SUBSPACE, alive_design
from tests.pool_world import NETWORK_ID, PHASE_MS, SPACE, TASK, PoolWorld, key_of, public
from tests.scripted import ScriptedExecutor, scripted_model
from tests.virtual_time import virtual_time


class RawMiner:
    """A miner's end of a link, one message at a time."""

    def __init__(self, world: PoolWorld, name: str) -> None:
        self._world = world
        self._name = name
        self._skipped: list[pb.MineResponse] = []
        self.accepts_leases = True
        self.beats = True
        self.link: MinerLink
        self.welcome: pb.Welcome

    async def connect(self, strength: Strength = Strength.STRONG) -> Self:
        """Dial and register, up to the manager's welcome."""
        challenge = await self.dial()
        await self.register(challenge, strength=strength_to_wire(strength))
        self.welcome = await self.expect("welcome")
        self._world.spawn(self._beat(), f"{self._name} beats")
        return self

    async def _beat(self) -> None:
        """Stay alive while the test lets time pass."""
        with suppress(LinkClosed):
            while self.beats:
                await self._world.pass_ms(self.welcome.heartbeat_ms)
                await self.link.send(pb.MineRequest(heartbeat=pb.Heartbeat()))

    async def dial(self) -> pb.Challenge:
        """Dial only; returns the challenge."""
        self.link = await self._world.network.transport(self._name).dial_pool("pool")
        return (await self.link.receive()).challenge

    async def register(
        self, challenge: pb.Challenge, network_id: bytes = NETWORK_ID, **changes: Any
    ) -> None:
        """Answer the challenge, with some fields of the registration changed."""
        fields: dict[str, Any] = {
            "nonce": challenge.nonce,
            "manager": challenge.manager,
            "strength": pb.STRENGTH_STRONG,
            "payout_address": public(self._name),
        }
        registration = PoolRegistration(**(fields | changes))
        envelope = sign(registration, key_of(self._name), network_id).envelope
        await self.link.send(pb.MineRequest(registration=envelope_to_proto(envelope)))

    async def expect(self, kind: str) -> Any:
        """The next message of a kind; others before it stay to be expected later."""
        for message in self._skipped:
            if message.WhichOneof("content") == kind:
                self._skipped.remove(message)
                return getattr(message, kind)
        while (message := await self.receive()).WhichOneof("content") != kind:
            self._skipped.append(message)
        return getattr(message, kind)

    async def receive(self) -> pb.MineResponse:
        """The next message; a lease is accepted at once."""
        message = await self.link.receive()
        if self.accepts_leases and message.assignment.HasField("lease"):
            lease = envelope_from_proto(message.assignment.lease)
            signed = open_as(Lease, lease, NETWORK_ID)
            envelope = sign(LeaseAcceptance(signed.id), key_of(self._name), NETWORK_ID).envelope
            await self.link.send(pb.MineRequest(lease_acceptance=envelope_to_proto(envelope)))
        return message

    async def closed(self) -> str:
        """Why the manager ends the link."""
        try:
            while True:
                await self.link.receive()
        except LinkClosed as closed:
            return closed.reason

    async def send(self, report: Report) -> None:
        await self.link.send(pb.MineRequest(result=report_to_wire(report)))

    async def serve_blob(self, blob: bytes | None) -> None:
        """Answer the manager's next request for a blob with this one."""
        request = await self.expect("blob_request")
        for chunk in chunks(request.hash, blob):
            await self.link.send(pb.MineRequest(blob_chunk=chunk))

    async def deliver(self, assignment: pb.Assignment, correct: int, episode: int = 0) -> Report:
        """Send a result that claims the best, and serve its model and weights."""
        report, model = trained(assignment, correct, episode)
        await self.send(report)
        await self.serve_blob(model)
        await self.serve_blob(b"weights")
        return report


def trained(assignment: pb.Assignment, correct: int, episode: int = 0) -> tuple[Report, bytes]:
    """A result of an exploration that obeys every rule, and its model."""
    order = order_from_wire(assignment, TASK, 0)
    if not isinstance(order.work, ExploreOrder):
        raise TypeError("this result is for an exploration")
    genotype = alive_design(order.work.space, episode)
    model = scripted_model("digits", genotype, correct, correct)
    report = Report(
        assignment_id=order.id,
        episode=episode,
        genotype=genotype.to_bytes(),
        training_seed=training_seed(order.work.seed, "digits", genotype, 0),
        correct=correct,
        size=INFO.validation,
        epochs=TASK.epochs,
        model_hash=blob_hash(model),
        weights_hash=blob_hash(b"weights"),
        failure="",
        states=tuple(bytes([epoch]) * 32 for epoch in range(TASK.epochs + 1)),
        precision="float32",
    )
    return report, model


def refused(world: PoolWorld, name: str = "s") -> dict[Refusal, int]:
    return dict(world.manager.state.miners[public(name)].refused)


@virtual_time
async def test_results_behind_one_whose_link_broke_are_not_held_against_their_miner() -> None:
    world = PoolWorld()
    world.start_round()
    miner = await RawMiner(world, "s").connect()
    assignment = await miner.expect("assignment")
    for episode in range(3):
        await miner.send(trained(assignment, 300, episode)[0])
    await miner.expect("blob_request")
    await miner.link.close("the cable was cut")
    await world.pass_ms(100)

    assert refused(world) == {}
    await world.close()


# Registration.


@virtual_time
async def test_a_registered_miner_is_welcomed_and_gets_work() -> None:
    world = PoolWorld()
    world.start_round()
    strong = await RawMiner(world, "s").connect()
    weak = await RawMiner(world, "w").connect(Strength.WEAK)

    assert strong.welcome.strength == pb.STRENGTH_STRONG
    assert (await strong.expect("assignment")).WhichOneof("work") == "exploration"
    assert "waits for the first confirmed best" in (await weak.expect("idle")).reason
    await world.close()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"network_id": bytes(32)}, "bad-signature"),
        ({"nonce": bytes(32)}, "nonce"),
        ({"manager": bytes(32)}, "manager"),
        ({"strength": 9}, "strength"),
    ],
)
def test_a_registration_with_one_fault_is_turned_away(changes: Any, reason: str) -> None:
    @virtual_time
    async def run() -> None:
        world = PoolWorld()
        miner = RawMiner(world, "s")
        await miner.register(await miner.dial(), **changes)

        await miner.closed()
        assert dict(world.manager.state.turned_away) == {reason: 1}
        assert not world.manager.state.miners
        await world.close()

    run()


@virtual_time
async def test_who_does_not_begin_with_a_registration_is_turned_away() -> None:
    world = PoolWorld()
    miner = RawMiner(world, "s")
    await miner.dial()
    await miner.link.send(pb.MineRequest(heartbeat=pb.Heartbeat()))

    assert "first message must be the registration" in await miner.closed()
    assert dict(world.manager.state.turned_away) == {"not-registered": 1}
    await world.close()


@virtual_time
async def test_who_says_nothing_is_turned_away_in_time() -> None:
    world = PoolWorld()
    miner = RawMiner(world, "s")
    await miner.dial()

    assert "no registration came in time" in await miner.closed()
    assert dict(world.manager.state.turned_away) == {"timeout": 1}
    await world.close()


@virtual_time
async def test_who_hangs_up_before_registering_leaves_no_trace() -> None:
    world = PoolWorld()
    miner = RawMiner(world, "s")
    await miner.dial()
    await miner.link.close("changed my mind")
    await world.pass_ms(100)

    assert not world.manager.state.turned_away
    await world.close()


@virtual_time
async def test_a_message_out_of_place_ends_the_link() -> None:
    world = PoolWorld()
    miner = await RawMiner(world, "s").connect()
    await miner.link.send(pb.MineRequest(heartbeat=pb.Heartbeat()))
    await miner.register(pb.Challenge(nonce=bytes(32), manager=bytes(32)))

    assert "not expected after the registration" in await miner.closed()
    await world.close()


# Confirmation.


@virtual_time
async def test_a_best_is_confirmed_by_counting_and_shared_with_all() -> None:
    world = PoolWorld()
    world.start_round()
    strong = await RawMiner(world, "s").connect()
    weak = await RawMiner(world, "w").connect(Strength.WEAK)
    assert world.manager.best() is None

    report = await strong.deliver(await strong.expect("assignment"), 300)

    shared = await weak.expect("shared_best")
    assert (shared.genotype, shared.training_seed) == (report.genotype, report.training_seed)
    assert (shared.correct, shared.size, shared.finder) == (300, 360, public("s"))
    exploitation = (await weak.expect("assignment")).exploitation
    assert exploitation.genotype == report.genotype
    assert exploitation.weights_hash == report.weights_hash
    best = world.manager.best()
    assert best is not None
    assert best.model == scripted_model("digits", Genotype.from_bytes(report.genotype), 300, 300)
    assert (best.round, best.correct, best.size, best.finder) == (1, 300, 360, public("s"))
    assert [(line.address, line.weight) for line in best.lines] == [(public("s"), TOTAL_WEIGHT)]
    await world.close()


@virtual_time
async def test_a_weak_miner_gets_the_weights_when_it_asks() -> None:
    world = PoolWorld()
    world.start_round()
    strong = await RawMiner(world, "s").connect()
    weak = await RawMiner(world, "w").connect(Strength.WEAK)
    await strong.deliver(await strong.expect("assignment"), 300)
    hash_ = (await weak.expect("assignment")).exploitation.weights_hash
    await weak.link.send(pb.MineRequest(blob_request=pb.BlobRequest(hash=hash_)))
    await weak.link.send(pb.MineRequest(blob_request=pb.BlobRequest(hash=bytes(32))))

    assert (await weak.expect("blob_chunk")).data == b"weights"
    assert (await weak.expect("blob_chunk")).total == 0
    await world.close()


@pytest.mark.parametrize("counted", [299, 301])
def test_a_count_that_is_not_the_models_is_refused(counted: int) -> None:
    @virtual_time
    async def run() -> None:
        world = PoolWorld()
        world.start_round()
        miner = await RawMiner(world, "s").connect()
        report, _ = trained(await miner.expect("assignment"), 300)
        genotype = Genotype.from_bytes(report.genotype)
        model = scripted_model("digits", genotype, counted, 300)
        await miner.send(report.but(model_hash=blob_hash(model)))
        await miner.serve_blob(model)

        answer = await miner.expect("acknowledgement")
        assert answer.acceptance == pb.ACCEPTANCE_REFUSED
        assert answer.reason == f"count-differs: the model counts {counted} images, not 300"
        assert refused(world) == {Refusal.COUNT_DIFFERS: 1}
        assert world.manager.best() is None
        await world.close()

    run()


@pytest.mark.parametrize(
    ("blob", "reason", "detail"),
    [
        (None, Refusal.MODEL_MISSING, "does not have it"),
        (b"other", Refusal.MODEL_MISSING, "its hash is another one"),
        (bytes(100_000), Refusal.MODEL_MISSING, "are allowed"),
    ],
    ids=["not there", "another model", "too long"],
)
def test_a_model_that_does_not_arrive_is_refused(
    blob: bytes | None, reason: Refusal, detail: str
) -> None:
    @virtual_time
    async def run() -> None:
        world = PoolWorld()
        world.start_round()
        miner = await RawMiner(world, "s").connect()
        report, _ = trained(await miner.expect("assignment"), 300)
        await miner.send(report)
        await miner.serve_blob(blob)

        assert detail in (await miner.expect("acknowledgement")).reason
        assert refused(world) == {reason: 1}
        await world.close()

    run()


@virtual_time
async def test_a_model_of_another_length_is_refused() -> None:
    world = PoolWorld()
    world.start_round()
    miner = await RawMiner(world, "s").connect()
    report, model = trained(await miner.expect("assignment"), 300)
    await miner.send(report.but(model_hash=blob_hash(model[:-1])))
    await miner.serve_blob(model[:-1])

    genotype = Genotype.from_bytes(report.genotype)
    expected = model_length(genotype, INFO.shape, INFO.classes)
    answer = await miner.expect("acknowledgement")
    assert answer.reason.startswith("model-format: ")
    assert f"{expected - 1} bytes long instead of {expected}" in answer.reason
    assert refused(world) == {Refusal.MODEL_FORMAT: 1}
    await world.close()


class FailingCounter(ScriptedExecutor):
    """Counts nothing, for this reason."""

    def __init__(self, clock: Clock, reason: str, kind: FailureKind) -> None:
        super().__init__(clock)
        self._reason, self._kind = reason, kind

    async def run(self, job: Any) -> Any:
        raise JobFailed(self._reason, self._kind)


async def claim_of_best(world: PoolWorld) -> pb.Acknowledgement:
    """What the manager makes of the first claim of a best, whose model it gets."""
    world.start_round()
    miner = await RawMiner(world, "s").connect()
    report, model = trained(await miner.expect("assignment"), 300)
    await miner.send(report)
    await miner.serve_blob(model)
    acknowledgement: pb.Acknowledgement = await miner.expect("acknowledgement")
    return acknowledgement


@pytest.mark.parametrize(
    ("kind", "refusal"),
    [
        (FailureKind.MODEL_FORMAT, Refusal.MODEL_FORMAT),
        (FailureKind.MODEL_TOO_WIDE, Refusal.MODEL_TOO_WIDE),
    ],
)
def test_a_model_that_cannot_be_counted_is_refused_by_its_fault(
    kind: FailureKind, refusal: Refusal
) -> None:
    @virtual_time
    async def run() -> None:
        clock = LoopClock(asyncio.get_running_loop())
        reason = "layer 1 weights holds codes"
        world = PoolWorld(executor=FailingCounter(clock, reason, kind))
        answer = await claim_of_best(world)

        assert (answer.acceptance, answer.reason) == (pb.ACCEPTANCE_REFUSED, f"{refusal}: {reason}")
        assert refused(world) == {refusal: 1}
        await world.close()

    run()


@virtual_time
async def test_a_worker_that_died_is_not_held_against_the_miner() -> None:
    clock = LoopClock(asyncio.get_running_loop())
    reason = "the worker process ended with exit code -9"
    world = PoolWorld(executor=FailingCounter(clock, reason, FailureKind.OTHER))
    with capture_logs() as logs:
        answer = await claim_of_best(world)

    miner = world.manager.state.miners[public("s")]
    assert answer.acceptance == pb.ACCEPTANCE_ACCEPTED
    assert (miner.accepted, dict(miner.refused), miner.stale) == (1, {}, 0)
    # What was not counted is no best.
    assert world.manager.best() is None
    failed = [log for log in logs if log["event"] == "model_not_counted"]
    assert [(log["log_level"], log["reason"]) for log in failed] == [("error", reason)]
    await world.close()


@virtual_time
async def test_a_result_of_impossible_size_ends_the_link() -> None:
    world = PoolWorld()
    world.start_round()
    miner = await RawMiner(world, "s").connect()
    report, _ = trained(await miner.expect("assignment"), 300)
    await miner.send(report.but(genotype=bytes(1_000_000)))

    assert "makes no sense: a result of" in await miner.closed()
    await world.close()


@virtual_time
async def test_a_hash_that_is_none_is_not_asked_for() -> None:
    world = PoolWorld()
    miner = await RawMiner(world, "s").connect()
    await miner.link.send(pb.MineRequest(blob_request=pb.BlobRequest(hash=bytes(1_000))))

    assert "a hash has 32 bytes, not 1000" in await miner.closed()
    await world.close()


@virtual_time
async def test_a_model_that_never_comes_is_refused_in_time() -> None:
    world = PoolWorld()
    world.start_round()
    miner = await RawMiner(world, "s").connect()
    report, _ = trained(await miner.expect("assignment"), 300)
    await miner.send(report)

    assert "did not come within" in (await miner.expect("acknowledgement")).reason
    await world.close()


@virtual_time
async def test_a_search_goes_on_after_a_refused_result() -> None:
    world = PoolWorld()
    world.start_round()
    miner = await RawMiner(world, "s").connect()
    assignment = await miner.expect("assignment")
    await miner.send(trained(assignment, 300)[0])
    await miner.serve_blob(None)
    await miner.expect("acknowledgement")

    await miner.deliver(assignment, 310, episode=1)

    assert (await miner.expect("acknowledgement")).acceptance == pb.ACCEPTANCE_ACCEPTED
    await world.close()


@virtual_time
async def test_without_its_weights_a_best_stands_but_is_not_exploited() -> None:
    world = PoolWorld()
    world.start_round()
    strong = await RawMiner(world, "s").connect()
    report, model = trained(await strong.expect("assignment"), 300)
    await strong.send(report)
    await strong.serve_blob(model)
    await strong.serve_blob(None)
    await world.pass_ms(100)

    best, round_ = world.manager.best(), world.manager.state.round
    assert best is not None
    assert round_ is not None
    assert best.correct == 300
    assert round_.base is None
    await world.close()


@virtual_time
async def test_what_is_confirmed_after_the_phase_is_stale() -> None:
    world = PoolWorld()
    world.start_round()
    miner = await RawMiner(world, "s").connect()
    report, model = trained(await miner.expect("assignment"), 300)
    await world.clock.sleep_until(PHASE_MS - 50)
    await miner.send(report)
    await miner.serve_blob(model)

    assert (await miner.expect("acknowledgement")).acceptance == pb.ACCEPTANCE_STALE
    assert world.manager.best() is None
    assert world.manager.state.miners[public("s")].stale == 1
    await world.close()


@virtual_time
async def test_of_two_claims_the_better_one_stands() -> None:
    world = PoolWorld()
    world.start_round()
    first = await RawMiner(world, "s").connect()
    second = await RawMiner(world, "t").connect()
    one, two = await first.expect("assignment"), await second.expect("assignment")
    await asyncio.gather(first.deliver(one, 310), second.send(trained(two, 300)[0]))
    await second.serve_blob(trained(two, 300)[1])

    # Right, but overtaken while it was counted: accepted as any other result.
    assert (await second.expect("acknowledgement")).acceptance == pb.ACCEPTANCE_ACCEPTED
    await world.pass_ms(500)
    best = world.manager.best()
    assert best is not None
    assert best.correct == 310
    await world.close()


# Coming and going.


@virtual_time
async def test_a_returning_miner_gets_its_search_with_the_rewards_so_far() -> None:
    world = PoolWorld()
    world.start_round()
    miner = await RawMiner(world, "s").connect()
    first = await miner.expect("assignment")
    await miner.deliver(first, 300)
    await world.pass_ms(500)
    await miner.link.close("cable")
    again = await (await RawMiner(world, "s").connect()).expect("assignment")

    assert again.id != first.id
    assert again.exploration.search_seed == first.exploration.search_seed
    assert list(again.exploration.rewards) == [300 / 360]
    await world.close()


@virtual_time
async def test_a_miner_that_connects_twice_keeps_the_newer_link() -> None:
    world = PoolWorld()
    world.start_round()
    old = await RawMiner(world, "s").connect()
    await old.expect("assignment")
    new = await RawMiner(world, "s").connect()

    assert await new.expect("assignment")
    assert "connected again" in await old.closed()
    assert world.manager.state.miners[public("s")].connected
    await world.close()


@virtual_time
async def test_a_miner_that_was_typed_anew_is_told() -> None:
    world = PoolWorld()
    world.start_round()
    miner = await RawMiner(world, "a").connect(Strength.AUTO)
    assert miner.welcome.strength == pb.STRENGTH_STRONG
    await miner.deliver(await miner.expect("assignment"), 300)
    for number in (2, 3):
        await world.pass_ms(PHASE_MS)
        world.manager.close_round()
        world.start_round(number)

    welcome = await miner.expect("welcome")
    assert welcome.strength == pb.STRENGTH_WEAK
    assert "1.0 candidates took" in welcome.reason
    await world.close()


@virtual_time
async def test_a_miner_that_reads_nothing_is_disconnected() -> None:
    world = PoolWorld()
    world.start_round()
    miner = await RawMiner(world, "s").connect()
    late = trained(await miner.expect("assignment"), 300)[0].but(assignment_id=99)
    for _ in range(200):
        await miner.send(late)
        await world.pass_ms(10)
        if not world.manager.state.miners[public("s")].connected:
            break

    assert not world.manager.state.miners[public("s")].connected
    await world.close()


@virtual_time
async def test_a_flood_of_results_ends_the_link() -> None:
    world = PoolWorld()
    world.start_round()
    miner = await RawMiner(world, "s").connect()
    report, _ = trained(await miner.expect("assignment"), 300)

    async def flood() -> None:
        # The first result waits for its model; the others pile up behind it.
        for _ in range(2_000):
            await miner.send(report)

    with pytest.raises(LinkClosed, match="faster than they can be judged"):
        await flood()
    await world.close()


@virtual_time
async def test_who_sends_more_messages_than_a_miner_can_mean_is_disconnected() -> None:
    world = PoolWorld()
    world.start_round()
    miner = await RawMiner(world, "s").connect()

    async def flood() -> None:
        for _ in range(2 * MESSAGES_AT_ONCE):
            await miner.link.send(pb.MineRequest(heartbeat=pb.Heartbeat()))

    with pytest.raises(LinkClosed, match="too-many-messages"):
        await flood()
    await world.close()


@virtual_time
async def test_results_that_are_sent_again_on_a_new_link_are_no_fault() -> None:
    world = PoolWorld()
    world.start_round()
    miner = await RawMiner(world, "s").connect()
    assignment = await miner.expect("assignment")
    reports = [failed(assignment, episode) for episode in range(120)]
    for report in reports:
        await miner.send(report)
    await world.pass_ms(200)
    await miner.link.close("the cable was cut")

    again = await RawMiner(world, "s").connect()
    for report in reports:
        await again.send(report)
    await world.pass_ms(200)

    assert refused(world) == {Refusal.DUPLICATE: 120}
    assert world.manager.state.miners[public("s")].connected
    await world.close()


def failed(assignment: pb.Assignment, episode: int) -> Report:
    report, _ = trained(assignment, 0, episode)
    nothing = report.but(epochs=0, model_hash=b"", weights_hash=b"", states=())
    return nothing.but(precision="", failure="no memory")


@virtual_time
async def test_a_shorter_round_does_not_lose_miners_that_keep_the_beat_they_were_told() -> None:
    world = PoolWorld()
    now_ms = world.clock.now_ms()
    world.manager.start_round(RoundTask(1, TASK, SPACE, now_ms + 240_000))
    miner = await RawMiner(world, "s").connect()
    assert miner.welcome.heartbeat_ms == 30_000
    await world.pass_ms(204_000)

    # The round begins anew with another space, as after a switch to another chain.
    world.manager.start_round(RoundTask(1, TASK, SUBSPACE, now_ms + 240_000))
    await world.pass_ms(25_000)

    assert world.manager.state.miners[public("s")].connected
    await world.close()
