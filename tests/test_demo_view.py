from io import StringIO

import pytest
from rich.console import Console, RenderableType

from node.chain.genesis import Network
from node.chain.params import DEVNET
from node.demo.layout import MEMBERS, STARTUP_MS, make_network
from node.demo.report import judge
from node.demo.view import news, render, render_report
from node.demo.watch import Snapshot
from ponas.v1 import query_service_pb2 as query
from tests.demo_world import ATTESTER, MANAGER, MINER, SUBSIDY, evidence, status, won_block

START_MS = 1_000_000
NAMES = {MANAGER: "manager", MINER: "strong-1", "a1": "strong-1", "b2": "weak", ATTESTER: "full-1"}
SNAPSHOT = Snapshot(
    statuses={"full-1": status("full"), "manager": status("manager")},
    blocks=[won_block(1), query.GetBlockResponse(id="x", height=2, round=2, fallback=True)],
    balances={MANAGER: 500_000_000, ATTESTER: 437_500_000},
    pool=query.GetPoolResponse(
        best=query.BestView(finder="b2", correct=200, size=240),
        committed=True,
        shared_bests=5,
        weak_improvements=2,
    ),
    miners=[
        query.MinerView(
            public_key="a1",
            connected=True,
            activity="explores",
            episodes=12,
            best_correct=180,
            size=240,
        ),
        query.MinerView(public_key="b2", connected=False, activity="exploits"),
    ],
)


def _network() -> Network:
    keys = {member.name: bytes([place]) * 32 for place, member in enumerate(MEMBERS)}
    return make_network(DEVNET, keys, START_MS)


def _lines(renderable: RenderableType) -> list[str]:
    """What a terminal of 100 columns shows, runs of spaces as one."""
    console = Console(file=StringIO(), width=100, record=True)
    console.print(renderable)
    return [" ".join(line.split()) for line in console.export_text().splitlines() if line.strip()]


@pytest.mark.parametrize(
    ("elapsed_ms", "line"),
    [
        (0, "Round 0 start 20 s left"),
        (STARTUP_MS, "Round 1 train 26 s left"),
        (STARTUP_MS + 26_400, "Round 1 list 2 s left"),
        (STARTUP_MS + 28_000, "Round 1 claim 4 s left"),
        (STARTUP_MS + 32_000, "Round 1 validate 5 s left"),
        (STARTUP_MS + 2 * 40_000 - 1_000, "Round 2 confirm 1 s left"),
    ],
)
def test_the_first_line_counts_the_phase_down(elapsed_ms: int, line: str) -> None:
    first = _lines(render(Snapshot(), NAMES, _network(), START_MS + elapsed_ms))[0]
    words = first.replace("━", "").replace("╸", "").replace("╺", "").split()
    assert " ".join(words).startswith(line)


def test_the_bar_fills_with_the_phase() -> None:
    now_ms = START_MS + STARTUP_MS
    network = _network()
    filled = [
        _lines(render(Snapshot(), NAMES, network, now_ms + after_ms))[0].count("━")
        for after_ms in (0, 13_200, 26_399)
    ]
    assert filled == [0, 10, 19]


def test_miners_blocks_and_nodes_are_shown_by_name() -> None:
    lines = _lines(render(SNAPSHOT, NAMES, _network(), START_MS))
    text = "\n".join(lines)
    assert "75.0% 12 explores" in text
    assert "weak 0.0% 0 not connected" in text
    assert "83.3% on validation, found by weak, committed (5 shared, 2 weak)" in text
    assert "1 1 manager 330/360 = 91.7% 12,345 final" in lines
    assert "2 2 nobody (fallback) justified" in lines
    assert "full-1 full 3 2 0 437,500,000" in lines
    assert "manager manager 3 2 0 500,000,000" in lines


def test_before_anything_happened_there_is_something_to_see() -> None:
    assert "none yet in this round" in "\n".join(
        _lines(render(Snapshot(), NAMES, _network(), START_MS))
    )


def test_news_tell_each_thing_once() -> None:
    assert list(news(Snapshot(), SNAPSHOT, NAMES)) == [
        "full-1 answers",
        "manager answers",
        "round 3 begins",
        "the pool has confirmed 83.3% on validation, found by weak",
        "block 1 of round 1: won by manager with 330/360 = 91.7% verified, "
        "12,345 LUTs, 99 images/s",
        "block 1 is final",
        "block 2 of round 2: nobody won",
    ]
    assert list(news(SNAPSHOT, SNAPSHOT, NAMES)) == []


def test_the_summary_has_the_rounds_and_the_verdict() -> None:
    lines = _lines(render_report(judge(evidence(), 3, SUBSIDY), NAMES))
    assert "1 1 manager 330/360 = 91.7% 12,345 99 4,500,000,000" in lines
    assert "6 nodes, 5 bests shared, 2 of them a weak miner's improvement" in lines
    assert lines[-1] == "All nodes agree on this chain, and the payouts add up."


def test_the_summary_of_a_failure_says_what_is_wrong() -> None:
    lines = _lines(render_report(judge(evidence(), 4, SUBSIDY), NAMES))
    assert lines[-1] == "3 of 4 blocks were won by a verified model."
