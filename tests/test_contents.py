"""Every object of a block, field by field."""

from __future__ import annotations

from dataclasses import fields

import pytest

from node.chain.codec import decode, encode
from node.chain.envelope import Signed
from node.chain.messages import TRANSACTIONS, Body, Kind, Payload
from node.contents import read_contents, read_object
from node.views.blocks import BlockBytesView
from ponas.v1 import query_service_pb2 as pb
from ponas.v1 import types_pb2
from tools.vectors import compute_network, compute_objects

NETWORK = compute_network()
OBJECTS, BODY = compute_objects(NETWORK)
SHOWN_IN_EVIDENCE = {Kind.COMMIT, Kind.LIST, Kind.CLAIM, Kind.VOTE}
SHOWN = {*TRANSACTIONS, *SHOWN_IN_EVIDENCE, Kind.FALLBACK, Kind.LEASE, Kind.LEASE_ACCEPTANCE}


def test_the_kinds_on_the_wire_are_those_of_the_chain() -> None:
    wire = {name.removeprefix("KIND_"): value for name, value in types_pb2.Kind.items() if value}
    assert wire == {kind.name: kind.value for kind in Kind}


def test_golden_objects_are_of_all_kinds() -> None:
    assert {signed.envelope.kind for signed in OBJECTS} == set(Kind)


@pytest.mark.parametrize(
    "signed",
    [signed for signed in OBJECTS if signed.envelope.kind in SHOWN],
    ids=lambda signed: type(signed.message).__name__,
)
def test_an_object_is_shown_with_the_fields_that_it_has(signed: Signed[Payload]) -> None:
    shown = read_object(signed.envelope, NETWORK.id)
    assert (shown.id, shown.kind) == (signed.id.hex(), signed.envelope.kind)
    name = shown.WhichOneof("content")
    assert name is not None
    content = getattr(shown, name)
    for field in fields(signed.message):
        value = getattr(signed.message, field.name)
        if isinstance(value, int | bytes):
            assert getattr(content, field.name) == value


def test_what_evidence_shows_is_read_too() -> None:
    (evidence,) = (each for each in OBJECTS if each.envelope.kind == Kind.EVIDENCE)
    shown = read_object(evidence.envelope, NETWORK.id)
    assert [each.WhichOneof("content") for each in shown.shown] == ["list", "list"]
    assert (len(shown.evidence.shown), shown.evidence.fee) == (0, 6_000)


def test_a_block_is_shown_whole() -> None:
    claim, body = OBJECTS[2], decode(Body, BODY)
    shown = read_contents(BlockBytesView(encode(claim.envelope), BODY), NETWORK.id)
    assert shown.header.id == claim.id.hex()
    assert shown.header.claim.correct == 300
    assert [transaction.transfer.amount for transaction in shown.transactions] == [2_500_000]
    assert [line.weight for line in shown.payouts] == [3, 1]
    assert [list(listed.ids) for listed in shown.lists] == [[OBJECTS[0].id.hex()]]
    assert [unit.unit for unit in shown.units] == [unit.unit for unit in body.units]


def test_genesis_has_no_contents() -> None:
    assert read_contents(BlockBytesView(b"", b""), NETWORK.id) == pb.GetBlockContentsResponse()
