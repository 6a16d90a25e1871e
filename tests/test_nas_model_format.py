"""Canonical model bytes: one encoding per model, and each way to be none."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.designs.genotype import Genotype, Layer
from nas.designs.shapes import InputShape, features, layer_shapes
from nas.evaluation.model_format import (
    CLASSIFIER_BITS,
    Codes,
    IntegerModel,
    ModelFault,
    ModelFormatError,
    model_length,
    pack,
    unpack,
)

# Five, eight, nine and ten bits: two widths of one byte, two of two.
LAYERS = (
    Layer(3, 1, 2, 1, 2, 2, 1, 3, 2, 3),
    Layer(1, 3, 3, 2, 1, 1, 1, 3, 2, 6),
    Layer(1, 1, 2, 1, 1, 1, 1, 3, 3, 6),
    Layer(3, 3, 2, 1, 1, 1, 1, 3, 4, 6),
)
GENOTYPE = Genotype(LAYERS)
SHAPE = InputShape(2, 6, 5)
CLASSES = 3


def random_codes(rng: np.random.Generator, bits: int, *shape: int) -> Codes:
    return rng.integers(-(1 << bits - 1), 1 << bits - 1, shape, dtype=np.int64)


def random_model(seed: int) -> IntegerModel:
    rng = np.random.default_rng(seed)
    weights, biases = [], []
    for layer, sizes in zip(LAYERS, layer_shapes(GENOTYPE, SHAPE), strict=True):
        kernel = (layer.num_kernels, sizes.in_channels, layer.kernel_height, layer.kernel_width)
        weights.append(random_codes(rng, layer.weight_bits, *kernel))
        biases.append(random_codes(rng, layer.weight_bits, layer.num_kernels))
    return IntegerModel(
        tuple(weights),
        tuple(biases),
        random_codes(rng, CLASSIFIER_BITS, 256, features(GENOTYPE, SHAPE)),
        random_codes(rng, CLASSIFIER_BITS, 256),
        random_codes(rng, CLASSIFIER_BITS, CLASSES, 256),
        random_codes(rng, CLASSIFIER_BITS, CLASSES),
    )


@settings(max_examples=20)
@given(st.integers(0, 2**32))
def test_bytes_round_trip(seed: int) -> None:
    model = random_model(seed)
    data = pack(model, GENOTYPE, SHAPE, CLASSES)
    assert len(data) == model_length(GENOTYPE, SHAPE, CLASSES)
    again = unpack(data, GENOTYPE, SHAPE, CLASSES)
    for ours, theirs in zip(model.arrays, again.arrays, strict=True):
        assert theirs.dtype == np.int64
        np.testing.assert_array_equal(ours, theirs)


def test_length_counts_widths_and_shapes() -> None:
    one_byte = (2 * 2 * 3 + 2) + (3 * 2 * 3 + 3)
    two_bytes = (2 * 3 + 2) + (2 * 2 * 9 + 2)
    # The maps are 6 x 3, pooled 3 x 2, then strided 2 x 2: eight features.
    classifier = 256 * 8 + 256 + CLASSES * 256 + CLASSES
    assert model_length(GENOTYPE, SHAPE, CLASSES) == one_byte + 2 * two_bytes + 4 * classifier


def test_golden_bytes() -> None:
    genotype = Genotype((LAYERS[1],))
    shape = InputShape(1, 2, 1)
    model = IntegerModel(
        (np.arange(-4, 5).reshape(3, 1, 1, 3),),
        (np.array([-128, 127, 1]),),
        np.zeros((256, 3), np.int64),
        np.full(256, -(1 << 23)),
        np.full((2, 256), (1 << 23) - 1),
        np.array([1, -1]),
    )
    data = pack(model, genotype, shape, 2)
    assert data[:12].hex() == "fcfdfeff0001020304" + "807f01"
    assert data[12 : 12 + 3072] == bytes(3072)
    assert data[3084:3088].hex() == "000080ff"
    assert data[4108:4112].hex() == "ffff7f00"
    assert data[-8:].hex() == "01000000ffffffff"
    assert hashlib.blake2b(data, digest_size=8).hexdigest() == "53030dded37bbc78"


@pytest.mark.parametrize("change", [-1, 1])
def test_another_length_is_refused(change: int) -> None:
    data = bytes(model_length(GENOTYPE, SHAPE, CLASSES) + change)
    with pytest.raises(ModelFormatError, match=f"instead of {len(data) - change}") as error:
        unpack(data, GENOTYPE, SHAPE, CLASSES)
    assert error.value.reason is ModelFault.LENGTH


@pytest.mark.parametrize(
    ("at", "value", "name"),
    [
        (0, 16, "layer 1 weights"),
        (0, -17, "layer 1 weights"),
        (1, 16, "layer 1 biases"),
        (4, 256, "layer 3 weights"),
        (5, -257, "layer 3 biases"),
        (-4, 1 << 23, "first classifier weights"),
        (-1, -(1 << 23) - 1, "second classifier biases"),
    ],
)
def test_codes_outside_their_format_are_refused(at: int, value: int, name: str) -> None:
    model = random_model(1)
    data = bytearray(pack(model, GENOTYPE, SHAPE, CLASSES))
    lengths = [codes.size * width for codes, width in zip(model.arrays, WIDTHS, strict=True)]
    width, start = WIDTHS[at], sum(lengths[: at % len(lengths)])
    data[start : start + width] = value.to_bytes(width, "little", signed=True)
    with pytest.raises(ModelFormatError, match=name) as unpacked:
        unpack(bytes(data), GENOTYPE, SHAPE, CLASSES)
    assert unpacked.value.reason is ModelFault.RANGE

    model.arrays[at].flat[0] = value
    with pytest.raises(ModelFormatError, match=name) as packed:
        pack(model, GENOTYPE, SHAPE, CLASSES)
    assert packed.value.reason is ModelFault.RANGE


WIDTHS = (1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4)


def test_another_shape_is_refused() -> None:
    model = random_model(1)
    turned = replace(model, fc1_weight=model.fc1_weight.T)
    with pytest.raises(ModelFormatError, match="first classifier weights has shape") as error:
        pack(turned, GENOTYPE, SHAPE, CLASSES)
    assert error.value.reason is ModelFault.SHAPE


def test_another_number_of_layers_is_refused() -> None:
    model = random_model(1)
    short = replace(model, conv_weights=model.conv_weights[:3], conv_biases=model.conv_biases[:3])
    with pytest.raises(ModelFormatError, match="10 arrays instead of 12") as error:
        pack(short, GENOTYPE, SHAPE, CLASSES)
    assert error.value.reason is ModelFault.SHAPE


def test_weights_of_no_bits_have_no_bytes() -> None:
    genotype = Genotype((LAYERS[0], replace(LAYERS[1], weight_int_bits=0, weight_frac_bits=0)))
    with pytest.raises(ModelFormatError, match="layer 2 has weights of 0 bits") as error:
        model_length(genotype, SHAPE, CLASSES)
    assert error.value.reason is ModelFault.ZERO_BITS


def test_weights_wider_than_the_encoding_are_refused_and_not_cut() -> None:
    genotype = Genotype((LAYERS[0], replace(LAYERS[1], weight_int_bits=30, weight_frac_bits=3)))
    with pytest.raises(ModelFormatError, match="weights of 33 bits, above 32") as error:
        model_length(genotype, SHAPE, CLASSES)
    assert error.value.reason is ModelFault.WIDTH
    widest = Genotype((LAYERS[0], replace(LAYERS[1], weight_int_bits=30, weight_frac_bits=2)))
    assert model_length(widest, SHAPE, CLASSES) > 0
