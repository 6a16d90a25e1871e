"""Search spaces: the values each hyperparameter of each layer may take, and the paper's presets."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any, Self

from nas.designs.genotype import HYPERPARAMETERS as HYPERPARAMETERS
from nas.designs.genotype import Genotype

# A layer without a kernel, filters or a pooling window is no layer; strides and bits of 0 are
# printed in the paper and are refused design by design instead.
_AT_LEAST_ONE = ("kernel_height", "kernel_width", "num_kernels", "pool_size")


class SpaceError(ValueError):
    """Ranges that are no search space, or a preset that does not exist."""


@dataclass(frozen=True)
class Space:
    """A box of genotypes: `ranges[layer][hyperparameter]` holds the allowed values, ascending.

    Raises SpaceError for no layers, a layer without ten ranges, or a range that is empty, not
    strictly ascending, outside 0 to 255, or holds a 0 where a layer needs at least 1.
    """

    ranges: tuple[tuple[tuple[int, ...], ...], ...]

    def __post_init__(self) -> None:
        if not self.ranges:
            raise SpaceError("a space needs at least one layer")
        for number, layer in enumerate(self.ranges, start=1):
            if len(layer) != len(HYPERPARAMETERS):
                raise SpaceError(
                    f"layer {number} has {len(layer)} ranges instead of {len(HYPERPARAMETERS)}"
                )
            for name, values in zip(HYPERPARAMETERS, layer, strict=True):
                _check_range(f"layer {number} {name}", values, int(name in _AT_LEAST_ONE))

    @classmethod
    def uniform(cls, layers: int, ranges: Sequence[Sequence[int]]) -> Self:
        """The same ten ranges for each of `layers` layers, as in the paper's tables."""
        return cls((tuple(tuple(values) for values in ranges),) * layers)

    @property
    def layers(self) -> int:
        """Number of layers of every genotype in the space."""
        return len(self.ranges)

    @property
    def positions(self) -> tuple[tuple[int, ...], ...]:
        """The ranges in token order: ten per layer, layer by layer."""
        return tuple(values for layer in self.ranges for values in layer)

    def contains(self, genotype: Genotype) -> bool:
        """Whether every value of the genotype is in its range."""
        return len(genotype.layers) == self.layers and all(
            token in values for token, values in zip(genotype.tokens, self.positions, strict=True)
        )

    def size(self) -> int:
        """Number of genotypes in the space."""
        return math.prod(len(values) for values in self.positions)

    def sample(self, rng: random.Random) -> Genotype:
        """A genotype drawn uniformly."""
        return Genotype.from_tokens(rng.choice(values) for values in self.positions)


def _check_range(name: str, values: tuple[int, ...], least: int) -> None:
    if not values:
        raise SpaceError(f"{name} has no values")
    if any(low >= high for low, high in itertools.pairwise(values)):
        raise SpaceError(f"{name} must be strictly ascending, but is {values}")
    if values[0] < least or values[-1] > 255:
        raise SpaceError(f"{name} must lie in {least} to 255, but is {values}")


PAPER_LAYERS = 6
"""Layers of the authors' code (arXiv 1911.00105) by default; the paper prints no number."""


def preset(name: str, layers: int | None = None) -> Space:
    """A space of the paper, `full`, `S1` to `S9` (Tables 1 and 2) or `paper-union`; or `devnet`.

    S1 to S9 are no subsets of `full` as printed, so the paper's own experiment needs
    `paper-union`, the union of all rows. `devnet` is the small space of the local network. They
    have PAPER_LAYERS, `devnet` 3 layers, unless `layers` says otherwise. Raises SpaceError for an
    unknown name.
    """
    spaces = _presets()
    if name not in spaces:
        raise SpaceError(f"no preset is called {name!r}; there are {', '.join(spaces)}")
    default, ranges = spaces[name]
    return Space.uniform(default if layers is None else layers, ranges)


def space_to_object(space: Space) -> dict[str, Any]:
    """For JSON: `layers`, each with the values of the ten hyperparameters by name."""
    return {
        "layers": [
            {name: list(values) for name, values in zip(HYPERPARAMETERS, layer, strict=True)}
            for layer in space.ranges
        ]
    }


def space_from_object(fields: Any) -> Space:
    """Inverse of `space_to_object`. Raises SpaceError for anything else."""
    layers = fields.get("layers") if isinstance(fields, dict) else None
    if not isinstance(layers, list):
        raise SpaceError('a space is an object with a list of "layers"')
    return Space(tuple(_layer(number, layer) for number, layer in enumerate(layers, start=1)))


def _layer(number: int, fields: Any) -> tuple[tuple[int, ...], ...]:
    if not isinstance(fields, dict):
        raise SpaceError(f"layer {number} is no object")
    if different := set(HYPERPARAMETERS) ^ set(fields):
        name = min(different)
        raise SpaceError(f"layer {number} {'lacks' if name in HYPERPARAMETERS else 'has'} {name!r}")
    for name, values in fields.items():
        if not isinstance(values, list) or not all(type(value) is int for value in values):
            raise SpaceError(f"layer {number} {name} is no list of integers")
    return tuple(tuple(fields[name]) for name in HYPERPARAMETERS)


@lru_cache(maxsize=1)
def _presets() -> dict[str, tuple[int, list[list[int]]]]:
    """Layers by default and the ten ranges of each preset."""
    text = (resources.files("nas.designs") / "presets.json").read_text(encoding="utf-8")
    contents = json.loads(text)
    rows: dict[str, dict[str, list[int]]] = contents["spaces"]
    spaces = {
        name: (PAPER_LAYERS, [row[hyperparameter] for hyperparameter in HYPERPARAMETERS])
        for name, row in rows.items()
    }
    union = [
        sorted({value for row in rows.values() for value in row[hyperparameter]})
        for hyperparameter in HYPERPARAMETERS
    ]
    small = contents["devnet"]
    return spaces | {
        "paper-union": (PAPER_LAYERS, union),
        "devnet": (small["layers"], [small[name] for name in HYPERPARAMETERS]),
    }
