"""Whether a whole network fits a profile; on a device, with all that surrounds the arithmetic."""

from collections.abc import Sequence
from itertools import accumulate, pairwise

from fpga_model.engines import STREAM_BITS, Options, PlacedTile, classifier_options, stage_options
from fpga_model.estimate import (
    Estimate,
    RefusalReason,
    Verdict,
    judge,
    refused,
    throughput_verdict,
    width_refusal,
)
from fpga_model.luts import WidthError
from fpga_model.network import Network
from fpga_model.placement import Budget, fastest_placement
from fpga_model.profile import Profile
from fpga_model.schedule import Group


def judge_network(network: Network, profile: Profile) -> Verdict:
    """Judge a network by a profile: the schedule of fewest cycles within its limits must be fast
    enough. All limits are inclusive.

    A profile without a device judges the convolutions alone, as `estimate.judge` does.
    """
    device = profile.device
    if device is None:
        return judge(network.convolutions, profile)
    if refusal := width_refusal(network.convolutions):
        return refusal
    engines = [stage_options(stage) for stage in network.stages]
    if network.dense:
        try:
            engines.append(classifier_options(network.dense))
        except WidthError as error:
            return refused(RefusalReason.WIDTH, f"the classifier: {error}")
    budget = Budget(
        profile.max_luts,
        device.usable_block_rams,
        device.reconfiguration_cycles,
        # Written by one group, read by the next.
        (0, *(2 * -(-stage.out_map_bits // STREAM_BITS) for stage in network.stages))[
            : len(engines)
        ],
    )
    groups = fastest_placement(engines, budget)
    if groups is None:
        return _size_refusal(engines, len(network.stages), budget)
    return throughput_verdict(_estimate(groups, profile.clock_hz, budget), profile)


def _estimate(groups: tuple[Group, ...], clock_hz: int, budget: Budget) -> Estimate:
    ends = list(accumulate(len(group.tiles) for group in groups))
    switching = tuple(budget.switching_cycles(*span) for span in pairwise([0, *ends]))
    return Estimate(
        luts=max(group.luts for group in groups),
        cycles=sum(group.cycles for group in groups) + sum(switching),
        clock_hz=clock_hz,
        groups=groups,
        block_rams=max(map(_block_rams, groups)),
        switching_cycles=switching,
    )


def _block_rams(group: Group) -> int:
    return sum(tile.block_rams for tile in group.tiles if isinstance(tile, PlacedTile))


def _size_refusal(engines: Sequence[Options], stages: int, budget: Budget) -> Verdict:
    """Names the engine that is furthest from fitting; without block RAM any engine exists."""
    needs = [int(each.luts[each.block_rams <= budget.block_rams].min()) for each in engines]
    luts = max(needs)
    at = needs.index(luts)
    name = f"layer {at + 1}" if at < stages else "the classifier"
    detail = (
        f"{name} needs at least {luts} LUTs beside {budget.block_rams} block RAMs,"
        f" {luts - budget.luts} above {budget.luts}"
    )
    return refused(RefusalReason.LUTS, detail)
