"""What nodes sign and hash: the payloads of `ponas/v1/types.proto`, same names and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated

from node.chain.codec import MAX_UINT32, Bytes, RepeatedBytes, RepeatedMessage, Uint
from node.chain.published.terms import Cancel, Key, Publish, Rebond

MAX_COMMITS = 64
"""K: commitments that one list may name."""
MAX_ATTESTERS = 128
"""A_MAX: seats of an era."""
MAX_CERTIFIED = 128
"""Ids that lists of a quorum can name: fewer than MAX_COMMITS * 3 / 2."""
MAX_PAYOUT_LINES = 1024
MAX_PROOF_HASHES = 10
"""Hashes on the way from one of MAX_PAYOUT_LINES leaves to the root of a binary tree."""
MAX_VOTES = 1024
MAX_TRANSACTIONS = 8192
MAX_SECRETS = 8
MAX_SHOWN = 3
"""Envelopes in one piece of evidence: a lease, its acceptance and the commit that broke it."""
MAX_GENOTYPE_BYTES = 640
MAX_WORTH_BYTES = 32
MAX_PAYLOAD_BYTES = 8192
MAX_BODY_BYTES = 2**20
SIGNATURE_BYTES = 64


class Kind(IntEnum):
    """What an envelope carries; signatures cover it."""

    COMMIT = 1
    LIST = 2
    CLAIM = 3
    FALLBACK = 4
    VOTE = 5
    TRANSFER = 6
    POOL_REGISTRATION = 7
    LEASE = 8
    LEASE_ACCEPTANCE = 9
    RECEIPT = 10
    PAYOUT_NOTICE = 11
    ADD_BOND = 16
    UNBOND = 17
    EVIDENCE = 18
    FAUCET = 19
    SEAL = 22
    PUBLISH = 20
    CANCEL = 21
    KEY = 23
    REBOND = 24


@dataclass(frozen=True)
class Commit:
    """A producer's sealed promise, backed by one of its units."""

    round: Annotated[int, Uint(1)]
    unit: Annotated[int, Uint(2, MAX_UINT32)]
    commitment: Annotated[bytes, Bytes(3)]


@dataclass(frozen=True)
class List:
    """Ids of the commits that one attester held at the deadline, ascending."""

    round: Annotated[int, Uint(1)]
    ids: Annotated[tuple[bytes, ...], RepeatedBytes(2, most=MAX_COMMITS)]


@dataclass(frozen=True)
class Claim:
    """A producer's result, which is the header of the block it proposes.

    `incumbent_correct` is the count of the model that has won the published task before.
    """

    round: Annotated[int, Uint(1)]
    parent: Annotated[bytes, Bytes(2)]
    unit: Annotated[int, Uint(3, MAX_UINT32)]
    genotype: Annotated[bytes, Bytes(4, 1, MAX_GENOTYPE_BYTES)]
    model_hash: Annotated[bytes, Bytes(5)]
    payout_root: Annotated[bytes, Bytes(6)]
    salt: Annotated[bytes, Bytes(7)]
    correct: Annotated[int, Uint(8, MAX_UINT32)]
    secrets: Annotated[tuple[bytes, ...], RepeatedBytes(9, most=MAX_SECRETS)]
    body_hash: Annotated[bytes, Bytes(10)]
    state_root: Annotated[bytes, Bytes(11)]
    incumbent_correct: Annotated[int, Uint(12, MAX_UINT32)] = 0


@dataclass(frozen=True)
class Fallback:
    """Header of a block without a winner; `order` is the signer's place in the round."""

    round: Annotated[int, Uint(1)]
    parent: Annotated[bytes, Bytes(2)]
    order: Annotated[int, Uint(3, MAX_UINT32)]
    missing: Annotated[tuple[bytes, ...], RepeatedBytes(4, most=MAX_SECRETS)]
    body_hash: Annotated[bytes, Bytes(5)]
    state_root: Annotated[bytes, Bytes(6)]


@dataclass(frozen=True)
class Vote:
    """A link from a justified checkpoint to the block of `round` that the voter found valid.

    `seal_chain` is the end of a new chain of seals of the voter (`node.chain.seals`), or nothing.
    """

    source_round: Annotated[int, Uint(1)]
    source: Annotated[bytes, Bytes(2)]
    round: Annotated[int, Uint(3)]
    target: Annotated[bytes, Bytes(4)]
    logits_digest: Annotated[bytes, Bytes(5, 0)]
    tasks_held: Annotated[bytes, Bytes(6, 0, 4)]
    seal_chain: Annotated[tuple[bytes, ...], RepeatedBytes(7, most=1)] = ()


