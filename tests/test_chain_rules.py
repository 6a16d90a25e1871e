"""Each rule of a valid block, violated alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from node.chain.block import open_block, open_header
from node.chain.codec import encode
from node.chain.commits import check_commit
from node.chain.counting import CountVerdict, check_verdict, judge_count
from node.chain.envelope import Signed, sign
from node.chain.errors import InvalidBlock, Reason, Rejected
from node.chain.hashing import MAX_INT, blob_hash
from node.chain.lists import check_list
from node.chain.messages import (
    MAX_BODY_BYTES,
    Body,
    Claim,
    Commit,
    Envelope,
    List,
    ListProof,
    PayoutLine,
    Vote,
)
from node.chain.params import FAST, Upgrade
from node.chain.state import compute_root
from node.chain.transactions import compute_least_fee
from node.chain.transition import apply_block
from node.chain.validity import check_model
from tests.chain_world import (
    ATTESTERS,
    GENOTYPE,
    MODEL,
    OUTSIDER,
    PAYOUTS,
    PRODUCERS,
    ClaimPlan,
    World,
    make_network,
    public,
)

QUORUM = tuple(ATTESTERS[:3])


@pytest.fixture
def world() -> World:
    """Genesis, a won block of round 1 and a won block of round 2 with the votes for it."""
    world = World()
    first = world.add(world.claim_block(world.genesis, 1))
    votes = world.votes(first.id, QUORUM)
    world.add(world.claim_block(first.id, 2, ClaimPlan(votes=votes)))
    return world


def head(world: World) -> bytes:
    return world.tree.head().id


def assert_refused(
    world: World, reason: Reason, plan: ClaimPlan, parent: bytes | None = None, at: int = 3
) -> InvalidBlock:
    with pytest.raises(InvalidBlock) as refused:
        world.apply(world.claim_block(parent or head(world), at, plan))
    assert refused.value.reason is reason
    return refused.value


def edits_body(**changes: object) -> Callable[[Body], Body]:
    return lambda body: replace(body, **changes)  # type: ignore[arg-type]


def edits_claim(**changes: object) -> Callable[[Claim], Claim]:
    return lambda claim: replace(claim, **changes)  # type: ignore[arg-type]


def test_the_unbroken_block_is_valid(world: World) -> None:
    votes = world.votes(head(world), QUORUM)
    transfer = world.transfer(PRODUCERS[0], b"r" * 32, 7, 0)
    plan = ClaimPlan(votes=votes, transactions=(transfer,), listers=QUORUM)
    block = world.claim_block(head(world), 3, plan)
    state = world.apply(block)
    assert compute_root(state) == block.header.message.state_root
    assert (state.round, state.height) == (3, 3)
    assert state.justified == world.tree.head().checkpoint


# The place in the chain.


def test_unknown_parent(world: World) -> None:
    with pytest.raises(Rejected) as refused:
        world.tree.context_for(b"?" * 32, 3)
    assert refused.value.reason is Reason.UNKNOWN_PARENT


def test_round_must_rise(world: World) -> None:
    assert_refused(world, Reason.ROUND_NOT_RISING, ClaimPlan(), at=2)


def test_context_of_another_round_is_a_fault_of_the_caller(world: World) -> None:
    block = world.claim_block(head(world), 3)
    context = world.context(head(world), 4)
    with pytest.raises(ValueError, match="context is of round 4"):
        apply_block(context, world.tree.head().state, block, world.designs)


# The envelope and the size of the body.


def test_header_must_be_claim_or_fallback(world: World) -> None:
    commit = sign(Commit(3, 0, b"c" * 32), PRODUCERS[0], world.network.id)
    with pytest.raises(Rejected) as refused:
        open_header(commit.envelope, world.network.id)
    assert refused.value.reason is Reason.WRONG_KIND


def test_body_too_large(world: World) -> None:
    body = b"\x00" * (MAX_BODY_BYTES + 1)
    draft = replace(claim_of(world), body_hash=blob_hash(body))
    signed = sign(draft, PRODUCERS[0], world.network.id)
    assert refusal_of_open(world, signed.envelope, body) is Reason.BODY_TOO_LARGE


def test_body_is_the_one_the_header_names(world: World) -> None:
    block = world.claim_block(head(world), 3)
    other = world.claim_block(head(world), 3, ClaimPlan(listers=QUORUM))
    reason = refusal_of_open(world, block.header.envelope, other.body_bytes)
    assert reason is Reason.BODY_HASH


def test_body_is_canonical(world: World) -> None:
    block = world.claim_block(head(world), 3)
    body = block.body_bytes + b"\x38\x01"
    signed = sign(
        replace(claim_of(world), body_hash=blob_hash(body)), PRODUCERS[0], world.network.id
    )
    assert refusal_of_open(world, signed.envelope, body) is Reason.NOT_CANONICAL


def claim_of(world: World) -> Claim:
    message = world.claim_block(head(world), 3).header.message
    assert isinstance(message, Claim)
    return message


def refusal_of_open(world: World, envelope: Envelope, body: bytes) -> Reason:
    with pytest.raises(Rejected) as refused:
        open_block(envelope, body, world.network.id)
    return refused.value.reason


# The claim.


def test_producer_holds_the_unit(world: World) -> None:
    assert_refused(world, Reason.NO_UNIT, ClaimPlan(unit=2))


def test_outsider_holds_no_unit(world: World) -> None:
    assert_refused(world, Reason.NO_UNIT, ClaimPlan(producer=OUTSIDER))


def test_floor_of_three_times_chance(world: World) -> None:
    assert world.apply(world.claim_block(head(world), 3, ClaimPlan(correct=108)))
    assert_refused(world, Reason.BELOW_FLOOR, ClaimPlan(correct=107))


def test_no_more_correct_than_images(world: World) -> None:
    assert world.apply(world.claim_block(head(world), 3, ClaimPlan(correct=360)))
    assert_refused(world, Reason.CORRECT_ABOVE_SIZE, ClaimPlan(correct=361))


def test_standing_task_has_no_secrets(world: World) -> None:
    plan = ClaimPlan(edit_claim=edits_claim(secrets=(b"k" * 32,)))
    assert_refused(world, Reason.SECRETS, plan)


@pytest.mark.parametrize(
    "reason",
    [
        Reason.GENOTYPE_MALFORMED,
        Reason.OUTSIDE_SPACE,
        Reason.INFEASIBLE,
        Reason.MAC_BOUND,
    ],
)
def test_design_is_refused_with_its_own_reason(world: World, reason: Reason) -> None:
    world.designs.refused[b"bad design"] = (reason, "because")
    refusal = assert_refused(world, reason, ClaimPlan(genotype=b"bad design"))
    assert refusal.detail == "because"


@pytest.mark.parametrize(
    "changes",
    [
        {"unit": 1},
        {"genotype": GENOTYPE[:-1] + b"\xff"},
        {"model_hash": b"m" * 32},
        {"salt": b"t" * 32},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_commitment_recomputes(world: World, changes: dict[str, object]) -> None:
    plan = ClaimPlan(edit_claim=edits_claim(**changes))
    assert_refused(world, Reason.COMMITMENT_NOT_LISTED, plan)


def test_commitment_of_another_producer(world: World) -> None:
    block = world.claim_block(head(world), 3)
    stolen = sign(block.header.message, PRODUCERS[1], world.network.id)
    copied = open_block(stolen.envelope, block.body_bytes, world.network.id)
    with pytest.raises(InvalidBlock) as refused:
        world.apply(copied)
    assert refused.value.reason is Reason.COMMITMENT_NOT_LISTED


@pytest.mark.parametrize("listers", [0, 1, 2])
def test_commitment_needs_lists_of_a_quorum(world: World, listers: int) -> None:
    keys = ATTESTERS[:listers]
    reason = Reason.NOT_CERTIFIED if listers else Reason.COMMITMENT_NOT_LISTED
    assert_refused(world, reason, ClaimPlan(listers=keys))


# Payouts.


def test_somebody_is_paid(world: World) -> None:
    plan = ClaimPlan(committed_payouts=(), edit_body=edits_body(payouts=()))
    assert_refused(world, Reason.PAYOUT_EMPTY, plan)


@pytest.mark.parametrize("lines", [PAYOUTS[::-1], (PAYOUTS[0], PAYOUTS[0])])
def test_payouts_ascend_each_once(world: World, lines: tuple[PayoutLine, ...]) -> None:
    assert_refused(world, Reason.PAYOUT_ORDER, ClaimPlan(payouts=lines))


@pytest.mark.parametrize("weights", [(0, 1), (MAX_INT, 1)])
def test_payout_weights_are_positive_and_bounded(world: World, weights: tuple[int, int]) -> None:
    lines = tuple(PayoutLine(bytes([i]) * 32, weight) for i, weight in enumerate(weights))
    assert_refused(world, Reason.PAYOUT_WEIGHT, ClaimPlan(payouts=lines))


def test_payouts_are_the_committed_ones(world: World) -> None:
    plan = ClaimPlan(committed_payouts=(PAYOUTS[0],))
    assert_refused(world, Reason.PAYOUT_ROOT, plan)


def test_a_round_whose_rules_are_not_known() -> None:
    """By one round too early: the last one of the rules before stands."""
    upgraded = World(make_network(replace(FAST, unit_fee=0, upgrades=(Upgrade(2, 2),))))
    first = upgraded.add(upgraded.fallback_block(upgraded.genesis, 1))
    with pytest.raises(Rejected) as refused:
        upgraded.apply(upgraded.fallback_block(first.id, 2))
    assert refused.value.reason is Reason.UNKNOWN_RULES


# Lists.


def other_commit(world: World, round_number: int, unit: int = 0) -> Signed[Commit]:
    """A commit of the producer that does not win."""
    return sign(Commit(round_number, unit, b"c" * 32), PRODUCERS[1], world.network.id)


def test_the_units_are_those_of_the_certified_commits(world: World) -> None:
    plan = ClaimPlan(others=(other_commit(world, 3), other_commit(world, 3, unit=1)))
    assert len(world.apply(world.claim_block(head(world), 3, plan)).accounts) > 0
    edits: list[Callable[[Body], Body]] = [
        lambda body: replace(body, units=()),
        lambda body: replace(body, units=body.units[1:]),
        lambda body: replace(body, units=body.units[::-1]),
        lambda body: replace(body, units=(*body.units, body.units[0])),
        lambda body: replace(
            body, units=(replace(body.units[0], producer=b"p" * 32), *body.units[1:])
        ),
    ]
    for edit in edits:
        assert_refused(world, Reason.UNITS, replace(plan, edit_body=edit))


def test_commit_ids_ascend(world: World) -> None:
    plan = ClaimPlan(
        others=(other_commit(world, 3),),
        edit_body=lambda body: replace(body, commit_ids=body.commit_ids[::-1]),
    )
    assert_refused(world, Reason.COMMIT_IDS_ORDER, plan)


def test_commit_ids_are_all_listed(world: World) -> None:
    # The added id sorts last and its bit is 0 in every bitmap, so all signatures still fit.
    plan = ClaimPlan(
        edit_body=lambda body: replace(body, commit_ids=(*body.commit_ids, b"\xff" * 32))
    )
    assert_refused(world, Reason.COMMIT_IDS_UNUSED, plan)


@pytest.mark.parametrize("repeat", [False, True])
def test_proofs_ascend_each_once(world: World, repeat: bool) -> None:
    def disorder(body: Body) -> Body:
        first, *rest = body.lists
        return replace(body, lists=(first, first, *rest) if repeat else (*rest, first))

    assert_refused(world, Reason.PROOF_ORDER, ClaimPlan(edit_body=disorder))


def edits_first_proof(**changes: object) -> Callable[[Body], Body]:
    def edit(body: Body) -> Body:
        first: ListProof = replace(body.lists[0], **changes)  # type: ignore[arg-type]
        return replace(body, lists=(first, *body.lists[1:]))

    return edit


@pytest.mark.parametrize("bitmap", [b"", b"\x01\x00", b"\x03"])
def test_bitmap_has_one_bit_for_each_id(world: World, bitmap: bytes) -> None:
    plan = ClaimPlan(edit_body=edits_first_proof(bitmap=bitmap))
    assert_refused(world, Reason.PROOF_BITMAP, plan)


def test_list_signature_covers_the_ids(world: World) -> None:
    plan = ClaimPlan(edit_body=edits_first_proof(bitmap=b"\x00"))
    assert_refused(world, Reason.BAD_SIGNATURE, plan)


def test_list_of_a_key_that_is_none(world: World) -> None:
    plan = ClaimPlan(edit_body=edits_first_proof(attester=b"\x00" * 32))
    assert_refused(world, Reason.BAD_KEY, plan)


def test_list_of_an_outsider(world: World) -> None:
    assert_refused(world, Reason.NOT_ATTESTER, ClaimPlan(listers=[*ATTESTERS, OUTSIDER]))


def test_list_of_another_round_does_not_fit(world: World) -> None:
    signed = world.list(ATTESTERS[0], 2, ())

    def swap(body: Body) -> Body:
        proof = ListProof(signed.signer, b"\x00", signed.envelope.signature)
        return replace(body, lists=(proof, *body.lists[1:]))

    assert_refused(world, Reason.BAD_SIGNATURE, ClaimPlan(edit_body=swap))


def test_list_longer_than_the_network_allows() -> None:
    world = World(make_network(replace(FAST, max_commits=1)))
    plan = ClaimPlan(others=(other_commit(world, 1),))
    assert_refused(world, Reason.LIST_TOO_LONG, plan, parent=world.genesis, at=1)


# Messages of a round as they are gossiped.


def refusal(check: Callable[[], None]) -> Reason:
    with pytest.raises(Rejected) as refused:
        check()
    return refused.value.reason


def test_gossiped_commits(world: World) -> None:
    context = world.context(head(world), 3)

    def commit(round_number: int, unit: int) -> Signed[Commit]:
        return sign(Commit(round_number, unit, b"c" * 32), PRODUCERS[0], world.network.id)

    check_commit(context, commit(3, 1))
    assert refusal(lambda: check_commit(context, commit(2, 1))) is Reason.WRONG_ROUND
    assert refusal(lambda: check_commit(context, commit(3, 2))) is Reason.NO_UNIT


def test_gossiped_lists(world: World) -> None:
    context = world.context(head(world), 3)
    ids = (b"a" * 32, b"b" * 32)
    check_list(context, world.list(ATTESTERS[0], 3, ids))

    def refused_list(key: int, round_number: int, ids: tuple[bytes, ...]) -> Reason:
        signer = [*ATTESTERS, OUTSIDER][key]
        signed: Signed[List] = world.list(signer, round_number, ids)
        return refusal(lambda: check_list(context, signed))

    assert refused_list(0, 2, ids) is Reason.WRONG_ROUND
    assert refused_list(4, 3, ids) is Reason.NOT_ATTESTER
    assert refused_list(0, 3, ids[::-1]) is Reason.LIST_ORDER
    assert refused_list(0, 3, ids[:1] * 2) is Reason.LIST_ORDER


# Votes in the body.


def with_votes(*votes: Signed[Vote]) -> ClaimPlan:
    ordered = sorted(votes, key=lambda vote: vote.id)
    return ClaimPlan(edit_body=edits_body(votes=tuple(vote.envelope for vote in ordered)))


def test_votes_ascend_each_once(world: World) -> None:
    plan = ClaimPlan(
        votes=world.votes(head(world), QUORUM),
        edit_body=lambda body: replace(body, votes=body.votes[::-1]),
    )
    assert_refused(world, Reason.VOTE_ORDER, plan)


def test_vote_of_an_outsider(world: World) -> None:
    assert_refused(world, Reason.NOT_ATTESTER, with_votes(world.vote(OUTSIDER, head(world))))


def test_vote_for_a_block_elsewhere(world: World) -> None:
    sibling = world.add(world.fallback_block(world.genesis, 1))
    assert_refused(world, Reason.VOTE_TARGET, with_votes(world.vote(ATTESTERS[0], sibling.id)))


def test_vote_for_genesis() -> None:
    world = World()
    plan = with_votes(world.vote(ATTESTERS[0], world.genesis))
    assert_refused(world, Reason.VOTE_TARGET, plan, parent=world.genesis, at=1)


@pytest.mark.parametrize("round_number", [1, 3])
def test_vote_for_a_block_at_another_round(world: World, round_number: int) -> None:
    vote = world.vote(ATTESTERS[0], head(world), round=round_number)
    assert_refused(world, Reason.VOTE_TARGET, with_votes(vote))


@pytest.mark.parametrize("changes", [{"source_round": 0}, {"source": b"s" * 32}])
def test_vote_from_another_source(world: World, changes: dict[str, object]) -> None:
    vote = world.vote(ATTESTERS[0], head(world), **changes)
    assert_refused(world, Reason.VOTE_SOURCE, with_votes(vote))


def test_vote_that_the_chain_has(world: World) -> None:
    first = world.tree.entry(head(world)).parent
    assert first is not None
    assert_refused(world, Reason.VOTE_REPEATED, with_votes(world.vote(ATTESTERS[0], first)))


def test_two_votes_of_one_attester_for_one_block(world: World) -> None:
    one = world.vote(ATTESTERS[0], head(world))
    other = world.vote(ATTESTERS[0], head(world), logits_digest=b"l" * 32)
    assert_refused(world, Reason.VOTE_REPEATED, with_votes(one, other))


def test_vote_with_a_bad_signature(world: World) -> None:
    good = world.vote(ATTESTERS[0], head(world))
    other = world.vote(ATTESTERS[1], head(world))
    forged = replace(good.envelope, signature=other.envelope.signature)
    with pytest.raises(Rejected) as refused:
        world.claim_block(head(world), 3, ClaimPlan(edit_body=edits_body(votes=(forged,))))
    assert refused.value.reason is Reason.BAD_SIGNATURE


def test_body_votes_are_votes(world: World) -> None:
    transfer = world.transfer(PRODUCERS[0], b"r" * 32, 1, 0)
    plan = ClaimPlan(edit_body=edits_body(votes=(transfer.envelope,)))
    with pytest.raises(Rejected) as refused:
        world.claim_block(head(world), 3, plan)
    assert refused.value.reason is Reason.WRONG_KIND


# Transactions.


@pytest.mark.parametrize(
    ("amount", "nonce", "reason"),
    [
        (0, 0, Reason.TRANSFER_AMOUNT),
        (1, 1, Reason.NONCE),
        (10**18, 0, Reason.BALANCE),
    ],
)
def test_transfers(world: World, amount: int, nonce: int, reason: Reason) -> None:
    transfer = world.transfer(PRODUCERS[0], b"r" * 32, amount, nonce)
    plan = ClaimPlan(edit_body=edits_body(transactions=(transfer.envelope,)))
    assert_refused(world, reason, plan)


def test_fee(world: World) -> None:
    dear = world.transfer(PRODUCERS[0], b"r" * 32, 1, 0)
    least = compute_least_fee(world.network.parameters, dear)
    for fee, is_enough in ((least, True), (least - 1, False)):
        transfer = world.transfer(PRODUCERS[0], b"r" * 32, 1, 0, fee)
        assert len(encode(transfer.envelope)) == len(encode(dear.envelope))
        if is_enough:
            plan = ClaimPlan(transactions=(transfer,))
            assert world.apply(world.claim_block(head(world), 3, plan)).burnt == fee - fee // 2 + 1
        else:
            plan = ClaimPlan(edit_body=edits_body(transactions=(transfer.envelope,)))
            assert_refused(world, Reason.FEE, plan)


def test_the_fee_is_held_too(world: World) -> None:
    transfer = world.transfer(PRODUCERS[0], b"r" * 32, 1, 0, 10**18)
    plan = ClaimPlan(edit_body=edits_body(transactions=(transfer.envelope,)))
    assert_refused(world, Reason.BALANCE, plan)


def test_a_body_carries_transactions_alone(world: World) -> None:
    vote = world.vote(ATTESTERS[0], head(world))
    plan = ClaimPlan(edit_body=edits_body(transactions=(vote.envelope,)))
    with pytest.raises(Rejected) as refused:
        world.claim_block(head(world), 3, plan)
    assert refused.value.reason is Reason.WRONG_KIND


def test_replayed_transfer(world: World) -> None:
    transfer = world.transfer(PRODUCERS[0], b"r" * 32, 1, 0)
    block = world.add(world.claim_block(head(world), 3, ClaimPlan(transactions=(transfer,))))
    plan = ClaimPlan(edit_body=edits_body(transactions=(transfer.envelope,)))
    assert_refused(world, Reason.NONCE, plan, parent=block.id, at=4)


def test_state_root(world: World) -> None:
    assert_refused(
        world, Reason.STATE_ROOT, ClaimPlan(edit_claim=edits_claim(state_root=b"r" * 32))
    )


# Fallback blocks.


def fallback_refusal(world: World, **options: object) -> Reason:
    block = world.fallback_block(head(world), 3, **options)  # type: ignore[arg-type]
    with pytest.raises(InvalidBlock) as refused:
        world.apply(block)
    return refused.value.reason


@pytest.mark.parametrize("place", range(4))
def test_each_attester_may_fall_back_at_its_place(world: World, place: int) -> None:
    state = world.apply(world.fallback_block(head(world), 3, place))
    assert state.issued == world.tree.head().state.issued


def test_fallback_of_an_outsider(world: World) -> None:
    assert fallback_refusal(world, signer=OUTSIDER) is Reason.NOT_ATTESTER


def test_fallback_at_the_place_of_another(world: World) -> None:
    reason = fallback_refusal(world, edit=lambda fallback: replace(fallback, order=1))
    assert reason is Reason.FALLBACK_ORDER


def test_fallback_names_nobody_where_nothing_is_sealed(world: World) -> None:
    attester = public(ATTESTERS[0])
    reason = fallback_refusal(world, edit=lambda f: replace(f, missing=(attester,)))
    assert reason is Reason.MISSING


@pytest.mark.parametrize(
    "changes",
    [
        {"payouts": PAYOUTS},
        {"commit_ids": (b"c" * 32,)},
        {"lists": (ListProof(b"a" * 32, b"", b"s" * 64),)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_fallback_body_pays_nobody(world: World, changes: dict[str, object]) -> None:
    reason = fallback_refusal(world, change_body=edits_body(**changes))
    assert reason is Reason.FALLBACK_BODY


# The model, which needs more than the block.


def test_model_bytes_are_the_committed_ones(world: World) -> None:
    claim = claim_of(world)
    context = world.context(claim.parent, claim.round)
    check_model(context, claim, MODEL, world.designs)
    flipped = bytes([MODEL[0] ^ 1]) + MODEL[1:]
    for model, reason in ((flipped, Reason.MODEL_HASH), (MODEL[1:], Reason.MODEL_LENGTH)):
        with pytest.raises(InvalidBlock) as refused:
            check_model(context, claim, model, world.designs)
        assert refused.value.reason is reason


def test_a_claim_that_does_not_count_as_stated_is_refused(world: World) -> None:
    block = world.claim_block(head(world), 3)
    claim = Signed(block.header.envelope, claim_of(world), block.id)
    check_verdict(judge_count(claim, holds=True))
    with pytest.raises(InvalidBlock) as refused:
        check_verdict(judge_count(claim, holds=False))
    assert refused.value.reason is Reason.COUNT_DIFFERS
    assert judge_count(claim, holds=False) == CountVerdict(block.id, 3, holds=False)


def test_every_reason_is_asserted_somewhere() -> None:
    """A reason without a test is a rule without one."""
    text = "".join(p.read_text() for p in Path(__file__).parent.glob("test_*.py"))
    assert [reason for reason in Reason if f"Reason.{reason.name}" not in text] == []
