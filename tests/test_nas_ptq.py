"""Protocols `ptq` and `compat`: float training, quantised counts, reward rules, cached weights."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from nas.data import datasets
from nas.designs.genotype import Genotype, Layer
from nas.evaluation import evaluate
from nas.jobs import Count, Train, Trained, result_key
from nas.networks import weights
from nas.networks.float_network import FloatNetwork
from nas.task import TaskError
from nas.training import ptq, train
from nas.training.descent import Descent
from nas.training.protocol import RewardRule
from nas.training.snapshots import Ledger, Snapshot
from nas.training.weights_cache import WeightsCache, weights_key
from tests.nas_models import TASK

DIGITS = datasets.load("digits")
# Wide formats, so that rounding costs little.
DESIGN = Genotype(
    (
        Layer(3, 3, 12, 1, 1, 2, 3, 6, 3, 6),
        Layer(3, 3, 16, 1, 1, 2, 3, 6, 3, 6),
    )
)
COARSE = Genotype(tuple(replace(layer, weight_frac_bits=2) for layer in DESIGN.layers))
PTQ = replace(TASK, protocol="ptq", epochs=6)
JOB = Train(PTQ, DESIGN, seed=5, epochs=6, initial_weights=None)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def never() -> bool:
    return False


def run(job: Train, cache: WeightsCache | None = None) -> Trained:
    return train.train(job, DIGITS, "cpu", never, lambda: 0.0, cache)


@pytest.fixture(scope="module")
def trained() -> Trained:
    return run(JOB)


def test_digits_are_learnt_and_counted_exactly(trained: Trained) -> None:
    assert trained.size == 360
    assert trained.correct > 0.5 * trained.size
    counted = evaluate.count(
        Count("digits", "validation", DESIGN, trained.model), DIGITS, "cpu", never
    )
    assert counted.correct == trained.correct


def test_the_same_job_gives_the_same_bytes(trained: Trained) -> None:
    assert run(JOB) == trained
    assert run(replace(JOB, seed=6)).model != trained.model


def test_float_logits_are_close_to_the_exact_ones(trained: Trained) -> None:
    network = FloatNetwork(DESIGN, DIGITS.shape, 10, torch.Generator())
    weights.restore(network, trained.weights)
    codes = evaluate.input_codes(DIGITS, "test", "cpu")
    with torch.no_grad():
        floats = network(codes / 32)
    exact = evaluate.logits(network.export(DESIGN), DESIGN, codes, never) / 2**30
    assert (floats - torch.from_numpy(exact)).abs().mean() < 0.1


def test_layers_are_those_of_the_authors() -> None:
    """Convolution, ReLU, pooling with zeros, classifier, as nas.md 1.2 lists them."""
    network = FloatNetwork(DESIGN, DIGITS.shape, 10, torch.Generator().manual_seed(1))
    images = torch.rand(3, 1, 8, 8)
    state = network.state_dict()
    maps = images
    for at in range(2):
        kernel, bias = state[f"convolutions.{at}.weight"], state[f"convolutions.{at}.bias"]
        maps = functional.max_pool2d(
            functional.relu(functional.conv2d(functional.pad(maps, (1, 1, 1, 1)), kernel, bias)), 2
        )
    hidden = functional.relu(maps.flatten(1) @ state["fc1_weight"].T + state["fc1_bias"])
    expected = hidden @ state["fc2_weight"].T + state["fc2_bias"]
    with torch.no_grad():
        assert torch.allclose(network(images), expected, atol=1e-5)
    assert state["convolutions.1.weight"].abs().max() <= (12 * 9) ** -0.5


def test_dropout_is_on_in_training_only() -> None:
    network = FloatNetwork(DESIGN, DIGITS.shape, 10, torch.Generator().manual_seed(1))
    images = torch.rand(400, 1, 8, 8)
    with torch.no_grad():
        plain = network(images)
        noisy = network(images, torch.Generator().manual_seed(2))
        assert torch.equal(plain, network(images))
        assert torch.equal(noisy, network(images, torch.Generator().manual_seed(2)))
    assert not torch.allclose(plain, noisy, atol=1e-3)
    # Scaled up by what is kept, so that the mean stays.
    assert (plain.mean(0) - noisy.mean(0)).abs().max() < 0.02


def counts_from(monkeypatch: pytest.MonkeyPatch, *counts: int) -> None:
    found = iter(counts)
    monkeypatch.setattr(evaluate, "correct_count", lambda logits, labels: next(found))


def test_the_mean_of_the_last_five_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    counts_from(monkeypatch, 2, 3, 9, 4, 5)
    result = run(replace(JOB, task=replace(PTQ, reward_rule="last-five")))
    assert (result.correct, result.size) == (23, 5 * 360)
    # A mean belongs to no model; the last epoch's comes with it.
    floats = ptq.train_floats(JOB, DIGITS, "cpu", never)
    assert result.weights == weights.pack_state(floats.weights[-1])


def test_the_best_of_the_last_five_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    counts_from(monkeypatch, 2, 9, 9, 4, 5)
    result = run(JOB)
    assert (result.correct, result.size) == (9, 360)
    floats = ptq.train_floats(JOB, DIGITS, "cpu", never)
    assert result.weights == weights.pack_state(floats.weights[1])


def test_fewer_than_five_epochs_count_by_the_last_alone() -> None:
    ledger = Ledger(RewardRule.LAST_FIVE)
    for count in (5, 3, 4, 2):
        ledger.add(Snapshot(b"", {}, count))
    assert ledger.result()[1] == (2,)
    ledger.add(Snapshot(b"", {}, 8))
    assert ledger.result()[1] == (5, 3, 4, 2, 8)
    ledger.add(Snapshot(b"", {}, 1))
    assert ledger.result()[1] == (3, 4, 2, 8, 1)
    with pytest.raises(ValueError, match="at least 1 epoch"):
        Ledger(RewardRule.BEST).result()


@pytest.mark.parametrize(("shares", "kept"), [([0.5, 0.995, 0.5], 1), ([0.995], 1), ([0.5], 6)])
def test_training_ends_when_everything_is_learnt(
    monkeypatch: pytest.MonkeyPatch, shares: list[float], kept: int
) -> None:
    monkeypatch.setattr(ptq, "WINDOW", 100)
    found = iter(shares)
    monkeypatch.setattr(Descent, "run_epoch", lambda self, stop: next(found, 0.5))
    assert len(ptq.train_floats(JOB, DIGITS, "cpu", never).weights) == kept


def test_compat_counts_with_dropout_on(trained: Trained) -> None:
    compat = replace(JOB, task=replace(PTQ, protocol="compat"))
    result = run(compat)
    assert compat.task.rule is RewardRule.LAST_FIVE
    assert result.size == 5 * 360
    mean = run(replace(JOB, task=replace(PTQ, reward_rule="last-five")))
    assert result.correct != mean.correct
    assert run(compat) == result


def test_rewards_may_come_from_test_images() -> None:
    task = replace(PTQ, reward_split="test")
    result = run(replace(JOB, task=task))
    counted = evaluate.count(Count("digits", "test", DESIGN, result.model), DIGITS, "cpu", never)
    assert counted.correct == result.correct


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"protocol": "fp8"}, "no protocol is called 'fp8'; there are qat, ptq, compat"),
        ({"reward_rule": "worst"}, "no reward rule is called 'worst'; there are best, last-five"),
        ({"reward_split": "train"}, "no split for rewards is called 'train'"),
        ({"protocol": "compat", "reward_rule": "best"}, "compat rewards by last-five, not best"),
    ],
)
def test_tasks_that_are_none_are_refused(changes: dict[str, str], reason: str) -> None:
    with pytest.raises(TaskError, match=reason):
        replace(TASK, **changes)  # type: ignore[arg-type]


@pytest.fixture
def count_trainings(monkeypatch: pytest.MonkeyPatch) -> list[Train]:
    seen: list[Train] = []
    original: Callable[..., ptq.Floats] = ptq.train_floats

    def counted(job: Train, *arguments: object) -> ptq.Floats:
        seen.append(job)
        return original(job, *arguments)

    monkeypatch.setattr(ptq, "train_floats", counted)
    return seen


def test_other_bits_cost_no_training(tmp_path: Path, count_trainings: list[Train]) -> None:
    cache = WeightsCache(tmp_path)
    job = replace(JOB, epochs=2)
    coarse = replace(job, genotype=COARSE)
    assert run(job, cache) == run(job)
    trainings = len(count_trainings)
    found = run(coarse, cache)
    assert len(count_trainings) == trainings
    assert found == run(coarse)
    run(replace(coarse, task=replace(PTQ, protocol="compat")), cache)
    assert len(count_trainings) == trainings + 1


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 6},
        {"epochs": 3},
        {"genotype": Genotype((replace(DESIGN.layers[0], stride_height=2), DESIGN.layers[1]))},
    ],
)
def test_whatever_training_depends_on_is_in_the_key(changes: dict[str, object]) -> None:
    job = replace(JOB, epochs=2)
    changed = replace(job, **changes)  # type: ignore[arg-type]
    assert weights_key(job, b"data", "cpu") != weights_key(changed, b"data", "cpu")
    assert weights_key(job, b"data", "cpu") != weights_key(job, b"other", "cpu")
    assert weights_key(job, b"data", "cpu") != weights_key(job, b"data", "cuda")
    assert weights_key(job, b"data", "cuda:0") == weights_key(job, b"data", "cuda:1")


def test_weights_brought_along_are_trained_on(
    tmp_path: Path, trained: Trained, count_trainings: list[Train]
) -> None:
    cache = WeightsCache(tmp_path)
    job = replace(JOB, epochs=1, initial_weights=trained.weights)
    assert run(job, cache).correct > run(replace(job, initial_weights=None), cache).correct
    assert len(count_trainings) == 2
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_cache_drops_what_was_used_longest_ago(tmp_path: Path) -> None:
    cache = WeightsCache(tmp_path, limit_bytes=3 * (100 + 40))
    for at, key in enumerate("abc"):
        cache.keep(key, (bytes(100),))
        os.utime(tmp_path / f"{key}.weights", ns=(at, at))
    assert cache.find("a") == (bytes(100),)
    cache.keep("d", (b"\1" * 60, b"\2" * 32))
    assert cache.find("b") is None
    assert cache.find("d") == (b"\1" * 60, b"\2" * 32)
    assert {file.stem for file in tmp_path.iterdir()} == {"a", "c", "d"}
    cache.keep("e", (bytes(1000),))
    assert cache.find("e") is None


def test_a_damaged_entry_is_trained_anew(tmp_path: Path) -> None:
    cache = WeightsCache(tmp_path)
    cache.keep("a", (bytes(100),))
    file = tmp_path / "a.weights"
    file.write_bytes(file.read_bytes()[:-1] + b"\1")
    assert cache.find("a") is None
    assert cache.find("never seen") is None


def test_result_keys_say_what_rewards_depend_on() -> None:
    key = result_key(JOB, DIGITS.content_hash)
    assert key.text == (
        '{"data":"e551598ea3ba759d75a719365ffe5a628b78caaafd2d73ab115f37993a8ddd4e","edition":2,'
        '"epochs":6,'
        '"precision":"float32","protocol":"ptq","reward_rule":"best",'
        '"reward_split":"validation","seed":5}'
    )
    assert key.digest == "18ab720951978b0715efea6ec2053a8b"
    on_gpu = result_key(JOB, DIGITS.content_hash, "cuda:0")
    assert on_gpu.precision == "float32, convolutions in TF32, a CUDA graph a step"
    changed = replace(JOB, task=replace(PTQ, reward_split="test"))
    assert result_key(changed, DIGITS.content_hash).digest != key.digest