@dataclass(frozen=True)
class Seal:
    """A sealer's part of what opens the test images of the round."""

    round: Annotated[int, Uint(1)]
    preimage: Annotated[bytes, Bytes(2)]


@dataclass(frozen=True)
class Transfer:
    """Moves `amount` base units from the signer's account, which also pays the fee."""

    recipient: Annotated[bytes, Bytes(1)]
    amount: Annotated[int, Uint(2)]
    nonce: Annotated[int, Uint(3)]
    fee: Annotated[int, Uint(4)]


@dataclass(frozen=True)
class Faucet:
    """Asks for coins, where a network gives them away; the fee is taken out of them."""

    nonce: Annotated[int, Uint(1)]
    fee: Annotated[int, Uint(2)]


@dataclass(frozen=True)
class AddBond:
    """Puts base units of the signer's account into its own bond of a kind.

    `owner` is the address that may unbond; the first of a bond's transactions names it.
    """

    kind: Annotated[int, Uint(1, MAX_UINT32)]
    owner: Annotated[bytes, Bytes(2)]
    amount: Annotated[int, Uint(3)]
    nonce: Annotated[int, Uint(4)]
    fee: Annotated[int, Uint(5)]


@dataclass(frozen=True)
class Unbond:
    """Starts the way back of a part of the bond of an identity, which the signer owns."""

    kind: Annotated[int, Uint(1, MAX_UINT32)]
    identity: Annotated[bytes, Bytes(2)]
    amount: Annotated[int, Uint(3)]
    nonce: Annotated[int, Uint(4)]
    fee: Annotated[int, Uint(5)]


@dataclass(frozen=True)
class Evidence:
    """What somebody has signed and nobody may; `shown` are the envelopes that prove it."""

    shown: Annotated[tuple[Envelope, ...], RepeatedMessage(1, MAX_SHOWN, Envelope)]
    nonce: Annotated[int, Uint(2)]
    fee: Annotated[int, Uint(3)]


@dataclass(frozen=True)
class PoolRegistration:
    """A miner's answer to a pool's challenge; never on the chain."""

    nonce: Annotated[bytes, Bytes(1)]
    manager: Annotated[bytes, Bytes(2)]
    strength: Annotated[int, Uint(3, MAX_UINT32)]
    payout_address: Annotated[bytes, Bytes(4)]


@dataclass(frozen=True)
class Lease:
    """A pool's promise of a subspace to one miner for one round; never on the chain."""

    round: Annotated[int, Uint(1)]
    miner: Annotated[bytes, Bytes(2)]
    assignment: Annotated[int, Uint(3)]
    subspace_hash: Annotated[bytes, Bytes(4)]
    search_seed: Annotated[int, Uint(5)]
    episodes: Annotated[int, Uint(6, MAX_UINT32)]
    last_round: Annotated[int, Uint(7)]


@dataclass(frozen=True)
class LeaseAcceptance:
    """A miner's promise to commit nothing of its own while the lease lasts; never on the chain."""

    lease: Annotated[bytes, Bytes(1)]


@dataclass(frozen=True)
class Receipt:
    """A pool's word that it has a result, for good; never on the chain.

    `worth` is a stable word that says why the result is credited with so much work.
    """

    round: Annotated[int, Uint(1)]
    miner: Annotated[bytes, Bytes(2)]
    share: Annotated[bytes, Bytes(3)]
    model_hash: Annotated[bytes, Bytes(4, 0)]
    correct: Annotated[int, Uint(5, MAX_UINT32)]
    size: Annotated[int, Uint(6, MAX_UINT32)]
    work: Annotated[int, Uint(7)]
    confirmed: Annotated[int, Uint(8, 1)]
    worth: Annotated[bytes, Bytes(9, 1, MAX_WORTH_BYTES)]


@dataclass(frozen=True)
class PayoutNotice:
    """A pool's proof that a line is under the payout root it has committed; never on the chain."""

    round: Annotated[int, Uint(1)]
    commitment: Annotated[bytes, Bytes(2)]
    payout_root: Annotated[bytes, Bytes(3)]
    share_log: Annotated[bytes, Bytes(4)]
    address: Annotated[bytes, Bytes(5)]
    weight: Annotated[int, Uint(6)]
    index: Annotated[int, Uint(7, MAX_PAYOUT_LINES - 1)]
    lines: Annotated[int, Uint(8, MAX_PAYOUT_LINES)]
    path: Annotated[tuple[bytes, ...], RepeatedBytes(9, most=MAX_PROOF_HASHES)]


