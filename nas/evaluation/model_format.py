"""Canonical bytes of a trained model (design of the chain: the model hash is their hash).

Layer by layer weights `[out][in][height][width]` then biases `[out]`; then the classifier: first
weight `[256][features]`, first bias, second weight `[classes][256]`, second bias. Every array is
C-ordered little-endian in the smallest standard width (int8, int16, int32) that holds its format.
There is no header: all shapes and widths follow from the genotype, the input shape and the number
of classes, so one model has exactly one encoding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from nas.designs.genotype import Genotype
from nas.designs.shapes import HIDDEN, InputShape, features, layer_shapes

CLASSIFIER_BITS = 24
"""Bits of a classifier weight or bias, sign included."""
CLASSIFIER_FRAC_BITS = 20
"""The classifier's codes count steps of 2**-20."""

MAX_WEIGHT_BITS = 32
"""The widest code of the encoding."""

Codes = npt.NDArray[np.int64]


class ModelFault(StrEnum):
    """Why bytes or arrays are no model of a genotype."""

    LENGTH = "length"
    SHAPE = "shape"
    RANGE = "range"
    ZERO_BITS = "zero bits"
    WIDTH = "width"


class ModelFormatError(ValueError):
    """A model that does not follow from the genotype; `reason` says which rule it breaks."""

    def __init__(self, reason: ModelFault, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, eq=False)
class IntegerModel:
    """A model as integer codes; the value of a code is code * 2**-(fraction bits of its format).

    Per layer `conv_weights` `[out][in][height][width]` and `conv_biases` `[out]`; `fc1_weight`
    `[256][features]`, `fc1_bias` `[256]`, `fc2_weight` `[classes][256]`, `fc2_bias` `[classes]`.
    """

    conv_weights: tuple[Codes, ...]
    conv_biases: tuple[Codes, ...]
    fc1_weight: Codes
    fc1_bias: Codes
    fc2_weight: Codes
    fc2_bias: Codes

    @property
    def arrays(self) -> tuple[Codes, ...]:
        """All arrays, shaped as above, in the order of the canonical bytes."""
        pairs = zip(self.conv_weights, self.conv_biases, strict=True)
        convolutions = tuple(array for pair in pairs for array in pair)
        return (*convolutions, self.fc1_weight, self.fc1_bias, self.fc2_weight, self.fc2_bias)


@dataclass(frozen=True)
class _Field:
    """One array of the encoding: its name, shape and signed width in bits."""

    name: str
    shape: tuple[int, ...]
    bits: int

    @property
    def dtype(self) -> np.dtype[np.signedinteger]:
        return np.dtype("<i1" if self.bits <= 8 else "<i2" if self.bits <= 16 else "<i4")

    @property
    def length(self) -> int:
        # Python integers: shapes from the network must not overflow before they are refused.
        return math.prod(self.shape) * self.dtype.itemsize

    def check(self, codes: npt.NDArray[np.signedinteger]) -> None:
        """Raise ModelFormatError for another shape or a code outside the signed format."""
        if codes.shape != self.shape:
            raise ModelFormatError(
                ModelFault.SHAPE, f"{self.name} has shape {codes.shape} instead of {self.shape}"
            )
        bound = 1 << (self.bits - 1)
        low, high = int(codes.min()), int(codes.max())
        if low < -bound or high >= bound:
            raise ModelFormatError(
                ModelFault.RANGE,
                f"{self.name} holds codes {low} to {high}, outside its signed {self.bits} bits",
            )


def model_length(genotype: Genotype, shape: InputShape, classes: int) -> int:
    """Bytes of any model of the genotype.

    Raises ModelFormatError for weights of 0 or more than MAX_WEIGHT_BITS bits, GenotypeError for a
    genotype without a shape.
    """
    return sum(field.length for field in _fields(genotype, shape, classes))


def pack(model: IntegerModel, genotype: Genotype, shape: InputShape, classes: int) -> bytes:
    """The canonical bytes.

    Raises ModelFormatError for a wrong shape or a code out of range, and as `model_length` does.
    """
    fields = _fields(genotype, shape, classes)
    if len(model.arrays) != len(fields):
        raise ModelFormatError(
            ModelFault.SHAPE, f"the model has {len(model.arrays)} arrays instead of {len(fields)}"
        )
    parts = []
    for field, codes in zip(fields, model.arrays, strict=True):
        field.check(codes)
        parts.append(codes.astype(field.dtype).tobytes())
    return b"".join(parts)


def unpack(data: bytes, genotype: Genotype, shape: InputShape, classes: int) -> IntegerModel:
    """Inverse of `pack`, for bytes from anyone.

    Raises ModelFormatError for a wrong length (before anything is allocated) or a code that its
    format cannot hold, and as `model_length` does.
    """
    fields = _fields(genotype, shape, classes)
    expected = sum(field.length for field in fields)
    if len(data) != expected:
        raise ModelFormatError(
            ModelFault.LENGTH, f"the model is {len(data)} bytes long instead of {expected}"
        )
    arrays: list[Codes] = []
    at = 0
    for field in fields:
        codes = np.frombuffer(data, field.dtype, math.prod(field.shape), at).reshape(field.shape)
        field.check(codes)
        arrays.append(codes.astype(np.int64))
        at += field.length
    return IntegerModel(tuple(arrays[:-4:2]), tuple(arrays[1:-4:2]), *arrays[-4:])


def _fields(genotype: Genotype, shape: InputShape, classes: int) -> tuple[_Field, ...]:
    fields = []
    sizes = layer_shapes(genotype, shape)
    for number, (layer, size) in enumerate(zip(genotype.layers, sizes, strict=True), start=1):
        if layer.weight_bits == 0:
            raise ModelFormatError(ModelFault.ZERO_BITS, f"layer {number} has weights of 0 bits")
        if layer.weight_bits > MAX_WEIGHT_BITS:
            raise ModelFormatError(
                ModelFault.WIDTH,
                f"layer {number} has weights of {layer.weight_bits} bits, above {MAX_WEIGHT_BITS}",
            )
        kernel = (layer.num_kernels, size.in_channels, layer.kernel_height, layer.kernel_width)
        fields.append(_Field(f"layer {number} weights", kernel, layer.weight_bits))
        fields.append(_Field(f"layer {number} biases", kernel[:1], layer.weight_bits))
    inputs = features(genotype, shape)
    return (
        *fields,
        _Field("first classifier weights", (HIDDEN, inputs), CLASSIFIER_BITS),
        _Field("first classifier biases", (HIDDEN,), CLASSIFIER_BITS),
        _Field("second classifier weights", (classes, HIDDEN), CLASSIFIER_BITS),
        _Field("second classifier biases", (classes,), CLASSIFIER_BITS),
    )
