"""Every engine that a device can hold for a stage, with memories, pooling and control.

The arithmetic is that of `luts`. What surrounds it, for Tn x Tm lanes that make P passes:

- weights: P Kh Kw words of Tn Tm W bits, 64 bits to a LUT (UG474; FINN's LUT memory). All weights
  of a cycle share an address, so that they are one wide memory.
- buffer: (Kh - 1) columns + Kh Kw words of N A bits, Tn channels a word, 38 bits to a LUT (FINN).
- pooling: 1.5 B_out for each of Tm lanes, as comparing n bits takes n / 2 LUTs and selecting n,
  and a row of maxima, 38 bits to a LUT.
- control: 300 LUTs, 300 more for a sliding window, and a tenth of the arithmetic (FINN).
- classifier: one engine for the dense layers in turn. Its weights stream in, as many a cycle as
  fit the 64 bits of one port to external memory, and as many DSP slices (25 x 18 bits, UG479)
  multiply. Each feature is taken once; the buffer holds the sums of all outputs.

Weights and buffer may lie in block RAM instead. FINN: the constants in `lut_estimation` of its
matrix-vector unit and its convolution input generator (Blott et al., arXiv 1809.04570).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from fpga_model.layer import ConvLayer
from fpga_model.luts import WidthError, accumulator_luts, rounding_luts, saturation_luts
from fpga_model.memory import block_rams, rom_luts, shift_register_luts
from fpga_model.network import Stage
from fpga_model.terms import ARITHMETIC, Term, arithmetic_terms
from fpga_model.tiles import Ints, Tile, lane_choices

Terms = Mapping[Term, Ints]
_CONTROL_LUTS: Final = 300
STREAM_BITS: Final = 64
"""Bits a cycle of a port to external memory (UG585: AXI HP)."""
# Operands of a DSP slice, 25 by 18 bits (UG479); an activation has no sign.
_DSP_WEIGHT_BITS, _DSP_ACT_BITS = 25, 17


@dataclass(frozen=True)
class PlacedTile(Tile):
    """An engine on a device; its `luts` leave out what lies in its block RAMs."""

    block_rams: int
    weights_in_block_ram: bool
    buffer_in_block_ram: bool


@dataclass(frozen=True, eq=False)
class Options:
    """n ways to build one engine, as columns `[n]`, by rising cycles, then LUTs and block RAMs."""

    cycles: Ints
    luts: Ints
    block_rams: Ints
    in_lanes: Ints
    out_lanes: Ints
    weights_in_block_ram: Ints
    buffer_in_block_ram: Ints

    def tile(self, index: int) -> PlacedTile:
        """The engine of that index."""
        return PlacedTile(
            in_lanes=int(self.in_lanes[index]),
            out_lanes=int(self.out_lanes[index]),
            luts=int(self.luts[index]),
            cycles=int(self.cycles[index]),
            block_rams=int(self.block_rams[index]),
            weights_in_block_ram=bool(self.weights_in_block_ram[index]),
            buffer_in_block_ram=bool(self.buffer_in_block_ram[index]),
        )


@dataclass(frozen=True, eq=False)
class _Engines:
    """Engines by lanes: LUTs if no block RAM is used, and the block RAMs of either memory."""

    in_lanes: Ints
    out_lanes: Ints
    cycles: Ints
    terms: Terms
    weight_block_rams: Ints
    buffer_block_rams: Ints

    def options(self) -> Options:
        """Each engine with each memory in LUTs and in block RAM."""
        luts = sum(self.terms.values(), start=np.zeros_like(self.cycles))
        variants = []
        for weights in (0, 1):
            for buffer in (0, 1):
                saved = weights * self.terms[Term.WEIGHTS] + buffer * self.terms[Term.BUFFER]
                rams = weights * self.weight_block_rams + buffer * self.buffer_block_rams
                where = [np.full_like(luts, choice) for choice in (weights, buffer)]
                columns = (self.cycles, luts - saved, rams, self.in_lanes, self.out_lanes, *where)
                variants.append(np.stack(columns))
        table = np.concatenate(variants, axis=1)
        # The last key given to lexsort is the first compared.
        return Options(*table[:, np.lexsort(table[::-1])])


def stage_options(stage: Stage) -> Options:
    """Every engine worth building for a stage; the lanes are those of `tiles`, for its reasons.

    Raises:
        WidthError: the stage's widths are outside the multiplier table.
    """
    return _stage_engines(stage, *_lanes(stage.conv.in_channels, stage.conv.out_channels)).options()


def stage_terms(stage: Stage, tile: PlacedTile) -> dict[Term, int]:
    """The LUTs of a stage's engine, term by term; they add up to `tile.luts`.

    Raises:
        WidthError: the stage's widths are outside the multiplier table.
    """
    engines = _stage_engines(stage, np.array([tile.in_lanes]), np.array([tile.out_lanes]))
    return _terms_of(engines, tile)


def classifier_options(dense: tuple[ConvLayer, ...]) -> Options:
    """The classifier's engine, whose lanes the stream of weights sets; at least one layer.

    Raises:
        WidthError: no DSP slice multiplies such numbers.
    """
    for layer in dense:
        if not (
            1 <= layer.act_bits <= _DSP_ACT_BITS and 1 <= layer.weight_bits <= _DSP_WEIGHT_BITS
        ):
            raise WidthError(
                f"no DSP slice multiplies {layer.act_bits} by {layer.weight_bits} bits,"
                f" only 1..{_DSP_ACT_BITS} by 1..{_DSP_WEIGHT_BITS}"
            )
    return _classifier_engine(dense).options()


def classifier_terms(dense: tuple[ConvLayer, ...], tile: PlacedTile) -> dict[Term, int]:
    """The LUTs of the classifier's engine, term by term; they add up to `tile.luts`."""
    return _terms_of(_classifier_engine(dense), tile)


