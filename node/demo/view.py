"""What the demo shows: pure functions from what was seen to tables and lines of text."""

from collections.abc import Iterator, Mapping

from rich.console import Group, JustifyMethod, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from node.chain.genesis import Network
from node.chain.timing import Phase, deadline, phase_at
from node.demo.layout import STARTUP_MS
from node.demo.report import Report
from node.demo.watch import Snapshot
from ponas.v1.query_service_pb2 import GetBlockResponse

Names = Mapping[str, str]
"""Node names by address and by public key in hexadecimal."""

_PHASES = {
    Phase.BEFORE_GENESIS: ("start", "nodes find each other"),
    Phase.TRAIN: ("train", "miners search"),
    Phase.LIST: ("list", "commitments are listed"),
    Phase.CLAIM: ("claim", "models are revealed"),
    Phase.VALIDATE: ("validate", "full nodes recount"),
    Phase.CONFIRM: ("confirm", "votes spread"),
}
_NUMBERS = {
    *("designs", "block", "height", "round", "LUTs", "images/s"),
    *("final", "peers", "balance", "paid"),
}
_BAR_WIDTH = 20
# Older blocks would push the rest off a small terminal.
_LATEST_BLOCKS = 8


def render(snapshot: Snapshot, names: Names, network: Network, now_ms: int) -> RenderableType:
    """The live view at Unix time `now_ms`."""
    parts = (
        _progress(network, now_ms),
        Text(),
        _miners(snapshot, names),
        _best(snapshot, names),
        Text(),
        _blocks(snapshot, names),
        Text(),
        _nodes(snapshot, names),
    )
    return Padding(Group(*parts), (1, 2))


def render_report(report: Report, names: Names) -> RenderableType:
    """The summary at the end."""
    rounds = _table("height", "round", "winner", "verified", "LUTs", "images/s", "paid")
    for won in report.rounds:
        rounds.add_row(
            str(won.height),
            str(won.round),
            names.get(won.winner, won.winner),
            _score(won.verified_correct, won.test_size),
            f"{won.luts:,}",
            f"{won.images_per_s:,}",
            f"{sum(line.amount for line in won.payouts):,}",
        )
    counts = (
        f"{len(report.nodes)} nodes, {report.shared_bests} bests shared, "
        f"{report.weak_improvements} of them a weak miner's improvement"
    )
    verdict = (
        Text("All nodes agree on this chain, and the payouts add up.", style="bold green")
        if report.ok
        else Text("\n".join(problem.detail for problem in report.problems), style="bold red")
    )
    return Padding(Group(rounds, Text(), Text(counts), verdict), (1, 2))


def news(before: Snapshot, after: Snapshot, names: Names) -> Iterator[str]:
    """One line for each thing that happened between two looks, where there is no live view."""
    for name in after.statuses:
        if name not in before.statuses:
            yield f"{name} answers"
    if _round(after) > _round(before):
        yield f"round {_round(after)} begins"
    if after.pool.HasField("best") and after.pool.best != before.pool.best:
        yield f"the pool has confirmed {_describe_best(after, names)}"
    known = {block.id for block in before.blocks}
    was_final = {block.id for block in before.blocks if block.final}
    for block in after.blocks:
        if block.id not in known:
            yield f"block {block.height} of round {block.round}: {_outcome(block, names)}"
        if block.final and block.id not in was_final:
            yield f"block {block.height} is final"


def _progress(network: Network, now_ms: int) -> RenderableType:
    number, phase, remaining_ms = phase_at(network, now_ms)
    name, meaning = _PHASES[phase]
    if phase is Phase.BEFORE_GENESIS:
        length_ms = STARTUP_MS
    else:
        length_ms = deadline(network, number, phase) - deadline(network, number, Phase(phase - 1))
    line = Table.grid(padding=(0, 2))
    line.add_row(
        Text(f"Round {number}", style="bold"),
        Text(name, style="bold cyan"),
        ProgressBar(length_ms, max(0, length_ms - remaining_ms), width=_BAR_WIDTH),
        Text(f"{remaining_ms / 1_000:.0f} s left"),
        Text(meaning, style="dim"),
    )
    return line


def _miners(snapshot: Snapshot, names: Names) -> Table:
    table = _table("miner", "best on validation", "", "designs", "activity")
    for miner in snapshot.miners:
        size = max(1, miner.size)
        table.add_row(
            names.get(miner.public_key, miner.public_key),
            ProgressBar(size, miner.best_correct, width=_BAR_WIDTH),
            f"{miner.best_correct / size:.1%}",
            str(miner.episodes),
            miner.activity if miner.connected else "not connected",
        )
    return table


def _best(snapshot: Snapshot, names: Names) -> Text:
    pool = snapshot.pool
    return Text.assemble(
        ("pool best  ", "dim"),
        _describe_best(snapshot, names) if pool.HasField("best") else "none yet in this round",
        (", committed" if pool.committed else "", "green"),
        (f"  ({pool.shared_bests} shared, {pool.weak_improvements} weak)", "dim"),
    )


def _blocks(snapshot: Snapshot, names: Names) -> Table:
    table = _table("block", "round", "winner", "verified", "LUTs", "state")
    justified_round = max((s.justified_round for s in snapshot.statuses.values()), default=0)
    for block in snapshot.blocks[-_LATEST_BLOCKS:]:
        winner = block.winner
        state = "justified" if block.round <= justified_round else "proposed"
        table.add_row(
            str(block.height),
            str(block.round),
            "nobody (fallback)" if block.fallback else names.get(block.proposer, block.proposer),
            "" if block.fallback else _score(winner.verified_correct, winner.test_size),
            "" if block.fallback else f"{winner.luts:,}",
            Text("final", style="green") if block.final else state,
        )
    return table


def _nodes(snapshot: Snapshot, names: Names) -> Table:
    table = _table("node", "role", "height", "final", "peers", "balance")
    balances = {names.get(address): amount for address, amount in snapshot.balances.items()}
    for name, status in snapshot.statuses.items():
        table.add_row(
            name,
            status.role,
            str(status.height),
            str(status.final_height),
            str(len(status.peers)),
            f"{balances.get(name, 0):,}",
        )
    return table


def _outcome(block: GetBlockResponse, names: Names) -> str:
    if block.fallback:
        return "nobody won"
    winner = block.winner
    return (
        f"won by {names.get(block.proposer, block.proposer)} with "
        f"{_score(winner.verified_correct, winner.test_size)} verified, "
        f"{winner.luts:,} LUTs, {winner.images_per_s:,} images/s"
    )


def _describe_best(snapshot: Snapshot, names: Names) -> str:
    best = snapshot.pool.best
    finder = names.get(best.finder, best.finder)
    return f"{best.correct / max(1, best.size):.1%} on validation, found by {finder}"


def _score(correct: int, size: int) -> str:
    return f"{correct}/{size} = {correct / max(1, size):.1%}"


def _round(snapshot: Snapshot) -> int:
    return max((status.round for status in snapshot.statuses.values()), default=0)


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for column in columns:
        justify: JustifyMethod = "right" if column in _NUMBERS else "left"
        table.add_column(column, no_wrap=True, justify=justify)
    return table
