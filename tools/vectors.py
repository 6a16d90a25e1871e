"""Writes tests/vectors/chain.json: golden bytes, ids and signatures of the protocol.

Run `python -m tools.vectors` after a deliberate change of the protocol, and read the
difference; a change that nobody wanted shows up as a failing tests/test_chain_vectors.py.
Ed25519 signatures are deterministic, so everything follows from the seeds below.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

from node.chain.block import open_block
from node.chain.bonds import BondKind
from node.chain.commits import commit_of, compute_payout_root
from node.chain.envelope import Signed, sign
from node.chain.forkchoice import BlockTree
from node.chain.genesis import Endowment, Network, first_bonds, network_to_json
from node.chain.hashing import blob_hash
from node.chain.jsonform import to_json
from node.chain.messages import (
    AddBond,
    Claim,
    Evidence,
    Fallback,
    Faucet,
    Lease,
    LeaseAcceptance,
    List,
    Payload,
    PayoutLine,
    PayoutNotice,
    PoolRegistration,
    Receipt,
    Seal,
    Transfer,
    Unbond,
    Vote,
)
from node.chain.params import DEVNET
from node.chain.proposal import complete
from node.chain.published.sealing import hash_key, shard_key
from node.chain.published.terms import (
    Cancel,
    Channel,
    Key,
    Publish,
    Rebond,
    SealedShard,
    ValueRange,
)
from node.chain.seals import make_end, make_seal
from node.chain.state import compute_root
from node.chain.units import fold_body
from tools.state_vectors import compute_draws, compute_hashes, compute_state, show_state

PATH = Path(__file__).parent.parent / "tests" / "vectors" / "chain.json"
ATTESTER = SigningKey(b"\x01" * 32)
PRODUCER = SigningKey(b"\x02" * 32)
MODEL = b"model bytes"
ROUND = 1


def compute_network() -> Network:
    """One attester and one producer with two units."""
    producer = bytes(PRODUCER.verify_key)
    return Network(
        parameters=DEVNET,
        genesis_time_ms=1_700_000_000_000,
        bonds=first_bonds(DEVNET, {bytes(ATTESTER.verify_key): 1}, {producer: 2}),
        accounts=(Endowment(producer, 1_000_000_000),),
    )


def compute_objects(network: Network) -> tuple[list[Signed[Payload]], bytes]:
    """A round from commit to vote, then one of each other kind; and the body of its block."""
    tree = BlockTree(network)
    context = tree.context_for(network.genesis_id, ROUND)
    state, producer = tree.head().state, bytes(PRODUCER.verify_key)
    payouts = (PayoutLine(b"\x0a" * 32, 3), PayoutLine(b"\x0b" * 32, 1))
    draft = Claim(
        round=ROUND,
        parent=network.genesis_id,
        unit=1,
        genotype=bytes((3, 3, 8, 1, 1, 2, 2, 3, 1, 4)) * 3,
        model_hash=blob_hash(MODEL),
        payout_root=compute_payout_root(payouts),
        salt=b"\x0c" * 32,
        correct=300,
        secrets=(),
        body_hash=b"",
        state_root=b"",
    )
    commit = sign(commit_of(context, draft, producer), PRODUCER, network.id)
    listed = sign(List(ROUND, (commit.id,)), ATTESTER, network.id)
    transfer = sign(Transfer(b"\x0d" * 32, 2_500_000, 0, 2_000), PRODUCER, network.id)
    body = replace(fold_body(context, [listed], [commit]), payouts=payouts)
    header, body_bytes = complete(context, state, draft, producer, body, (), [transfer])
    claim = sign(header, PRODUCER, network.id)
    block = open_block(claim.envelope, body_bytes, network.id)
    chain = (make_end(ATTESTER, network.id, ROUND),)
    vote = Vote(0, network.genesis_id, ROUND, block.id, b"\x0e" * 32, b"", chain)
    seal = Seal(ROUND + 1, make_seal(ATTESTER, network.id, ROUND, ROUND + 1))
    fallback = Fallback(ROUND, network.genesis_id, 0, (), b"\x0f" * 32, b"\x10" * 32)
    other_list = sign(List(ROUND, ()), ATTESTER, network.id)
    shown = sorted((listed, other_list), key=lambda signed: signed.id)
    evidence = Evidence(tuple(signed.envelope for signed in shown), 2, 6_000)
    registration = PoolRegistration(b"\x11" * 32, producer, 2, b"\x12" * 32)
    objects: list[Signed[Payload]] = [
        commit,
        listed,
        claim,
        sign(vote, ATTESTER, network.id),
        sign(seal, ATTESTER, network.id),
        transfer,
        sign(AddBond(BondKind.PRODUCE, producer, 625_000_000, 1, 2_000), PRODUCER, network.id),
        sign(Unbond(BondKind.PRODUCE, producer, 625_000_000, 2, 2_000), PRODUCER, network.id),
        sign(evidence, PRODUCER, network.id),
        sign(fallback, ATTESTER, network.id),
        sign(Faucet(1, 2_000), PRODUCER, network.id),
        sign(registration, ATTESTER, network.id),
        *compute_pool_objects(network.id, commit.message.commitment),
        *compute_task_objects(network.id),
    ]
    return objects, body_bytes


def compute_pool_objects(network_id: bytes, commitment: bytes) -> list[Signed[Payload]]:
    """What the producer as a pool's manager and the attester as its miner sign for each other."""
    manager, miner = PRODUCER, ATTESTER
    miner_key = bytes(miner.verify_key)
    lease = sign(Lease(ROUND, miner_key, 1, b"\x13" * 32, 7, 20, ROUND), manager, network_id)
    notice = PayoutNotice(
        round=ROUND,
        commitment=commitment,
        payout_root=b"\x14" * 32,
        share_log=b"\x15" * 32,
        address=b"\x16" * 32,
        weight=3,
        index=1,
        lines=2,
        path=(b"\x17" * 32,),
    )
    return [
        lease,
        sign(LeaseAcceptance(lease.id), miner, network_id),
        sign(
            Receipt(ROUND, miner_key, b"\x18" * 32, b"\x19" * 32, 300, 360, 9, 1, b"full"),
            manager,
            network_id,
        ),
        sign(notice, manager, network_id),
    ]


