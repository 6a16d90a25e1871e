"""What a weak miner tries (paper section 3.2.4): variants of the best design, derived by both."""

from __future__ import annotations

from nas.designs.genotype import ARCHITECTURE_TOKENS, HYPERPARAMETERS, Genotype
from nas.designs.space import Space
from node.chain.hashing import blake, u64
from pool.rules.draws import Draws


def exploit_variant(best: Genotype, space: Space, index: int, seed: int) -> Genotype:
    """The genotype of attempt `index` at improving `best`, inside the round's space.

    Even attempts keep the bits and so vary only the training seed; odd ones move one bit width of
    one layer to a neighbouring value. The architecture stays, so the weights fit. `seed` is in
    [0, 2**63).
    """
    movable = [
        at
        for at, values in enumerate(space.positions)
        if at % len(HYPERPARAMETERS) >= ARCHITECTURE_TOKENS and len(values) > 1
    ]
    if index % 2 == 0 or not movable:
        return best
    draws = Draws(blake("ponas/pool/variant", u64(seed), u64(index)))
    at = draws.choice(movable)
    values = space.positions[at]
    here = values.index(best.tokens[at])
    neighbours = values[max(here - 1, 0) : here] + values[here + 1 : here + 2]
    moved = list(best.tokens)
    moved[at] = draws.choice(neighbours)
    return Genotype.from_tokens(moved)
