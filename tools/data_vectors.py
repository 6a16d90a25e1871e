"""Writes tests/vectors/data.json: images of the standing task, and a model counted exactly.

Run `python -m tools.data_vectors` after a deliberate change. The model is no trained one: its codes
are drawn at random, so that every bit of the arithmetic shows in its logits.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nas.data import procedural
from nas.data.datasets import load
from nas.designs.genotype import Genotype
from nas.designs.shapes import HIDDEN, features, layer_shapes
from nas.evaluation.evaluate import correct_count, input_codes, logits, logits_hash
from nas.evaluation.model_format import CLASSIFIER_BITS, Codes, IntegerModel, pack, unpack
from node.chain.hashing import blob_hash

PATH = Path(__file__).parent.parent / "tests" / "vectors" / "data.json"
INSTANCE, TEST_SEED = bytes(range(32)), bytes(range(32, 64))
NAME = procedural.name_of(INSTANCE, TEST_SEED)
GENOTYPE = Genotype.from_bytes(bytes((3, 3, 4, 1, 1, 2, 2, 2, 2, 4, 3, 3, 4, 2, 2, 2, 2, 3, 1, 5)))
SPLITS = ("train", "validation", "test")


def draw_model() -> bytes:
    """The same model for everybody, of the widest codes that its genotype has."""
    rng, shape, classes = random.Random(7), load(NAME).shape, load(NAME).classes

    def codes(bits: int, *sizes: int) -> Codes:
        found = [rng.randrange(-(1 << bits - 1), 1 << bits - 1) for _ in range(int(np.prod(sizes)))]
        return np.array(found, dtype=np.int64).reshape(sizes)

    weights, biases = [], []
    for layer, sizes in zip(GENOTYPE.layers, layer_shapes(GENOTYPE, shape), strict=True):
        kernel = (layer.num_kernels, sizes.in_channels, layer.kernel_height, layer.kernel_width)
        weights.append(codes(layer.weight_bits, *kernel))
        biases.append(codes(layer.weight_bits, layer.num_kernels))
    model = IntegerModel(
        tuple(weights),
        tuple(biases),
        codes(CLASSIFIER_BITS, HIDDEN, features(GENOTYPE, shape)),
        codes(CLASSIFIER_BITS, HIDDEN),
        codes(CLASSIFIER_BITS, classes, HIDDEN),
        codes(CLASSIFIER_BITS, classes),
    )
    return pack(model, GENOTYPE, shape, classes)


def compute_data(model: bytes) -> dict[str, Any]:
    """Everything the file holds of a model; bytes are hexadecimal, images row by row."""
    data = load(NAME)
    integers = unpack(model, GENOTYPE, data.shape, data.classes)
    found = logits(integers, GENOTYPE, input_codes(data, "test", "cpu"), lambda: False)
    return {
        "instance": INSTANCE.hex(),
        "test_seed": TEST_SEED.hex(),
        "splits": {
            split: {
                "images": len(images.labels),
                "hash of all images": blob_hash(images.images.tobytes()).hex(),
                "first image": images.images[0].tobytes().hex(),
                "its label": int(images.labels[0]),
            }
            for split in SPLITS
            for images in (data.split(split),)
        },
        "genotype": GENOTYPE.to_bytes().hex(),
        "model": model.hex(),
        "model_hash": blob_hash(model).hex(),
        "logits of the first test image": found[0].tolist(),
        "logits_hash": logits_hash(found).hex(),
        "correct test images": correct_count(found, data.split("test").labels),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    PATH.write_text(json.dumps(compute_data(draw_model()), indent=2) + "\n")
