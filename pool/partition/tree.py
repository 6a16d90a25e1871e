"""A regression tree over the results of a round: boxes of a space, told apart by their rewards.

CART (Breiman, Friedman, Olshen and Stone 1984): splits at one token, that lessen the squared error
most. It is grown best split first and not pruned; instead a split must be far from chance.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nas.designs.space import Space
from pool.partition.base import LEAST_DESIGNS, IsUsable, PartitionError, with_values

MIN_LEAF_RESULTS = 20
"""A mean of fewer rewards says little: rewards of one space are apart by 0.2 and more."""

MIN_F = 12.0
"""Least F statistic of a split. Some 200 splits are tried each time, and the best of so many over
pure noise reaches 2 ln(200), about 11."""

MAX_LEAVES = 64
"""More boxes than that, some thousands of results can't tell apart."""

MAX_TRIED = 4
"""Splits tried of a box whose sides turn out unusable, which takes long to find."""

Floats = NDArray[np.float64]
Tokens = NDArray[np.uint8]


class Scored(NamedTuple):
    """A result: the bytes of a genotype and its reward."""

    genotype: bytes
    reward: float


@dataclass(frozen=True)
class Leaf:
    """A box of the space, and the number and mean of the rewards in it (0.0 without any)."""

    space: Space
    results: int
    mean: float


@dataclass(frozen=True)
class _Split:
    position: int
    # How many of the position's values go to the left.
    left: int
    gain: float


@dataclass(frozen=True)
class _Node:
    """A box and its results: `tokens` [results, tokens of a genotype], `rewards` [results]."""

    box: Space
    tokens: Tokens
    rewards: Floats

    def halves(self, split: _Split) -> tuple[_Node, _Node]:
        """Both sides of a split."""
        values = self.box.positions[split.position]
        goes_left = self.tokens[:, split.position] < values[split.left]

        def side(part: tuple[int, ...], goes: NDArray[np.bool_]) -> _Node:
            box = with_values(self.box, split.position, part)
            return _Node(box, self.tokens[goes], self.rewards[goes])

        return side(values[: split.left], goes_left), side(values[split.left :], ~goes_left)


def grow(space: Space, seen: Sequence[Scored], is_usable: IsUsable) -> tuple[Leaf, ...]:
    """The leaves of the tree: boxes that cover the space without overlap.

    A split whose sides are not both usable, with LEAST_DESIGNS each, is not made. The result is a
    function of the arguments: ties go to the first token and the lowest values. Raises
    PartitionError for a genotype outside the space or a reward outside 0 to 1.
    """
    leaves = [_Node(space, *_table(space, seen))]
    # The next split to try of each leaf, the best first.
    waiting: list[tuple[float, int, int, list[_Split]]] = []

    def look(number: int, splits: list[_Split], tried: int) -> None:
        if tried < len(splits):
            heapq.heappush(waiting, (-splits[tried].gain, number, tried, splits))

    look(0, _splits(leaves[0]), 0)
    while waiting and len(leaves) < MAX_LEAVES:
        _, number, tried, splits = heapq.heappop(waiting)
        halves = leaves[number].halves(splits[tried])
        if not all(_is_good(half.box, is_usable) for half in halves):
            look(number, splits, tried + 1)
            continue
        leaves[number] = halves[0]
        leaves.append(halves[1])
        look(number, _splits(halves[0]), 0)
        look(len(leaves) - 1, _splits(halves[1]), 0)
    return tuple(Leaf(node.box, len(node.rewards), mean_of(node.rewards)) for node in leaves)


def _is_good(box: Space, is_usable: IsUsable) -> bool:
    return box.size() >= LEAST_DESIGNS and is_usable(box)


def mean_of(rewards: Floats) -> float:
    """The mean, by an exact sum; 0 of no rewards."""
    return math.fsum(rewards) / len(rewards) if len(rewards) else 0.0


def _table(space: Space, seen: Sequence[Scored]) -> tuple[Tokens, Floats]:
    """Tokens, a row for each result, and rewards."""
    width = len(space.positions)
    if any(len(result.genotype) != width for result in seen):
        raise PartitionError(f"a genotype of the space has {width} bytes")
    flat = np.frombuffer(b"".join(result.genotype for result in seen), np.uint8)
    tokens = flat.reshape(len(seen), width)
    for position, values in enumerate(space.positions):
        if not np.isin(tokens[:, position], values).all():
            raise PartitionError(f"a result lies outside the space in token {position}")
    rewards = np.array([result.reward for result in seen], np.float64)
    if not ((rewards >= 0) & (rewards <= 1)).all():
        raise PartitionError("a reward lies in 0 to 1")
    return tokens, rewards


def _splits(node: _Node) -> list[_Split]:
    """The splits that are far from chance, best first: at most one a token, MAX_TRIED in all."""
    total = len(node.rewards)
    if total < 2 * MIN_LEAF_RESULTS:
        return []
    centred = node.rewards - mean_of(node.rewards)
    error = math.fsum(centred**2)
    found = []
    for position, values in enumerate(node.box.positions):
        # Sums in the order of the results, so that every machine comes to the same.
        column, at_values = node.tokens[:, position], list(values)
        counts = np.bincount(column, minlength=256)[at_values].cumsum()[:-1]
        sums = np.bincount(column, centred, minlength=256)[at_values].cumsum()[:-1]
        enough = (counts >= MIN_LEAF_RESULTS) & (total - counts >= MIN_LEAF_RESULTS)
        if not enough.any():
            continue
        # Around a mean of 0 both sides have the same sum but for the sign.
        sizes = np.where(enough, counts, 1)
        gains = np.where(enough, sums**2 * (1 / sizes + 1 / (total - sizes)), 0.0)
        gain = float(gains.max())
        if gain > 0 and gain * (total - 2) >= MIN_F * (error - gain):
            found.append(_Split(position, int(gains.argmax()) + 1, gain))
    return sorted(found, key=lambda split: -split.gain)[:MAX_TRIED]
