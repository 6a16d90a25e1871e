"""What a search strategy is, and the order in which it is asked and told.

A strategy sees a fixed sequence of calls: before it is asked for episode e it has been told the
rewards of exactly `tells_before(e)` episodes, in episode order, however many workers there are and
whichever finishes first. So a search is a function of its seed alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Protocol

from nas.designs.genotype import Genotype
from nas.designs.space import Space

Accept = Callable[[Genotype], bool]
"""Whether a design is worth an episode: feasible and not provably dead."""

MAX_DRAWS = 1_000
"""Designs that are looked at for one that is accepted."""


class Strategy(Protocol):
    """Proposes designs, counted in episodes from 0, and learns from their rewards."""

    def tells_before(self, episode: int) -> int:
        """How many rewards it needs before it can be asked for `episode`; at most `episode`."""
        ...

    def ask(self) -> Genotype:
        """The design of the next episode."""
        ...

    def tell(self, genotype: Genotype, reward: float) -> None:
        """The reward, in [0, 1], of the earliest design that has none yet."""
        ...


def in_window(width: int, episode: int) -> int:
    """`tells_before` of a strategy whose asks run at most `width` ahead of its tells."""
    return max(0, episode - width + 1)


def in_batches(size: int, episode: int) -> int:
    """`tells_before` of a strategy that proposes `size` designs from one state."""
    return episode // size * size


def draw(propose: Callable[[], Genotype], accept: Accept) -> Genotype:
    """The first accepted design of up to MAX_DRAWS, or else the last of them.

    A design that nobody accepts still is an episode: its refusal says what is wrong with the
    space, where an endless loop would say nothing.
    """
    for _ in range(MAX_DRAWS - 1):
        genotype = propose()
        if accept(genotype):
            return genotype
    return propose()


def neighbours(space: Space, genotype: Genotype) -> list[Genotype]:
    """All designs of the space that differ from `genotype` in one token, in token order.

    The genotype is of the space.
    """
    tokens = genotype.tokens
    return [
        Genotype.from_tokens((*tokens[:at], value, *tokens[at + 1 :]))
        for at, values in enumerate(space.positions)
        for value in values
        if value != tokens[at]
    ]


def mutate(space: Space, genotype: Genotype, rng: random.Random) -> Genotype:
    """The design with one token, drawn uniformly among those with a choice, changed.

    The design itself where the space holds nothing else.
    """
    tokens = list(genotype.tokens)
    open_positions = [at for at, values in enumerate(space.positions) if len(values) > 1]
    if open_positions:
        at = rng.choice(open_positions)
        tokens[at] = rng.choice([value for value in space.positions[at] if value != tokens[at]])
    return Genotype.from_tokens(tokens)
