"""Exact evaluation of an integer model: the same logits, bit for bit, on every machine.

The rules are those of `nas.evaluation.oracle`; `nas.evaluation.exact` makes them fast. Design
section 6.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from nas.data.dataset import Dataset
from nas.designs.genotype import Genotype
from nas.designs.shapes import HIDDEN as HIDDEN_WIDTH
from nas.designs.shapes import InputShape, features, layer_shapes
from nas.evaluation.exact import (
    EvaluationError,
    ExactLayer,
    forbid_reduced_precision,
    verified_dtypes,
)
from nas.evaluation.model_format import IntegerModel, unpack
from nas.evaluation.oracle import Codes
from nas.execution.cancel import ShouldStop, check
from nas.jobs import Count, Counted
from nas.networks.quantise import CLASSIFIER, HIDDEN, INPUT, Grid, unsigned
from nas.networks.windows import Pair, max_pool_same

MAX_ACTIVATION_BITS = 24
"""Activations travel between layers as float32, which holds 24 bits."""

BATCH_BYTES = 32 << 20
"""Memory that the operands of one batch may take."""

MAX_BATCH = 1024

CUDA_FACTOR = 16
"""A GPU takes batches and memory this much larger: small ones would only be launched."""


@dataclass(frozen=True)
class HiddenDropout:
    """Dropout between the classifier's layers during evaluation (nas.md 1.7, bug 15).

    The authors' code builds it anew in every pass, so that it is always on; protocol `compat`
    keeps that. The generator must be on the device of the codes.
    """

    rate: float
    noise: torch.Generator

    def apply(self, hidden: torch.Tensor) -> torch.Tensor:
        """`hidden` codes of any shape, each zero with probability `rate`, the others scaled up."""
        kept = torch.empty_like(hidden).bernoulli_(1 - self.rate, generator=self.noise)
        return torch.round(hidden * kept / (1 - self.rate))


def count(job: Count, dataset: Dataset, device: str, should_stop: ShouldStop) -> Counted:
    """How many images of the split the model classifies correctly, and the hash of its logits.

    Raises ModelFormatError for bytes that are no model of the genotype, EvaluationError for one
    too wide to evaluate, DatasetError for an unknown split, and Cancelled.
    """
    model = unpack(job.model, job.genotype, dataset.shape, dataset.classes)
    codes = input_codes(dataset, job.split, device)
    found = logits(model, job.genotype, codes, should_stop)
    labels = dataset.split(job.split).labels
    return Counted(correct_count(found, labels), len(labels), logits_hash(found))


def input_codes(dataset: Dataset, split: str, device: str) -> torch.Tensor:
    """The images of a split as signed 3.5 codes, int8 [n, channels, height, width].

    Raises DatasetError for another split than train, validation and test.
    """
    images = dataset.split(split).images
    codes = np.empty(images.shape, np.int8)
    for channel, table in enumerate(dataset.input_codes):
        codes[:, channel] = table[images[:, channel]]
    return torch.from_numpy(codes).to(device)


def logits(
    model: IntegerModel,
    genotype: Genotype,
    codes: torch.Tensor,
    should_stop: ShouldStop,
    dropout: HiddenDropout | None = None,
) -> Codes:
    """Logits int64 [n, classes] with 30 fraction bits, of codes [n, channels, height, width].

    `dropout` disturbs the hidden layer, as protocol `compat` wants it.
    Raises EvaluationError for a model too wide to evaluate exactly, and Cancelled.
    """
    size = batch_size(genotype, InputShape(*codes.shape[1:]), codes.is_cuda)
    evaluate = evaluator(model, genotype, str(codes.device), dropout)
    parts = []
    for batch in torch.split(codes, size):
        check(should_stop)
        parts.append(evaluate(batch))
    return np.concatenate(parts)


def evaluator(
    model: IntegerModel, genotype: Genotype, device: str, dropout: HiddenDropout | None = None
) -> Callable[[torch.Tensor], Codes]:
    """A function from codes [n, channels, height, width] to logits int64 [n, classes].

    The memory it takes is in proportion to n, which `batch_size` bounds. Raises EvaluationError.
    """
    forbid_reduced_precision()
    network = _integer_network(model, genotype, device)

    def evaluate(batch: torch.Tensor) -> Codes:
        hidden = network.hidden_codes(batch)
        if dropout is not None:
            hidden = dropout.apply(hidden)
        found: Codes = network.output.sums(hidden)[:, :, 0, 0].long().cpu().numpy()
        return found

    return evaluate


def check_activations(genotype: Genotype) -> None:
    """Raise EvaluationError for a layer whose activations are too wide, or have no bits."""
    for number, layer in enumerate(genotype.layers, start=1):
        if not 0 < layer.act_bits <= MAX_ACTIVATION_BITS:
            raise EvaluationError(
                f"layer {number} has activations of {layer.act_bits} bits, "
                f"but exact evaluation takes 1 to {MAX_ACTIVATION_BITS}"
            )


def correct_count(found: Codes, labels: npt.NDArray[np.uint8]) -> int:
    """Images whose largest logit (the lowest index among equals) is at their label.

    `found` [n, classes], `labels` [n].
    """
    return int((found.argmax(axis=1) == labels).sum())


def logits_hash(found: Codes) -> bytes:
    """BLAKE2b-256 of the logits [n, classes] as little-endian int64, image by image."""
    return hashlib.blake2b(found.astype("<i8").tobytes(), digest_size=32).digest()


def batch_size(genotype: Genotype, shape: InputShape, on_cuda: bool = False) -> int:
    """Images at a time such that the widest layer's operands stay within BATCH_BYTES.

    On CUDA the bounds are CUDA_FACTOR times larger, and a convolution holds every window of its
    input at once (`nas.evaluation.exact`). Raises GenotypeError for a genotype without a shape.
    """
    factor = CUDA_FACTOR if on_cuda else 1
    widest = features(genotype, shape) + HIDDEN_WIDTH
    for layer, sizes in zip(genotype.layers, layer_shapes(genotype, shape), strict=True):
        window = sizes.in_channels * layer.kernel_height * layer.kernel_width
        values = 2 * layer.num_kernels + (window if on_cuda else 0)
        widest = max(widest, sizes.conv_height * sizes.conv_width * values)
    return min(factor * MAX_BATCH, max(1, factor * BATCH_BYTES // (8 * widest)))


@dataclass(frozen=True)
class _Stage:
    """A layer with what follows its sums: ReLU, rounding to a grid, pooling."""

    layer: ExactLayer
    grid: Grid
    pool: int

    def codes(self, codes: torch.Tensor) -> torch.Tensor:
        # Rounding and saturation keep the order of values, so that pooling may come first and
        # leave less to round.
        largest = max_pool_same(self.layer.sums(codes), self.pool)
        return largest.round_().clamp_(0, self.grid.high).float()


@dataclass(frozen=True)
class _IntegerNetwork:
    convolutions: tuple[_Stage, ...]
    hidden: _Stage
    output: ExactLayer

    def hidden_codes(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes of the hidden layer [n, 256, 1, 1]."""
        for stage in self.convolutions:
            codes = stage.codes(codes)
        return self.hidden.codes(codes.flatten(1)[:, :, None, None])


