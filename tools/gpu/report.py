"""The GPU measurements as a page in docs/benchmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from nas.bench.machine import Machine
from tools.gpu.checks import Check
from tools.gpu.throughput import Floor, Rate


@dataclass(frozen=True)
class Measured:
    """All that was measured; `repeatable` is the rate with kernels that repeat themselves."""

    data: str
    seed: int
    epochs: int
    checks: tuple[Check, ...]
    floor: Floor
    rates: tuple[Rate, ...]
    repeatable: Rate
    whole: Rate


def to_markdown(measured: Measured, machine: Machine, day: date) -> str:
    """A page that says how to measure again."""
    floor, whole = measured.floor, measured.whole
    lines = [
        f"# Benchmarks on a GPU, {day.isoformat()}",
        "",
        "Measured by `make bench-gpu PYTHON=python3`.",
        "",
        f"- Hardware: {_pairs(machine.hardware)}",
        f"- Versions: {_pairs(machine.versions)}",
        f"- Data: {measured.data}",
        f"- Candidates: feasible designs of `full` that are not dead, drawn with seed "
        f"{measured.seed}; protocol `ptq`, {measured.epochs} epochs, TF32 convolutions, one CUDA "
        "graph a step, the longest first.",
        "",
        "## Checks",
        "",
        "| claim | held |",
        "| --- | --- |",
        *(f"| {check.claim} | {'yes' if check.held else 'NO'} |" for check in measured.checks),
        "",
        "## Candidates a minute",
        "",
        "| sample | side by side | finished | s | candidates/min | failed |",
        "| --- | --- | --- | --- | --- | --- |",
        *(_rate("every tenth", rate) for rate in measured.rates),
        _rate("every tenth, repeatable kernels", measured.repeatable),
        _rate("all", whole),
        "",
        f"**Sustained: {whole.per_minute:.1f} candidates a minute** with {whole.lanes} side by "
        f"side, over {whole.finished} of {whole.offered} designs.{_cut(whole)}",
        "",
        "## Floor",
        "",
        f"- Arithmetic: {floor.flop / 1e12:.1f} TFLOP for the mean candidate, at "
        f"{floor.flop_per_s / 1e12:.1f} TFLOP/s of a large product here: {floor.arithmetic_s:.2f} "
        f"s, {60 / floor.arithmetic_s:.0f} candidates a minute.",
        f"- Launches: {floor.steps:,} steps of {floor.step_us:.0f} us for the smallest design, "
        f"alone: {floor.launches_s:.2f} s. Candidates side by side share this wait.",
        *_reasons((*measured.rates, measured.repeatable, whole)),
    ]
    return "\n".join(lines) + "\n"


def _rate(sample: str, rate: Rate) -> str:
    cells = (
        sample,
        str(rate.lanes),
        f"{rate.finished} of {rate.offered}",
        f"{rate.seconds:.1f}",
        f"{rate.per_minute:.1f}",
        str(len(rate.failures)),
    )
    return f"| {' | '.join(cells)} |"


def _cut(rate: Rate) -> str:
    if rate.finished + len(rate.failures) == rate.offered:
        return ""
    return " Time was up before the rest; as the longest went first, all would give a higher rate."


def _reasons(rates: Sequence[Rate]) -> list[str]:
    reasons = sorted({reason for rate in rates for reason in rate.failures})
    return ["", "## Failures", "", *(f"- {reason}" for reason in reasons)] if reasons else []


def _pairs(facts: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {fact}" for name, fact in facts.items())
