"""A block: a signed header and the body that it pins by hash."""

from __future__ import annotations

from dataclasses import dataclass

from node.chain.codec import decode
from node.chain.envelope import (
    Signed,
    check_signature,
    read_as,
    read_envelope,
    read_transaction,
)
from node.chain.errors import InvalidBlock, Reason
from node.chain.hashing import blob_hash
from node.chain.messages import (
    MAX_BODY_BYTES,
    Body,
    Claim,
    Envelope,
    Fallback,
    Transaction,
    Vote,
)
from node.chain.work import MAX_WORK, work_of

Header = Claim | Fallback


@dataclass(frozen=True)
class Block:
    """A block whose parts are decoded; signatures are checked, unless `read_block` made it.

    `votes` and `transactions` are the opened envelopes of the body, in its order.
    """

    header: Signed[Claim] | Signed[Fallback]
    body: Body
    body_bytes: bytes
    votes: tuple[Signed[Vote], ...]
    transactions: tuple[Signed[Transaction], ...]

    @property
    def id(self) -> bytes:
        return self.header.id

    @property
    def round(self) -> int:
        return self.header.message.round

    @property
    def parent(self) -> bytes:
        return self.header.message.parent

    @property
    def is_fallback(self) -> bool:
        return isinstance(self.header.message, Fallback)


def open_header(envelope: Envelope, network_id: bytes) -> Signed[Claim] | Signed[Fallback]:
    """Check the envelope of a block's header. Raises Rejected."""
    header = read_header(envelope, network_id)
    check_signature(envelope, network_id)
    return header


def read_header(envelope: Envelope, network_id: bytes) -> Signed[Claim] | Signed[Fallback]:
    """Like `open_header`, but the signature is left to `check_signature`."""
    signed = read_envelope(envelope, network_id)
    if isinstance(signed.message, Claim):
        return Signed(envelope, signed.message, signed.id)
    if isinstance(signed.message, Fallback):
        return Signed(envelope, signed.message, signed.id)
    raise InvalidBlock(Reason.WRONG_KIND, "a header is a Claim or a Fallback")


def open_block(envelope: Envelope, body_bytes: bytes, network_id: bytes) -> Block:
    """Check header, body and every envelope in it, apart from the chain. Raises Rejected."""
    block = read_block(envelope, body_bytes, network_id)
    check_signatures(block, network_id)
    return block


def read_block(envelope: Envelope, body_bytes: bytes, network_id: bytes) -> Block:
    """Like `open_block`, but the signatures in the body are left to `check_signatures`."""
    header = open_header(envelope, network_id)
    # 1. The body is small enough to look at, and the one that the header names.
    if len(body_bytes) > MAX_BODY_BYTES:
        raise InvalidBlock(Reason.BODY_TOO_LARGE, f"a body of {len(body_bytes)} bytes")
    if blob_hash(body_bytes) != header.message.body_hash:
        raise InvalidBlock(Reason.BODY_HASH, "the body is not the one the header names")
    # 2. It is canonical, and so is everything in it.
    body = decode(Body, body_bytes)
    transactions = tuple(read_transaction(item, network_id) for item in body.transactions)
    # 3. Judging its transactions takes a time that everybody has.
    work = sum(work_of(signed.message) for signed in transactions)
    if work > MAX_WORK:
        raise InvalidBlock(Reason.TOO_MUCH_WORK, f"transactions of work {work}, above {MAX_WORK}")
    return Block(
        header=header,
        body=body,
        body_bytes=body_bytes,
        votes=tuple(read_as(Vote, vote, network_id) for vote in body.votes),
        transactions=transactions,
    )


def check_signatures(block: Block, network_id: bytes) -> None:
    """Whether votes and transactions of a body are their signers'. Raises Rejected."""
    check_votes(block, network_id)
    for envelope in block.body.transactions:
        check_signature(envelope, network_id)


def check_votes(block: Block, network_id: bytes) -> None:
    """Whether the votes of a body are their signers'. Raises Rejected."""
    for envelope in block.body.votes:
        check_signature(envelope, network_id)
