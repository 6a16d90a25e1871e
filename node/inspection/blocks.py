"""What a node shows of a block: what it says, who has won it, and what it paid."""

from collections import Counter
from collections.abc import Sequence

from nas.data.datasets import describe
from nas.designs.genotype import HYPERPARAMETERS, Genotype
from node.chain.block import Block
from node.chain.eras import Eras
from node.chain.genesis import Network
from node.chain.messages import Claim, Fallback, PayoutLine
from node.chain.params import Parameters
from node.chain.published.escrow import BURNT_ATTESTERS_LINES, settle_won
from node.chain.rewards import LINES_TO_ATTESTERS, compute_rewards, compute_subsidy, split
from node.chain.votes import paid_voters
from node.consensus.chain import Chain
from node.consensus.designs import NasDesigns
from node.consensus.records import TaskWin
from node.identity import format_address
from node.views.blocks import BlockView, LayerView, PayoutView, WinnerView
from node.views.status import UnknownItem


def view_block(chain: Chain, designs: NasDesigns, block_id: bytes) -> BlockView:
    """A block of a node. Raises UnknownItem."""
    block, height = chain.block(block_id), chain.height(block_id)
    if height is None:
        raise UnknownItem(f"this node has no block {block_id.hex()}")
    if block is None and height > 0:
        raise UnknownItem(f"this node has lost the body of block {block_id.hex()}")
    if block is None:
        return _genesis_view(chain.network)
    header = block.header.message
    final = chain.id_at(height) if height <= chain.final_height else None
    payouts, attester_rewards = rewards_of(
        chain.network.parameters,
        seats_known(chain, block.round),
        block,
        chain.win(block.id),
    )
    return BlockView(
        id=block_id,
        height=height,
        round=block.round,
        parent=block.parent,
        proposer=format_address(block.header.signer),
        fallback=block.is_fallback,
        final=final == block_id,
        winner=_view_winner(chain, designs, block),
        payouts=payouts,
        attester_rewards=attester_rewards,
        listed_commitments=len(block.body.commit_ids),
        lists=len(block.body.lists),
        votes=len(block.votes),
        transactions=len(block.transactions),
        state_root=header.state_root,
        missing=header.missing if isinstance(header, Fallback) else (),
    )


def _view_winner(chain: Chain, designs: NasDesigns, block: Block) -> WinnerView | None:
    claim = block.header.message
    if not isinstance(claim, Claim):
        return None
    genotype = Genotype.from_bytes(claim.genotype)
    win = chain.win(block.id)
    terms = None if win is None else win.terms
    design = designs.price(terms, genotype)
    return WinnerView(
        unit=claim.unit,
        layers=[
            LayerView(**dict(zip(HYPERPARAMETERS, layer.tokens, strict=True)))
            for layer in genotype.layers
        ],
        model_hash=claim.model_hash,
        verified_correct=claim.correct,
        test_size=describe(designs.task_for(terms).dataset).test,
        luts=design.luts,
        images_per_s=design.images_per_s,
        genotype=claim.genotype,
        secrets=claim.secrets,
    )


def _genesis_view(network: Network) -> BlockView:
    return BlockView(
        id=network.genesis_id,
        height=0,
        round=0,
        parent=b"",
        proposer="",
        fallback=False,
        final=True,
        winner=None,
        payouts=(),
        attester_rewards=(),
        listed_commitments=0,
        lists=0,
        votes=0,
        transactions=0,
        state_root=b"",
        missing=(),
    )


def seats_known(chain: Chain, round_number: int) -> Eras:
    """The seats of a round that a node has a block of. Raises UnknownItem while the history that
    the block is part of is not checked yet."""
    try:
        return chain.eras_at(round_number)
    except KeyError:
        raise UnknownItem(f"the history around round {round_number} is not checked yet") from None


def rewards_of(
    parameters: Parameters, eras: Eras, block: Block, win: TaskWin | None
) -> tuple[Sequence[PayoutView], Sequence[PayoutView]]:
    """What a block paid by its lines and to attesters; `win` is the published task it has won.

    Exact until the supply comes near 2**63 base units, where the subsidy shrinks.
    """
    if block.is_fallback:
        return (), ()
    body, producer = block.body, block.header.signer
    voters = paid_voters(eras, block.votes, block.parent, body.parent_logits_hash)
    if win is None:
        subsidy = compute_subsidy(parameters, block.round, 0)
        for_lines, _ = split(subsidy, LINES_TO_ATTESTERS)
        everything = Counter(compute_rewards(subsidy, producer, body.payouts, voters))
    else:
        reward = win.terms.reward
        _, _, for_lines = split(reward, BURNT_ATTESTERS_LINES)
        everything = Counter(settle_won(reward, producer, body.payouts, voters).paid)
    amounts = split(for_lines, [line.weight for line in body.payouts])
    for line, amount in zip(body.payouts, amounts, strict=True):
        everything[line.address] -= amount
    return (
        [_payout(line, amount) for line, amount in zip(body.payouts, amounts, strict=True)],
        [
            PayoutView(format_address(address), 0, amount)
            for address, amount in sorted(everything.items())
            if amount
        ],
    )


def _payout(line: PayoutLine, amount: int) -> PayoutView:
    return PayoutView(format_address(line.address), line.weight, amount)
