"""Between the messages of gRPC and the types of the chain, here and nowhere else.

What comes from the network is hostile: sizes are checked before anything is kept. Whether an
envelope's content holds is for `node.chain.envelope` to say.
"""

from dataclasses import dataclass

from node.chain.errors import Reason, Rejected
from node.chain.hashing import HASH_BYTES
from node.chain.messages import MAX_BODY_BYTES, MAX_PAYLOAD_BYTES, SIGNATURE_BYTES, Envelope
from ponas.v1 import types_pb2 as pb


@dataclass(frozen=True)
class WireBlock:
    """A block as it travels: signed header and exact body bytes, nothing checked but sizes."""

    header: Envelope
    body: bytes


def envelope_to_proto(envelope: Envelope) -> pb.Envelope:
    return pb.Envelope(
        # proto3 enums are open: the receiver judges kinds it doesn't know.
        kind=envelope.kind,  # type: ignore[arg-type]
        payload=envelope.payload,
        public_key=envelope.public_key,
        signature=envelope.signature,
    )


def envelope_from_proto(message: pb.Envelope) -> Envelope:
    """The envelope of a message.

    Raises:
        Rejected: a part is outside of what any valid one can be.
    """
    if message.kind < 0:
        raise Rejected(Reason.UNKNOWN_KIND, f"there is no object of kind {message.kind}")
    if len(message.payload) > MAX_PAYLOAD_BYTES:
        raise Rejected(Reason.NOT_CANONICAL, f"a payload has at most {MAX_PAYLOAD_BYTES} bytes")
    if len(message.public_key) != HASH_BYTES:
        raise Rejected(Reason.BAD_KEY, f"a public key has {HASH_BYTES} bytes")
    if len(message.signature) != SIGNATURE_BYTES:
        raise Rejected(Reason.BAD_SIGNATURE, f"a signature has {SIGNATURE_BYTES} bytes")
    return Envelope(message.kind, message.payload, message.public_key, message.signature)


def block_to_proto(block: WireBlock) -> pb.Block:
    return pb.Block(header=envelope_to_proto(block.header), body=block.body)


def block_from_proto(message: pb.Block) -> WireBlock:
    """The block of a message.

    Raises:
        Rejected: the body or a part of the header has an impossible size.
    """
    if len(message.body) > MAX_BODY_BYTES:
        raise Rejected(Reason.BODY_TOO_LARGE, f"a body has at most {MAX_BODY_BYTES} bytes")
    return WireBlock(envelope_from_proto(message.header), message.body)
