"""The demo with the real nodes: six processes mine over loopback, by real training."""

import io
from dataclasses import replace

from rich.console import Console

from node.chain.params import DEVNET, compute_timing
from node.clock import SystemClock
from node.demo.layout import MEMBERS, NODE_PROGRAM
from node.demo.run import Demo, run_demo

# Three quarters of devnet's, which leaves a busy machine time to train; one block is enough here.
ROUND_MS = 30_000


def test_six_nodes_mine_a_block_and_agree_on_it() -> None:
    parameters = replace(DEVNET, timing=compute_timing(ROUND_MS))
    screen = io.StringIO()
    console = Console(file=screen, width=100)
    report = run_demo(Demo(1, False, parameters, NODE_PROGRAM, SystemClock(), console))
    assert report is not None
    assert report.ok, f"{report.problems}\n{screen.getvalue()}"
    (won,) = report.rounds
    # Three times chance is the floor; a trained model of this space does far better.
    assert won.verified_correct > won.test_size // 2
    assert len(won.payouts) >= 2
    assert report.shared_bests >= 1
    assert len(report.nodes) == len(MEMBERS)
    assert len({node.tip for node in report.nodes}) == 1