def _integer_network(model: IntegerModel, genotype: Genotype, device: str) -> _IntegerNetwork:
    def layer(weights: Codes, biases: Codes, stride: Pair, inputs: Grid, shift: int) -> ExactLayer:
        high = max(-inputs.low, inputs.high)
        dtypes = verified_dtypes(device)
        return ExactLayer(weights, biases << inputs.frac_bits, stride, high, device, dtypes, shift)

    check_activations(genotype)
    grid = INPUT
    stages = []
    for gene, weights, biases in zip(
        genotype.layers, model.conv_weights, model.conv_biases, strict=True
    ):
        shift = grid.frac_bits + gene.weight_frac_bits - gene.act_frac_bits
        stride = (gene.stride_height, gene.stride_width)
        convolution = layer(weights, biases, stride, grid, shift)
        grid = unsigned(gene.act_int_bits, gene.act_frac_bits)
        stages.append(_Stage(convolution, grid, gene.pool_size))
    shift = grid.frac_bits + CLASSIFIER.frac_bits - HIDDEN.frac_bits
    first = layer(model.fc1_weight[:, :, None, None], model.fc1_bias, (1, 1), grid, shift)
    second = layer(model.fc2_weight[:, :, None, None], model.fc2_bias, (1, 1), HIDDEN, 0)
    return _IntegerNetwork(tuple(stages), _Stage(first, HIDDEN, 1), second)
