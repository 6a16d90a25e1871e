"""The exact evaluation in NumPy int64: slow, obvious, and what every fast path is checked against.

Everything is an integer code; a code c with f fraction bits stands for c * 2**-f. One layer
convolves, adds its bias, applies ReLU, rounds once (half to even, saturating) and pools. The two
classifier layers follow. Design section 6.
"""

import numpy as np

from nas.designs.genotype import Genotype
from nas.designs.shapes import INPUT_FRAC_BITS
from nas.evaluation.model_format import CLASSIFIER_FRAC_BITS, IntegerModel
from nas.evaluation.model_format import Codes as Codes

HIDDEN_BITS = 16
HIDDEN_FRAC_BITS = 10


def image_logits(model: IntegerModel, genotype: Genotype, image: Codes) -> Codes:
    """Logits [classes] of one image, given as signed 3.5 codes [channels][height][width].

    A logit has `HIDDEN_FRAC_BITS + CLASSIFIER_FRAC_BITS` fraction bits. The model must be one of
    the genotype (`nas.evaluation.model_format.unpack` sees to it).
    """
    codes, frac_bits = image, INPUT_FRAC_BITS
    for layer, weights, biases in zip(
        genotype.layers, model.conv_weights, model.conv_biases, strict=True
    ):
        sums = convolve(codes, weights, (layer.stride_height, layer.stride_width))
        sums += (biases << frac_bits)[:, None, None]
        shift = frac_bits + layer.weight_frac_bits - layer.act_frac_bits
        codes = max_pool(requantise(sums, shift, layer.act_bits), layer.pool_size)
        frac_bits = layer.act_frac_bits
    sums = model.fc1_weight @ codes.reshape(-1) + (model.fc1_bias << frac_bits)
    hidden = requantise(sums, frac_bits + CLASSIFIER_FRAC_BITS - HIDDEN_FRAC_BITS, HIDDEN_BITS)
    logits: Codes = model.fc2_weight @ hidden + (model.fc2_bias << HIDDEN_FRAC_BITS)
    return logits


def convolve(codes: Codes, weights: Codes, stride: tuple[int, int]) -> Codes:
    """Sums [out][rows][columns] of `codes` [in][height][width] under `weights` [out][in][kh][kw].

    TF-SAME zero padding: ceil(size / stride) positions, the odd padding zero behind.
    """
    height, width = weights.shape[2:]
    padded, rows = _pad_same(codes, 1, height, stride[0])
    padded, columns = _pad_same(padded, 2, width, stride[1])
    sums = np.zeros((len(weights), rows, columns), np.int64)
    for row in range(rows):
        for column in range(columns):
            top, left = row * stride[0], column * stride[1]
            window = padded[:, top : top + height, left : left + width]
            sums[:, row, column] = (weights * window).sum(axis=(1, 2, 3))
    return sums


def requantise(sums: Codes, shift: int, bits: int) -> Codes:
    """ReLU, then sums / 2**shift rounded half to even, saturated to unsigned codes of `bits`.

    Any shape, which stays.
    """
    positive = np.maximum(sums, 0)
    if shift <= 0:
        rounded = positive << -shift
    else:
        rounded = positive >> shift
        rest = positive - (rounded << shift)
        half = 1 << (shift - 1)
        rounded += (rest > half) | ((rest == half) & (rounded % 2 == 1))
    codes: Codes = np.minimum(rounded, (1 << bits) - 1)
    return codes


def max_pool(codes: Codes, size: int) -> Codes:
    """Maxima [channels][rows][columns] of size x size windows, zero-padded to TF-SAME.

    `codes` [channels][height][width] are not negative.
    """
    padded, rows = _pad_same(codes, 1, size, size)
    padded, columns = _pad_same(padded, 2, size, size)
    windows = padded.reshape(len(codes), rows, size, columns, size)
    maxima: Codes = windows.max(axis=(2, 4))
    return maxima


def _pad_same(codes: Codes, axis: int, window: int, stride: int) -> tuple[Codes, int]:
    """`codes` padded with zeros along `axis`, and how many windows then fit."""
    size = codes.shape[axis]
    count = -(-size // stride)
    missing = max(0, (count - 1) * stride + window - size)
    widths = [(0, 0)] * codes.ndim
    widths[axis] = (missing // 2, missing - missing // 2)
    return np.pad(codes, widths), count