@dataclass(frozen=True)
class Envelope:
    """A signed object as it travels and is stored: exact payload, signer, signature."""

    kind: Annotated[int, Uint(1, MAX_UINT32)]
    payload: Annotated[bytes, Bytes(2, 1, MAX_PAYLOAD_BYTES)]
    public_key: Annotated[bytes, Bytes(3)]
    signature: Annotated[bytes, Bytes(4, SIGNATURE_BYTES, SIGNATURE_BYTES)]


@dataclass(frozen=True)
class ListProof:
    """One attester's List, folded to a bit for each of the body's commit ids."""

    attester: Annotated[bytes, Bytes(1)]
    bitmap: Annotated[bytes, Bytes(2, 0, MAX_ATTESTERS * MAX_COMMITS // 8)]
    signature: Annotated[bytes, Bytes(3, SIGNATURE_BYTES, SIGNATURE_BYTES)]


@dataclass(frozen=True)
class PayoutLine:
    """One share of a block's reward; amounts are in proportion to the weights."""

    address: Annotated[bytes, Bytes(1)]
    weight: Annotated[int, Uint(2)]


@dataclass(frozen=True)
class CertifiedUnit:
    """The Commit behind a certified id, so that its producer can be paid."""

    producer: Annotated[bytes, Bytes(1)]
    unit: Annotated[int, Uint(2, MAX_UINT32)]
    commitment: Annotated[bytes, Bytes(3)]


@dataclass(frozen=True)
class Body:
    """What a block carries beside its header."""

    commit_ids: Annotated[
        tuple[bytes, ...], RepeatedBytes(1, most=MAX_ATTESTERS * MAX_COMMITS)
    ] = ()
    lists: Annotated[tuple[ListProof, ...], RepeatedMessage(2, MAX_ATTESTERS, ListProof)] = ()
    votes: Annotated[tuple[Envelope, ...], RepeatedMessage(3, MAX_VOTES, Envelope)] = ()
    payouts: Annotated[
        tuple[PayoutLine, ...], RepeatedMessage(4, MAX_PAYOUT_LINES, PayoutLine)
    ] = ()
    transactions: Annotated[
        tuple[Envelope, ...], RepeatedMessage(5, MAX_TRANSACTIONS, Envelope)
    ] = ()
    parent_logits_hash: Annotated[bytes, Bytes(6, 0)] = b""
    units: Annotated[
        tuple[CertifiedUnit, ...], RepeatedMessage(7, MAX_CERTIFIED, CertifiedUnit)
    ] = ()


Transaction = Transfer | AddBond | Unbond | Evidence | Faucet | Publish | Cancel | Rebond
"""What a body may carry; each kind has `nonce` and `fee`."""
Payload = (
    Commit
    | List
    | Claim
    | Fallback
    | Vote
    | Seal
    | Key
    | Transaction
    | PoolRegistration
    | Lease
    | LeaseAcceptance
    | Receipt
    | PayoutNotice
)
TRANSACTIONS: dict[Kind, type[Transaction]] = {
    Kind.TRANSFER: Transfer,
    Kind.ADD_BOND: AddBond,
    Kind.UNBOND: Unbond,
    Kind.EVIDENCE: Evidence,
    Kind.FAUCET: Faucet,
    Kind.PUBLISH: Publish,
    Kind.CANCEL: Cancel,
    Kind.REBOND: Rebond,
}
PAYLOADS: dict[Kind, type[Payload]] = {
    Kind.COMMIT: Commit,
    Kind.LIST: List,
    Kind.CLAIM: Claim,
    Kind.FALLBACK: Fallback,
    Kind.VOTE: Vote,
    Kind.SEAL: Seal,
    Kind.KEY: Key,
    **TRANSACTIONS,
    Kind.POOL_REGISTRATION: PoolRegistration,
    Kind.LEASE: Lease,
    Kind.LEASE_ACCEPTANCE: LeaseAcceptance,
    Kind.RECEIPT: Receipt,
    Kind.PAYOUT_NOTICE: PayoutNotice,
}
KINDS: dict[type, Kind] = {cls: kind for kind, cls in PAYLOADS.items()}