def compute_task_objects(network_id: bytes) -> list[Signed[Payload]]:
    """What the attester as a publisher and key holder signs."""
    shard = SealedShard(b"\x20" * 32, b"\x21" * 32, hash_key(shard_key(b"\x22" * 32, 0)))
    values = ((1, 3), (1, 3), (4, 8), (1, 2), (1, 2), (1, 2), (1, 2), (1, 2), (1, 2), (2, 3))
    publish = Publish(
        nonce=0,
        fee=10_000,
        height=8,
        width=8,
        channels=(Channel(3_000, 2_500),),
        classes=10,
        train_images=1_000,
        validation_images=100,
        test_images=200,
        training_chunks=b"\x23" * 32,
        training=b"\x24" * 32,
        shards=(shard,),
        layers=1,
        ranges=tuple(ValueRange(bytes(each)) for each in values),
        profile=b"paper",
        protocol=b"qat",
        epochs=10,
        witness=bytes(each[0] for each in values),
        reward=10_000_000_000,
        target=150,
        margin=14,
        key_holders=(bytes(ATTESTER.verify_key),),
    )
    signed = sign(publish, ATTESTER, network_id)
    return [
        signed,
        sign(Key(ROUND, signed.id, 0, shard_key(b"\x22" * 32, 0)), ATTESTER, network_id),
        sign(Cancel(1, 1_000, signed.id), ATTESTER, network_id),
        sign(Rebond(1, 1_000, signed.id), ATTESTER, network_id),
    ]


def compute_vectors() -> dict[str, Any]:
    """Everything the file holds; bytes are hexadecimal."""
    network = compute_network()
    objects, body_bytes = compute_objects(network)
    context = BlockTree(network).context_for(network.genesis_id, ROUND)
    (terms,) = (each.message for each in objects if isinstance(each.message, Publish))
    return {
        "network": json.loads(network_to_json(network)),
        "network_id": network.id.hex(),
        "genesis_id": network.genesis_id.hex(),
        "genesis_state_root": compute_root(BlockTree(network).head().state).hex(),
        "secret_seeds": [bytes(ATTESTER).hex(), bytes(PRODUCER).hex()],
        "hashes": compute_hashes(context, network, ATTESTER),
        "draws": compute_draws(context),
        "state": show_state(compute_state(network, terms)),
        "body": body_bytes.hex(),
        "objects": [
            {
                "type": type(signed.message).__name__,
                "message": to_json(signed.message),
                "envelope": to_json(signed.envelope),
                "id": signed.id.hex(),
            }
            for signed in objects
        ],
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps(compute_vectors(), indent=2) + "\n")
