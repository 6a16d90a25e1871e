"""A block with every object in it read: what lies in bytes elsewhere, shown field by field."""

from __future__ import annotations

import re
from collections.abc import Iterable

from google.protobuf.message import Message

from node.chain.codec import decode
from node.chain.envelope import read_envelope
from node.chain.lists import marked_ids
from node.chain.messages import Body, Envelope, Evidence
from node.views.blocks import BlockBytesView
from ponas.v1 import query_service_pb2 as pb
from ponas.v1 import types_pb2


def read_contents(block: BlockBytesView, network_id: bytes) -> pb.GetBlockContentsResponse:
    """The header and body of a block of this node; empty for genesis."""
    if not block.header:
        return pb.GetBlockContentsResponse()
    body = decode(Body, block.body)
    wire = types_pb2.Body.FromString(block.body)
    return pb.GetBlockContentsResponse(
        header=read_object(decode(Envelope, block.header), network_id),
        commit_ids=[commit_id.hex() for commit_id in body.commit_ids],
        lists=[
            pb.ListView(
                attester=proof.attester.hex(),
                ids=[listed.hex() for listed in marked_ids(body.commit_ids, proof.bitmap)],
            )
            for proof in body.lists
        ],
        units=wire.units,
        votes=_read_all(body.votes, network_id),
        payouts=wire.payouts,
        transactions=_read_all(body.transactions, network_id),
        parent_logits_hash=body.parent_logits_hash.hex(),
    )


def read_object(envelope: Envelope, network_id: bytes) -> pb.SignedObject:
    """A signed object that may stand in a block, or be shown there. Raises Rejected."""
    read = read_envelope(envelope, network_id)
    shown = pb.SignedObject(
        id=read.id.hex(),
        kind=envelope.kind,  # type: ignore[arg-type]
        public_key=envelope.public_key.hex(),
        signature=envelope.signature.hex(),
    )
    # The payload is protobuf itself, and a field of the answer has its type.
    content: Message = getattr(shown, _field_of(type(read.message).__name__))
    content.ParseFromString(envelope.payload)
    content.SetInParent()
    if isinstance(read.message, Evidence):
        shown.evidence.ClearField("shown")
        shown.shown.extend(_read_all(read.message.shown, network_id))
    return shown


def _read_all(envelopes: Iterable[Envelope], network_id: bytes) -> list[pb.SignedObject]:
    return [read_object(envelope, network_id) for envelope in envelopes]


def _field_of(message: str) -> str:
    """LeaseAcceptance is in the field lease_acceptance."""
    return re.sub("(?<=[a-z])(?=[A-Z])", "_", message).lower()
