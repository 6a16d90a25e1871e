"""The fast schedule equals brute force and the three-number Pareto programme."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from fpga_model.layer import ConvLayer
from fpga_model.luts import output_lane_luts
from fpga_model.schedule import Group, fastest_schedule
from fpga_model.tiles import pareto_front
from tests.fpga_oracles import (
    Cost,
    authors_search,
    brute_force,
    layer_of,
    layers,
    pareto_programme,
)


def scheduled(network: Sequence[ConvLayer], max_luts: int) -> tuple[Group, ...] | None:
    return fastest_schedule([pareto_front(layer) for layer in network], max_luts)


def cost_of(groups: Sequence[Group]) -> Cost:
    return Cost(sum(group.cycles for group in groups), max(group.luts for group in groups))


@settings(max_examples=60, deadline=None)
@given(st.lists(layers(max_channels=3), min_size=1, max_size=3), st.integers(10, 3000))
def test_agrees_with_brute_force_and_programme(network: list[ConvLayer], max_luts: int) -> None:
    groups = scheduled(network, max_luts)
    cost = None if groups is None else cost_of(groups)
    assert cost == brute_force(network, max_luts)
    assert (cost and cost.cycles) == pareto_programme(network, max_luts)


def one_engine_layer(bits: int) -> ConvLayer:
    return layer_of(1, 1, act_bits=bits, weight_bits=bits, in_frac_bits=0, weight_frac_bits=0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 9).map(one_engine_layer), min_size=3, max_size=5), st.data())
def test_of_equally_fast_cuts_the_one_of_fewest_luts_wins(
    network: list[ConvLayer], data: st.DataObject
) -> None:
    # As every layer has one engine and all take the same cycles, many cuts tie for speed.
    luts = [output_lane_luts(layer, 1) for layer in network]
    max_luts = data.draw(st.integers(max(luts), sum(luts)))
    groups = scheduled(network, max_luts)
    assert groups is not None
    assert cost_of(groups) == brute_force(network, max_luts)


@settings(max_examples=60, deadline=None)
@given(st.lists(layers(max_channels=12), min_size=4, max_size=6), st.integers(300, 8000))
def test_agrees_with_programme_on_whole_networks(network: list[ConvLayer], max_luts: int) -> None:
    groups = scheduled(network, max_luts)
    assert (groups and cost_of(groups).cycles) == pareto_programme(network, max_luts)
    if groups is not None:
        assert cost_of(groups).luts <= max_luts
        assert sum(len(group.tiles) for group in groups) == len(network)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(layers(max_channels=24), min_size=1, max_size=6),
    st.integers(300, 20_000),
    st.integers(1, 20_000),
)
def test_more_luts_never_slow_a_network_down(
    network: list[ConvLayer], max_luts: int, more: int
) -> None:
    groups, richer = scheduled(network, max_luts), scheduled(network, max_luts + more)
    if groups is not None:
        assert richer is not None
        assert cost_of(richer).cycles <= cost_of(groups).cycles


def test_a_tight_budget_takes_layers_in_turn_and_a_wide_one_pipelines_them() -> None:
    layer = layer_of(in_channels=1, out_channels=1)
    luts, cycles = int(pareto_front(layer).luts[0]), layer.cycles_per_pass
    assert scheduled([layer, layer], luts - 1) is None
    in_turn = scheduled([layer, layer], 2 * luts - 1)
    assert in_turn is not None
    assert [len(group.tiles) for group in in_turn] == [1, 1]
    assert cost_of(in_turn) == Cost(2 * cycles, luts)
    pipelined = scheduled([layer, layer], 2 * luts)
    assert pipelined is not None
    assert [len(group.tiles) for group in pipelined] == [2]
    assert cost_of(pipelined) == Cost(cycles, 2 * luts)


def test_of_equal_schedules_the_last_group_starts_earliest() -> None:
    # Three one-tile layers, two of which fit together: grouping either pair costs the same.
    layer = layer_of(in_channels=1, out_channels=1)
    luts = int(pareto_front(layer).luts[0])
    groups = scheduled([layer] * 3, 2 * luts)
    assert groups is not None
    assert [len(group.tiles) for group in groups] == [1, 2]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(layers(max_channels=12), min_size=1, max_size=6),
    st.integers(300, 8000),
    st.integers(1000, 1_000_000),
)
def test_never_slower_than_the_authors_search(
    network: list[ConvLayer], max_luts: int, max_cycles: int
) -> None:
    found = authors_search(network, max_luts, max_cycles)
    if found is not None:
        groups = scheduled(network, max_luts)
        assert groups is not None
        assert cost_of(groups).cycles <= found


def test_faster_than_the_authors_search_where_it_must_compromise() -> None:
    # Neither the smallest nor the fastest engine of each layer makes the best pipeline.
    network = [layer_of(3, 24), layer_of(24, 36), layer_of(36, 36)]
    groups = scheduled(network, 20_000)
    assert groups is not None
    found = authors_search(network, 20_000, 10_000_000)
    assert found is not None
    assert cost_of(groups).cycles < found