def _terms_of(engines: _Engines, tile: PlacedTile) -> dict[Term, int]:
    terms = {term: int(luts[0]) for term, luts in engines.terms.items()}
    if tile.weights_in_block_ram:
        terms[Term.WEIGHTS] = 0
    if tile.buffer_in_block_ram:
        terms[Term.BUFFER] = 0
    return terms


@cache
def _lanes(in_channels: int, out_channels: int) -> tuple[Ints, Ints]:
    """Every pair of lanes worth trying, as two columns."""
    grid = np.meshgrid(lane_choices(in_channels), lane_choices(out_channels))
    in_lanes, out_lanes = (axis.ravel().astype(np.int64) for axis in grid)
    return in_lanes, out_lanes


def _stage_engines(stage: Stage, in_lanes: Ints, out_lanes: Ints) -> _Engines:
    conv = stage.conv
    in_passes, out_passes = -(-conv.in_channels // in_lanes), -(-conv.out_channels // out_lanes)
    taps = conv.kernel_height * conv.kernel_width
    weights = in_passes * out_passes * taps, in_lanes * out_lanes * conv.weight_bits
    pixels = (conv.kernel_height - 1) * stage.in_width + taps
    buffer = pixels * in_passes, in_lanes * conv.act_bits
    terms = arithmetic_terms(conv, in_lanes, out_lanes)
    # A window of one tap slides by itself.
    units = 1 if taps == 1 else 2
    return _Engines(
        in_lanes,
        out_lanes,
        in_passes * out_passes * conv.cycles_per_pass,
        terms
        | {
            Term.WEIGHTS: rom_luts(*weights),
            Term.BUFFER: shift_register_luts(*buffer),
            Term.POOLING: _pooling_luts(stage, out_lanes, out_passes),
            Term.CONTROL: _control_luts(units, terms),
        },
        block_rams(*weights),
        block_rams(*buffer),
    )


def _pooling_luts(stage: Stage, out_lanes: Ints, out_passes: Ints) -> Ints:
    if stage.pool_size == 1:
        return np.zeros_like(out_lanes)
    lane_bits = out_lanes * stage.conv.out_bits
    return -(-3 * lane_bits // 2) + shift_register_luts(stage.pooled_width * out_passes, lane_bits)


def _control_luts(units: int, arithmetic: Terms) -> Ints:
    luts = sum((arithmetic[term] for term in ARITHMETIC), start=np.zeros(1, dtype=np.int64))
    return units * _CONTROL_LUTS + -(-luts // 10)


def _classifier_engine(dense: tuple[ConvLayer, ...]) -> _Engines:
    lanes = STREAM_BITS // max(layer.weight_bits for layer in dense)
    one = np.array([1], dtype=np.int64)
    sums = one * -(-max(layer.out_channels for layer in dense) // lanes)
    sum_bits = one * lanes * max(layer.accumulator_bits for layer in dense)
    terms = {
        # DSP slices multiply, and one product an output needs no tree.
        Term.MULTIPLIERS: 0 * one,
        Term.ADDER_TREES: 0 * one,
        Term.ACCUMULATORS: one * lanes * max(map(accumulator_luts, dense)),
        Term.ROUNDING: one * lanes * max(map(rounding_luts, dense)),
        Term.SATURATION: one * lanes * max(map(saturation_luts, dense)),
    }
    return _Engines(
        one,
        one * lanes,
        one * sum(-(-layer.macs // lanes) for layer in dense),
        terms
        | {
            Term.WEIGHTS: 0 * one,
            Term.BUFFER: shift_register_luts(sums, sum_bits),
            Term.POOLING: 0 * one,
            Term.CONTROL: _control_luts(1, terms),
        },
        0 * one,
        block_rams(sums, sum_bits),
    )
