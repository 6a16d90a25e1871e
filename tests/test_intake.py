"""What a node does with headers as they come: it fetches what it may walk, and judges no claim."""

from __future__ import annotations

import pytest

from node.chain.block import Block
from node.chain.envelope import Signed
from node.chain.errors import Reason, Rejected
from node.chain.messages import Fallback
from node.chain.timing import Phase, deadline
from node.clock import LoopClock
from node.consensus.intake import Intake
from node.tasks import TaskOwner
from tests.chain_world import ATTESTERS, GENOTYPE, OUTSIDER, PRODUCERS, ClaimPlan
from tests.virtual_time import virtual_time
from tests.walk_world import TRUE, Bench, claims_close, signed_claim


class Door(Bench):
    """A node that takes in headers of round 1; its peers have nothing more."""

    def __init__(self, clock: LoopClock, max_walked: int = 16) -> None:
        super().__init__(clock, max_walked)
        self.gaps = 0
        self.intake = Intake(
            self.chain, self.rounds, self.importer, self.aside, clock, TaskOwner(), self._on_gap
        )

    def announced(self, producer: int, correct: int) -> Block:
        """A claim of which only the header is here."""
        plan = ClaimPlan(producer=PRODUCERS[producer], correct=correct)
        block = self.world.claim_block(self.world.genesis, 1, plan)
        self.rounds.book(1).add_claim(signed_claim(block))
        return block

    def _on_gap(self) -> None:
        self.gaps += 1


@virtual_time
async def test_a_claim_is_fetched_and_not_judged() -> None:
    door = Door(await claims_close())
    block = door.claim(0, TRUE)
    await door.intake.take_header(signed_claim(block))
    assert door.aside.pieces == 0
    other = door.announced(1, TRUE)
    await door.intake.take_header(signed_claim(other))
    assert door.fetched == {other.header.message.body_hash}


@virtual_time
async def test_what_will_not_be_walked_is_not_even_fetched() -> None:
    door = Door(await claims_close(), max_walked=1)
    door.announced(0, TRUE + 1)
    await door.intake.take_header(signed_claim(door.announced(1, TRUE)))
    assert door.fetched == set()


@virtual_time
async def test_of_a_design_that_can_not_win_nothing_is_fetched() -> None:
    door = Door(await claims_close())
    door.designs.refused[GENOTYPE] = (Reason.INFEASIBLE, "too slow")
    await door.intake.take_header(signed_claim(door.announced(0, TRUE)))
    assert door.fetched == set()


@virtual_time
async def test_a_fallback_block_is_judged_once_and_adopted() -> None:
    door = Door(await claims_close())
    block = door.world.fallback_block(door.world.genesis, 1)
    door.rounds.shelve(1, block.body_bytes)
    assert isinstance(block.header.message, Fallback)
    header = Signed(block.header.envelope, block.header.message, block.id)
    await door.intake.take_header(header)
    assert door.aside.pieces == 1
    assert block.id in door.chain.tree


@virtual_time
async def test_a_header_on_an_unknown_block_asks_for_blocks() -> None:
    clock = await claims_close()
    door = Door(clock)
    first = door.world.add(door.world.fallback_block(door.world.genesis, 1))
    block = door.world.claim_block(first.id, 2)
    door.rounds.book(2).add_claim(signed_claim(block))
    await door.intake.take_header(signed_claim(block))
    assert (door.gaps, door.fetched) == (1, set())
    assert clock.now_ms() < deadline(door.world.network, 1, Phase.VALIDATE)


@virtual_time
async def test_a_vote_of_who_may_have_a_seat_on_another_branch_ends_no_sync() -> None:
    door = Door(await claims_close())
    block = door.world.add(door.world.fallback_block(door.world.genesis, 1))
    votes = [door.world.vote(key, block.id).envelope for key in (OUTSIDER, *ATTESTERS[:3])]
    await door.intake.take_chain([], votes, more_follow=False)
    assert door.chain.tree.is_backed(block.id)
    # Once the block is here, all can see that it has none.
    await door.chain.adopt(block, door.chain.apply(block))
    with pytest.raises(Rejected) as refused:
        await door.intake.take_chain([], votes, more_follow=False)
    assert refused.value.reason is Reason.NOT_ATTESTER
