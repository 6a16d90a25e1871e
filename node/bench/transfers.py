"""How fast a node checks and applies transfers: signatures, rules, and the root of the state."""

from __future__ import annotations

import random
from collections.abc import Sequence

from nacl.signing import SigningKey

from nas.bench.figures import Clock, Figure, rate_figure
from node.chain.block import open_block
from node.chain.envelope import sign
from node.chain.forkchoice import BlockTree
from node.chain.genesis import Endowment, Network, first_bonds
from node.chain.messages import Body, Envelope, Fallback, Transfer
from node.chain.params import DEVNET
from node.chain.proposal import complete
from node.chain.transition import apply_block
from node.consensus.designs import NasDesigns

PER_BLOCK = 500
_BALANCE, _FEE = 10**9, 2_000


def measure_transfers(blocks: int, accounts: int, seed: int, clock: Clock) -> Figure:
    """Transfers a second over `blocks` blocks of 500, on a state of that many accounts.

    Each is paid by an account of its own to one drawn at random. The blocks are opened from their
    bytes, as from a peer.
    """
    rng = random.Random(seed)
    keys = [SigningKey(rng.randbytes(32)) for _ in range(blocks * PER_BLOCK)]
    attester = SigningKey(rng.randbytes(32))
    network = make_network(attester, keys, accounts, rng)
    tree, designs = BlockTree(network), NasDesigns(network.parameters)
    # The first root hashes all accounts, which a node does once.
    _ = tree.head().state.accounts.root
    seconds = []
    for number in range(blocks):
        payers = keys[number * PER_BLOCK : (number + 1) * PER_BLOCK]
        header, body = make_block(tree, attester, payers, rng)
        started = clock()
        block = open_block(header, body, network.id)
        context = tree.context_for(block.parent, block.round)
        state = apply_block(context, tree.entry(block.parent).state, block, designs)
        seconds.append(clock() - started)
        if len(block.transactions) != PER_BLOCK:
            raise ValueError(f"only {len(block.transactions)} transfers went into a block")
        tree.add(block, state)
    floor = "a signature and a new key a transfer, and the hashes on the ways to two accounts"
    return rate_figure("transfers", "transfers/s", PER_BLOCK, seconds, seed, floor)


def make_network(
    attester: SigningKey, keys: Sequence[SigningKey], accounts: int, rng: random.Random
) -> Network:
    """One attester, and accounts of which the keys hold some."""
    others = (rng.randbytes(32) for _ in range(accounts - len(keys)))
    addresses = sorted([*(bytes(key.verify_key) for key in keys), *others])
    return Network(
        parameters=DEVNET,
        genesis_time_ms=0,
        bonds=first_bonds(DEVNET, {bytes(attester.verify_key): 1}, {}),
        accounts=tuple(Endowment(address, _BALANCE) for address in addresses),
    )


def make_block(
    tree: BlockTree, attester: SigningKey, payers: Sequence[SigningKey], rng: random.Random
) -> tuple[Envelope, bytes]:
    """A fallback block on the head in which each payer pays somebody."""
    network, parent = tree.network, tree.head()
    context = tree.context_for(parent.id, parent.state.round + 1)
    recipients = rng.choices(network.accounts, k=len(payers))
    transfers = [
        sign(Transfer(recipient.address, 1, 0, _FEE), payer, network.id)
        for payer, recipient in zip(payers, recipients, strict=True)
    ]
    draft = Fallback(context.round, parent.id, 0, (), b"", b"")
    signer = bytes(attester.verify_key)
    header, body = complete(context, parent.state, draft, signer, Body(), (), transfers)
    return sign(header, attester, network.id).envelope, body
