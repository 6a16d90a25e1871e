"""Map sizes, hardware layers and multiply-accumulates, checked by counting."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpga_model.layer import ConvLayer
from nas.designs.genotype import Genotype, GenotypeError, Layer
from nas.designs.shapes import (
    InputShape,
    LayerShape,
    conv_layers,
    features,
    layer_shapes,
    macs_per_image,
)

FIRST = Layer(3, 5, 24, 1, 2, 2, 3, 4, 2, 5)
SECOND = Layer(1, 3, 8, 2, 1, 1, 1, 6, 4, 0)
GENOTYPE = Genotype((FIRST, SECOND))
SHAPE = InputShape(3, 9, 8)


def test_map_sizes_of_a_known_genotype() -> None:
    assert layer_shapes(GENOTYPE, SHAPE) == (
        LayerShape(3, 9, 4, InputShape(24, 5, 2)),
        LayerShape(24, 3, 2, InputShape(8, 3, 2)),
    )
    assert features(GENOTYPE, SHAPE) == 48


@given(st.integers(1, 40), st.integers(1, 6), st.integers(1, 3))
def test_same_padding_counts_window_starts(size: int, stride: int, pool: int) -> None:
    layer = replace(FIRST, stride_height=stride, pool_size=pool)
    (shape,) = layer_shapes(Genotype((layer,)), InputShape(1, size, 1))
    assert shape.conv_height == len(range(0, size, stride))
    assert shape.output.height == len(range(0, shape.conv_height, pool))


def test_hardware_layers_take_their_input_format_from_the_layer_before() -> None:
    assert conv_layers(GENOTYPE, SHAPE) == (
        ConvLayer(
            in_channels=3,
            out_channels=24,
            out_height=9,
            out_width=4,
            kernel_height=3,
            kernel_width=5,
            act_bits=8,
            weight_bits=7,
            out_int_bits=3,
            out_frac_bits=4,
            in_frac_bits=5,
            weight_frac_bits=5,
        ),
        ConvLayer(
            in_channels=24,
            out_channels=8,
            out_height=3,
            out_width=2,
            kernel_height=1,
            kernel_width=3,
            act_bits=7,
            weight_bits=4,
            out_int_bits=1,
            out_frac_bits=6,
            in_frac_bits=4,
            weight_frac_bits=0,
        ),
    )


def test_multiply_accumulates_include_the_classifier() -> None:
    convolutions = 24 * 3 * 3 * 5 * 9 * 4 + 8 * 24 * 1 * 3 * 3 * 2
    assert macs_per_image(GENOTYPE, SHAPE, 10) == convolutions + 48 * 256 + 256 * 10
    assert convolutions == sum(layer.macs for layer in conv_layers(GENOTYPE, SHAPE))


@pytest.mark.parametrize("name", ["kernel_height", "num_kernels", "stride_width", "pool_size"])
def test_a_layer_without_output_is_refused(name: str) -> None:
    with pytest.raises(GenotypeError, match="layer 2 has a kernel, stride or pool of 0"):
        layer_shapes(Genotype((FIRST, replace(SECOND, **{name: 0}))), SHAPE)
