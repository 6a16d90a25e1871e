"""The hardware that a genotype asks for, classifier included."""

from __future__ import annotations

from dataclasses import replace

from fpga_model.layer import ConvLayer
from fpga_model.network import Network, Stage
from nas.designs.genotype import Genotype
from nas.designs.shapes import HIDDEN, InputShape, conv_layers, features, layer_shapes
from nas.evaluation.model_format import CLASSIFIER_BITS, CLASSIFIER_FRAC_BITS
from nas.evaluation.oracle import HIDDEN_BITS, HIDDEN_FRAC_BITS


def hardware(genotype: Genotype, shape: InputShape, classes: int) -> Network:
    """The whole network as the hardware sees it, with the formats of exact evaluation.

    Raises GenotypeError and LayerError as `conv_layers` does.
    """
    widths = [shape.width, *(sizes.output.width for sizes in layer_shapes(genotype, shape))]
    convolutions = conv_layers(genotype, shape)
    last = genotype.layers[-1]
    hidden = _dense(
        (features(genotype, shape), HIDDEN),
        (last.act_bits, last.act_frac_bits),
        (HIDDEN_BITS - HIDDEN_FRAC_BITS, HIDDEN_FRAC_BITS),
    )
    # Logits leave as the sums they are, so that nothing is dropped.
    frac_bits = HIDDEN_FRAC_BITS + CLASSIFIER_FRAC_BITS
    logits = _dense((HIDDEN, classes), (HIDDEN_BITS, HIDDEN_FRAC_BITS), (0, frac_bits))
    logits = replace(logits, out_int_bits=logits.accumulator_bits - frac_bits)
    return Network(
        tuple(
            Stage(convolution, width, layer.pool_size)
            for convolution, width, layer in zip(
                convolutions, widths, genotype.layers, strict=False
            )
        ),
        (hidden, logits),
    )


def _dense(sizes: tuple[int, int], act: tuple[int, int], out: tuple[int, int]) -> ConvLayer:
    """A classifier layer of inputs and outputs; `act` bits in all and fraction, `out` int, frac."""
    return ConvLayer(
        in_channels=sizes[0],
        out_channels=sizes[1],
        out_height=1,
        out_width=1,
        kernel_height=1,
        kernel_width=1,
        act_bits=act[0],
        weight_bits=CLASSIFIER_BITS,
        out_int_bits=out[0],
        out_frac_bits=out[1],
        in_frac_bits=act[1],
        weight_frac_bits=CLASSIFIER_FRAC_BITS,
    )
