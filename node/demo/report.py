"""What the demo proves, judged from what every node answered: pure functions of the answers."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile

from node.chain.rewards import LINES_TO_ATTESTERS, split
from ponas.v1.query_service_pb2 import GetBlockResponse, GetPoolResponse, GetStatusResponse


class Flaw(StrEnum):
    """Why a demo is not a success."""

    TOO_FEW_WINS = "too few wins"
    NODE_SILENT = "node silent"
    CHAINS_DIFFER = "chains differ"
    NOT_JUSTIFIED = "not justified"
    PAYOUTS_WRONG = "payouts wrong"
    ATTESTERS_OVERPAID = "attesters overpaid"
    BALANCE_WRONG = "balance wrong"


@dataclass(frozen=True)
class Problem:
    """A flaw and the sentence that says where."""

    flaw: Flaw
    detail: str


@dataclass(frozen=True)
class Evidence:
    """What the nodes answered at the end; every mapping is by node name unless said otherwise."""

    roles: Mapping[str, str]
    # Without the nodes that gave no answer.
    statuses: Mapping[str, GetStatusResponse]
    # Blocks from height 1 to the last wanted one, or as far as the node has them.
    chains: Mapping[str, Sequence[GetBlockResponse]]
    # By address, as the first node holds them at the end of `paid`.
    balances: Mapping[str, int]
    # The whole chain of the first node when the balances were read.
    paid: Sequence[GetBlockResponse]
    pool: GetPoolResponse


@dataclass(frozen=True)
class PayoutReport:
    """One line of a block's split, in base units."""

    address: str
    weight: int
    amount: int


@dataclass(frozen=True)
class RoundReport:
    """A round won by a verified model. The winner is the producer's address."""

    round: int
    height: int
    winner: str
    genotype: str
    verified_correct: int
    test_size: int
    luts: int
    images_per_s: int
    payouts: tuple[PayoutReport, ...]


@dataclass(frozen=True)
class NodeReport:
    """Where a node stood at the end; the tip is the id of its head."""

    role: str
    tip: str
    height: int
    final_height: int


@dataclass(frozen=True)
class Report:
    """The outcome of a demo, as `ponas demo --json` writes it."""

    ok: bool
    problems: tuple[Problem, ...]
    rounds: tuple[RoundReport, ...]
    nodes: tuple[NodeReport, ...]
    shared_bests: int
    weak_improvements: int


def wins(chain: Sequence[GetBlockResponse]) -> list[GetBlockResponse]:
    """The blocks of a chain that a verified model won."""
    return [block for block in chain if _has_verified_model(block)]


def is_complete(
    names: Sequence[str],
    statuses: Mapping[str, GetStatusResponse],
    chain: Sequence[GetBlockResponse],
    wanted: int,
) -> bool:
    """Whether `chain` has the wanted wins and every named node saw the last of them justified.

    Justified, not final: finality of a block takes the next block's votes, one round more.
    """
    won = wins(chain)
    return len(won) >= wanted and all(
        name in statuses and statuses[name].justified_round >= won[wanted - 1].round
        for name in names
    )


def judge(evidence: Evidence, wanted: int, subsidy: int) -> Report:
    """Whether all nodes agree on one chain with `wanted` wins, paid for exactly.

    `subsidy` is what a standing round may issue, in base units.
    """
    problems = tuple(_problems(evidence, wanted, subsidy))
    return Report(
        ok=not problems,
        problems=problems,
        rounds=tuple(_round_report(block) for block in wins(evidence.paid)[:wanted]),
        nodes=tuple(
            NodeReport(evidence.roles[name], status.head, status.height, status.final_height)
            for name, status in evidence.statuses.items()
        ),
        shared_bests=evidence.pool.shared_bests,
        weak_improvements=evidence.pool.weak_improvements,
    )


def _problems(evidence: Evidence, wanted: int, subsidy: int) -> Iterator[Problem]:
    won = wins(evidence.paid)[:wanted]
    if len(won) < wanted:
        yield Problem(
            Flaw.TOO_FEW_WINS, f"{len(won)} of {wanted} blocks were won by a verified model."
        )
    for name in evidence.roles:
        yield from _node_problems(name, evidence, won)
    for block in won:
        yield from _payment_problems(block, subsidy)
    yield from _balance_problems(evidence)


def _node_problems(
    name: str, evidence: Evidence, won: Sequence[GetBlockResponse]
) -> Iterator[Problem]:
    if name not in evidence.statuses:
        yield Problem(Flaw.NODE_SILENT, f"{name} does not answer.")
        return
    if not won:
        return
    last = won[-1]
    ours = [block.id for block in evidence.paid[: last.height]]
    theirs = [block.id for block in evidence.chains[name][: last.height]]
    if ours != theirs:
        pairs = zip(ours, theirs, strict=False)
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        yield Problem(
            Flaw.CHAINS_DIFFER, f"{name} has another block, or none, at height {same + 1}."
        )
    if evidence.statuses[name].justified_round < last.round:
        detail = f"{name} has not seen block {last.height} justified by the attesters' votes."
        yield Problem(Flaw.NOT_JUSTIFIED, detail)


def _payment_problems(block: GetBlockResponse, subsidy: int) -> Iterator[Problem]:
    due, at_most = split(subsidy, LINES_TO_ATTESTERS)
    paid = sum(line.amount for line in block.payouts)
    if paid != due:
        detail = f"Block {block.height} pays its pool {paid:,} instead of {due:,} base units."
        yield Problem(Flaw.PAYOUTS_WRONG, detail)
    rewards = sum(line.amount for line in block.attester_rewards)
    if rewards > at_most:
        detail = (
            f"Block {block.height} pays its attesters {rewards:,} of at most "
            f"{at_most:,} base units."
        )
        yield Problem(Flaw.ATTESTERS_OVERPAID, detail)


def _balance_problems(evidence: Evidence) -> Iterator[Problem]:
    """The demo's genesis holds no coins and nobody transfers: balances are what blocks paid."""
    paid: Counter[str] = Counter()
    for block in evidence.paid:
        for line in (*block.payouts, *block.attester_rewards):
            paid[line.address] += line.amount
    for address in sorted(paid.keys() | evidence.balances.keys()):
        held = evidence.balances.get(address, 0)
        if held != paid[address]:
            detail = f"{address} holds {held:,} base units, but was paid {paid[address]:,}."
            yield Problem(Flaw.BALANCE_WRONG, detail)


def _has_verified_model(block: GetBlockResponse) -> bool:
    winner = block.winner
    return (
        not block.fallback
        and block.HasField("winner")
        and 0 < winner.verified_correct <= winner.test_size
    )


def _round_report(block: GetBlockResponse) -> RoundReport:
    winner = block.winner
    return RoundReport(
        round=block.round,
        height=block.height,
        winner=block.proposer,
        genotype=winner.genotype,
        verified_correct=winner.verified_correct,
        test_size=winner.test_size,
        luts=winner.luts,
        images_per_s=winner.images_per_s,
        payouts=tuple(
            PayoutReport(line.address, line.weight, line.amount) for line in block.payouts
        ),
    )
