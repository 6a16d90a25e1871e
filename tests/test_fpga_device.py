"""Device verdicts: each limit refuses alone, by its name and by how much it is missed."""

from dataclasses import replace

import pytest

from fpga_model.breakdown import breakdown
from fpga_model.device import judge_network
from fpga_model.engines import stage_options
from fpga_model.estimate import RefusalReason, judge
from fpga_model.layer import LayerError
from fpga_model.network import Network, Stage
from fpga_model.profile import PAPER, Device, Profile, profile_named
from fpga_model.terms import Term
from tests.fpga_oracles import layer_of

DEVICE = Device("some part", 20_000, 100, 3_200_000, utilisation_percent=50, batch_images=10)
PROFILE = Profile("some", 10_000, 1_000, 100_000_000, DEVICE)
FIRST = Stage(layer_of(3, 24, 16, 16, act_bits=8, in_frac_bits=5), in_width=32, pool_size=2)
SECOND = Stage(layer_of(24, 36, 8, 8), in_width=8, pool_size=1)
HIDDEN = layer_of(36 * 8 * 8, 256, 1, 1, 1, 1, 4, 24, 6, 10, 3, 20)
NETWORK = Network((FIRST, SECOND), (HIDDEN,))


def test_a_verdict_on_a_device() -> None:
    verdict = judge_network(replace(NETWORK, dense=()), PROFILE)
    assert (verdict.feasible, verdict.reason) == (True, None)
    estimate = verdict.estimate
    assert estimate is not None
    assert estimate.luts <= 10_000
    assert 0 < estimate.block_rams <= 50
    assert estimate.cycles == sum(group.cycles for group in estimate.groups)
    assert verdict.detail == f"{estimate.luts} LUTs, {estimate.images_per_s} images/s"


def test_the_breakdown_adds_up_and_names_every_engine() -> None:
    estimate = judge_network(NETWORK, PROFILE).estimate
    assert estimate is not None
    costs = breakdown(NETWORK, estimate)
    assert [cost.name for cost in costs] == ["layer 1", "layer 2", "classifier"]
    assert all(sum(cost.terms.values()) == cost.tile.luts for cost in costs)
    for number, group in enumerate(estimate.groups, start=1):
        members = [cost for cost in costs if cost.group == number]
        assert tuple(cost.tile for cost in members) == group.tiles
        assert sum(cost.block_rams for cost in members) <= estimate.block_rams


def test_without_a_device_only_the_arithmetic_counts() -> None:
    verdict = judge_network(NETWORK, PAPER)
    assert verdict == judge(NETWORK.convolutions, PAPER)
    assert verdict.estimate is not None
    costs = breakdown(NETWORK, verdict.estimate)
    assert [cost.name for cost in costs] == ["layer 1", "layer 2"]
    assert [set(cost.terms) for cost in costs] == [set(tuple(Term)[:5])] * 2
    assert all(sum(cost.terms.values()) == cost.tile.luts for cost in costs)
    assert {cost.block_rams for cost in costs} == {0}


def test_what_surrounds_the_arithmetic_costs_speed() -> None:
    bare = judge_network(NETWORK, replace(PROFILE, device=None)).estimate
    whole = judge_network(NETWORK, PROFILE).estimate
    assert bare is not None
    assert whole is not None
    assert whole.cycles > bare.cycles


def test_luts_are_refused_one_below_the_smallest_engine() -> None:
    network = Network((FIRST, SECOND), ())
    options = stage_options(FIRST)
    luts = int(options.luts[options.block_rams <= 50].min())
    assert judge_network(network, replace(PROFILE, max_luts=luts, min_images_per_s=1)).feasible
    verdict = judge_network(network, replace(PROFILE, max_luts=luts - 1, min_images_per_s=1))
    assert (verdict.feasible, verdict.reason) == (False, RefusalReason.LUTS)
    assert verdict.detail == (
        f"layer 1 needs at least {luts} LUTs beside 50 block RAMs, 1 above {luts - 1}"
    )


def test_the_classifier_may_be_what_does_not_fit() -> None:
    tiny = Stage(layer_of(1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0), in_width=1, pool_size=1)
    verdict = judge_network(Network((tiny,), (HIDDEN,)), replace(PROFILE, max_luts=400))
    assert verdict.reason is RefusalReason.LUTS
    assert verdict.detail.startswith("the classifier needs at least")


def test_throughput_is_refused_one_hertz_below() -> None:
    estimate = judge_network(NETWORK, replace(PROFILE, min_images_per_s=1)).estimate
    assert estimate is not None
    exact = replace(PROFILE, min_images_per_s=50, clock_hz=50 * estimate.cycles)
    assert judge_network(NETWORK, exact).feasible
    verdict = judge_network(NETWORK, replace(exact, clock_hz=exact.clock_hz - 1))
    assert (verdict.feasible, verdict.reason) == (False, RefusalReason.THROUGHPUT)
    assert "50 images/s would take 1 Hz above the clock" in verdict.detail


def test_switching_between_groups_takes_cycles() -> None:
    # 3.2 Mbit at 32 bits a cycle, shared by a batch of ten.
    assert DEVICE.reconfiguration_cycles == 10_000
    one_each = replace(PROFILE, max_luts=1_800, min_images_per_s=1)
    estimate = judge_network(Network((FIRST, SECOND), ()), one_each).estimate
    assert estimate is not None
    assert len(estimate.groups) == 2
    # The first stage leaves 8 x 8 pixels of 24 channels of 4 bits: 96 words out and in again.
    assert estimate.switching_cycles == (10_000, 10_000 + 2 * 96)
    assert estimate.cycles == 20_192 + sum(group.cycles for group in estimate.groups)
    too_slow = judge_network(Network((FIRST, SECOND), ()), replace(one_each, clock_hz=1))
    assert f"{estimate.cycles} cycles an image (20192 of them between 2 groups)" in (
        too_slow.detail
    )


def test_widths_are_refused() -> None:
    none = Stage(layer_of(act_bits=0, in_frac_bits=0), in_width=8, pool_size=1)
    verdict = judge_network(Network((none,), ()), PROFILE)
    assert (verdict.reason, verdict.detail) == (
        RefusalReason.ZERO_BITS,
        "layer 1: input activations have zero bits",
    )
    wide = replace(HIDDEN, weight_bits=26)
    verdict = judge_network(replace(NETWORK, dense=(wide,)), PROFILE)
    assert verdict.reason is RefusalReason.WIDTH
    assert verdict.detail.startswith("the classifier: no DSP slice multiplies 4 by 26 bits")


@pytest.mark.parametrize(("in_width", "pool_size"), [(0, 1), (1, 0)])
def test_a_stage_needs_positive_sizes(in_width: int, pool_size: int) -> None:
    with pytest.raises(LayerError, match="below 1"):
        Stage(layer_of(), in_width, pool_size)


def test_a_network_needs_a_stage() -> None:
    with pytest.raises(LayerError, match="without convolutions"):
        Network((), (HIDDEN,))


def test_the_fast_profile_is_stricter_than_the_part_needs() -> None:
    fast, part = profile_named("xc7z020-fast"), profile_named("xc7z020")
    assert (fast.max_luts, fast.min_images_per_s) == (30_000, 1_000)
    assert fast.device == part.device
    assert fast.max_luts < part.max_luts
