"""A trained model as ONNX, to be run by anything that reads it, and compared with exact evaluation.

The graph takes images as bytes. A table turns pixels into input codes; weights are stored as their
integer codes behind DequantizeLinear; activations pass QuantizeLinear, which rounds half to even as
the hardware does, behind a Clip to the range of their format. Convolutions compute in float32:
exact while no sum can reach 2**24 (`convolutions_are_exact`). The classifier's sums are wider and
computed in float64, so that its output are the exact logits, as numbers.

onnx and onnxruntime are optional (`pip install ponas[onnx]`); importing this module needs onnx.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper

from nas.data.dataset import Dataset
from nas.designs.genotype import Genotype
from nas.designs.shapes import INPUT_FRAC_BITS, INPUT_INT_BITS, layer_shapes
from nas.evaluation.model_format import CLASSIFIER_FRAC_BITS, Codes, IntegerModel
from nas.evaluation.oracle import HIDDEN_BITS, HIDDEN_FRAC_BITS
from nas.networks.windows import padding

OPSET = 21
"""The first with 16-bit quantisation."""
IR_VERSION = 10
LOGIT_FRAC_BITS = HIDDEN_FRAC_BITS + CLASSIFIER_FRAC_BITS
_FLOAT32_BOUND = 1 << 24


def to_onnx(model: IntegerModel, genotype: Genotype, dataset: Dataset) -> bytes:
    """The model as ONNX: `images` uint8 [n, channels, height, width] to `logits` float64.

    `logits` [n, classes] are multiples of 2**-30. Raises ValueError for activations of more than
    16 bits, which ONNX cannot quantise to.
    """
    graph = _Graph()
    maps = graph.input_maps(dataset)
    sizes = layer_shapes(genotype, dataset.shape)
    in_shapes = [dataset.shape, *(size.output for size in sizes)]
    for layer, size, shape, weights, biases in zip(
        genotype.layers,
        sizes,
        in_shapes,
        model.conv_weights,
        model.conv_biases,
        strict=False,
    ):
        if layer.act_bits > 16:
            raise ValueError(f"ONNX has no activations of {layer.act_bits} bits; at most 16")
        kernel = (layer.kernel_height, layer.kernel_width)
        stride = (layer.stride_height, layer.stride_width)
        maps = graph.node(
            "Conv",
            maps,
            graph.weights(weights, layer.weight_bits, layer.weight_frac_bits),
            graph.weights(biases, layer.weight_bits, layer.weight_frac_bits),
            kernel_shape=kernel,
            strides=stride,
            pads=_pads((shape.height, shape.width), kernel, stride),
        )
        maps = graph.rounded(maps, layer.act_bits, layer.act_frac_bits)
        if layer.pool_size > 1:
            window = (layer.pool_size, layer.pool_size)
            pads = _pads((size.conv_height, size.conv_width), window, window)
            maps = graph.node("MaxPool", maps, kernel_shape=window, strides=window, pads=pads)
    return graph.finish(graph.classifier(maps, model), dataset)


def convolutions_are_exact(model: IntegerModel, genotype: Genotype) -> bool:
    """Whether no partial sum of a convolution can reach 2**24, in whatever order it is taken."""
    high, frac_bits = 1 << (INPUT_INT_BITS + INPUT_FRAC_BITS - 1), INPUT_FRAC_BITS
    for layer, weights, biases in zip(
        genotype.layers, model.conv_weights, model.conv_biases, strict=True
    ):
        sums = np.abs(weights).sum(axis=(1, 2, 3)) * high + (np.abs(biases) << frac_bits)
        if int(sums.max()) >= _FLOAT32_BOUND:
            return False
        high, frac_bits = (1 << layer.act_bits) - 1, layer.act_frac_bits
    return True


def run_onnx(
    data: bytes, images: npt.NDArray[np.uint8], batch: int = 256
) -> npt.NDArray[np.float64]:
    """Logits [n, classes] that onnxruntime computes on the CPU, for images uint8."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Fusing into integer kernels changes where sums are rounded; as written, nothing is fused.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    parts = [
        session.run(None, {"images": np.ascontiguousarray(images[at : at + batch])})[0]
        for at in range(0, len(images), batch)
    ]
    logits: npt.NDArray[np.float64] = np.concatenate(parts)
    return logits


