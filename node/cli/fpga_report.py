"""A hardware verdict as a table for people and as an object for programs."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from fpga_model.breakdown import EngineCost, breakdown
from fpga_model.estimate import Estimate, Verdict
from fpga_model.network import Network
from fpga_model.profile import Profile
from fpga_model.terms import Term

_HEADINGS = {
    Term.MULTIPLIERS: "mult",
    Term.ADDER_TREES: "trees",
    Term.ACCUMULATORS: "accum",
    Term.ROUNDING: "round",
    Term.SATURATION: "satur",
    Term.WEIGHTS: "weights",
    Term.BUFFER: "buffer",
    Term.POOLING: "pool",
    Term.CONTROL: "control",
}


def to_object(network: Network, profile: Profile, verdict: Verdict) -> dict[str, Any]:
    """Everything that is known, limits included; `layers` is empty where no schedule exists."""
    estimate = verdict.estimate
    content: dict[str, Any] = {
        "profile": profile.name,
        "feasible": verdict.feasible,
        "reason": None if verdict.reason is None else verdict.reason.value,
        "detail": verdict.detail,
        "max_luts": profile.max_luts,
        "min_images_per_s": profile.min_images_per_s,
        "clock_hz": profile.clock_hz,
    }
    if profile.device is not None:
        content["max_block_rams"] = profile.device.usable_block_rams
    if estimate is None:
        return content | {"layers": []}
    return content | {
        "luts": estimate.luts,
        "block_rams": estimate.block_rams,
        "cycles": estimate.cycles,
        "switching_cycles": sum(estimate.switching_cycles),
        "images_per_s": estimate.images_per_s,
        "layers": [
            {
                "name": cost.name,
                "group": cost.group,
                "in_lanes": cost.tile.in_lanes,
                "out_lanes": cost.tile.out_lanes,
                "luts": cost.tile.luts,
                "luts_by_term": {term.value: luts for term, luts in cost.terms.items()},
                "block_rams": cost.block_rams,
                "cycles": cost.tile.cycles,
                "share_of_luts": round(cost.tile.luts / profile.max_luts, 4),
            }
            for cost in breakdown(network, estimate)
        ],
    }


def summary(profile: Profile, verdict: Verdict) -> str:
    """The verdict in a line or two."""
    estimate = verdict.estimate
    if estimate is None or not verdict.feasible:
        reason = "" if verdict.reason is None else f" ({verdict.reason.value})"
        return f"Refused by {profile.name}{reason}: {verdict.detail}."
    rams = ""
    if profile.device is not None:
        rams = f", {estimate.block_rams:,} of {profile.device.usable_block_rams:,} block RAMs"
    return (
        f"Feasible by {profile.name}: {estimate.luts:,} of {profile.max_luts:,} LUTs{rams}, "
        f"{estimate.images_per_s:,} images/s of at least {profile.min_images_per_s:,}."
    )


def to_table(network: Network, profile: Profile, estimate: Estimate) -> Table:
    """A row for each engine: its lanes, LUTs by term, cycles, and share of the profile's LUTs."""
    costs = breakdown(network, estimate)
    terms = [term for term in Term if any(cost.terms.get(term) for cost in costs)]
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), footer_style="bold")
    several = len(estimate.groups) > 1
    headings = ["group"] * several + ["Tn", "Tm", *(_HEADINGS[term] for term in terms), "LUTs"]
    headings += ["RAMs"] * (profile.device is not None) + ["cycles", "share"]
    table.add_column("engine", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for cost in costs:
        table.add_row(*_cells(cost, terms, several, profile))
    return table


def _cells(cost: EngineCost, terms: Sequence[Term], several: bool, profile: Profile) -> list[str]:
    numbers = [cost.group] * several + [cost.tile.in_lanes, cost.tile.out_lanes]
    numbers += [cost.terms.get(term, 0) for term in terms] + [cost.tile.luts]
    numbers += [cost.block_rams] * (profile.device is not None) + [cost.tile.cycles]
    share = f"{100 * cost.tile.luts / profile.max_luts:.1f} %"
    return [cost.name, *(f"{number:,}" for number in numbers), share]
