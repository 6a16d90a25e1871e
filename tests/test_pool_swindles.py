"""Cheaters against a whole manager: each is caught or earns nothing, and the others lose nothing.

What the rules of pay make of cheats round by round is in tests/test_pool_cheaters.py; managers that
skim are found in tests/test_pool_verification.py and tests/test_cli_pool_verify.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from nas.designs.design import judge
from nas.designs.genotype import ARCHITECTURE_TOKENS, HYPERPARAMETERS, Genotype
from nas.jobs import training_seed
from node.chain.envelope import sign
from node.chain.hashing import blob_hash
from node.chain.messages import Commit
from node.net.link import LinkClosed
from ponas.v1 import pool_service_pb2 as pb
from pool.decisions.pay import LEASE_BROKEN
from pool.link.blobs import chunks
from pool.records import events
from pool.records.refusals import Refusal
from pool.records.state import PoolState, RoundTask
from pool.rules.audits import Fault
from pool.rules.prices import EVALUATION_PARTS, price_of
from pool.rules.reports import Report
from pool.rules.worth import Worth
from tests.pool_states import INFO
from tests.pool_world import NETWORK_ID, PHASE_MS, SPACE, TASK, PoolWorld, key_of, public
from tests.scripted import scripted_model
from tests.test_pool_manager import RawMiner, trained
from tests.virtual_time import virtual_time

E = TypeVar("E", bound=events.Event)
RESULTS = 4


class Player(RawMiner):
    """A miner that has `blobs` for whoever asks, and keeps its newest order."""

    def __init__(self, world: PoolWorld, name: str) -> None:
        super().__init__(world, name)
        self.world = world
        self.blobs: dict[bytes, bytes] = {blob_hash(b"weights"): b"weights"}
        self.order: pb.Assignment

    async def play(self) -> Player:
        """Connect, take the first order, and answer all questions from then on."""
        await self.connect()
        self.order = await self.expect("assignment")
        self.world.spawn(self._answer(), "answers")
        return self

    async def _answer(self) -> None:
        with suppress(LinkClosed):
            while True:
                message = await self.receive()
                if message.HasField("blob_request"):
                    hash_ = message.blob_request.hash
                    for chunk in chunks(hash_, self.blobs.get(hash_)):
                        await self.link.send(pb.MineRequest(blob_chunk=chunk))

    async def hand_in(self, report: Report, model: bytes = b"") -> None:
        """Send a result, and leave time for all that comes of it."""
        self.blobs[report.model_hash] = model
        with suppress(LinkClosed):
            await self.send(report)
        await self.world.pass_ms(700)

    async def work(self, results: int = RESULTS) -> None:
        """Train honestly; all models count the same."""
        for episode in range(results):
            await self.hand_in(*trained(self.order, 310, episode))


@dataclass(frozen=True)
class Played:
    """The pool after a round in which a cheater did its worst, and what it would pay."""

    pool: PoolState
    history: list[events.AnyEvent]
    weights: dict[bytes, int]

    def of_cheater(self, kind: type[E]) -> list[E]:
        """Events of a kind about the cheater."""
        mine = [event for event in self.history if isinstance(event, kind)]
        return [event for event in mine if getattr(event, "miner", b"") == public("mal")]

    @property
    def is_banned(self) -> bool:
        """Whether the cheater was sent away."""
        return bool(self.of_cheater(events.Banned))


Cheat = Callable[[Player], Awaitable[None]]


async def played(cheat: Cheat | None, protocol: str = "qat") -> Played:
    """Two honest miners, and perhaps a cheater between their results."""
    world = PoolWorld()
    task = replace(TASK, protocol=protocol)
    world.manager.start_round(RoundTask(1, task, SPACE, world.clock.now_ms() + PHASE_MS))
    ann = await Player(world, "ann").play()
    bob = await Player(world, "bob").play()
    await ann.work(1)
    if cheat is not None:
        mal = await Player(world, "mal").play()
        # What it could steal, if it got hold of it.
        mal.blobs |= ann.blobs
        await cheat(mal)
    await bob.work()
    for episode in range(1, RESULTS):
        await ann.hand_in(*trained(ann.order, 310, episode))
    best = world.manager.best()
    assert best is not None
    weights = {line.address: line.weight for line in best.lines}
    outcome = Played(world.manager.state, world.history(), weights)
    await world.close()
    return outcome


async def assert_nobody_else_loses(with_cheater: Played) -> None:
    without = await played(None)
    assert set(without.weights) == {public("ann"), public("bob")}
    assert with_cheater.weights == without.weights


@virtual_time
async def test_inventing_the_best_is_refused_and_leads_to_a_ban() -> None:
    async def invent(mal: Player) -> None:
        for episode in range(2):
            report, _ = trained(mal.order, 350, episode)
            worse = scripted_model("digits", Genotype.from_bytes(report.genotype), 250, 250)
            await mal.hand_in(report.but(model_hash=blob_hash(worse)), worse)

    outcome = await played(invent)

    refused = [event.reason for event in outcome.of_cheater(events.ResultRefused)]
    assert refused == [Refusal.COUNT_DIFFERS] * 2
    assert outcome.is_banned
    await assert_nobody_else_loses(outcome)


@virtual_time
async def test_inventing_lesser_accuracies_is_found_by_an_audit() -> None:
    async def invent(mal: Player) -> None:
        report, _ = trained(mal.order, 300)
        worse = scripted_model("digits", Genotype.from_bytes(report.genotype), 200, 200)
        await mal.hand_in(report.but(model_hash=blob_hash(worse)), worse)

    outcome = await played(invent)

    (lost,) = outcome.of_cheater(events.WorkForfeited)
    assert lost.reason == Fault.COUNT_DIFFERS
    assert outcome.is_banned
    await assert_nobody_else_loses(outcome)


@virtual_time
async def test_the_models_of_others_are_paid_once() -> None:
    async def replay(mal: Player) -> None:
        (stolen,) = mal.blobs.keys() - {blob_hash(b"weights")}
        report, _ = trained(mal.order, 310)
        await mal.hand_in(report.but(model_hash=stolen), mal.blobs[stolen])

    outcome = await played(replay)

    (accepted,) = outcome.of_cheater(events.ResultAccepted)
    assert (accepted.worth, accepted.work) == (Worth.REPEATED_MODEL, 0)
    await assert_nobody_else_loses(outcome)


@virtual_time
async def test_an_untrained_model_as_full_work_is_found_by_a_repeated_epoch() -> None:
    async def idle(mal: Player) -> None:
        report, model = trained(mal.order, 40)
        invented = [bytes([epoch]) * 64 for epoch in range(TASK.epochs + 1)]
        states = tuple(map(blob_hash, invented))
        mal.blobs |= dict(zip(states, invented, strict=True))
        await mal.hand_in(report.but(states=states), model)
        await mal.world.pass_ms(3_000)

    outcome = await played(idle)

    (lost,) = outcome.of_cheater(events.WorkForfeited)
    assert lost.reason == Fault.STATE_DIFFERS
    assert outcome.is_banned
    await assert_nobody_else_loses(outcome)


@virtual_time
async def test_float_weights_under_other_bits_pay_their_evaluation() -> None:
    counted: list[int] = []

    async def change_bits(mal: Player) -> None:
        first, _ = trained(mal.order, 305)
        for episode, genotype in enumerate(same_architecture(first, mal.order)):
            model = scripted_model("digits", genotype, 305, 300 + episode)
            seed = training_seed(mal.order.exploration.search_seed, "digits", genotype, 0)
            report = first.but(
                episode=episode,
                genotype=genotype.to_bytes(),
                training_seed=seed,
                model_hash=blob_hash(model),
            )
            counted.append(judge(genotype, replace(TASK, protocol="ptq")).macs)
            await mal.hand_in(report, model)

    outcome = await played(change_bits, "ptq")
    alone = await played(None, "ptq")

    accepted = outcome.of_cheater(events.ResultAccepted)
    assert [event.worth for event in accepted] == [Worth.FULL, *[Worth.REUSED_WEIGHTS] * 3]
    full, *reused = (event.work for event in accepted)
    assert full == price_of(counted[0]) * INFO.train * TASK.epochs
    evaluation = price_of(counted[1]) * INFO.validation * TASK.epochs // EVALUATION_PARTS
    assert reused == [evaluation] * 3
    honest = [public("ann") * 2, public("bob") * 2]
    assert [outcome.pool.books.earned[who] for who in honest] == [
        alone.pool.books.earned[who] for who in honest
    ]


def same_architecture(first: Report, order: pb.Assignment) -> list[Genotype]:
    """Four designs of a subspace that differ in their bits alone."""
    layers = order.exploration.subspace.layers
    designs = [Genotype.from_bytes(first.genotype)]
    bits = range(ARCHITECTURE_TOKENS, len(HYPERPARAMETERS))
    for at, layer in enumerate(layers):
        for token in bits:
            for value in layer.hyperparameters[token].values:
                tokens = list(designs[0].tokens)
                tokens[len(HYPERPARAMETERS) * at + token] = value
                genotype = Genotype.from_tokens(tokens)
                design = judge(genotype, replace(TASK, protocol="ptq"))
                is_usable = design.feasible and not design.dead
                if is_usable and genotype not in designs:
                    designs.append(genotype)
    return designs[:4]


@virtual_time
async def test_who_defects_to_solo_inside_a_lease_loses_its_window() -> None:
    async def defect(mal: Player) -> None:
        await mal.work(1)
        commit = sign(Commit(1, 0, bytes(32)), key_of("mal"), NETWORK_ID)
        mal.world.manager.on_commit(commit)
        await mal.world.pass_ms(100)

    outcome = await played(defect)

    (lost,) = outcome.of_cheater(events.WorkForfeited)
    assert lost.reason == LEASE_BROKEN
    assert outcome.of_cheater(events.ResultAccepted)[0].work > 0
    assert outcome.is_banned
    await assert_nobody_else_loses(outcome)
