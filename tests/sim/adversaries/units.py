"""A producer with several units, and a model for each."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nas.data.datasets import describe
from nas.designs.genotype import Genotype
from node.assembly import Node
from node.chain.commits import commit_of
from node.chain.hashing import blob_hash
from node.consensus.producer import Producer
from pool.manager.manager import Promised
from tests.scripted import scripted_count, scripted_model
from tests.sim.adversaries.tampering import corrupt
from tests.sim.mint import BEST, WORST
from tests.sim.world import World


@dataclass(frozen=True)
class UnitHolder:
    """A mint that commits a model with each of its units, as good as anybody's each, and claims
    the best of them; or the best two, if it is `greedy`."""

    greedy: bool = False

    def corrupt(self, world: World, name: str, node: Node) -> None:
        producer, rng = corrupt(node), random.Random(f"units of {name} {world.seed}")
        models: dict[int, Sequence[Promised]] = {}
        commit, claim = producer._commit, producer.claim

        async def commit_all(promised: Promised) -> None:
            number = promised.claim.round
            models[number] = _with_all_units(producer, promised, rng)
            for each in models[number]:
                await commit(each)

        async def claim_best(number: int) -> None:
            ranked = sorted(models.get(number, ()), key=_worth, reverse=True)
            for best in ranked[: 1 + self.greedy]:
                producer._pool._promised = best  # type: ignore[attr-defined]
                await claim(number)

        producer._commit = commit_all  # type: ignore[method-assign]
        producer.claim = claim_best  # type: ignore[assignment, method-assign]


def _with_all_units(
    producer: Producer, promised: Promised, rng: random.Random
) -> Sequence[Promised]:
    """What was promised with the first unit, and as much with each other one on its own data."""
    key, claim = bytes(producer._key.verify_key), promised.claim
    context = producer._chain.context(claim.round)
    made = [promised]
    for unit in range(1, context.units(key)):
        dataset = producer._designs.task_of(context, key, unit).dataset
        correct = describe(dataset).test * rng.randint(WORST, BEST) // 1_000
        genotype = Genotype.from_bytes(claim.genotype)
        model = scripted_model(dataset, genotype, correct, correct)
        other = replace(claim, unit=unit, model_hash=blob_hash(model), salt=rng.randbytes(32))
        commitment = commit_of(context, other, key).commitment
        made.append(replace(promised, claim=other, commitment=commitment, model=model))
    return made


def _worth(promised: Promised) -> int:
    return scripted_count(promised.model, "test")
