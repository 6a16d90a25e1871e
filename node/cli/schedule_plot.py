"""A schedule as a picture: time to the right, look-up tables upwards."""

from pathlib import Path

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fpga_model.breakdown import EngineCost, breakdown
from fpga_model.estimate import Estimate
from fpga_model.network import Network
from fpga_model.profile import Profile

_COLOURS = colormaps["tab10"]


def draw(network: Network, profile: Profile, estimate: Estimate, path: Path) -> None:
    """Write the picture, in the format that the file's ending names.

    Each engine is a block as high as its LUTs, filled for the cycles it works and pale for those
    it waits for the slowest of its group. Groups stand side by side, as they run in turn.

    Raises:
        ValueError: an ending that matplotlib does not write.
    """
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.add_subplot()
    costs = breakdown(network, estimate)
    start = 0
    several = any(estimate.switching_cycles)
    for number, group in enumerate(estimate.groups, start=1):
        if several:
            axes.axvspan(start, start + estimate.switching_cycles[number - 1], color="0.9")
            start += estimate.switching_cycles[number - 1]
        members = [(at, cost) for at, cost in enumerate(costs) if cost.group == number]
        _draw_group(axes, members, start, group.cycles)
        start += group.cycles
    axes.axhline(profile.max_luts, color="crimson", linestyle="--", linewidth=1)
    axes.text(start, profile.max_luts, f"{profile.max_luts:,} LUTs", ha="right", va="bottom")
    # The legend reads upwards, as the blocks are stacked.
    figure.legend(reverse=True, loc="outside right center", title="Tn x Tm", frameon=False)
    axes.set_xlim(0, start)
    axes.set_ylim(0, profile.max_luts * 1.08)
    axes.set_xlabel("clock cycles of one image" + (", switching in grey" if several else ""))
    axes.set_ylabel("LUTs")
    axes.set_title(f"{profile.name}: {estimate.luts:,} LUTs, {estimate.images_per_s:,} images/s")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:,.0f}")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def _draw_group(axes: Axes, members: list[tuple[int, EngineCost]], start: int, cycles: int) -> None:
    base = 0
    for at, cost in members:
        colour = _COLOURS(at % _COLOURS.N)
        luts = cost.tile.luts
        label = f"{cost.name}: {cost.tile.in_lanes} x {cost.tile.out_lanes}"
        axes.bar(start, luts, cycles, base, align="edge", color=colour, alpha=0.2)
        axes.bar(start, luts, cost.tile.cycles, base, align="edge", color=colour, label=label)
        base += luts
