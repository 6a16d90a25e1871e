"""A genotype as the authors train it: in floating point, rounded to its formats afterwards.

Layers, start weights and dropout rates are those of nas.md 1.2 (the code behind arXiv 1911.00105).
The formats of a genotype play no part in training, so designs that differ in bits only share
their float weights.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from nas.designs.genotype import Genotype, Layer
from nas.designs.shapes import HIDDEN, InputShape, features, layer_shapes
from nas.evaluation.model_format import IntegerModel
from nas.networks.quantise import CLASSIFIER, signed, to_integers
from nas.networks.windows import conv_same, in_fast_order, max_pool_same

DROPOUT_RATES = (0.0, 0.2, 0.0, 0.3, 0.0, 0.4)
"""After the layers, input side first; deeper networks start over."""
CLASSIFIER_DROPOUT = 0.5


class FloatConvLayer(nn.Module):
    """Convolution with bias, max-pooling, ReLU, dropout.

    Holds `weight` [out, in, height, width] and `bias` [out].
    """

    def __init__(
        self, layer: Layer, in_channels: int, rate: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.stride = (layer.stride_height, layer.stride_width)
        self.pool = layer.pool_size
        self.rate = rate
        out = layer.num_kernels
        shape = (out, in_channels, layer.kernel_height, layer.kernel_width)
        self.weight, self.bias = _uniform_pair(shape, generator)

    def forward(self, maps: torch.Tensor, noise: torch.Generator | None) -> torch.Tensor:
        """Maps [n, in, height, width] to maps; dropout draws from `noise`, or is left out."""
        sums = conv_same(maps, self.weight, self.bias, self.stride)
        # The authors pool after ReLU; the other order gives the same maps from fewer values.
        return _dropout(functional.relu(max_pool_same(sums, self.pool)), self.rate, noise)


class FloatNetwork(nn.Module):
    """The child network in floating point, with start weights drawn from `generator`.

    Raises GenotypeError for a design with strides of 0.
    """

    def __init__(
        self, genotype: Genotype, shape: InputShape, classes: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        sizes = layer_shapes(genotype, shape)
        self.convolutions = nn.ModuleList(
            FloatConvLayer(
                layer, size.in_channels, DROPOUT_RATES[number % len(DROPOUT_RATES)], generator
            )
            for number, (layer, size) in enumerate(zip(genotype.layers, sizes, strict=True))
        )
        inputs = features(genotype, shape)
        self.fc1_weight, self.fc1_bias = _uniform_pair((HIDDEN, inputs), generator)
        self.fc2_weight, self.fc2_bias = _uniform_pair((classes, HIDDEN), generator)

    def forward(self, images: torch.Tensor, noise: torch.Generator | None = None) -> torch.Tensor:
        """Logits [n, classes] of images [n, channels, height, width] on the input grid.

        With `noise`, on the device of the images, dropout is on.
        """
        maps = in_fast_order(images)
        for convolution in self.convolutions:
            maps = convolution(maps, noise)
        sums = functional.linear(maps.flatten(1), self.fc1_weight, self.fc1_bias)
        hidden = _dropout(functional.relu(sums), CLASSIFIER_DROPOUT, noise)
        return functional.linear(hidden, self.fc2_weight, self.fc2_bias)

    def export(self, genotype: Genotype) -> IntegerModel:
        """The model in the formats of `genotype`, whose architecture is this network's.

        Raises ValueError if a weight is not finite.
        """
        weights, biases = [], []
        for layer, module in zip(genotype.layers, self.convolutions, strict=True):
            if isinstance(module, FloatConvLayer):
                grid = signed(layer.weight_int_bits, layer.weight_frac_bits)
                weights.append(to_integers(module.weight, grid))
                biases.append(to_integers(module.bias, grid))
        return IntegerModel(
            tuple(weights),
            tuple(biases),
            to_integers(self.fc1_weight, CLASSIFIER),
            to_integers(self.fc1_bias, CLASSIFIER),
            to_integers(self.fc2_weight, CLASSIFIER),
            to_integers(self.fc2_bias, CLASSIFIER),
        )


def _uniform_pair(
    shape: tuple[int, ...], generator: torch.Generator
) -> tuple[nn.Parameter, nn.Parameter]:
    """Start weights and biases, uniform within 1 / sqrt(fan-in), as PyTorch's own layers draw."""
    bound = 1 / math.sqrt(math.prod(shape[1:]))
    weight = torch.empty(shape).uniform_(-bound, bound, generator=generator)
    bias = torch.empty(shape[0]).uniform_(-bound, bound, generator=generator)
    return nn.Parameter(weight), nn.Parameter(bias)


def _dropout(values: torch.Tensor, rate: float, noise: torch.Generator | None) -> torch.Tensor:
    """Zeros with probability `rate`, the rest scaled up; a generator of one's own, unlike torch."""
    if noise is None or rate == 0.0:
        return values
    kept = torch.empty_like(values).bernoulli_(1 - rate, generator=noise)
    return values * kept.mul_(1 / (1 - rate))
