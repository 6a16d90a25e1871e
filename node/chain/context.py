"""What a round is played with, fixed by the ancestor at round <= r - 2.

Siblings at round r - 1 share it, so a late reorganisation of the last block voids
nobody's work (consensus B6).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from node.chain.bonds import BondKey, BondKind, units_of
from node.chain.eras import Seats
from node.chain.genesis import Network
from node.chain.hashing import blake, u64
from node.chain.published.record import PaidShard, find_paid
from node.chain.rewards import compute_subsidy
from node.chain.seals import draw_sealers
from node.chain.state import State

RECENT_BLOCKS = 2
"""An attester counts as there if its vote for one of so many newest blocks is on the chain."""


@dataclass(frozen=True)
class RoundContext:
    """The fixed ground of one round: an ancestor, whose id also seeds the search space."""

    network: Network
    round: int
    ancestor_id: bytes
    state: State

    @property
    def beacon(self) -> bytes:
        """The randomness of the round."""
        return self.state.beacon

    @property
    def seats(self) -> Seats:
        """Who attests in the round."""
        return self.state.eras.seats_at(self.round)

    @property
    def weights(self) -> dict[bytes, int]:
        """Weight of each attester of the round."""
        return self.seats.weights

    def units(self, producer: bytes) -> int:
        """How many commitments the producer may make."""
        bond = self.state.bond(BondKey(BondKind.PRODUCE, producer))
        parameters = self.network.parameters
        return 0 if bond is None else units_of(bond, parameters.unit_bond, parameters.max_units)

    @cached_property
    def paid(self) -> PaidShard | None:
        """The published task's shard that the round is played for; None for the standing task."""
        return find_paid(self.state.tasks.items(), self.round)

    @property
    def test_images(self) -> int:
        """Images that a claim's model is counted on."""
        standing = self.network.parameters.task
        return standing.test_size if self.paid is None else self.paid.terms.test_images

    @property
    def min_correct(self) -> int:
        """Least count of correct test images that a claim may state."""
        standing = self.network.parameters.task
        return standing.min_correct if self.paid is None else self.paid.min_correct

    @property
    def margin(self) -> int:
        """Images by which a claim must beat what has won the published task before."""
        return 0 if self.paid is None else self.paid.margin

    def instance(self, producer: bytes, unit: int) -> bytes:
        """Names the very problem that a unit solves.

        A published task is the same for all; of the standing task each unit has data of its own.
        """
        if self.paid is not None:
            shard = u64(self.paid.shard)
            return blake("ponas/instance/paid", self.paid.task_id, shard, u64(self.round))
        return self.draw("ponas/instance", producer, u64(unit))

    def test_seed(self, secrets: Iterable[bytes]) -> bytes:
        """What the test images of every instance of the round are drawn from."""
        return self.draw("ponas/test-seed", *sorted(secrets))

    @property
    def is_sealed(self) -> bool:
        """Whether the test images have to be opened."""
        return self.paid is not None or self.network.parameters.seals > 0

    @property
    def secret_names(self) -> tuple[bytes, ...]:
        """What the secrets of the round go by, and are missed by: the hash of a published task's
        key, or the sealers, in the order in which a claim has the secrets."""
        return self.sealers if self.paid is None else (self.paid.sealed.key,)

    @cached_property
    def sealers(self) -> tuple[bytes, ...]:
        """Attesters whose seals open the test images, ascending.

        None if the task is insecure, or a published one, which a key opens.

        Drawn by weight; passed over are those that can't seal, and those whose votes for the last
        blocks are not on the chain, so that an outage rarely costs. Unless who is there is no
        quorum: whoever makes a block could leave out the votes of others, to be drawn alone.
        """
        if self.paid is not None or not self.network.parameters.seals:
            return ()
        recent = self._recent_voters()
        present = recent if self.is_quorum(recent) else self.weights
        return draw_sealers(
            self.weights,
            self.network.parameters.seals,
            lambda number: self.draw("ponas/sealer", u64(number)),
            lambda key: key in present and self._can_seal(key),
        )

    @property
    def seal_fine(self) -> int:
        """Base units that a withheld seal costs: the subsidy, as a veto may gain as much."""
        return compute_subsidy(self.network.parameters, self.round, supply=0)

    def _can_seal(self, attester: bytes) -> bool:
        """Whether it has a seal for the round, and could pay the fine: no veto is free."""
        chain = self.state.seals.get(attester)
        bond = self.state.bonds.get(BondKey(BondKind.ATTEST, attester).to_bytes())
        can_pay = bond is not None and bond.held >= self.seal_fine
        return can_pay and chain is not None and chain.can_seal(self.round)

    def _recent_voters(self) -> set[bytes]:
        return {
            voter
            for ancestor in self.state.ancestors[-RECENT_BLOCKS:]
            for voter in self.state.eras.seats_at(ancestor.block.round).marked(ancestor.voters)
            if voter in self.weights
        }

    def draw(self, tag: str, *fields: bytes) -> bytes:
        """Hash fields with the beacon and the round: a lottery nobody can have prepared."""
        return blake(tag, self.beacon, u64(self.round), *fields)

    def is_quorum(self, attesters: Iterable[bytes]) -> bool:
        """Whether these attesters, each counted once, are more than two thirds by weight."""
        return self.seats.is_quorum(attesters)

    def fallback_order(self) -> list[bytes]:
        """Attesters in the order in which they may propose a block without a winner."""
        return sorted(self.weights, key=lambda attester: self.draw("ponas/fallback", attester))


def next_beacon(beacon: bytes, round_number: int, secrets: Iterable[bytes]) -> bytes:
    """Beacon after a block; independent of who won, so that nobody grinds it (consensus E2)."""
    return blake("ponas/beacon", beacon, u64(round_number), *sorted(secrets))
