"""`ponas retrain` and `ponas export` as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
import torch
from click.testing import CliRunner, Result

from nas.data import datasets
from nas.designs.genotype import Genotype, Layer
from nas.designs.genotype_json import genotype_to_object
from nas.evaluation import evaluate, onnx_model
from nas.jobs import Count
from nas.networks.float_network import FloatNetwork
from nas.training import retrain
from node.cli.client import main

DIGITS = datasets.load("digits")
GENOTYPE = Genotype((Layer(3, 3, 8, 2, 2, 1, 2, 4, 2, 6), Layer(3, 3, 8, 1, 1, 2, 2, 4, 2, 6)))


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def design(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("design") / "genotype.json"
    file.write_text(json.dumps(genotype_to_object(GENOTYPE)))
    return file


@pytest.fixture(scope="module", params=["qat", "ptq", "compat"])
def kept(design: Path, request: pytest.FixtureRequest) -> Path:
    folder = design.parent / str(request.param)
    options = ("--protocol", str(request.param), "--epochs", "2", "--seed", "7")
    result = run("retrain", design, *options, "--out", folder)
    assert result.exit_code == 0, result.output
    return folder


def test_retrain_keeps_a_model_and_says_what_it_is_worth(kept: Path) -> None:
    report = json.loads((kept / "report.json").read_text())
    model = (kept / "model.bin").read_bytes()
    counted = evaluate.count(Count("digits", "test", GENOTYPE, model), DIGITS, "cpu", lambda: False)
    assert report["test"] == {"correct": counted.correct, "images": 360}
    assert report["logits_hash"] == counted.logits_hash.hex()
    assert report["key"]["protocol"] == kept.name
    assert report["key"]["seed"] == 7
    assert report["hardware"]["feasible"]
    assert retrain.genotype_of(retrain.read(kept)) == GENOTYPE


def test_export_is_equal_image_by_image(kept: Path) -> None:
    result = run("export", kept)
    assert result.exit_code == 0, result.output
    assert "0 of 360 images differ; the float32 bound holds" in result.output
    assert (kept / "model.onnx").stat().st_size > 1000
    state = torch.load(kept / "state.pt", weights_only=True)
    assert state["fc1_weight"].shape == (256, 32)


def test_the_exported_state_is_that_of_the_network(kept: Path) -> None:
    run("export", kept, "--images", "5")
    state = torch.load(kept / "state.pt", weights_only=True)
    if kept.name == "qat":
        assert "convolutions.0.gain" in state
        return
    network = FloatNetwork(GENOTYPE, DIGITS.shape, 10, torch.Generator())
    network.load_state_dict(state)
    model = network.export(GENOTYPE)
    images = evaluate.input_codes(DIGITS, "test", "cpu")[:5]
    exact = evaluate.logits(model, GENOTYPE, images, lambda: False)
    onnx = onnx_model.run_onnx((kept / "model.onnx").read_bytes(), DIGITS.test.images[:5])
    assert onnx_model.differing_images(onnx, exact) == 0


def test_results_as_json(design: Path, tmp_path: Path) -> None:
    found = run("retrain", design, "--epochs", "1", "--out", tmp_path, "--json")
    assert json.loads(found.stdout)["reward"]["images"] == 360
    compared = run("export", tmp_path, "--images", "12", "--json")
    assert json.loads(compared.stdout) == {"images": 12, "differing": 0, "float32_exact": True}


def test_an_infeasible_design_is_trained_with_a_warning(tmp_path: Path) -> None:
    wide = Genotype((Layer(3, 3, 8, 1, 1, 2, 2, 2, 8, 8),))
    (tmp_path / "wide.json").write_text(json.dumps(genotype_to_object(wide)))
    options = ("--epochs", "1", "--out", tmp_path / "out")
    result = run("retrain", tmp_path / "wide.json", *options)
    assert result.exit_code == 0, result.output
    assert "Infeasible under paper:" in result.stderr


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--data", "cats"), "no data set is called 'cats'"),
        (("--device", "tpu"), "no device is called 'tpu'"),
        (("--device", "cuda:999"), "PyTorch sees no cuda:999"),
        (("--protocol", "compat", "--reward", "best"), "compat rewards by last-five, not best"),
    ],
)
def test_wrong_use_is_one_sentence(
    design: Path, tmp_path: Path, options: tuple[str, ...], reason: str
) -> None:
    result = run("retrain", design, *options, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert reason in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("protocol", ["qat", "ptq"])
@pytest.mark.parametrize(
    ("formats", "reason"),
    [
        ((2, 2, 0, 0), "layer 2 has weights of 0 bits"),
        ((2, 2, 200, 200), "layer 2 has weights of 400 bits, above 32"),
        ((0, 0, 2, 2), "layer 2 has activations of 0 bits"),
        ((200, 200, 2, 2), "layer 2 has activations of 400 bits"),
    ],
)
def test_formats_that_no_model_has_are_refused_before_the_training(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    protocol: str,
    formats: tuple[int, int, int, int],
    reason: str,
) -> None:
    monkeypatch.delattr("nas.training.retrain.train")
    genotype = Genotype((GENOTYPE.layers[0], Layer(3, 3, 8, 1, 1, 2, *formats)))
    (tmp_path / "bad.json").write_text(json.dumps(genotype_to_object(genotype)))
    result = run(
        "retrain", tmp_path / "bad.json", "--protocol", protocol, "--out", tmp_path / "out"
    )
    assert result.exit_code == 1
    assert f"Error: {reason}" in result.output


@pytest.mark.parametrize(
    ("protocol", "terminal", "more", "shown"),
    [
        ("qat", "1", (), ("best 0.", "2/2", "left")),
        ("ptq", "1", (), ("2/2", "left")),
        ("qat", "1", ("--json",), ()),
        ("qat", "", (), ()),
    ],
)
def test_a_bar_counts_the_epochs_on_a_terminal(
    design: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    protocol: str,
    terminal: str,
    more: tuple[str, ...],
    shown: tuple[str, ...],
) -> None:
    # What rich takes for a terminal.
    monkeypatch.setenv("FORCE_COLOR", terminal)
    result = run(
        "retrain", design, "--protocol", protocol, "--epochs", "2", "--out", tmp_path, *more
    )
    assert result.exit_code == 0, result.output
    text = click.unstyle(result.stderr)
    assert [part for part in shown if part not in text] == []
    assert bool(text) is bool(shown)


def test_a_file_that_is_no_genotype_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "genotype.json"
    file.write_text('{"layers": [{"kernel_height": 3}]}')
    result = run("retrain", file, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "layer 1 lacks kernel_width" in result.output


def test_export_refuses_other_folders(kept: Path, tmp_path: Path) -> None:
    result = run("export", tmp_path)
    assert result.exit_code == 1
    assert "holds no retrained design" in result.output
    for name in ("weights.safetensors", "report.json"):
        (tmp_path / name).write_bytes((kept / name).read_bytes())
    (tmp_path / "model.bin").write_bytes(b"other")
    assert "is not the model of the report" in run("export", tmp_path).output


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"key": None}, "the report does not say how the design was trained"),
        ({"key": {"data": "0" * 64}}, "the report does not say how the design was trained"),
        ({"dataset": 5}, "the report does not say how the design was trained"),
        ({"key": {"data": "0" * 64, "protocol": "qat"}}, f"not {'0' * 64}"),
        ({"layers": []}, "at least one layer"),
    ],
)
def test_export_refuses_a_damaged_report_and_other_data(
    kept: Path, tmp_path: Path, change: dict[str, object], sentence: str
) -> None:
    for name in ("weights.safetensors", "model.bin"):
        (tmp_path / name).write_bytes((kept / name).read_bytes())
    report = json.loads((kept / "report.json").read_text()) | change
    (tmp_path / "report.json").write_text(json.dumps(report))
    result = run("export", tmp_path)
    assert result.exit_code == 1
    assert sentence in result.output
    assert "Traceback" not in result.output
