"""People with coins: what they send is signed with the key of a machine."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from node.chain.bonds import BondKind
from node.chain.envelope import sign
from node.chain.errors import Rejected
from node.chain.messages import AddBond, Transaction, Transfer, Unbond
from tests.sim.plan import kind_of
from tests.sim.publisher import FEE
from tests.sim.world import World


def send(world: World, name: str, message: Transaction) -> None:
    """Let a machine send a transaction of its own, after all that its head has. Raises Rejected."""
    key = world.machines[name].setup.identity.signing_key
    nonce = world[name].chain.tree.head().state.account(bytes(key.verify_key)).nonce
    signed = sign(replace(message, nonce=nonce, fee=FEE), key, world.network.id)
    world[name].submit(signed.envelope)


class Customers:
    """Send something now and then, drawn from a seed."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self._world = world
        self._rng = rng

    def pay(self) -> None:
        """Coins, or dust, to somebody or to nobody."""
        world, deposit = self._world, self._world.network.parameters.account_deposit
        known = world.key(self._rng.choice(list(world.machines)))
        recipient = self._rng.choice((known, self._rng.randbytes(32)))
        amount = self._rng.choice((1, deposit - 1, deposit, 1_000 * deposit))
        self._send(list(world.machines), lambda _: Transfer(recipient, amount, 0, 0))

    def bond(self) -> None:
        """A unit into an honest attester's bond, or one back."""
        world, kind = self._world, self._rng.choice((AddBond, Unbond))
        unit = world.network.parameters.unit_bond
        attesters = [name for name in world.honest if kind_of(name) == "full"]
        self._send(attesters, lambda name: kind(BondKind.ATTEST, world.key(name), unit, 0, 0))

    def _send(self, names: Sequence[str], make: Callable[[str], Transaction]) -> None:
        name = self._rng.choice(names)
        # It may be down, or have sent something with that nonce already.
        with suppress(LookupError, Rejected):
            send(self._world, name, make(name))
