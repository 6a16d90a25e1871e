"""The fast exact evaluation against the integer oracle, at and around its bounds."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.data import datasets
from nas.designs.genotype import Genotype, Layer
from nas.designs.shapes import InputShape
from nas.evaluation import evaluate, exact, oracle
from nas.evaluation.exact import EvaluationError, ExactLayer, verified_dtypes
from nas.evaluation.model_format import ModelFault, ModelFormatError, pack
from nas.evaluation.oracle import Codes
from nas.execution.cancel import Cancelled
from nas.jobs import Count
from tests.nas_models import Fill, devnet_design, extreme_codes, integer_model, random_codes

DIGITS = datasets.load("digits")
FLOATS = (torch.float32, torch.float64)

layers = st.builds(
    Layer,
    kernel_height=st.integers(1, 5),
    kernel_width=st.integers(1, 5),
    num_kernels=st.integers(1, 12),
    stride_height=st.integers(1, 4),
    stride_width=st.integers(1, 4),
    pool_size=st.integers(1, 3),
    act_int_bits=st.integers(1, 6),
    act_frac_bits=st.integers(0, 10),
    weight_int_bits=st.integers(0, 4),
    weight_frac_bits=st.integers(1, 12),
)
genotypes = st.builds(Genotype, st.lists(layers, min_size=1, max_size=3).map(tuple))
shapes = st.builds(InputShape, st.integers(1, 3), st.integers(1, 9), st.integers(1, 9))
fills = st.one_of(
    st.builds(random_codes, st.integers(0, 1000)),
    st.builds(extreme_codes, st.integers(0, 1000), st.sampled_from([0.0, 0.1, 0.5, 1.0])),
)


def never() -> bool:
    return False


@settings(max_examples=80, deadline=None)
@given(genotypes, shapes, fills, st.sampled_from(["random", "lowest", "highest"]), st.integers(0))
def test_fast_path_is_the_oracle(
    genotype: Genotype, shape: InputShape, fill: Fill, pixels: str, seed: int
) -> None:
    size = (2, shape.channels, shape.height, shape.width)
    images = {
        "random": np.random.default_rng(seed).integers(-128, 128, size),
        "lowest": np.full(size, -128),
        "highest": np.full(size, 127),
    }[pixels]
    model = integer_model(genotype, shape, 3, fill)
    codes = torch.from_numpy(images).float()
    found = evaluate.logits(model, genotype, codes, never)
    expected = [oracle.image_logits(model, genotype, image) for image in images]
    assert found.tolist() == [logits.tolist() for logits in expected]


def dense(
    weights: Codes, bias: int, input_high: int, dtypes: tuple[torch.dtype, ...]
) -> ExactLayer:
    return ExactLayer(
        weights[None, :, None, None], np.array([bias]), (1, 1), input_high, "cpu", dtypes
    )


@pytest.mark.parametrize(
    ("bias", "expected"),
    [((1 << 24) - 1 - 510, torch.float32), ((1 << 24) - 510, torch.float64)],
)
def test_float32_is_used_exactly_below_its_bound(bias: int, expected: torch.dtype) -> None:
    assert dense(np.array([1, -1]), bias, 255, FLOATS).dtype is expected


def test_a_sum_of_two_to_the_53_is_refused() -> None:
    weights = np.array([1 << 37])
    assert dense(weights, -1 + (1 << 52), (1 << 15), FLOATS).dtype is torch.float64
    with pytest.raises(EvaluationError, match="ends below 2\\*\\*53"):
        dense(weights, 1 << 52, 1 << 15, FLOATS)


def test_both_types_pass_the_self_test_here() -> None:
    assert verified_dtypes("cpu") == FLOATS


def test_self_test_rejects_a_type_beyond_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(exact.LIMITS, torch.float32, 1 << 26)
    assert verified_dtypes.__wrapped__("cpu") == (torch.float64,)


def test_without_any_usable_type_the_oracle_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    genotype = devnet_design(5)
    model = integer_model(genotype, DIGITS.shape, 10, random_codes(5))
    codes = evaluate.input_codes(DIGITS, "test", "cpu")[:3]
    fast = evaluate.logits(model, genotype, codes, never)
    monkeypatch.setattr(evaluate, "verified_dtypes", lambda device: ())
    assert evaluate.logits(model, genotype, codes, never).tolist() == fast.tolist()


def test_logits_do_not_depend_on_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    genotype = devnet_design(6)
    model = integer_model(genotype, DIGITS.shape, 10, random_codes(6))
    codes = evaluate.input_codes(DIGITS, "test", "cpu")[:20]
    whole = evaluate.logits(model, genotype, codes, never)
    monkeypatch.setattr(evaluate, "BATCH_BYTES", 1)
    assert evaluate.batch_size(genotype, DIGITS.shape) == 1
    assert evaluate.logits(model, genotype, codes, never).tolist() == whole.tolist()


def test_reduced_precision_set_elsewhere_is_undone() -> None:
    torch.set_float32_matmul_precision("medium")
    test_fast_path_on_one_design()
    assert torch.get_float32_matmul_precision() == "highest"


def test_fast_path_on_one_design() -> None:
    genotype = devnet_design(7)
    model = integer_model(genotype, DIGITS.shape, 10, random_codes(7))
    codes = evaluate.input_codes(DIGITS, "validation", "cpu")[:5]
    images = codes.numpy().astype(np.int64)
    expected = [oracle.image_logits(model, genotype, image).tolist() for image in images]
    assert evaluate.logits(model, genotype, codes, never).tolist() == expected


def test_input_codes_look_pixels_up_per_channel() -> None:
    codes = evaluate.input_codes(DIGITS, "test", "cpu")
    pixel = int(DIGITS.test.images[3, 0, 4, 5])
    assert codes.shape == (360, 1, 8, 8)
    assert codes[3, 0, 4, 5].item() == DIGITS.input_codes[0, pixel]


def test_equal_logits_count_as_the_lowest_class() -> None:
    found = np.array([[1, 5, 5], [7, 7, 7], [0, 0, 1]])
    assert evaluate.correct_count(found, np.array([1, 0, 2], np.uint8)) == 3
    assert evaluate.correct_count(found, np.array([2, 1, 0], np.uint8)) == 0


@pytest.mark.parametrize("bits", [0, 25])
def test_activations_that_exact_evaluation_cannot_hold_are_refused(bits: int) -> None:
    genotype = devnet_design(8)
    wide = replace(genotype.layers[1], act_int_bits=0, act_frac_bits=bits)
    genotype = Genotype((genotype.layers[0], wide, genotype.layers[2]))
    model = integer_model(genotype, DIGITS.shape, 10, random_codes(8))
    with pytest.raises(EvaluationError, match=f"layer 2 has activations of {bits} bits"):
        evaluate.logits(model, genotype, torch.zeros(1, 1, 8, 8), never)


def test_evaluation_stops_when_told() -> None:
    genotype = devnet_design(9)
    model = integer_model(genotype, DIGITS.shape, 10, random_codes(9))
    with pytest.raises(Cancelled):
        evaluate.logits(model, genotype, torch.zeros(1, 1, 8, 8), lambda: True)


GOLDEN = Genotype((Layer(3, 5, 8, 1, 2, 2, 2, 4, 1, 5), Layer(5, 1, 12, 2, 1, 1, 3, 2, 2, 4)))
# Written by the oracle.
GOLDEN_CORRECT = 37
GOLDEN_HASH = "2312d52358a39a7d5db0d98deeb406d335fcc9d5bef0ee693bc9f94a4974771b"


def test_golden_vector() -> None:
    model = pack(
        integer_model(GOLDEN, DIGITS.shape, 10, random_codes(2206)), GOLDEN, DIGITS.shape, 10
    )
    counted = evaluate.count(Count("digits", "test", GOLDEN, model), DIGITS, "cpu", never)
    assert (counted.correct, counted.size) == (GOLDEN_CORRECT, 360)
    assert counted.logits_hash.hex() == GOLDEN_HASH


def test_bytes_that_are_no_model_are_refused() -> None:
    with pytest.raises(ModelFormatError) as caught:
        evaluate.count(Count("digits", "test", GOLDEN, b"\0"), DIGITS, "cpu", never)
    assert caught.value.reason is ModelFault.LENGTH
