"""Exported models: onnxruntime and the exact evaluation, image by image."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.data import datasets
from nas.designs.genotype import Genotype, Layer
from nas.evaluation import evaluate
from nas.evaluation.onnx_model import convolutions_are_exact, differing_images, run_onnx, to_onnx
from tests.nas_models import devnet_design, extreme_codes, integer_model, random_codes

DIGITS = datasets.load("digits")
IMAGES = DIGITS.test.images[:40]
CODES = evaluate.input_codes(DIGITS, "test", "cpu")[:40]
# 16 bits of output and weights, whose sums float32 cannot hold.
WIDE = Genotype((Layer(3, 3, 24, 1, 1, 2, 4, 12, 2, 7), Layer(5, 5, 24, 1, 1, 1, 4, 12, 4, 12)))


def never() -> bool:
    return False


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.booleans())
def test_logits_are_the_exact_ones_while_float32_holds_the_sums(seed: int, extreme: bool) -> None:
    genotype = devnet_design(seed)
    fill = extreme_codes(seed, 0.5) if extreme else random_codes(seed)
    model = integer_model(genotype, DIGITS.shape, 10, fill)
    assert convolutions_are_exact(model, genotype)
    found = run_onnx(to_onnx(model, genotype, DIGITS), IMAGES, batch=16)
    assert differing_images(found, evaluate.logits(model, genotype, CODES, never)) == 0


def test_images_that_differ_beyond_float32_are_counted() -> None:
    model = integer_model(WIDE, DIGITS.shape, 10, random_codes(1))
    assert not convolutions_are_exact(model, WIDE)
    exact = evaluate.logits(model, WIDE, CODES, never)
    found = run_onnx(to_onnx(model, WIDE, DIGITS), IMAGES)
    assert 0 < differing_images(found, exact) <= 40
    # Rounded differently, but the same function.
    assert np.allclose(found, exact / 2**30, rtol=1e-2, atol=1)


def test_one_wrong_logit_is_one_image() -> None:
    exact = np.zeros((3, 10), np.int64)
    found = np.zeros((3, 10))
    found[1, 4] = 2.0**-30
    assert differing_images(found, exact) == 1


@pytest.mark.parametrize(("bias", "holds"), [(0, True), (1, False)])
def test_the_float32_bound_is_that_of_exact_evaluation(bias: int, holds: bool) -> None:
    genotype = Genotype((Layer(1, 1, 1, 1, 1, 1, 2, 2, 8, 16),))
    model = integer_model(genotype, DIGITS.shape, 10, random_codes(1))
    model.conv_weights[0][:] = (1 << 17) - 1
    model.conv_biases[0][:] = 3 + bias
    # 128 * (2**17 - 1) + 32 * bias is below 2**24 up to a bias of 3.
    assert convolutions_are_exact(model, genotype) is holds


def test_activations_beyond_16_bits_are_refused() -> None:
    genotype = Genotype((Layer(1, 1, 2, 1, 1, 1, 5, 12, 2, 2),))
    model = integer_model(genotype, DIGITS.shape, 10, random_codes(1))
    with pytest.raises(ValueError, match="no activations of 17 bits"):
        to_onnx(model, genotype, DIGITS)


def test_weights_are_stored_as_codes() -> None:
    genotype = devnet_design(3)
    model = integer_model(genotype, DIGITS.shape, 10, random_codes(3))
    graph = onnx.load_from_string(to_onnx(model, genotype, DIGITS)).graph
    stored = [onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer]
    kernels = [array for array in stored if array.ndim == 4 and array.dtype == np.int8]
    assert [kernel.tolist() for kernel in kernels] == [
        weights.tolist() for weights in model.conv_weights
    ]
    kinds = {node.op_type for node in graph.node}
    assert {"QuantizeLinear", "DequantizeLinear", "Conv"} <= kinds
