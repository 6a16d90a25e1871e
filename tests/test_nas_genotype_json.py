"""Genotypes as JSON: a round trip, and one clear sentence for whatever is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nas.designs.genotype import Genotype, GenotypeError, Layer
from nas.designs.genotype_json import genotype_from_json, genotype_to_object

GENOTYPE = Genotype((Layer(3, 5, 24, 1, 2, 2, 3, 4, 2, 5), Layer(1, 3, 8, 2, 1, 1, 1, 6, 4, 0)))


def test_round_trip() -> None:
    content = genotype_to_object(GENOTYPE)
    assert content["layers"][0]["num_kernels"] == 24
    assert genotype_from_json(json.dumps(content)) == GENOTYPE
    assert genotype_from_json(json.dumps(content | {"accuracy": 0.9})) == GENOTYPE


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "no JSON: Expecting property name"),
        ("[]", 'a genotype is an object with a list "layers"'),
        ("{}", 'a genotype is an object with a list "layers"'),
        ('{"layers": 3}', 'a genotype is an object with a list "layers"'),
        ('{"layers": []}', "at least one layer"),
        ('{"layers": [7]}', "layer 1 is no object of hyperparameters"),
        ("[" * 100_000, "no JSON: maximum recursion depth exceeded"),
    ],
)
def test_texts_that_are_no_genotype(text: str, sentence: str) -> None:
    with pytest.raises(GenotypeError, match=sentence):
        genotype_from_json(text)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"pool_size": None}, "layer 2 lacks pool_size"),
        ({"kernels": 3}, "layer 2 has unknown kernels"),
        ({"pool_size": "2"}, "layer 2: pool_size is '2', no whole number"),
        ({"pool_size": 2.0}, "layer 2: pool_size is 2.0, no whole number"),
        ({"pool_size": True}, "layer 2: pool_size is True, no whole number"),
        ({"pool_size": 256}, "layer 2: pool_size is 256, but a byte holds 0 to 255"),
        ({"pool_size": -1}, "layer 2: pool_size is -1, but a byte holds 0 to 255"),
    ],
)
def test_a_wrong_layer_is_named(changes: dict[str, Any], sentence: str) -> None:
    content = genotype_to_object(GENOTYPE)
    content["layers"][1] |= changes
    if changes.get("pool_size", 0) is None:
        del content["layers"][1]["pool_size"]
    with pytest.raises(GenotypeError, match=sentence):
        genotype_from_json(json.dumps(content))
