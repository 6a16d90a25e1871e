"""How fast a node that catches up applies blocks."""

from __future__ import annotations

from functools import partial

from nacl.signing import SigningKey

from nas.bench.figures import Clock, Figure, rate_figure, seconds_of
from node.chain.block import Block, open_block
from node.chain.commits import commit_of, compute_payout_root
from node.chain.context import RoundContext
from node.chain.envelope import Signed, sign
from node.chain.errors import Reason
from node.chain.forkchoice import BlockTree
from node.chain.genesis import Attester, Network, Producer
from node.chain.hashing import blob_hash
from node.chain.lists import fold
from node.chain.messages import Body, Claim, Envelope, List, PayoutLine, Vote
from node.chain.params import DEVNET
from node.chain.proposal import complete
from node.chain.transition import apply_block

ATTESTERS = 4
MODEL = b"a model"
PAYOUTS = (PayoutLine(b"\x01" * 32, 3), PayoutLine(b"\x02" * 32, 1))

Received = tuple[Envelope, bytes]
"""Header and body of a block as they come from a peer."""


class AnyDesign:
    """Lets every design pass: prices of hardware have a figure of their own."""

    def refuse(self, context: RoundContext, genotype: bytes) -> tuple[Reason, str] | None:
        """Implements `node.chain.validity.DesignRules`."""
        return None

    def model_length(self, genotype: bytes) -> int:
        """Implements `node.chain.validity.DesignRules`."""
        return len(MODEL)


def measure_blocks(parts: int, blocks: int, seed: int, clock: Clock) -> tuple[Figure, ...]:
    """Won blocks with four lists, four votes for their parent and no transfers, on one core."""
    # Keys in the order that a network lists them in.
    drawn = sorted((_key(seed, number) for number in range(ATTESTERS + 1)), key=_public)
    attesters, producer = drawn[:-1], drawn[-1]
    network = Network(
        parameters=DEVNET,
        genesis_time_ms=0,
        attesters=tuple(Attester(_public(key), 1) for key in attesters),
        units=(Producer(_public(producer), 1),),
        accounts=(),
    )
    chain = _make_chain(network, attesters, producer, parts * blocks)
    tree = BlockTree(network)
    seconds = [
        seconds_of(partial(_apply_all, tree, chain[at : at + blocks]), clock)
        for at in range(0, len(chain), blocks)
    ]
    floor = "nine signatures a block, checked one after the other"
    return (rate_figure("blocks", "blocks/s", blocks, seconds, seed, floor),)


def _apply_all(tree: BlockTree, chain: list[Received]) -> None:
    for header, body in chain:
        _apply(tree, open_block(header, body, tree.network.id))


def _apply(tree: BlockTree, block: Block) -> None:
    context = tree.context_for(block.parent, block.round)
    tree.add(block, apply_block(context, tree.entry(block.parent).state, block, AnyDesign()))


def _make_chain(
    network: Network, attesters: list[SigningKey], producer: SigningKey, blocks: int
) -> list[Received]:
    """A block a round, each with the votes of all attesters for the block before it."""
    tree = BlockTree(network)
    chain = []
    for round_number in range(1, blocks + 1):
        envelope, body = _make_block(tree, attesters, producer, round_number)
        _apply(tree, open_block(envelope, body, network.id))
        chain.append((envelope, body))
    return chain


def _make_block(
    tree: BlockTree, attesters: list[SigningKey], producer: SigningKey, round_number: int
) -> Received:
    network, parent, signer = tree.network, tree.head(), _public(producer)
    context = tree.context_for(parent.id, round_number)
    draft = Claim(
        round=round_number,
        parent=parent.id,
        unit=0,
        genotype=bytes((3, 3, 8, 1, 1, 2, 2, 3, 1, 4)) * 3,
        model_hash=blob_hash(MODEL),
        payout_root=compute_payout_root(PAYOUTS),
        salt=bytes(32),
        correct=300,
        secrets=(),
        body_hash=b"",
        state_root=b"",
    )
    commit = sign(commit_of(context, draft, signer), producer, network.id)
    lists = [sign(List(round_number, (commit.id,)), key, network.id) for key in attesters]
    commit_ids, proofs = fold(lists)
    body = Body(commit_ids=commit_ids, lists=proofs, payouts=PAYOUTS)
    votes = _votes(tree, parent.id, attesters) if parent.block else ()
    header, data = complete(context, parent.state, draft, signer, body, votes, ())
    return sign(header, producer, network.id).envelope, data


def _votes(tree: BlockTree, target: bytes, attesters: list[SigningKey]) -> tuple[Signed[Vote], ...]:
    source = tree.source_for(target)
    target_round = tree.entry(target).state.round
    vote = Vote(source.round, source.id, target_round, target, b"", b"")
    return tuple(sign(vote, key, tree.network.id) for key in attesters)


def _key(seed: int, number: int) -> SigningKey:
    return SigningKey(seed.to_bytes(16, "big") + number.to_bytes(16, "big"))


def _public(key: SigningKey) -> bytes:
    return bytes(key.verify_key)
