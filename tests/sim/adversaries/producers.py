"""Producers that break rules; the pool they commit for always has the best model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from nas.designs.genotype import Genotype
from node.assembly import Node
from node.chain.commits import commit_id, commit_of
from node.chain.context import RoundContext
from node.chain.envelope import Signed, sign
from node.chain.lists import certified
from node.chain.messages import Claim, Envelope, Kind
from node.chain.timing import Phase, deadline, phase_at
from node.consensus.producer import Producer
from node.store.blobs import Part
from pool.manager.manager import ConfirmedBest, Promised
from tests.scripted import reworth, scripted_model
from tests.sim.adversaries.sending import is_odd, tell_halves, tell_some
from tests.sim.adversaries.tampering import Tamper, corrupt, hide_commits, honest, replace_best
from tests.sim.world import World

SUPERB = 985
"""Thousandths of the images: more than any scripted training gets, so that a crook is walked
first."""
GROUND_SALTS = 256


def superb(best: ConfirmedBest) -> ConfirmedBest:
    """The same design with a model that beats everybody's."""
    return worth(best, SUPERB)


def redesigned(best: ConfirmedBest, genotype: Genotype) -> ConfirmedBest:
    """Another design, on data that everybody has, with a model that beats everybody's."""
    correct = best.size * SUPERB // 1_000
    model = scripted_model("digits", genotype, correct, correct)
    return replace(best, genotype=genotype, model=model)


