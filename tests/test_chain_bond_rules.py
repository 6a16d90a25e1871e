"""Bonding, unbonding and evidence, rule by rule: each broken alone, and what a valid one does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from nacl.signing import SigningKey

from node.chain.bonds import UNBOND_ERAS, Bond, BondKey, BondKind, Unbonding
from node.chain.commits import compute_payout_root
from node.chain.draft import Draft
from node.chain.envelope import Signed, sign
from node.chain.erachange import change_era
from node.chain.errors import InvalidBlock, Reason, Rejected
from node.chain.messages import (
    AddBond,
    Claim,
    Commit,
    Evidence,
    Lease,
    LeaseAcceptance,
    List,
    Payload,
    Transaction,
    Unbond,
    Vote,
)
from node.chain.params import FAST, Parameters
from node.chain.proposal import select_transactions
from node.chain.state import Account, State, compute_held, genesis_state
from node.chain.transactions import apply_transaction
from tests.chain_world import (
    ATTESTERS,
    OUTSIDER,
    PRODUCERS,
    ClaimPlan,
    World,
    make_key,
    make_network,
    public,
)

UNIT, ERA = FAST.unit_bond, FAST.era_rounds
FEE = 10**6
RICH = make_key(50)
OWNER = make_key(51)
ATTESTER, PRODUCER = ATTESTERS[0], PRODUCERS[0]
NOW = 20 * ERA + 7


class Chain:
    """A state late enough for every window, with an account that can pay for anything."""

    def __init__(self, parameters: Parameters = FAST) -> None:
        self.network = make_network(parameters)
        world = World(self.network)
        state = genesis_state(self.network)
        accounts = state.accounts
        for key in (RICH, OWNER, OUTSIDER):
            accounts = accounts.set(public(key), Account(100 * UNIT, 0))
        eras = replace(state.eras, era=NOW // ERA)
        self.state = replace(state, accounts=accounts, eras=eras, round=NOW - 1)
        self.context = replace(world.context(self.network.genesis_id, NOW), state=self.state)

    def put(self, message: Payload, key: SigningKey) -> Signed[Payload]:
        return sign(message, key, self.network.id)

    def apply(self, message: Transaction, key: SigningKey, round_number: int = NOW) -> State:
        draft = Draft(self.state, round_number)
        nonce = self.state.account(public(key)).nonce
        signed = sign(replace(message, nonce=nonce, fee=FEE), key, self.network.id)
        apply_transaction(draft, self.context, signed)
        draft.pay_fees(public(OUTSIDER))
        before, self.state = self.state, draft.finish(round=round_number)
        assert compute_held(self.state) + self.state.burnt == compute_held(before) + before.burnt
        return self.state

    def refuses(self, reason: Reason, message: Transaction, key: SigningKey) -> None:
        with pytest.raises(InvalidBlock) as refused:
            self.apply(message, key)
        assert refused.value.reason is reason

    def bond(self, kind: BondKind, key: SigningKey) -> Bond | None:
        return self.state.bond(BondKey(kind, public(key)))


@pytest.fixture
def chain() -> Chain:
    return Chain()


def add(amount: int, kind: int = BondKind.ATTEST, owner: SigningKey = OWNER) -> AddBond:
    return AddBond(kind, public(owner), amount, 0, 0)


def unbond(amount: int, key: SigningKey = RICH, kind: int = BondKind.ATTEST) -> Unbond:
    return Unbond(kind, public(key), amount, 0, 0)


# Bonding.


def test_a_bond_is_paid_by_its_identity_and_grows(chain: Chain) -> None:
    chain.apply(add(UNIT), RICH)
    assert chain.bond(BondKind.ATTEST, RICH) == Bond(public(OWNER), UNIT)
    chain.apply(add(1), RICH)
    assert chain.bond(BondKind.ATTEST, RICH) == Bond(public(OWNER), UNIT + 1)
    assert chain.state.account(public(RICH)).balance == 99 * UNIT - 1 - 2 * FEE
    # The other kind is a bond of its own.
    chain.apply(add(2 * UNIT, BondKind.PRODUCE, RICH), RICH)
    assert chain.bond(BondKind.PRODUCE, RICH) == Bond(public(RICH), 2 * UNIT)


def test_who_pays_in_again_is_no_absentee(chain: Chain) -> None:
    key = BondKey(BondKind.ATTEST, public(RICH)).to_bytes()
    bonds = chain.state.bonds.set(key, Bond(public(OWNER), UNIT, (), 7))
    chain.state = replace(chain.state, bonds=bonds)
    chain.apply(add(1), RICH)
    assert chain.bond(BondKind.ATTEST, RICH) == Bond(public(OWNER), UNIT + 1)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (add(UNIT, 0), Reason.BOND_KIND),
        (add(UNIT, 3), Reason.BOND_KIND),
        (add(0), Reason.BOND_AMOUNT),
        (add(UNIT - 1), Reason.BOND_AMOUNT),
        (add(101 * UNIT), Reason.BALANCE),
    ],
)
def test_bonds_that_do_not_stand(chain: Chain, message: AddBond, reason: Reason) -> None:
    chain.refuses(reason, message, RICH)


def test_nothing_is_added_to_a_bond_of_nothing(chain: Chain) -> None:
    chain.apply(add(UNIT), RICH)
    chain.refuses(Reason.BOND_AMOUNT, add(0), RICH)


def test_the_owner_of_a_bond_stays(chain: Chain) -> None:
    chain.apply(add(UNIT), RICH)
    chain.refuses(Reason.BOND_OWNER, add(UNIT, owner=RICH), RICH)
    # Also while it is all on its way back.
    chain.apply(unbond(UNIT), OWNER)
    chain.refuses(Reason.BOND_OWNER, add(UNIT, owner=RICH), RICH)


# Unbonding.


def test_what_is_unbonded_comes_back_after_ten_whole_eras(chain: Chain) -> None:
    chain.apply(add(3 * UNIT), RICH)
    chain.apply(unbond(2 * UNIT), OWNER)
    due = NOW // ERA + 1 + UNBOND_ERAS
    assert chain.bond(BondKind.ATTEST, RICH) == Bond(
        public(OWNER), UNIT, (Unbonding(2 * UNIT, due),)
    )
    balance = chain.state.account(public(OWNER)).balance
    for era, paid in ((due - 1, 0), (due, 2 * UNIT)):
        draft = Draft(chain.state, era * ERA)
        change_era(draft, chain.state.eras, FAST.max_weight)
        assert draft.account(public(OWNER)).balance == balance + paid


def test_all_of_a_bond_may_go(chain: Chain) -> None:
    chain.apply(add(UNIT), RICH)
    chain.apply(unbond(UNIT), OWNER)
    left = chain.bond(BondKind.ATTEST, RICH)
    assert left is not None
    assert (left.amount, left.held) == (0, UNIT)


@pytest.mark.parametrize(
    ("message", "signer", "reason"),
    [
        (unbond(UNIT, kind=0), OWNER, Reason.BOND_KIND),
        (unbond(UNIT), RICH, Reason.BOND_OWNER),
        (unbond(UNIT, kind=BondKind.PRODUCE), OWNER, Reason.BOND_OWNER),
        (unbond(UNIT, OUTSIDER), OWNER, Reason.BOND_OWNER),
        (unbond(0), OWNER, Reason.BOND_AMOUNT),
        (unbond(2 * UNIT + 1), OWNER, Reason.BOND_AMOUNT),
        (unbond(UNIT + 1), OWNER, Reason.BOND_AMOUNT),
    ],
)
def test_withdrawals_that_do_not_stand(
    chain: Chain, message: Unbond, signer: SigningKey, reason: Reason
) -> None:
    chain.apply(add(2 * UNIT), RICH)
    chain.refuses(reason, message, signer)


# Evidence.


def lists(chain: Chain, round_number: int = NOW, key: SigningKey = ATTESTER) -> Evidence:
    shown = (
        chain.put(List(round_number, ()), key),
        chain.put(List(round_number, (b"i" * 32,)), key),
    )
    return evidence(*shown)


def evidence(*shown: Signed[Payload]) -> Evidence:
    ordered = sorted(shown, key=lambda signed: signed.id)
    return Evidence(tuple(signed.envelope for signed in ordered), 0, 0)


def claim(correct: int = 200, round_number: int = NOW - 1) -> Claim:
    lines = ClaimPlan().payouts
    return Claim(
        round=round_number,
        parent=b"p" * 32,
        unit=0,
        genotype=b"g",
        model_hash=b"m" * 32,
        payout_root=compute_payout_root(lines),
        salt=b"s" * 32,
        correct=correct,
        secrets=(),
        body_hash=b"b" * 32,
        state_root=b"t" * 32,
    )


def false_count(chain: Chain, key: SigningKey = PRODUCER, round_number: int = NOW - 1) -> Evidence:
    return evidence(chain.put(claim(round_number=round_number), key))


def votes(chain: Chain) -> Evidence:
    around = Vote(2, b"2" * 32, NOW, b"x" * 32, b"", b"")
    inner = Vote(3, b"3" * 32, NOW - 1, b"y" * 32, b"", b"")
    return evidence(chain.put(around, ATTESTER), chain.put(inner, ATTESTER))


def double_claim(chain: Chain) -> Evidence:
    return evidence(chain.put(claim(200), PRODUCER), chain.put(claim(201), PRODUCER))


def broken_lease(chain: Chain) -> Evidence:
    lease = chain.put(Lease(NOW, public(PRODUCER), 1, b"h" * 32, 7, 10, NOW), OUTSIDER)
    accepted = chain.put(LeaseAcceptance(lease.id), PRODUCER)
    commit = chain.put(Commit(NOW, 0, b"c" * 32), PRODUCER)
    return Evidence((lease.envelope, accepted.envelope, commit.envelope), 0, 0)


@pytest.mark.parametrize("make", [lists, votes])
def test_an_attester_loses_its_whole_bond(chain: Chain, make: Callable[[Chain], Evidence]) -> None:
    chain.apply(unbond(UNIT, ATTESTER), ATTESTER)  # On its way back it can still be taken.
    before = chain.state
    state = chain.apply(make(chain), RICH)
    assert chain.bond(BondKind.ATTEST, ATTESTER) is None
    gained = state.account(public(RICH)).balance - before.account(public(RICH)).balance
    assert gained == UNIT // 20 - FEE
    assert state.burnt - before.burnt == UNIT - UNIT // 20 + FEE // 2
    # Seats stay for the era.
    assert public(ATTESTER) in state.eras.current.weights


@pytest.mark.parametrize("make", [false_count, double_claim, broken_lease])
def test_a_producer_loses_a_unit(chain: Chain, make: Callable[[Chain], Evidence]) -> None:
    before = chain.bond(BondKind.PRODUCE, PRODUCER)
    chain.apply(make(chain), RICH)
    after = chain.bond(BondKind.PRODUCE, PRODUCER)
    assert before is not None
    assert after == replace(before, amount=before.amount - UNIT)
    assert replace(chain.context, state=chain.state).units(public(PRODUCER)) == 1


def test_an_offence_is_punished_once(chain: Chain) -> None:
    chain.apply(double_claim(chain), RICH)
    chain.refuses(Reason.OFFENCE_PUNISHED, double_claim(chain), OUTSIDER)
    # Nor is another one of the same bond and round.
    chain.refuses(Reason.OFFENCE_PUNISHED, false_count(chain), OUTSIDER)
    chain.apply(false_count(chain, PRODUCERS[1]), OUTSIDER)


def test_who_has_no_bond_loses_none(chain: Chain) -> None:
    chain.refuses(Reason.NO_BOND, lists(chain, key=OUTSIDER), RICH)
    # A producer's lists are nobody's business.
    chain.refuses(Reason.NO_BOND, lists(chain, key=PRODUCER), RICH)


@pytest.mark.parametrize("age", [-1, (UNBOND_ERAS * ERA) + 8])
def test_evidence_out_of_time(chain: Chain, age: int) -> None:
    chain.refuses(Reason.EVIDENCE_ROUND, lists(chain, NOW - age), RICH)


@pytest.mark.parametrize("age", [0, (UNBOND_ERAS * ERA) + 7])
def test_evidence_in_time(chain: Chain, age: int) -> None:
    chain.apply(lists(chain, NOW - age), RICH)


@pytest.mark.parametrize("age", [0, 2])
def test_a_false_count_must_be_of_the_last_round(chain: Chain, age: int) -> None:
    chain.refuses(Reason.EVIDENCE_ROUND, false_count(chain, round_number=NOW - age), RICH)


def test_what_is_shown_must_be_signed_and_an_offence(chain: Chain) -> None:
    good = lists(chain)
    forged = replace(good.shown[0], signature=good.shown[1].signature)
    chain.refuses(Reason.BAD_SIGNATURE, Evidence((forged, good.shown[1]), 0, 0), RICH)
    chain.refuses(Reason.NO_OFFENCE, Evidence((), 0, 0), RICH)


def test_a_proposer_leaves_out_what_shows_something_forged(chain: Chain) -> None:
    good = lists(chain)
    forged = Evidence((good.shown[0], replace(good.shown[1], signature=bytes(64))), 0, FEE)
    signed = sign(forged, RICH, chain.network.id)
    assert select_transactions(chain.context, chain.state, [signed], 10**6) == ()


def test_a_block_accuses_no_more_claims_than_are_walked() -> None:
    chain = Chain(replace(FAST, max_walked=1))
    draft = Draft(chain.state, NOW)
    first, second = (
        sign(replace(false_count(chain, key), nonce=place, fee=FEE), RICH, chain.network.id)
        for place, key in enumerate(PRODUCERS)
    )
    apply_transaction(draft, chain.context, first)
    with pytest.raises(Rejected) as refused:
        apply_transaction(draft, chain.context, second)
    assert refused.value.reason is Reason.TOO_MANY_COUNTS


def test_old_offences_leave_the_state(chain: Chain) -> None:
    chain.apply(lists(chain), RICH)
    assert len(chain.state.punished) == 1

    def punished_at(era: int) -> int:
        draft = Draft(chain.state, era * ERA)
        change_era(draft, chain.state.eras, FAST.max_weight)
        return len(draft.punished)

    assert punished_at(NOW // ERA + UNBOND_ERAS) == 1
    assert punished_at(NOW // ERA + UNBOND_ERAS + 1) == 0
