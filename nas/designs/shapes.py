"""What a genotype becomes on an input: map sizes, hardware layers, multiply-accumulates.

Padding is TensorFlow's SAME everywhere: a window of stride s over n positions gives ceil(n / s),
for convolutions and for pooling (whose stride is its window).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from fpga_model.layer import ConvLayer
from nas.designs.genotype import ARCHITECTURE_TOKENS, Genotype, GenotypeError

HIDDEN = 256
"""Width of the classifier's hidden layer."""

INPUT_INT_BITS, INPUT_FRAC_BITS = 3, 5
"""The signed format of the network's input; the integer bits count the sign."""


@dataclass(frozen=True)
class InputShape:
    """Channels, height and width of one image."""

    channels: int
    height: int
    width: int


@dataclass(frozen=True)
class LayerShape:
    """One layer's input channels, its convolution's output and, after pooling, its own output."""

    in_channels: int
    conv_height: int
    conv_width: int
    output: InputShape


# A verdict asks for the shapes of one genotype several times in a row.
@lru_cache(maxsize=64)
def layer_shapes(genotype: Genotype, shape: InputShape) -> tuple[LayerShape, ...]:
    """The map sizes of every layer. Raises GenotypeError for a kernel, stride or pool of 0."""
    shapes = []
    current = shape
    for number, layer in enumerate(genotype.layers, start=1):
        if 0 in layer.tokens[:ARCHITECTURE_TOKENS]:
            raise GenotypeError(f"layer {number} has a kernel, stride or pool of 0: no output")
        conv_height = _same(current.height, layer.stride_height)
        conv_width = _same(current.width, layer.stride_width)
        output = InputShape(
            layer.num_kernels,
            _same(conv_height, layer.pool_size),
            _same(conv_width, layer.pool_size),
        )
        shapes.append(LayerShape(current.channels, conv_height, conv_width, output))
        current = output
    return tuple(shapes)


def features(genotype: Genotype, shape: InputShape) -> int:
    """Values that the last layer hands to the classifier for one image.

    Raises GenotypeError as `layer_shapes` does.
    """
    last = layer_shapes(genotype, shape)[-1].output
    return last.channels * last.height * last.width


def conv_layers(genotype: Genotype, shape: InputShape) -> tuple[ConvLayer, ...]:
    """The convolutions as the hardware sees them.

    Raises GenotypeError as `layer_shapes` does, and LayerError beyond fpga_model's MAX_MACS.
    """
    hardware = []
    in_bits, in_frac_bits = INPUT_INT_BITS + INPUT_FRAC_BITS, INPUT_FRAC_BITS
    for layer, sizes in zip(genotype.layers, layer_shapes(genotype, shape), strict=True):
        hardware.append(
            ConvLayer(
                in_channels=sizes.in_channels,
                out_channels=layer.num_kernels,
                out_height=sizes.conv_height,
                out_width=sizes.conv_width,
                kernel_height=layer.kernel_height,
                kernel_width=layer.kernel_width,
                act_bits=in_bits,
                weight_bits=layer.weight_bits,
                out_int_bits=layer.act_int_bits,
                out_frac_bits=layer.act_frac_bits,
                in_frac_bits=in_frac_bits,
                weight_frac_bits=layer.weight_frac_bits,
            )
        )
        in_bits, in_frac_bits = layer.act_bits, layer.act_frac_bits
    return tuple(hardware)


def macs_per_image(genotype: Genotype, shape: InputShape, classes: int) -> int:
    """Multiply-accumulates of one image, the two classifier layers included.

    Raises GenotypeError as `layer_shapes` does.
    """
    convolutions = sum(
        layer.num_kernels
        * sizes.in_channels
        * layer.kernel_height
        * layer.kernel_width
        * sizes.conv_height
        * sizes.conv_width
        for layer, sizes in zip(genotype.layers, layer_shapes(genotype, shape), strict=True)
    )
    return convolutions + features(genotype, shape) * HIDDEN + HIDDEN * classes


def _same(size: int, stride: int) -> int:
    """ceil(size / stride) in integers."""
    return -(-size // stride)
