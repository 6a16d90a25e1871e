"""Training on the real digits: it learns, it repeats itself, and it judges itself exactly."""

from dataclasses import replace

import pytest
import safetensors.torch
import torch

from nas.data import datasets
from nas.designs.genotype import Genotype, Layer
from nas.evaluation import evaluate, oracle
from nas.evaluation.model_format import IntegerModel, unpack
from nas.execution.cancel import Cancelled
from nas.jobs import Count, Train, Trained
from nas.networks import weights
from nas.networks.network import ConvLayer, Network
from nas.networks.weights import WeightsError
from nas.training import train
from tests.nas_models import TASK

DIGITS = datasets.load("digits")
DESIGN = Genotype(
    (
        Layer(3, 3, 12, 1, 1, 2, 2, 3, 1, 4),
        Layer(3, 3, 16, 1, 1, 2, 2, 3, 1, 4),
        Layer(3, 1, 16, 1, 1, 1, 2, 3, 2, 4),
    )
)


def never() -> bool:
    return False


def run(job: Train) -> Trained:
    return train.train(job, DIGITS, "cpu", never, lambda: 0.0)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def job() -> Train:
    return Train(TASK, DESIGN, seed=3, epochs=3, initial_weights=None)


@pytest.fixture(scope="module")
def trained(job: Train) -> Trained:
    return run(job)


def network(genotype: Genotype = DESIGN) -> Network:
    return Network(genotype, DIGITS.shape, 10, torch.Generator().manual_seed(1))


def test_three_epochs_learn_the_digits(trained: Trained) -> None:
    assert trained.correct > 0.8 * trained.size
    assert (trained.size, trained.epochs) == (360, 3)


def test_the_reported_count_is_that_of_the_model_bytes(trained: Trained) -> None:
    counted = evaluate.count(
        Count("digits", "validation", DESIGN, trained.model), DIGITS, "cpu", never
    )
    assert counted.correct == trained.correct


def test_the_same_job_gives_the_same_bytes(job: Train, trained: Trained) -> None:
    assert run(job) == trained
    assert run(replace(job, seed=4)).model != trained.model


def test_seconds_are_those_of_the_clock(job: Train) -> None:
    times = iter([10.0, 12.5])
    ended = train.train(replace(job, epochs=1), DIGITS, "cpu", never, lambda: next(times))
    assert ended.seconds == 2.5


def test_the_best_epoch_is_the_model_the_earliest_among_equals(
    job: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = iter([7, 9, 9, 8])
    exported: list[IntegerModel] = []
    export = Network.export

    def record(self: Network) -> IntegerModel:
        exported.append(export(self))
        return exported[-1]

    monkeypatch.setattr(evaluate, "correct_count", lambda found, labels: next(counts))
    monkeypatch.setattr(Network, "export", record)
    best = run(replace(job, epochs=4))
    assert best.correct == 9
    model = unpack(best.model, DESIGN, DIGITS.shape, 10)
    assert model.fc1_weight.tolist() == exported[1].fc1_weight.tolist()


def test_training_sees_what_is_evaluated(trained: Trained) -> None:
    child = network()
    weights.restore(child, trained.weights)
    child.eval()
    codes = evaluate.input_codes(DIGITS, "test", "cpu")
    with torch.no_grad():
        seen = child(codes / 32)
    exact = evaluate.logits(child.export(), DESIGN, codes, never)
    # Only the rounding of the classifier, 2**-21 a weight and 2**-11 a hidden value, may differ.
    assert torch.allclose(seen.double(), torch.from_numpy(exact).double() / 2**30, atol=1e-2)


def test_convolutions_train_on_the_very_numbers_of_the_oracle() -> None:
    child = network()
    first = child.convolutions[0].eval()
    assert isinstance(first, ConvLayer)
    image = evaluate.input_codes(DIGITS, "test", "cpu")[:1]
    kernels, biases = first.codes()
    sums = oracle.convolve(image[0].long().numpy(), kernels, (1, 1)) + (biases << 5)[:, None, None]
    expected = oracle.max_pool(oracle.requantise(sums, 5 + 4 - 3, 5), 2)
    with torch.no_grad():
        assert (first(image / 32)[0] * 8).tolist() == expected.tolist()


def test_training_on_helps_a_design_with_other_bits(job: Train, trained: Trained) -> None:
    finer = replace(DESIGN.layers[1], weight_frac_bits=6, act_frac_bits=4)
    design = Genotype((DESIGN.layers[0], finer, DESIGN.layers[2]))
    short = replace(job, genotype=design, epochs=1)
    continued = run(replace(short, initial_weights=trained.weights))
    assert continued.correct > run(short).correct


def test_training_stops_in_the_middle_of_an_epoch(job: Train) -> None:
    asked = iter([False, False, True])
    with pytest.raises(Cancelled):
        train.train(job, DIGITS, "cpu", lambda: next(asked), lambda: 0.0)


def test_a_training_that_diverges_says_so(job: Train) -> None:
    state = network().state_dict()
    state["fc2_weight"] = torch.full_like(state["fc2_weight"], 3e38)
    with pytest.raises(ValueError, match="training diverged"):
        run(replace(job, initial_weights=safetensors.torch.save(state)))


def tampered(name: str, tensor: torch.Tensor) -> bytes:
    """The weights of a network of DESIGN with one tensor replaced or added."""
    return safetensors.torch.save({**network().state_dict(), name: tensor})


GAIN = "convolutions.0.gain"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"no safetensors", "no safetensors"),
        (bytes(1 << 20), "bytes long, above"),
        (tampered("extra", torch.zeros(1)), "another design: 'extra'"),
        (tampered(GAIN, torch.ones(13)), "\\[13\\] instead of torch.float32 \\[12\\]"),
        (tampered(GAIN, torch.ones(12, dtype=torch.float64)), "is torch.float64"),
        (tampered(GAIN, torch.full((12,), float("nan"))), "gain holds a number that is not fin"),
        (tampered("convolutions.0.variance", torch.full((12,), -1.0)), "variance holds a negative"),
    ],
)
def test_weights_from_strangers_are_checked(data: bytes, reason: str) -> None:
    child = network()
    before = weights.pack(child)
    with pytest.raises(WeightsError, match=reason):
        weights.restore(child, data)
    assert weights.pack(child) == before


def test_missing_weights_are_named() -> None:
    state = network().state_dict()
    del state[GAIN]
    with pytest.raises(WeightsError, match=GAIN):
        weights.restore(network(), safetensors.torch.save(state))


def test_weights_round_trip() -> None:
    other = Network(DESIGN, DIGITS.shape, 10, torch.Generator().manual_seed(2))
    weights.restore(other, weights.pack(network()))
    assert weights.pack(other) == weights.pack(network())


def test_a_design_that_cannot_be_built_is_refused(job: Train) -> None:
    bare = replace(DESIGN.layers[0], weight_int_bits=0, weight_frac_bits=0)
    with pytest.raises(ValueError, match="at least one bit"):
        run(replace(job, genotype=Genotype((bare,))))
