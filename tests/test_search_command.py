"""`ponas search` as people use it: real trainings, kill -9, Ctrl-C, and wrong use."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from nas.designs.space import preset, space_from_object, space_to_object
from nas.searching.journal import JOURNAL
from node.chain.params import DEVNET
from node.cli.search import search

ROOT = Path(__file__).resolve().parents[1]
EPISODES = 6
COMMAND = (sys.executable, "-c", "from node.cli.client import main; main()", "search")
SEARCH = ("--strategy", "evolution", "--epochs", "1", "--seed", "7", "--device", "cpu")


def start(out: Path, workers: int, *more: str) -> subprocess.Popen[str]:
    arguments = ("--out", str(out), "--workers", str(workers), "--episodes", str(EPISODES))
    return subprocess.Popen(
        [*COMMAND, *SEARCH, *arguments, *more],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A group of its own, so that Ctrl-C can reach the workers too, and nobody else.
        start_new_session=True,
    )


def journal(out: Path) -> list[Any]:
    """The lines of a journal, times aside; a cut line is none."""
    path = out / JOURNAL
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [{**json.loads(line), "seconds": 0} for line in lines if line.endswith(b"\n")]


def wait_for_trials(process: subprocess.Popen[str], out: Path, trials: int) -> None:
    while len(journal(out)) <= trials:
        try:
            process.wait(timeout=0.02)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(f"the search ended early: {process.communicate()}")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted search by one worker."""
    out = tmp_path_factory.mktemp("search") / "whole"
    process = start(out, 1, "--json")
    printed, _ = process.communicate()
    assert process.returncode == 0
    summary = json.loads(printed)
    assert summary["trained"] + summary["dead"] == EPISODES
    assert summary == json.loads((out / "result.json").read_text())
    return out


def test_two_workers_and_a_kill_change_nothing(whole: Path, tmp_path: Path) -> None:
    process = start(tmp_path, 2)
    wait_for_trials(process, tmp_path, 2)
    process.kill()
    process.communicate()
    assert 2 <= len(journal(tmp_path)) - 1 < EPISODES
    process = start(tmp_path, 2, "--resume")
    printed, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "best reward" in printed
    assert journal(tmp_path) == journal(whole)
    for name in ("best.model", "best.safetensors"):
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes()


def test_ctrl_c_leaves_a_search_that_can_be_resumed(whole: Path, tmp_path: Path) -> None:
    process = start(tmp_path, 1)
    wait_for_trials(process, tmp_path, 1)
    os.killpg(process.pid, signal.SIGINT)
    printed, errors = process.communicate()
    assert process.returncode == 130
    assert "go on with --resume" in errors
    assert "Traceback" not in printed + errors
    found = journal(tmp_path)
    assert 2 <= len(found) <= EPISODES
    assert found == journal(whole)[: len(found)]


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(search, arguments)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--space", "S10"), "no preset is called 'S10'"),
        (("--data", "faces"), "no data set is called 'faces'"),
        (("--profile", "none"), "'none' is not"),
        (("--strategy", "tpe"), "'tpe' is not one of"),
        (("--protocol", "magic"), "'magic' is not one of"),
        (("--episodes", "0"), "0 is not in the range"),
        (("--workers", "0"), "0 is not in the range"),
        (("--seed", "-1"), "-1 is not in the range"),
        (("--space", "missing.json"), "missing.json: "),
        (("--device", "tpu"), "no device is called 'tpu'"),
        (("--device", "cuda:999"), "PyTorch sees no cuda:999"),
        (("--space", "x.json", "--layers", "2"), "--layers is for presets"),
    ],
)
def test_wrong_use_is_one_sentence(
    arguments: tuple[str, ...], sentence: str, tmp_path: Path
) -> None:
    result = invoke("--out", str(tmp_path), *arguments)
    assert result.exit_code != 0
    assert sentence in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / JOURNAL).exists()


def test_a_search_is_not_overwritten_nor_mixed_with_another(whole: Path) -> None:
    result = invoke("--out", str(whole))
    assert result.exit_code == 1
    assert "holds a search already: resume it, or name another folder" in result.output
    result = invoke("--out", str(whole), "--resume", *SEARCH, "--epochs", "2")
    assert result.exit_code == 1
    assert "of another search: its epochs is 1, here it is 2" in result.output


def test_the_devnet_preset_is_the_space_of_the_network() -> None:
    task = DEVNET.task
    space = preset("devnet")
    assert (space.layers, space.ranges[0]) == (task.layers, task.ranges)
    assert preset("devnet", layers=5).layers == 5


def test_spaces_come_back_from_json() -> None:
    space = preset("S3", layers=2)
    assert space_from_object(json.loads(json.dumps(space_to_object(space)))) == space


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[", "Expecting value"),
        ("[" * 100_000, "maximum recursion depth exceeded"),
        ("[]", 'an object with a list of "layers"'),
        ('{"layers": []}', "at least one layer"),
        ('{"layers": [1]}', "layer 1 is no object"),
        ('{"layers": [{}]}', "layer 1 lacks 'act_frac_bits'"),
    ],
)
def test_a_file_without_a_space_is_refused(text: str, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "space.json"
    file.write_text(text)
    result = invoke("--out", str(tmp_path), "--space", str(file))
    assert result.exit_code == 1
    assert sentence in result.output


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"depth": [1]}, "layer 1 has 'depth'"),
        ({"pool_size": 2}, "layer 1 pool_size is no list of integers"),
        ({"pool_size": [1.5]}, "layer 1 pool_size is no list of integers"),
        ({"pool_size": [2, 1]}, "layer 1 pool_size must be strictly ascending"),
    ],
)
def test_a_wrong_layer_is_named(change: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    fields = space_to_object(preset("devnet"))
    fields["layers"][0] |= change
    file = tmp_path / "space.json"
    file.write_text(json.dumps(fields))
    result = invoke("--out", str(tmp_path), "--space", str(file))
    assert result.exit_code == 1
    assert sentence in result.output
