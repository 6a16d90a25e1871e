"""Whether a network fits a profile, at what cost, and if not, why."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from fpga_model.layer import ConvLayer
from fpga_model.luts import WidthError, multiplier_luts
from fpga_model.profile import Profile
from fpga_model.schedule import Group, fastest_schedule
from fpga_model.tiles import Front, pareto_front


class RefusalReason(Enum):
    """Which limit a network breaks."""

    ZERO_BITS = "zero_bits"
    """A layer has activations or weights of no bits, hence nothing to compute with."""
    WIDTH = "width"
    """A width is outside the synthesised multiplier table."""
    LUTS = "luts"
    """Some layer's smallest engine alone exceeds the LUTs."""
    THROUGHPUT = "throughput"
    """The fastest schedule on the LUTs is too slow."""


@dataclass(frozen=True)
class Estimate:
    """Cost of a network's best schedule."""

    luts: int
    """LUTs of the largest group."""
    cycles: int
    """Clock cycles for one image, summed over the groups."""
    clock_hz: int
    groups: tuple[Group, ...]
    """In order; their tiles, one for each layer, are in layer order. On a device the classifier
    comes last, and all are `engines.PlacedTile`s."""
    block_rams: int = 0
    """Block RAMs of 18 Kbit of the group that needs most; on a device only."""
    switching_cycles: tuple[int, ...] = ()
    """Those of `cycles` before each group runs, to configure it and to hand over the map between
    groups; on a device only."""

    @property
    def images_per_s(self) -> int:
        """Throughput, rounded down."""
        return self.clock_hz // self.cycles


@dataclass(frozen=True)
class Verdict:
    """A judgement with its reason."""

    feasible: bool
    reason: RefusalReason | None
    """None if feasible."""
    detail: str
    """One sentence for people; a refusal names the limit and by how much it is missed."""
    estimate: Estimate | None
    """None where no schedule exists."""


def refused(reason: RefusalReason, detail: str, estimate: Estimate | None = None) -> Verdict:
    """The verdict on a network that breaks a limit."""
    return Verdict(False, reason, detail, estimate)


def width_refusal(layers: Sequence[ConvLayer]) -> Verdict | None:
    """A refusal if some layer has a format that no engine computes with."""
    for number, layer in enumerate(layers, start=1):
        widths = {
            "input activations": layer.act_bits,
            "weights": layer.weight_bits,
            "output activations": layer.out_bits,
        }
        for what, bits in widths.items():
            if bits == 0:
                return refused(RefusalReason.ZERO_BITS, f"layer {number}: {what} have zero bits")
        try:
            multiplier_luts(layer.act_bits, layer.weight_bits)
        except WidthError as error:
            return refused(RefusalReason.WIDTH, f"layer {number}: {error}")
    return None


def _lut_refusal(fronts: Sequence[Front], max_luts: int) -> Verdict:
    smallest = [int(front.luts[-1]) for front in fronts]
    luts = max(smallest)
    number = smallest.index(luts) + 1
    detail = f"layer {number} needs at least {luts} LUTs, {luts - max_luts} above {max_luts}"
    return refused(RefusalReason.LUTS, detail)


def judge(layers: Sequence[ConvLayer], profile: Profile) -> Verdict:
    """Judge the convolutions' arithmetic by a profile: the schedule of fewest cycles within its
    LUTs must be fast enough. Both limits are inclusive. `device.judge_network` prices the rest.

    Raises:
        ValueError: no layers.
    """
    if not layers:
        raise ValueError("a network without convolutions has no hardware to judge")
    if refusal := width_refusal(layers):
        return refusal
    fronts = [pareto_front(layer) for layer in layers]
    groups = fastest_schedule(fronts, profile.max_luts)
    if groups is None:
        return _lut_refusal(fronts, profile.max_luts)
    estimate = Estimate(
        luts=max(group.luts for group in groups),
        cycles=sum(group.cycles for group in groups),
        clock_hz=profile.clock_hz,
        groups=groups,
    )
    return throughput_verdict(estimate, profile)


def throughput_verdict(estimate: Estimate, profile: Profile) -> Verdict:
    """Whether a schedule within the LUTs is fast enough; the limit is inclusive."""
    # Images per second are compared as clock_hz >= min_images_per_s * cycles: no division.
    missing_hz = profile.min_images_per_s * estimate.cycles - profile.clock_hz
    if missing_hz > 0:
        switching = sum(estimate.switching_cycles)
        of_them = f" ({switching} of them between {len(estimate.groups)} groups)"
        detail = (
            f"{estimate.cycles} cycles an image{of_them if switching else ''}"
            f" on {profile.max_luts} LUTs:"
            f" {profile.min_images_per_s} images/s would take {missing_hz} Hz"
            f" above the clock of {profile.clock_hz} Hz"
        )
        return refused(RefusalReason.THROUGHPUT, detail, estimate)
    detail = f"{estimate.luts} LUTs, {estimate.images_per_s} images/s"
    return Verdict(True, None, detail, estimate)
