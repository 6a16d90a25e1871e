"""A chain to sync: won blocks with five lists, five votes and two transfers each."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, replace

from nacl.signing import SigningKey

from node.aside import inline
from node.chain.block import Block, open_block
from node.chain.commits import commit_of, compute_payout_root
from node.chain.context import RoundContext
from node.chain.envelope import Signed, sign
from node.chain.errors import SafetyAlarm
from node.chain.forkchoice import BlockTree
from node.chain.genesis import Endowment, Network, first_bonds
from node.chain.hashing import blob_hash
from node.chain.messages import Claim, List, PayoutLine, Transfer, Vote
from node.chain.params import DEVNET
from node.chain.proposal import complete
from node.chain.units import fold_body
from node.consensus.chain import Chain
from node.consensus.designs import NasDesigns
from node.store.base import Store
from node.store.writer import InlineWriter
from node.tasks import TaskOwner

ATTESTERS, TRANSFERS, FEE = 5, 2, 2_000
_PAYOUTS = (PayoutLine(b"\x01" * 32, 3), PayoutLine(b"\x02" * 32, 1))


@dataclass(frozen=True)
class Cast:
    """A network and the keys of those who act in it; the last one produces and pays."""

    network: Network
    attesters: tuple[SigningKey, ...]
    producer: SigningKey


def make_cast(seed: int) -> Cast:
    """Five attesters of equal weight and a producer with money, on devnet's parameters."""
    keys = sorted((_key(seed, number) for number in range(ATTESTERS + 1)), key=_public)
    attesters, producer = keys[:-1], keys[-1]
    network = Network(
        parameters=DEVNET,
        genesis_time_ms=0,
        bonds=first_bonds(DEVNET, {_public(key): 1 for key in attesters}, {_public(producer): 1}),
        accounts=(Endowment(_public(producer), 10**15),),
    )
    return Cast(network, tuple(attesters), producer)


async def fill_chain(cast: Cast, blocks: int, seed: int, store: Store) -> bytes:
    """Put a block of each round into a store; each carries all votes for the one before it.

    Returns the id of the last one.
    """
    designs, rng = NasDesigns(cast.network.parameters), random.Random(seed)
    chain = Chain(cast.network, designs, store, InlineWriter(store), TaskOwner(), inline, _raise)
    for round_number in range(1, blocks + 1):
        block = _make_block(chain.tree, designs, cast, round_number, rng)
        await chain.adopt(block, chain.apply(block))
    # Blocks are vouched for by votes in those above; for the last ones the store has them.
    last = chain.tree.head().id
    for vote in _votes(chain.tree, last, cast):
        chain.add_vote(vote)
    await asyncio.sleep(0)
    return last


def _raise(alarm: SafetyAlarm) -> None:
    raise alarm


def _make_block(
    tree: BlockTree, designs: NasDesigns, cast: Cast, round_number: int, rng: random.Random
) -> Block:
    network, parent, signer = tree.network, tree.head(), _public(cast.producer)
    context = tree.context_for(parent.id, round_number)
    draft = Claim(
        round=round_number,
        parent=parent.id,
        unit=0,
        genotype=_draw_design(designs, context, rng),
        model_hash=blob_hash(round_number.to_bytes(8, "big")),
        payout_root=compute_payout_root(_PAYOUTS),
        salt=bytes(32),
        correct=300,
        secrets=(),
        body_hash=b"",
        state_root=b"",
    )
    commit = sign(commit_of(context, draft, signer), cast.producer, network.id)
    lists = [sign(List(round_number, (commit.id,)), key, network.id) for key in cast.attesters]
    body = replace(fold_body(context, lists, [commit]), payouts=_PAYOUTS)
    votes = _votes(tree, parent.id, cast) if parent.block else ()
    nonce = TRANSFERS * (round_number - 1)
    transfers = [
        sign(Transfer(b"\x03" * 32, 1, nonce + number, FEE), cast.producer, network.id)
        for number in range(TRANSFERS)
    ]
    header, data = complete(context, parent.state, draft, signer, body, votes, transfers)
    return open_block(sign(header, cast.producer, network.id).envelope, data, network.id)


def _draw_design(designs: NasDesigns, context: RoundContext, rng: random.Random) -> bytes:
    space = designs.space(context)
    while designs.refuse(context, drawn := space.sample(rng).to_bytes()) is not None:
        pass
    return drawn


def _votes(tree: BlockTree, target: bytes, cast: Cast) -> tuple[Signed[Vote], ...]:
    source = tree.source_for(target)
    target_round = tree.entry(target).state.round
    vote = Vote(source.round, source.id, target_round, target, b"", b"")
    return tuple(sign(vote, key, tree.network.id) for key in cast.attesters)


def _key(seed: int, number: int) -> SigningKey:
    return SigningKey(seed.to_bytes(16, "big") + number.to_bytes(16, "big"))


def _public(key: SigningKey) -> bytes:
    return bytes(key.verify_key)
