"""What full nodes refuse, and the reason they give: a crook mines beside an honest pool.

In each test the crook's claim would win the round but for the one rule that it breaks.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from nas.designs.genotype import Genotype
from node.assembly import Node
from node.chain.bonds import BondKey, BondKind
from node.chain.context import RoundContext
from node.chain.envelope import Signed, sign
from node.chain.errors import Reason
from node.chain.forkchoice import BlockTree
from node.chain.hashing import blob_hash
from node.chain.messages import Claim
from node.chain.params import DIGITS, FAST
from node.chain.timing import Phase
from node.consensus.designs import NasDesigns
from node.consensus.validator import NOT_SERVED, VALID
from node.identity import format_address
from node.net.protocol import Refusal
from node.store.blobs import Part
from pool.manager.manager import ConfirmedBest, Promised
from tests.sim.adversaries.producers import redesigned, superb
from tests.sim.adversaries.tampering import Tamper, corrupt, hide_commits, honest, replace_best
from tests.sim.world import Plan, World
from tests.virtual_time import run_virtual

PLAN = Plan(full=4, managers=1, strong=1, weak=0, solo=1)


async def verdicts(
    seed: int,
    tamper: Tamper = honest,
    change: Callable[[ConfirmedBest], ConfirmedBest] = superb,
    prepare: Callable[[World, Node], None] = lambda _world, _node: None,
    plan: Plan = PLAN,
) -> dict[str, str]:
    """Verdict of each full node on the crook's claim in round 1, which the honest pool then wins.

    When the crook's claim is valid, its block must be everybody's head instead.
    """
    world = World(seed, plan)
    world.distrust("solo0")
    await world.start()
    crook = world["solo0"]
    producer = corrupt(crook, tamper)
    replace_best(producer, change)
    prepare(world, crook)
    await world.until(1, Phase.VALIDATE)
    address = format_address(world.machines["solo0"].setup.identity.public_key)
    full = [f"full{number}" for number in range(plan.full)]
    found = {
        name: claim.verdict
        for name in full
        for claim in world[name].views.round(1).claims
        if claim.producer == address
    }
    await world.until_round(2)
    honest_key = world.machines["manager0"].setup.identity.public_key
    for name in full:
        block = world[name].chain.tree.head().block
        assert block is not None
        assert isinstance(block.header.message, Claim)
        assert (block.header.signer == honest_key) == (found[name] != VALID)
    await world.close()
    return found


def everybody(verdict: str) -> dict[str, str]:
    return {f"full{number}": verdict for number in range(PLAN.full)}


def flip_bit(model: bytes) -> bytes:
    return bytes([model[0] ^ 1]) + model[1:]


def test_the_same_crook_wins_when_it_breaks_no_rule() -> None:
    assert run_virtual(verdicts(1)) == everybody(VALID)


@pytest.mark.parametrize("error", [-1, 1])
def test_a_count_that_is_off_by_one_either_way(error: int) -> None:
    def miscount(committed: Promised, correct: int) -> tuple[Promised, int]:
        return committed, correct + error

    assert run_virtual(verdicts(2, miscount)) == everybody(Reason.COUNT_DIFFERS)


def test_one_flipped_bit_in_a_revealed_model_that_the_claim_names() -> None:
    def flip(committed: Promised, correct: int) -> tuple[Promised, int]:
        model = flip_bit(committed.model)
        claim = replace(committed.claim, model_hash=blob_hash(model))
        return replace(committed, claim=claim, model=model), correct

    assert run_virtual(verdicts(3, flip)) == everybody(Reason.COMMITMENT_NOT_LISTED)


def test_one_flipped_bit_in_a_model_served_under_the_committed_hash() -> None:
    nodes: list[Node] = []

    def serve_flipped(world: World, crook: Node) -> None:
        nodes.extend(world[f"full{number}"] for number in range(PLAN.full))
        producer, serve = crook._producer, crook._gate.blob_part
        assert producer is not None

        def blob_part(wanted: bytes, offset: int) -> Part | None:
            found, committed = serve(wanted, offset), producer.committed
            if found is None or committed is None or found.data != committed.model:
                return found
            return found._replace(data=flip_bit(found.data))

        crook._gate.blob_part = blob_part  # type: ignore[assignment, method-assign]

    assert run_virtual(verdicts(4, prepare=serve_flipped)) == everybody(NOT_SERVED)
    # Caught as it arrives: it has not the hash that was asked for.
    assert sum(node.peers.refused[Refusal.WRONG_HASH] for node in nodes) > 0


def test_a_commitment_that_no_attester_listed() -> None:
    def hide(_world: World, crook: Node) -> None:
        assert crook._producer is not None
        hide_commits(crook._producer)

    assert run_virtual(verdicts(5, prepare=hide)) == everybody(Reason.COMMITMENT_NOT_LISTED)


def test_a_commitment_that_too_few_attesters_listed() -> None:
    def deafen(world: World, crook: Node) -> None:
        # Two of four attesters don't take the crook's commit: listed, but by no quorum.
        key = world.machines["solo0"].setup.identity.public_key
        for name in ("full2", "full3"):
            book = world[name]._rounds.book(1)
            add = book.add_commit
            book.add_commit = lambda c, add=add: c.signer != key and add(c)  # type: ignore[misc, method-assign]

    assert run_virtual(verdicts(6, prepare=deafen)) == everybody(Reason.NOT_CERTIFIED)


def without_weight_bits(best: ConfirmedBest) -> ConfirmedBest:
    """The same architecture computed with weights of no bits in its last layer."""
    last = replace(best.genotype.layers[-1], weight_int_bits=0, weight_frac_bits=0)
    genotype = Genotype((*best.genotype.layers[:-1], last))
    return replace(superb(best), genotype=genotype)


def test_an_infeasible_architecture() -> None:
    # A space that allows what no hardware can have: weights without bits.
    ranges = (*DIGITS.ranges[:8], (0, 2), (0, 3))
    plan = replace(PLAN, parameters=replace(FAST, task=replace(DIGITS, ranges=ranges)))

    async def holds_the_design(seed: int) -> bool:
        network = World(seed, plan).network
        context = BlockTree(network).context_for(network.genesis_id, 1)
        weight_bits = NasDesigns(plan.parameters).space(context).ranges[-1][8:]
        return weight_bits == ((0, 2), (0, 3))

    seed = next(seed for seed in range(1_000) if run_virtual(holds_the_design(seed)))
    found = verdicts(seed, change=without_weight_bits, plan=plan)
    assert run_virtual(found) == everybody(Reason.INFEASIBLE)


def test_an_architecture_outside_the_space_of_the_round() -> None:
    def with_wide_kernels(best: ConfirmedBest) -> ConfirmedBest:
        last = replace(best.genotype.layers[-1], kernel_height=7)
        genotype = Genotype((*best.genotype.layers[:-1], last))
        return redesigned(best, genotype)

    found = verdicts(9, change=with_wide_kernels)
    assert run_virtual(found) == everybody(Reason.OUTSIDE_SPACE)


def name_a_wrong_state(_world: World, crook: Node) -> None:
    """Let a node sign claims whose body is only found to be wrong after all of it was judged."""
    producer = crook._producer
    assert producer is not None
    build = producer.build

    async def build_wrongly(
        context: RoundContext, committed: Promised, correct: int
    ) -> tuple[Signed[Claim], bytes]:
        claim, body = await build(context, committed, correct)
        wrong = replace(claim.message, state_root=bytes(32))
        return sign(wrong, producer._key, context.network.id), body

    producer.build = build_wrongly  # type: ignore[method-assign]


def test_a_state_that_the_body_does_not_lead_to() -> None:
    assert run_virtual(verdicts(7, prepare=name_a_wrong_state)) == everybody(Reason.STATE_ROOT)


def test_who_names_a_wrong_state_loses_a_unit() -> None:
    async def units_at(round_number: int) -> int:
        world = World(8, PLAN)
        world.distrust("solo0")
        await world.start()
        name_a_wrong_state(world, world["solo0"])
        replace_best(corrupt(world["solo0"]), superb)
        await world.until_round(round_number)
        held = (
            world["full0"]
            .chain.tree.head()
            .state.bond(BondKey(BondKind.PRODUCE, world.key("solo0")))
        )
        await world.close()
        return 0 if held is None else held.amount // FAST.unit_bond

    # Evidence of round 1 is in the block of round 2.
    assert [run_virtual(units_at(number)) for number in (2, 3)] == [1, 0]


def test_two_different_claims_of_one_producer_bar_both() -> None:
    def claim_twice(_world: World, crook: Node) -> None:
        producer = crook._producer
        assert producer is not None
        reveal = producer.reveal

        def reveal_twice(claim: Signed[Claim], body: bytes, model: bytes) -> None:
            reveal(claim, body, model)
            other = replace(claim.message, correct=claim.message.correct - 1)
            reveal(sign(other, producer._key, crook.chain.network.id), body, model)

        producer.reveal = reveal_twice  # type: ignore[method-assign]

    assert run_virtual(verdicts(10, prepare=claim_twice)) == everybody("equivocated")
