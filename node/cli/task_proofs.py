"""What a node says of published tasks, held against the signatures and hashes that prove it.

A task's id proves its terms; the terms prove for which shard a claim was made; the claim names the
design, the count and the model. That a claim's block is final stays the node's word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from node.chain.block import open_header
from node.chain.codec import decode
from node.chain.envelope import object_id
from node.chain.errors import Rejected
from node.chain.genesis import Network
from node.chain.hashing import blob_hash
from node.chain.messages import Claim, Envelope, Kind
from node.chain.published.manifest import CHUNK_BYTES
from node.chain.published.sealing import hash_key
from node.chain.published.terms import Publish
from node.cli.asking import ask, ask_if_there
from node.identity import parse_address
from ponas.v1 import query_service_pb2 as query

if TYPE_CHECKING:
    from nas.designs.design import Design


class Unproved(ValueError):
    """What a node says of a result is not so; the message is a sentence without its full stop."""


@dataclass(frozen=True)
class Win:
    """A producer's signed claim for a shard of a task, and its feasible design with its costs."""

    header: Envelope
    claim: Claim
    shard: int
    design: Design


def fetch_terms(node: str, network: Network, task_id: bytes) -> Publish:
    """The terms of a task. Raises Unproved."""
    request = query.GetTaskTermsRequest(task=task_id.hex())
    answer = cast(query.GetTaskTermsResponse, ask(node, "GetTaskTerms", request))
    try:
        payload, publisher = bytes.fromhex(answer.terms), parse_address(answer.publisher)
        terms = decode(Publish, payload)
    except (ValueError, Rejected) as error:
        raise Unproved(f"{node} showed no terms: {error}") from None
    if object_id(network.id, Kind.PUBLISH, publisher, payload) != task_id:
        raise Unproved(f"{node} showed the terms of another task")
    return terms


def fetch_win(node: str, network: Network, terms: Publish, block: str) -> Win:
    """What a producer has signed of a block that a node calls a task's. Raises Unproved."""
    request = query.GetBlockBytesRequest(id=block)
    answer = cast(query.GetBlockBytesResponse, ask(node, "GetBlockBytes", request))
    try:
        opened = open_header(decode(Envelope, bytes.fromhex(answer.header)), network.id)
    except (ValueError, Rejected) as error:
        raise Unproved(f"{node} showed no header of {block[:10]}…: {error}") from None
    if opened.id.hex() != block:
        raise Unproved(f"{node} showed the header of another block")
    if not isinstance(opened.message, Claim):
        raise Unproved(f"the block of round {opened.message.round} has no winner")
    return _win_of(network, terms, opened.envelope, opened.message)


def fetch_model(node: str, terms: Publish, win: Win) -> bytes:
    """The model that a claim names. Raises ValueError, also where it is no longer kept."""
    from nas.evaluation.model_format import model_length
    from node.publishing.engine import training_data

    shape = training_data(terms).shape
    length = model_length(win.design.genotype, shape, terms.classes)
    model = b""
    for offset in range(0, length, CHUNK_BYTES):
        request = query.GetModelRequest(hash=win.claim.model_hash.hex(), offset=offset)
        part = cast(query.GetModelResponse | None, ask_if_there(node, "GetModel", request))
        if part is None:
            raise Unproved(f"{node} does not keep the model any more")
        model += bytes.fromhex(part.data)
    if blob_hash(model) != win.claim.model_hash:
        raise Unproved(f"{node} sent another model than the block of round {win.claim.round} names")
    return model


def _win_of(network: Network, terms: Publish, header: Envelope, claim: Claim) -> Win:
    from nas.designs.genotype import Genotype
    from node.consensus.designs import NasDesigns

    of = f"the claim of round {claim.round}"
    keys = [hash_key(secret) for secret in claim.secrets]
    shards = [at for at, sealed in enumerate(terms.shards) if [sealed.key] == keys]
    if not shards:
        raise Unproved(f"{of} is not for this task")
    if claim.correct > terms.test_images:
        raise Unproved(f"{of} is of more images than the task has")
    design = NasDesigns(network.parameters).price(terms, Genotype.from_bytes(claim.genotype))
    if not design.feasible:
        raise Unproved(f"{of} has a design that the task does not allow: {design.detail}")
    return Win(header, claim, shards[0], design)