def differing_images(found: npt.NDArray[np.float64], exact: Codes) -> int:
    """Images whose logits [n, classes] are not the exact ones, which count steps of 2**-30."""
    return int((found != exact * 2.0**-LOGIT_FRAC_BITS).any(axis=1).sum())


class _Graph:
    """Nodes and constants in the order in which they were added."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add an operation; the name of its one output."""
        output = f"{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        return output

    def constant(self, values: npt.NDArray[Any] | np.generic) -> str:
        """Add an array; its name."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def weights(self, codes: Codes, bits: int, frac_bits: int) -> str:
        """Codes in the smallest type that holds them, and the float32 numbers they stand for."""
        kind = np.int8 if bits <= 8 else np.int16 if bits <= 16 else np.int32
        return self._dequantised(self.constant(codes.astype(kind)), frac_bits)

    def rounded(self, sums: str, bits: int, frac_bits: int) -> str:
        """ReLU, saturation and rounding to an unsigned format."""
        step = 2.0**-frac_bits
        low = self.constant(np.float32(0))
        high = self.constant(np.float32(((1 << bits) - 1) * step))
        clipped = self.node("Clip", sums, low, high)
        zero = self.constant(np.uint8(0) if bits <= 8 else np.uint16(0))
        scale = self.constant(np.float32(step))
        return self._dequantised(self.node("QuantizeLinear", clipped, scale, zero), frac_bits, zero)

    def input_maps(self, dataset: Dataset) -> str:
        """Pixels through the table of input codes [channels][256]."""
        channels = len(dataset.input_codes)
        starts = (np.arange(channels, dtype=np.int32) * 256).reshape(1, channels, 1, 1)
        pixels = self.node("Cast", "images", to=TensorProto.INT32)
        places = self.node("Add", pixels, self.constant(starts))
        table = self.constant(dataset.input_codes.reshape(-1))
        return self._dequantised(self.node("Gather", table, places), INPUT_FRAC_BITS)

    def classifier(self, maps: str, model: IntegerModel) -> str:
        """Both fully connected layers in float64, where no sum of theirs is rounded."""
        sums = self._dense(self.node("Flatten", maps), model.fc1_weight, model.fc1_bias)
        scale = self.constant(np.float64(2.0**HIDDEN_FRAC_BITS))
        codes = self.node("Round", self.node("Mul", sums, scale))
        low, high = (self.constant(np.float64(end)) for end in (0, (1 << HIDDEN_BITS) - 1))
        hidden = self.node("Div", self.node("Clip", codes, low, high), scale)
        return self._dense(hidden, model.fc2_weight, model.fc2_bias)

    def _dense(self, values: str, weight: Codes, bias: Codes) -> str:
        operands = [
            self.node(
                "Cast",
                self._dequantised(self.constant(codes.astype(np.int32)), CLASSIFIER_FRAC_BITS),
                to=TensorProto.DOUBLE,
            )
            for codes in (weight.T, bias)
        ]
        wide = self.node("Cast", values, to=TensorProto.DOUBLE)
        return self.node("Add", self.node("MatMul", wide, operands[0]), operands[1])

    def _dequantised(self, codes: str, frac_bits: int, zero: str | None = None) -> str:
        scale = self.constant(np.float32(2.0**-frac_bits))
        return self.node("DequantizeLinear", codes, scale, *([zero] if zero else []))

    def finish(self, logits: str, dataset: Dataset) -> bytes:
        """The checked model."""
        self._nodes.append(helper.make_node("Identity", [logits], ["logits"], "logits"))
        shape = dataset.shape
        graph = helper.make_graph(
            self._nodes,
            "ponas",
            [
                helper.make_tensor_value_info(
                    "images",
                    TensorProto.UINT8,
                    ["n", shape.channels, shape.height, shape.width],
                )
            ],
            [helper.make_tensor_value_info("logits", TensorProto.DOUBLE, ["n", dataset.classes])],
            self._constants,
        )
        model: ModelProto = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        )
        checker.check_model(model)
        data: bytes = model.SerializeToString()
        return data


def _pads(lengths: tuple[int, int], window: tuple[int, int], stride: tuple[int, int]) -> list[int]:
    """Padding as ONNX lists it: top, left, bottom, right."""
    rows, columns = (padding(*axis) for axis in zip(lengths, window, stride, strict=True))
    return [rows[0], columns[0], rows[1], columns[1]]
