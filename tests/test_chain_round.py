"""The draws of a round: tickets, tie hashes, fallback order, folded lists."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from node.chain.commits import choose_listed, compute_commitment
from node.chain.context import RoundContext
from node.chain.envelope import Signed, sign
from node.chain.genesis import FirstBond, Network, first_bonds
from node.chain.lists import certified, fold, unfold
from node.chain.messages import Body, Claim, Commit, List
from node.chain.params import FAST
from node.chain.ranking import rank
from node.chain.state import genesis_state
from tests.chain_world import (
    ATTESTERS,
    PRODUCERS,
    ClaimPlan,
    World,
    make_key,
    make_network,
    public,
)

NETWORK = make_network()
CONTEXT = RoundContext(NETWORK, 7, b"a" * 32, replace(genesis_state(NETWORK), beacon=b"b" * 32))
IDS = [bytes([i]) * 32 for i in range(12)]


def in_network(bonds: tuple[FirstBond, ...]) -> RoundContext:
    network = replace(NETWORK, bonds=bonds)
    return RoundContext(network, 7, b"a" * 32, genesis_state(network))


def signed_list(key: int, ids: tuple[bytes, ...]) -> Signed[List]:
    return sign(List(CONTEXT.round, ids), ATTESTERS[key], NETWORK.id)


SUBSETS = st.sets(st.sampled_from(IDS)).map(lambda ids: tuple(sorted(ids)))


@given(st.dictionaries(st.integers(0, 3), SUBSETS))
def test_unfold_inverts_fold(held: dict[int, tuple[bytes, ...]]) -> None:
    lists = [signed_list(key, ids) for key, ids in held.items()]
    commit_ids, proofs = fold(lists)
    unfolded = unfold(CONTEXT, Body(commit_ids=commit_ids, lists=proofs))
    assert sorted(unfolded, key=lambda s: s.signer) == sorted(lists, key=lambda s: s.signer)


@given(st.dictionaries(st.integers(0, 3), SUBSETS))
def test_certified_ids_are_those_of_three_of_four(held: dict[int, tuple[bytes, ...]]) -> None:
    lists = [signed_list(key, ids) for key, ids in held.items()]
    expected = {i for i in IDS if sum(i in ids for ids in held.values()) >= 3}
    assert certified(CONTEXT, lists) == expected


def test_one_attester_certifies_nothing_by_repeating_itself() -> None:
    lists = [signed_list(0, (IDS[0],)), signed_list(0, (IDS[0], IDS[1]))] * 2
    assert certified(CONTEXT, lists) == frozenset()


def test_quorum_goes_by_weight() -> None:
    keys = [public(key) for key in ATTESTERS]
    context = in_network(first_bonds(FAST, dict.fromkeys(keys, 1) | {keys[0]: 7}, {}))
    assert context.is_quorum(keys[:1])
    assert not context.is_quorum(keys[1:])
    assert not in_network(()).is_quorum([])


def crowd(units: int, max_commits: int) -> tuple[RoundContext, list[Signed[Commit]]]:
    keys = sorted((make_key(100 + i) for i in range(units)), key=public)
    network: Network = replace(
        NETWORK,
        parameters=replace(FAST, max_commits=max_commits),
        bonds=first_bonds(FAST, {}, {public(key): 1 for key in keys}),
    )
    commits = [sign(Commit(7, 0, b"c" * 32), key, network.id) for key in keys]
    return replace(CONTEXT, network=network), commits


def test_the_lowest_tickets_are_listed_however_they_arrive() -> None:
    context, commits = crowd(units=10, max_commits=4)
    listed = choose_listed(context, commits)
    assert len(listed) == 4
    assert listed == choose_listed(context, commits[::-1]) == tuple(sorted(listed))
    # Leaving out one that was not listed changes nothing.
    others = [commit for commit in commits if commit.id not in listed]
    assert choose_listed(context, [c for c in commits if c is not others[0]]) == listed
    # Another round draws other tickets.
    assert choose_listed(replace(context, round=8), commits) != listed


def claim(world: World, key: int, correct: int, salt: bytes = b"s" * 32) -> Signed[Claim]:
    plan = ClaimPlan(
        producer=PRODUCERS[key], correct=correct, edit_claim=lambda c: replace(c, salt=salt)
    )
    block = world.claim_block(world.genesis, 1, plan)
    message = block.header.message
    assert isinstance(message, Claim)
    return Signed(block.header.envelope, message, block.id)


def test_rank_by_count() -> None:
    world = World()
    context = world.context(world.genesis, 1)
    low, high = claim(world, 0, 200), claim(world, 1, 201)
    assert rank(context, [low, high]) == rank(context, [high, low, high]) == [high, low]


def test_ties_are_drawn_anew_each_round_and_not_by_salt() -> None:
    world = World()
    context = world.context(world.genesis, 1)
    tied = [claim(world, 0, 200), claim(world, 1, 200)]
    salted = [claim(world, 0, 200, b"t" * 32), claim(world, 1, 200, b"u" * 32)]

    def winner(context: RoundContext, claims: list[Signed[Claim]]) -> bytes:
        return rank(context, claims)[0].signer

    assert winner(context, tied) == winner(context, tied[::-1]) == winner(context, salted)
    assert len({winner(replace(context, round=r), tied) for r in range(20)}) == 2


def test_two_claims_of_one_producer_are_both_out() -> None:
    world = World()
    context = world.context(world.genesis, 1)
    twice = [claim(world, 0, 300), claim(world, 0, 301)]
    honest = claim(world, 1, 200)
    assert rank(context, [*twice, honest]) == [honest]


def test_fallback_order_is_a_new_permutation_each_round() -> None:
    orders = {tuple(replace(CONTEXT, round=r).fallback_order()) for r in range(30)}
    assert len(orders) > 10
    assert all(sorted(order) == sorted(CONTEXT.weights) for order in orders)


def test_commitment_covers_every_field() -> None:
    fields = [b"n" * 32, 1, b"i" * 32, b"p" * 32, 2, b"g", b"m" * 32, b"r" * 32, b"s" * 32]
    changed = [
        [*fields[:i], value + 1 if isinstance(value, int) else value + b"x", *fields[i + 1 :]]
        for i, value in enumerate(fields)
        if isinstance(value, (int, bytes))
    ]
    hashes = {compute_commitment(*values) for values in (fields, *changed)}  # type: ignore[arg-type]
    assert len(hashes) == 10


def test_instances_differ_by_round_producer_and_unit() -> None:
    key, other = public(PRODUCERS[0]), replace(CONTEXT.state, beacon=b"c" * 32)
    instances = {
        CONTEXT.instance(key, 0),
        CONTEXT.instance(key, 1),
        CONTEXT.instance(public(PRODUCERS[1]), 0),
        replace(CONTEXT, round=8).instance(key, 0),
        replace(CONTEXT, state=other).instance(key, 0),
    }
    assert len(instances) == 5