def worth(best: ConfirmedBest, permille: int) -> ConfirmedBest:
    """The same design with a model that counts so many thousandths of the images."""
    return replace(best, model=reworth(best.model, best.size * permille // 1_000))


@dataclass(frozen=True)
class Crook:
    """A mint that commits a model worth `permille`, and reveals `tamper` of it."""

    tamper: Tamper = honest
    permille: int = SUPERB

    def corrupt(self, world: World, name: str, node: Node) -> None:
        producer = corrupt(node, self.tamper)
        replace_best(producer, lambda best: self.change(best))
        self.prepare(world, node, producer)

    def change(self, best: ConfirmedBest) -> ConfirmedBest:
        """What it commits instead of its model."""
        return worth(best, self.permille)

    def prepare(self, world: World, node: Node, producer: Producer) -> None:
        """Change what else it does."""


def boast(committed: Promised, correct: int) -> tuple[Promised, int]:
    """Claim almost every image."""
    return committed, correct + correct // 100


def overstate(committed: Promised, correct: int) -> tuple[Promised, int]:
    """Claim one image too many."""
    return committed, correct + 1


def understate(committed: Promised, correct: int) -> tuple[Promised, int]:
    """Claim one image too few."""
    return committed, correct - 1


class Copier(Crook):
    """Commits the first model that it has ever had again and again."""

    def prepare(self, world: World, node: Node, producer: Producer) -> None:
        first: list[ConfirmedBest] = []
        find = producer._pool.best

        def find_again() -> ConfirmedBest | None:
            best = find()
            if best is not None and not first:
                first.append(best)
            return None if best is None else replace(first[0], round=best.round)

        producer._pool.best = find_again  # type: ignore[method-assign]


class Perturber(Crook):
    """Commits the model that has won last, with a single image more."""

    def corrupt(self, world: World, name: str, node: Node) -> None:
        def perturb(best: ConfirmedBest) -> ConfirmedBest:
            block = node.chain.tree.head().block
            claim = None if block is None else block.header.message
            model = node.chain.blob(claim.model_hash) if isinstance(claim, Claim) else None
            if model is None or not isinstance(claim, Claim):
                return best
            genotype = Genotype.from_bytes(claim.genotype)
            return replace(best, genotype=genotype, model=reworth(model, claim.correct + 1))

        replace_best(corrupt(node, self.tamper), perturb)


class Insider(Crook):
    """Has seen the test images of what its company publishes, and no others."""

    def corrupt(self, world: World, name: str, node: Node) -> None:
        def use(best: ConfirmedBest) -> ConfirmedBest:
            paid = node.chain.context(best.round).paid
            is_known = paid is not None and paid.record.publisher in world.company
            return superb(best) if is_known else best

        replace_best(corrupt(node, self.tamper), use)


class SaltGrinder(Crook):
    """Tries salts until its commitment is low; its models are like anybody's."""

    def change(self, best: ConfirmedBest) -> ConfirmedBest:
        return best

    def prepare(self, world: World, node: Node, producer: Producer) -> None:
        make = producer._claim_of

        def grind(context: RoundContext, best: ConfirmedBest) -> Claim:
            key = bytes(producer._key.verify_key)
            claims = [make(context, best) for _ in range(GROUND_SALTS)]
            return min(claims, key=lambda claim: commit_of(context, claim, key).commitment)

        producer._claim_of = grind  # type: ignore[method-assign]


class HiddenCommitter(Crook):
    """Shows nobody its commit."""

    def prepare(self, world: World, node: Node, producer: Producer) -> None:
        hide_commits(producer)


class LateCommitter(Crook):
    """Sends its commit after the lists were signed, to whoever still lists it."""

    def prepare(self, world: World, node: Node, producer: Producer) -> None:
        send = producer._send

        async def send_late(envelope: Envelope) -> None:
            now = phase_at(world.network, world.now_ms()).round
            await world.clock.sleep_until(deadline(world.network, now, Phase.TRAIN) + 100)
            send(envelope)

        def send_in_time_all_else(envelope: Envelope) -> None:
            if envelope.kind == Kind.COMMIT:
                node._round_tasks.spawn(send_late(envelope), name="late commit")
            else:
                send(envelope)

        claim = producer.claim

        async def claim_when_listed(number: int) -> None:
            """Those who list it take their time as well."""
            context, book = producer._chain.context(number), producer._rounds.book(number)
            key, promised = bytes(producer._key.verify_key), producer.committed
            if promised is None or promised.claim.round != number:
                return
            own = commit_id(context.network.id, key, commit_of(context, promised.claim, key))
            if await producer._comes(
                context, lambda: own in certified(context, book.lists.values())
            ):
                await claim(number)

        producer._send = send_in_time_all_else
        producer.claim = claim_when_listed  # type: ignore[assignment, method-assign]


class ModelWithholder(Crook):
    """Claims, and gives its model to nobody."""

    def prepare(self, world: World, node: Node, producer: Producer) -> None:
        serve = node._gate.blob_part

        def serve_all_else(wanted: bytes, offset: int) -> Part | None:
            promised = producer.committed
            is_model = promised is not None and wanted == promised.claim.model_hash
            return None if is_model else serve(wanted, offset)

        node._gate.blob_part = serve_all_else  # type: ignore[assignment, method-assign]


class HalfServer(Crook):
    """Shows its claim to one half of its peers, at the last moment."""

    def prepare(self, world: World, node: Node, producer: Producer) -> None:
        send = producer._send

        def send_to_half(envelope: Envelope) -> None:
            if envelope.kind == Kind.CLAIM and not world.peace.is_truce:
                node._gate.on_gossip(envelope)
                node._round_tasks.spawn(
                    at_the_last_moment(world, lambda: tell_some(node, envelope, is_odd)),
                    name="late claim",
                )
            else:
                send(envelope)

        producer._send = send_to_half


class HeaderEquivocator(Crook):
    """Shows one claim to one half of its peers and another one to the other half."""

    def prepare(self, world: World, node: Node, producer: Producer) -> None:
        reveal = producer.reveal

        def reveal_two(claim: Signed[Claim], body: bytes, model: bytes) -> None:
            if world.peace.is_truce:
                reveal(claim, body, model)
                return
            other = sign(
                replace(claim.message, correct=claim.message.correct - 1),
                producer._key,
                world.network.id,
            )
            for blob in (body, model):
                node._rounds.shelve(claim.message.round, blob)
            node._round_tasks.spawn(
                at_the_last_moment(
                    world, lambda: tell_halves(node, claim.envelope, other.envelope)
                ),
                name="two claims",
            )

        producer.reveal = reveal_two  # type: ignore[method-assign]


class Sniper(Crook):
    """Claims when votes are almost due, so that only some can have it counted."""

    def prepare(self, world: World, node: Node, producer: Producer) -> None:
        send = producer._send

        def send_at_the_end(envelope: Envelope) -> None:
            if envelope.kind == Kind.CLAIM and not world.peace.is_truce:
                node._round_tasks.spawn(
                    at_the_last_moment(world, lambda: send(envelope)), name="late claim"
                )
            else:
                send(envelope)

        producer._send = send_at_the_end


async def at_the_last_moment(world: World, act: Callable[[], None]) -> None:
    """Do something when the claims of the round are looked at."""
    now = phase_at(world.network, world.now_ms()).round
    await world.clock.sleep_until(deadline(world.network, now, Phase.CLAIM) - 20)
    world.peace.disturb()
    act()
