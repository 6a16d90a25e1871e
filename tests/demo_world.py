"""What six agreeing nodes answer after three won rounds, for the tests of the demo."""

from collections.abc import Sequence

from node.demo.layout import MEMBERS
from node.demo.report import Evidence
from ponas.v1 import query_service_pb2 as query

SUBSIDY = 5_000_000_000
MANAGER = "pn-manager"
MINER = "pn-miner"
ATTESTER = "pn-attester"


def won_block(height: int) -> query.GetBlockResponse:
    """A block won in the round of its height; its rewards are exact."""
    return query.GetBlockResponse(
        id=f"block-{height}",
        height=height,
        round=height,
        proposer=MANAGER,
        final=height < 3,
        winner=query.Winner(
            genotype="0503", verified_correct=330, test_size=360, luts=12_345, images_per_s=99
        ),
        payouts=[
            query.Payout(address=MANAGER, weight=1, amount=500_000_000),
            query.Payout(address=MINER, weight=8, amount=4_000_000_000),
        ],
        attester_rewards=[query.Payout(address=ATTESTER, weight=1, amount=437_500_000)],
    )


def status(role: str, justified_round: int = 3) -> query.GetStatusResponse:
    """A node at height 3, in round 3."""
    return query.GetStatusResponse(
        role=role,
        round=3,
        height=3,
        head="block-3",
        justified_round=justified_round,
        final_height=2,
    )


def balances(blocks: Sequence[query.GetBlockResponse]) -> dict[str, int]:
    """By address, after blocks made by `won_block`."""
    count = len(blocks)
    return {
        MANAGER: 500_000_000 * count,
        MINER: 4_000_000_000 * count,
        ATTESTER: 437_500_000 * count,
    }


def evidence() -> Evidence:
    """A success: everybody has the same three won blocks."""
    chain = [won_block(height) for height in (1, 2, 3)]
    return Evidence(
        roles={member.name: member.role for member in MEMBERS},
        statuses={member.name: status(member.role) for member in MEMBERS},
        chains={member.name: chain for member in MEMBERS},
        balances=balances(chain),
        paid=chain,
        pool=query.GetPoolResponse(shared_bests=5, weak_improvements=2),
    )
