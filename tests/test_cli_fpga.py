"""`ponas fpga estimate`: table, JSON, plot, and one sentence for whatever is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nas.data import datasets
from nas.designs.genotype import Genotype, Layer
from nas.designs.genotype_json import genotype_to_object
from node.cli.client import main

GENOTYPE = Genotype(
    (
        Layer(3, 3, 24, 1, 1, 2, 2, 4, 2, 5),
        Layer(3, 3, 36, 2, 2, 1, 2, 4, 2, 4),
        Layer(1, 1, 36, 1, 1, 2, 1, 5, 2, 4),
    )
)


@pytest.fixture
def design(tmp_path: Path) -> Path:
    return write(tmp_path, GENOTYPE)


def write(folder: Path, genotype: Genotype) -> Path:
    path = folder / "design.json"
    path.write_text(json.dumps(genotype_to_object(genotype)))
    return path


def estimate(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["fpga", "estimate", *map(str, arguments)])


def test_the_paper_prices_arithmetic(design: Path) -> None:
    result = estimate(design)
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0].startswith("Feasible by paper: ")
    headings = "engine Tn Tm mult trees accum round satur LUTs cycles share"
    assert " ".join(lines[1].split()) == headings
    assert [line.split("  ")[0] for line in lines[2:]] == ["layer 1", "layer 2", "layer 3"]


def test_a_device_prices_the_rest_and_no_number_is_cut_off(design: Path) -> None:
    result = estimate(design, "--profile", "xc7z010")
    assert result.exit_code == 0
    assert "of 90 block RAMs" in result.output
    assert {"control", "RAMs", "pool"} <= set(result.output.splitlines()[1].split())
    assert "classifier" in result.output
    assert "…" not in result.output


def test_json_adds_up(design: Path) -> None:
    result = estimate(design, "--profile", "xc7z010", "--json")
    content = json.loads(result.output)
    assert content["feasible"] is True
    assert content["reason"] is None
    assert content["luts"] <= content["max_luts"] == 13_200
    assert content["block_rams"] <= content["max_block_rams"] == 90
    assert content["images_per_s"] == content["clock_hz"] // content["cycles"]
    names = [layer["name"] for layer in content["layers"]]
    assert names == ["layer 1", "layer 2", "layer 3", "classifier"]
    for layer in content["layers"]:
        assert sum(layer["luts_by_term"].values()) == layer["luts"]
        assert layer["share_of_luts"] == round(layer["luts"] / 13_200, 4)


def test_image_and_classes_change_the_hardware(design: Path) -> None:
    cifar = json.loads(estimate(design, "--json").output)
    digits = json.loads(estimate(design, "--json", "--image", "1x8x8").output)
    assert digits["cycles"] < cifar["cycles"]
    arguments = (design, "--json", "--profile", "xc7z010", "--classes")
    few, many = (json.loads(estimate(*arguments, n).output) for n in ("10", "200"))
    assert many["layers"][-1]["cycles"] - few["layers"][-1]["cycles"] == 190 * 256 // 2


def test_a_refusal_names_limit_and_amount(tmp_path: Path) -> None:
    big = Genotype((Layer(9, 9, 128, 1, 1, 1, 3, 6, 4, 6),) * 3)
    design = write(tmp_path, big)
    result = estimate(design, "--profile", "xc7z020-fast")
    assert result.exit_code == 0
    assert result.output.startswith("Refused by xc7z020-fast (luts): layer 2 needs at least ")
    content = json.loads(estimate(design, "--profile", "xc7z020-fast", "--json").output)
    assert (content["feasible"], content["reason"], content["layers"]) == (False, "luts", [])
    plotted = estimate(design, "--profile", "xc7z020-fast", "--plot", tmp_path / "none.png")
    assert plotted.exit_code == 1
    assert "There is no schedule to draw." in plotted.output


def test_a_slow_design_still_shows_its_schedule(tmp_path: Path) -> None:
    result = estimate(write(tmp_path, Genotype((Layer(9, 9, 128, 1, 1, 1, 3, 6, 4, 6),) * 6)))
    assert result.output.startswith("Refused by paper (throughput): ")
    assert "layer 6" in result.output


@pytest.mark.parametrize(("ending", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_the_schedule_is_drawn(design: Path, tmp_path: Path, ending: str, begins: bytes) -> None:
    path = tmp_path / f"schedule.{ending}"
    assert estimate(design, "--profile", "xc7z010", "--plot", path).exit_code == 0
    assert path.read_bytes().startswith(begins)


def test_groups_in_turn_are_numbered_and_drawn_with_what_lies_between(tmp_path: Path) -> None:
    turns = Genotype(
        (
            Layer(3, 7, 36, 4, 1, 2, 3, 1, 4, 5),
            Layer(7, 9, 64, 5, 4, 1, 2, 4, 1, 6),
            Layer(9, 9, 36, 2, 4, 2, 0, 6, 4, 0),
        )
    )
    path = tmp_path / "schedule.svg"
    result = estimate(write(tmp_path, turns), "--profile", "xc7z010", "--plot", path)
    assert "group" in result.output.splitlines()[1]
    assert "switching in grey" in path.read_text()


def test_an_ending_that_nothing_writes(design: Path, tmp_path: Path) -> None:
    result = estimate(design, "--plot", tmp_path / "schedule.xyz")
    assert result.exit_code == 1
    assert "is not supported" in result.output


@pytest.mark.parametrize("image", ["32x32", "0x8x8", "ax8x8", "3x32x32x1"])
def test_an_image_that_is_none(design: Path, image: str) -> None:
    result = estimate(design, "--image", image)
    assert result.exit_code == 2
    assert "is not CHANNELSxHEIGHTxWIDTH" in result.output


def test_a_file_that_knows_its_data_says_image_and_classes(tmp_path: Path) -> None:
    design = tmp_path / "best.json"
    sizes = datasets.describe("digits").sizes_to_object()
    design.write_text(json.dumps(genotype_to_object(GENOTYPE) | sizes))
    plain = write(tmp_path, GENOTYPE)
    arguments = ("--profile", "xc7z010", "--json")
    expected = estimate(plain, *arguments, "--image", "1x8x8").output
    assert estimate(design, *arguments).output == expected
    # What is asked for goes first.
    other = ("--image", "3x32x32", "--classes", "200")
    assert estimate(design, *arguments, *other).output == estimate(plain, *arguments, *other).output


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ({"image": [1, 8, 8]}, "image [1, 8, 8] is not CHANNELSxHEIGHTxWIDTH"),
        ({"classes": 1}, "classes are 1, not 2 to 256"),
        ({"classes": True}, "classes are True, not 2 to 256"),
    ],
)
def test_sizes_in_a_file_that_are_none(
    tmp_path: Path, sizes: dict[str, object], reason: str
) -> None:
    design = tmp_path / "best.json"
    design.write_text(json.dumps(genotype_to_object(GENOTYPE) | sizes))
    result = estimate(design)
    assert result.exit_code == 1
    assert reason in result.output


def test_a_file_that_is_no_genotype(tmp_path: Path) -> None:
    path = tmp_path / "design.json"
    path.write_bytes(b"\xff{")
    assert estimate(path).exit_code == 1
    path.write_text('{"layers": [{}]}')
    result = estimate(path)
    assert result.exit_code == 1
    assert "layer 1 lacks kernel_height" in result.output


def test_a_stride_of_zero_has_no_hardware(tmp_path: Path) -> None:
    result = estimate(write(tmp_path, Genotype((Layer(3, 3, 4, 0, 1, 1, 2, 4, 2, 5),))))
    assert result.exit_code == 1
    assert "layer 1 has a kernel, stride or pool of 0" in result.output


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom node.cli.client import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('torch', 'matplotlib', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert "fpga" in done.stdout
    assert done.stdout.endswith("[]\n"), done.stdout + done.stderr
