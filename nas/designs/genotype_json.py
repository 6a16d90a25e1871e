"""A genotype as JSON for people: `{"layers": [{"kernel_height": 3, ...}, ...]}`.

Each layer is an object of the ten hyperparameters by name. What else the outer object holds, such
as the accuracy of a search's winner, is left alone.
"""

from __future__ import annotations

import json
from typing import Any

from nas.designs.genotype import HYPERPARAMETERS, Genotype, GenotypeError, Layer


def genotype_to_object(genotype: Genotype) -> dict[str, Any]:
    """What `genotype_from_json` reads, as an object that more can be added to."""
    layers = [dict(zip(HYPERPARAMETERS, layer.tokens, strict=True)) for layer in genotype.layers]
    return {"layers": layers}


def genotype_from_json(text: str) -> Genotype:
    """The genotype that a JSON text describes.

    Raises GenotypeError, in one sentence that names the layer and the hyperparameter, for a text
    that is no JSON, layers that are missing, or a value that is missing, unknown or no byte.
    """
    try:
        content = json.loads(text)
    # RecursionError: brackets nested by the thousand.
    except (ValueError, RecursionError) as error:
        raise GenotypeError(f"no JSON: {error}") from None
    layers = content.get("layers") if isinstance(content, dict) else None
    if not isinstance(layers, list):
        raise GenotypeError('a genotype is an object with a list "layers"')
    return Genotype(tuple(_layer(number, layer) for number, layer in enumerate(layers, start=1)))


def _layer(number: int, content: object) -> Layer:
    if not isinstance(content, dict):
        raise GenotypeError(f"layer {number} is no object of hyperparameters")
    if missing := [name for name in HYPERPARAMETERS if name not in content]:
        raise GenotypeError(f"layer {number} lacks {', '.join(missing)}")
    if unknown := [name for name in content if name not in HYPERPARAMETERS]:
        raise GenotypeError(f"layer {number} has unknown {', '.join(unknown)}")
    for name, value in content.items():
        # A bool is an int in Python, but not in JSON.
        if type(value) is not int:
            raise GenotypeError(f"layer {number}: {name} is {value!r}, no whole number")
    try:
        return Layer(**content)
    except GenotypeError as error:
        raise GenotypeError(f"layer {number}: {error}") from None
