"""The schedule on two budgets equals brute force over engines, memories and cuts."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fpga_model.engines import Options, PlacedTile, stage_options
from fpga_model.layer import ConvLayer
from fpga_model.network import Stage
from fpga_model.placement import Budget, fastest_placement
from fpga_model.schedule import Group, fastest_schedule
from fpga_model.tiles import Front
from tests.fpga_oracles import Cost, layer_of, layers


def options_of(tiles: Sequence[tuple[int, int, int]]) -> Options:
    """Options from (cycles, LUTs, block RAMs)."""
    columns = np.array(sorted(tiles), dtype=np.int64).T
    return Options(*columns, *np.zeros((4, columns.shape[1]), dtype=np.int64))


tiles = st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(0, 4))
networks = st.lists(st.lists(tiles, min_size=1, max_size=5).map(options_of), min_size=1, max_size=4)
transfers = st.tuples(*[st.integers(0, 5)] * 4)


def cost(groups: Sequence[Sequence[tuple[int, int, int]]], budget: Budget) -> Cost | None:
    """Cost of groups of (cycles, LUTs, block RAMs), None if one does not fit."""
    if any(sum(tile[1] for tile in group) > budget.luts for group in groups):
        return None
    if any(sum(tile[2] for tile in group) > budget.block_rams for group in groups):
        return None
    cycles = sum(max(tile[0] for tile in group) for group in groups)
    if len(groups) > 1:
        starts = [sum(map(len, groups[:at])) for at in range(len(groups))]
        cycles += len(groups) * budget.reconfiguration_cycles
        cycles += sum(budget.transfer_cycles[start] for start in starts)
    return Cost(cycles, max(sum(tile[1] for tile in group) for group in groups))


def brute_force(network: Sequence[Options], budget: Budget) -> Cost | None:
    """Least cost over every choice of options and every cut into groups."""
    costs = []
    rows = [
        list(zip(o.cycles.tolist(), o.luts.tolist(), o.block_rams.tolist(), strict=True))
        for o in network
    ]
    for chosen in product(*rows):
        for cuts in product((False, True), repeat=len(network) - 1):
            groups = [[chosen[0]]]
            for tile, starts in zip(chosen[1:], cuts, strict=True):
                if starts:
                    groups.append([])
                groups[-1].append(tile)
            costs.append(cost(groups, budget))
    return min((each for each in costs if each is not None), default=None)


def cost_of(groups: Sequence[Group], budget: Budget) -> Cost | None:
    placed = [[tile for tile in group.tiles if isinstance(tile, PlacedTile)] for group in groups]
    return cost([[(t.cycles, t.luts, t.block_rams) for t in tiles] for tiles in placed], budget)


def block_rams(group: Group) -> int:
    return sum(tile.block_rams for tile in group.tiles if isinstance(tile, PlacedTile))


@settings(max_examples=250, deadline=None)
@given(networks, st.integers(1, 40), st.integers(0, 10), st.integers(0, 8), transfers)
def test_agrees_with_brute_force(
    network: list[Options], luts: int, rams: int, switch: int, transfers: tuple[int, ...]
) -> None:
    budget = Budget(luts, rams, switch, (0, *transfers)[: len(network)])
    groups = fastest_placement(network, budget)
    assert (groups and cost_of(groups, budget)) == brute_force(network, budget)
    if groups is not None:
        assert sum(len(group.tiles) for group in groups) == len(network)
        assert all(group.luts <= budget.luts for group in groups)
        assert all(block_rams(group) <= budget.block_rams for group in groups)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(tiles, min_size=1, max_size=6), min_size=1, max_size=5),
    st.integers(1, 40),
)
def test_without_block_ram_and_switching_it_is_the_plain_schedule(
    network: list[list[tuple[int, int, int]]], max_luts: int
) -> None:
    plain = [[(cycles, luts, 0) for cycles, luts, _ in layer] for layer in network]
    budget = Budget(max_luts, 0, 0, (0,) * len(network))
    groups = fastest_placement([options_of(layer) for layer in plain], budget)
    expected = fastest_schedule([front_of(layer) for layer in plain], max_luts)
    assert (groups is None) == (expected is None)
    if groups is not None and expected is not None:
        bare = [[(tile.cycles, tile.luts, 0) for tile in group.tiles] for group in expected]
        assert cost_of(groups, budget) == cost(bare, budget)


def front_of(layer: Sequence[tuple[int, int, int]]) -> Front:
    kept: list[tuple[int, int]] = []
    for cycles, luts, _ in sorted(layer):
        if not kept or luts < kept[-1][1]:
            if kept and kept[-1][0] == cycles:
                kept.pop()
            kept.append((cycles, luts))
    cycles, luts = np.array(kept, dtype=np.int64).T
    return Front(cycles, luts, cycles, luts)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(layers(max_channels=8), min_size=1, max_size=4),
    st.integers(2000, 20_000),
    st.integers(0, 40),
)
def test_engines_of_real_stages_fit_and_more_never_hurts(
    network: list[ConvLayer], max_luts: int, rams: int
) -> None:
    engines = [stage_options(Stage(layer, in_width=5, pool_size=1)) for layer in network]
    budget = Budget(max_luts, rams, 500, (0, 7, 8, 9)[: len(network)])
    groups = fastest_placement(engines, budget)
    richer = fastest_placement(engines, replace(budget, block_rams=rams + 5))
    if groups is not None:
        assert all(block_rams(group) <= rams for group in groups)
        assert richer is not None
        more, less = cost_of(richer, replace(budget, block_rams=rams + 5)), cost_of(groups, budget)
        assert more is not None
        assert less is not None
        assert more.cycles <= less.cycles


def test_block_ram_frees_luts_for_lanes() -> None:
    engine = stage_options(Stage(layer_of(24, 36), in_width=8, pool_size=1))
    poor, rich = (fastest_placement([engine], Budget(5_000, rams, 0, (0,))) for rams in (0, 20))
    assert poor is not None
    assert rich is not None
    assert rich[0].cycles < poor[0].cycles


def test_switching_is_paid_by_each_of_several_groups_only() -> None:
    network = [options_of([(10, 6, 0), (30, 3, 0)])] * 2
    # Two full engines in turn take 20 cycles and twice the switch, two small ones at once 30.
    for switch, transfer, groups_expected in ((4, 1, 2), (6, 0, 1), (4, 3, 1)):
        groups = fastest_placement(network, Budget(6, 0, switch, (0, transfer)))
        assert groups is not None
        assert len(groups) == groups_expected


def test_of_equal_engines_the_fewest_block_rams_are_taken() -> None:
    groups = fastest_placement([options_of([(5, 7, 3), (5, 7, 1)])], Budget(7, 9, 0, (0,)))
    assert groups is not None
    assert block_rams(groups[0]) == 1
