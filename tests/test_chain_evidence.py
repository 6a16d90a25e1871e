"""What proves an offence: each pair that does, and each way of just not proving one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from node.chain.bonds import BondKey, BondKind
from node.chain.envelope import Signed, sign
from node.chain.errors import Reason, Rejected
from node.chain.evidence import prove
from node.chain.finality import Watermark, advance, is_safe_to_sign, link_of
from node.chain.messages import (
    Claim,
    Commit,
    Lease,
    LeaseAcceptance,
    List,
    Payload,
    Transfer,
    Vote,
)
from node.chain.offence import Offence, Proven
from tests.chain_world import make_key, public

NETWORK = b"n" * 32
MANAGER, KEY, OTHER = make_key(1), make_key(2), make_key(3)
CLAIM = Claim(
    round=5,
    parent=b"p" * 32,
    unit=0,
    genotype=b"g",
    model_hash=b"m" * 32,
    payout_root=b"r" * 32,
    salt=b"s" * 32,
    correct=200,
    secrets=(),
    body_hash=b"b" * 32,
    state_root=b"t" * 32,
)
LIST = List(5, (b"i" * 32,))
VOTE = Vote(3, b"3" * 32, 5, b"5" * 32, b"", b"")


def put(message: Payload, key: SigningKey = KEY) -> Signed[Payload]:
    return sign(message, key, NETWORK)


def pair(first: Payload, second: Payload, other_key: SigningKey = KEY) -> list[Signed[Payload]]:
    return sorted([put(first), put(second, other_key)], key=lambda signed: signed.id)


LEASE = Lease(5, public(KEY), 1, b"h" * 32, 7, 10, 6)


def broken(
    lease: Lease = LEASE, round_number: int = 5, by: SigningKey = KEY, promised_by: SigningKey = KEY
) -> list[Signed[Payload]]:
    granted = put(lease, MANAGER)
    commit = Commit(round_number, 0, b"c" * 32)
    return [granted, put(LeaseAcceptance(granted.id), promised_by), put(commit, by)]


@pytest.mark.parametrize(
    ("shown", "offence", "round_number", "kind"),
    [
        (pair(LIST, replace(LIST, ids=())), Offence.DOUBLE_LIST, 5, BondKind.ATTEST),
        (pair(VOTE, replace(VOTE, target=b"x" * 32)), Offence.DOUBLE_VOTE, 5, BondKind.ATTEST),
        (pair(VOTE, replace(VOTE, source_round=2)), Offence.DOUBLE_VOTE, 5, BondKind.ATTEST),
        (
            pair(VOTE, replace(VOTE, source_round=2, round=6)),
            Offence.SURROUND,
            6,
            BondKind.ATTEST,
        ),
        (
            pair(CLAIM, replace(CLAIM, correct=201)),
            Offence.DOUBLE_CLAIM,
            5,
            BondKind.PRODUCE,
        ),
        ([put(CLAIM)], Offence.FALSE_CLAIM, 5, BondKind.PRODUCE),
        (broken(), Offence.BROKEN_LEASE, 5, BondKind.PRODUCE),
        (broken(round_number=6), Offence.BROKEN_LEASE, 6, BondKind.PRODUCE),
    ],
)
def test_an_offence_is_proven(
    shown: Sequence[Signed[Payload]], offence: Offence, round_number: int, kind: BondKind
) -> None:
    proven = prove(shown)
    assert proven == Proven(offence, public(KEY), round_number)
    assert proven.bond == BondKey(kind, public(KEY))


@pytest.mark.parametrize(
    ("shown", "detail"),
    [
        ([], "nobody is forbidden"),
        ([put(Transfer(b"r" * 32, 1, 0, 0))], "nobody is forbidden"),
        (pair(LIST, VOTE), "nobody is forbidden"),
        ([put(LIST), put(LIST)], "ascend by id"),
        (pair(LIST, replace(LIST, ids=()))[::-1], "ascend by id"),
        (pair(LIST, replace(LIST, ids=()), OTHER), "two signers"),
        (pair(LIST, replace(LIST, round=6)), "two rounds"),
        ([put(VOTE), put(VOTE)], "ascend by id"),
        (pair(VOTE, replace(VOTE, target=b"x" * 32))[::-1], "ascend by id"),
        (pair(VOTE, replace(VOTE, target=b"x" * 32), OTHER), "two signers"),
        (pair(VOTE, replace(VOTE, round=6)), "may sign both"),
        (pair(VOTE, replace(VOTE, logits_digest=b"d" * 32)), "may sign both"),
        (pair(CLAIM, replace(CLAIM, correct=1), OTHER), "two signers"),
        (pair(CLAIM, replace(CLAIM, round=6)), "two rounds"),
        ([broken()[0], put(LeaseAcceptance(b"a" * 32)), broken()[2]], "another lease"),
        (broken(by=OTHER), "did not accept"),
        (broken(promised_by=OTHER), "did not accept"),
        (broken(replace(LEASE, miner=public(OTHER))), "did not accept"),
        (broken(round_number=4), "says nothing of round 4"),
        (broken(replace(LEASE, last_round=5), round_number=6), "says nothing of round 6"),
        (broken(replace(LEASE, last_round=9), round_number=7), "says nothing of round 7"),
    ],
)
def test_what_proves_nothing(shown: Sequence[Signed[Payload]], detail: str) -> None:
    with pytest.raises(Rejected, match=detail) as caught:
        prove(shown)
    assert caught.value.reason is Reason.NO_OFFENCE


@dataclass
class Diligent:
    """Signs what it is asked to, as far as its memory of what it has signed allows."""

    list_round: int = 0
    claim_round: int = 0
    votes: Watermark = field(default_factory=Watermark)

    def may_sign(self, message: Payload) -> bool:
        match message:
            case List() as listed if listed.round > self.list_round:
                self.list_round = listed.round
            case Claim() as claim if claim.round > self.claim_round:
                self.claim_round = claim.round
            case Vote() as vote if is_safe_to_sign(self.votes, link_of(vote)):
                self.votes = advance(self.votes, link_of(vote))
            case _:
                return False
        return True


ROUNDS = st.integers(1, 5)
IDS = st.sampled_from([b"a" * 32, b"b" * 32])
REQUESTS = st.one_of(
    st.builds(lambda number, one: List(number, (one,)), ROUNDS, IDS),
    st.builds(lambda number, count: replace(CLAIM, round=number, correct=count), ROUNDS, ROUNDS),
    st.builds(
        lambda source, length, source_id, target: Vote(
            source, source_id, source + length, target, b"", b""
        ),
        st.integers(0, 4),
        st.integers(1, 3),
        IDS,
        IDS,
    ),
)


@given(st.lists(REQUESTS, max_size=12))
def test_no_honest_schedule_is_slashable(requests: list[Payload]) -> None:
    signer = Diligent()
    signed = [put(message) for message in requests if signer.may_sign(message)]
    for one, other in combinations(sorted(signed, key=lambda item: item.id), 2):
        with pytest.raises(Rejected) as caught:
            prove([one, other])
        assert caught.value.reason is Reason.NO_OFFENCE
