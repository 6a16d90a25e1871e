"""The parts of tests/vectors/chain.json that are not signed: hashes, draws, tables and roots."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nacl.signing import SigningKey

from node.chain.bonds import Bond, BondKey, BondKind, Unbonding
from node.chain.codec import encode
from node.chain.commits import payout_tree
from node.chain.context import RoundContext, next_beacon
from node.chain.eras import NOBODY, Eras, Seat, Seats, mark
from node.chain.genesis import Network
from node.chain.hashing import blake, u64
from node.chain.inclusion import prove_account
from node.chain.jsonform import to_json
from node.chain.messages import PayoutLine
from node.chain.offence import Punished
from node.chain.published.difficulty import compute_difficulty_ms
from node.chain.published.manifest import make_manifest
from node.chain.published.record import Incumbent, Reservation, TaskRecord
from node.chain.published.sealing import hash_key, shard_key
from node.chain.published.terms import Publish
from node.chain.rewards import compute_rewards
from node.chain.seals import SealChain, draw_sealers, make_end, make_seal
from node.chain.state import (
    TABLES,
    Account,
    Ancestor,
    Checkpoint,
    State,
    compute_root,
    genesis_state,
    root_parts,
)
from node.chain.table import Table
from node.chain.votes import compute_logits_digest
from node.consensus.designs import NasDesigns

A, B, C = (bytes([value]) * 32 for value in (0xA1, 0xB2, 0xC3))
LINES = (PayoutLine(A, 3), PayoutLine(B, 1), PayoutLine(C, 2))
ROUND = 205


def compute_hashes(context: RoundContext, network: Network, key: SigningKey) -> dict[str, Any]:
    """What the protocol derives by hashing, for A, B and C as keys, secrets and ids."""
    tree = payout_tree(LINES)
    return {
        "H('ponas/x', 'ab', '')": blake("ponas/x", b"ab", b"").hex(),
        "genesis beacon": context.beacon.hex(),
        "instance of A, unit 1": context.instance(A, 1).hex(),
        "ticket of A, unit 1": context.draw("ponas/ticket", A, u64(1)).hex(),
        "tie of A, unit 1, secrets B and C": context.draw("ponas/tie", A, u64(1), B, C).hex(),
        "fallback draw of A": context.draw("ponas/fallback", A).hex(),
        "sealer draw 2": context.draw("ponas/sealer", u64(2)).hex(),
        "test seed of secrets B and C": context.test_seed([C, B]).hex(),
        "beacon after round 1, secrets B and C": next_beacon(context.beacon, 1, [C, B]).hex(),
        "payout root of A 3, B 1, C 2": tree.root.hex(),
        "way of its line 1": [part.hex() for part in tree.prove(1)],
        "logits digest of A for B": compute_logits_digest(A, B).hex(),
        "end of the first secret's chain from round 1": make_end(key, network.id, 1).hex(),
        "its seal of round 3": make_seal(key, network.id, 1, 3).hex(),
        "key of shard 2 by secret A": shard_key(A, 2).hex(),
        "its hash": hash_key(shard_key(A, 2)).hex(),
        "space of round 1": [
            list(values) for values in NasDesigns(network.parameters).space(context).ranges[0]
        ],
        "manifest of chunks a and bc": make_manifest([b"a", b"bc"]).hex(),
    }


def compute_draws(context: RoundContext) -> dict[str, Any]:
    """Who seals and who is paid, for attesters A, B and C."""
    weights = {A: 500, B: 300, C: 200}

    def draw(number: int) -> bytes:
        return context.draw("ponas/sealer", u64(number))

    return {
        "weights": {key.hex(): weight for key, weight in weights.items()},
        "all sealers that can be, one more each time": [
            [key.hex() for key in draw_sealers(weights, count, draw, lambda _: True)]
            for count in range(1, 4)
        ],
        "the first two without B": [
            key.hex() for key in draw_sealers(weights, 2, draw, lambda key: key != B)
        ],
        "rewards of a subsidy of 1000003, to producer A and lines A 3, B 1, C 2, voted for by B "
        "and C": {
            address.hex(): amount
            for address, amount in compute_rewards(
                1_000_003, A, LINES, {key: weights[key] for key in (B, C)}
            ).items()
        },
    }


def compute_state(network: Network, terms: Publish) -> State:
    """A state with something in each table, of no chain."""
    seats = Seats((Seat(A, 5), Seat(B, 7)))
    other = Seats((Seat(C, 9),))
    task = TaskRecord(
        publisher=A,
        terms=terms,
        difficulty_ms=compute_difficulty_ms(terms, network.parameters.tasks),
        queued_round=190,
        place=3,
        holders=(A, B),
        used=1,
        reserved=(Reservation(206, 0),),
        incumbents=(Incumbent(b"\x03" * 10, C),),
        bond=11,
        suspended=1,
        closed=1,
    )
    bond = Bond(A, 1_000, (Unbonding(5, 12), Unbonding(6, 13)), absent_eras=2)
    attester, producer = BondKey(BondKind.ATTEST, A), BondKey(BondKind.PRODUCE, B)
    return replace(
        genesis_state(network),
        round=ROUND,
        height=150,
        beacon=B,
        justified=Checkpoint(203, C),
        ancestors=(
            Ancestor(Checkpoint(203, C), Checkpoint(202, B)),
            Ancestor(Checkpoint(204, A), Checkpoint(203, C), mark(NOBODY, 1)),
        ),
        issued=12_345,
        burnt=678,
        eras=Eras(100, 2, seats, other, 1, other, mark(NOBODY, 0)),
        accounts=Table([(A, Account(7, 8, 3)), (B, Account(1_000_000)), (C, Account(2, 300))]),
        bonds=Table([(attester.to_bytes(), bond), (producer.to_bytes(), Bond(C, 2_000))]),
        seals=Table([(A, SealChain(B, 204, 1, 300))]),
        tasks=Table([(C, task)]),
        punished=Table([(attester.to_bytes() + u64(190), Punished(190))]),
    )


def show_state(state: State) -> dict[str, Any]:
    """Rows as they are hashed, with the roots that follow; and the way to the account of A."""
    way = prove_account(state, A).way
    return {
        "tables": {
            name: {
                "rows": {key.hex(): encode(row).hex() for key, row in getattr(state, name).items()},
                "root": getattr(state, name).root.hex(),
            }
            for name in TABLES
        },
        "of the head": {
            name: to_json(getattr(state, name))
            for name in (
                *("round", "height", "beacon", "justified", "ancestors"),
                *("issued", "burnt", "eras"),
            )
        },
        "head": root_parts(state)[0].hex(),
        "state_root": compute_root(state).hex(),
        "way of account A": [part.hex() for part in way.siblings],
    }
