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
from typing import Self

from nas.genotype import HYPERPARAMETERS as HYPERPARAMETERS
from nas.genotype import Genotype

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


def preset(name: str, layers: int = 6) -> Space:
    """A space of the paper: `full`, `S1` to `S9` (Tables 1 and 2), or `paper-union`.

    S1 to S9 are no subsets of `full` as printed, so the paper's own experiment needs
    `paper-union`, the union of all rows. Six layers are the default of the authors' code
    (arXiv 1911.00105); the paper prints no number. Raises SpaceError for an unknown name.
    """
    spaces = _presets()
    if name not in spaces:
        raise SpaceError(f"no preset is called {name!r}; there are {', '.join(spaces)}")
    return Space.uniform(layers, spaces[name])


@lru_cache(maxsize=1)
def _presets() -> dict[str, list[list[int]]]:
    text = (resources.files("nas") / "data" / "presets.json").read_text(encoding="utf-8")
    rows: dict[str, dict[str, list[int]]] = json.loads(text)["spaces"]
    spaces = {
        name: [row[hyperparameter] for hyperparameter in HYPERPARAMETERS]
        for name, row in rows.items()
    }
    union = [
        sorted({value for row in rows.values() for value in row[hyperparameter]})
        for hyperparameter in HYPERPARAMETERS
    ]
    return spaces | {"paper-union": union}
