"""Holders of seals and keys that do not reveal them, or not to everybody in time."""

from __future__ import annotations

from node.assembly import Node
from node.chain.messages import Envelope, Kind
from node.chain.timing import Phase, deadline, phase_at
from tests.scripted import scripted_score
from tests.sim.adversaries.sending import is_odd, tell_some
from tests.sim.world import World


class SecretHack:
    """Does with the node's seals and keys what `treat` says instead of sending them."""

    def corrupt(self, world: World, name: str, node: Node) -> None:
        submit = node.submit

        def submit_all_else(envelope: Envelope) -> None:
            if envelope.kind in (Kind.SEAL, Kind.KEY):
                self.treat(world, node, envelope)
            else:
                submit(envelope)

        node.submit = submit_all_else  # type: ignore[method-assign]

    def treat(self, world: World, node: Node, secret: Envelope) -> None:
        """Dispose of a secret; the default is to keep it."""


class SecretWithholder(SecretHack):
    """Vetoes every round whose test images it helps to open."""


class SecretLeaker(SecretHack):
    """Tells its secrets to one half of its peers when it is almost too late for the other half."""

    def treat(self, world: World, node: Node, secret: Envelope) -> None:
        async def leak() -> None:
            now = phase_at(world.network, world.now_ms()).round
            await world.clock.sleep_until(deadline(world.network, now, Phase.LIST) - 20)
            world.peace.disturb()
            tell_some(node, secret, is_odd)

        if world.peace.is_truce:
            reveal(node, secret)
        else:
            node._round_tasks.spawn(leak(), name="leak a secret")


class SealVetoer(SecretHack):
    """Reveals its seals only if one of its company would win: it knows what all models count,
    which is more than a real one can know."""

    def treat(self, world: World, node: Node, secret: Envelope) -> None:
        now = phase_at(world.network, world.now_ms()).round
        context, counts = node.chain.context(now), {}
        for name in world.up():
            producer = world[name]._producer
            if producer is None or (promised := producer.committed) is None:
                continue
            claim = promised.claim
            if claim.round == now:
                # Which test images there are makes no difference to a scripted model.
                data = node._designs.test_data(context, world.key(name), claim)
                counts[name] = scripted_score(data, promised.model, "test")
        best = max(counts, key=counts.__getitem__, default=None)
        if best not in world.honest:
            reveal(node, secret)


def reveal(node: Node, secret: Envelope) -> None:
    """Send a secret as an honest holder does."""
    node._gate.on_gossip(secret)
    node.peers.broadcast(secret)
