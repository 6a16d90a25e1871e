"""The chain's questions about a design, answered by the NAS engine and the FPGA model."""

from dataclasses import replace
from functools import lru_cache

from nas.data import procedural
from nas.data.datasets import describe
from nas.designs import design
from nas.designs.genotype import Genotype, GenotypeError
from nas.designs.space import Space
from nas.evaluation.model_format import model_length
from nas.task import Task
from node.chain.context import RoundContext
from node.chain.errors import NetworkError, Reason
from node.chain.messages import Claim
from node.chain.params import Parameters
from node.chain.published.terms import Publish
from node.publishing.engine import refuse_terms, shard_data, task_of
from pool.partition.algorithm1 import holds_usable_design, round_space

_REASONS = {
    design.Refusal.OUTSIDE_SPACE: Reason.OUTSIDE_SPACE,
    design.Refusal.MAC_BOUND: Reason.MAC_BOUND,
}


class NasDesigns:
    """Implements `node.chain.validity.DesignRules` for the tasks of a network.

    `standing` is the standing task as the engine has it. Raises NetworkError for one that it does
    not know.
    """

    def __init__(self, parameters: Parameters) -> None:
        standing, self._limits = parameters.task, parameters.tasks
        try:
            self.standing = Task(
                dataset=standing.dataset,
                space=Space.uniform(standing.layers, standing.ranges),
                protocol=standing.protocol,
                epochs=standing.epochs,
                profile=standing.profile,
                max_mac_images=standing.max_mac_images,
            )
            info = describe(standing.dataset)
        except ValueError as error:
            raise NetworkError(f"task: {error}") from error
        if (info.test, info.classes) != (standing.test_size, standing.classes):
            raise NetworkError(
                f"task: {standing.dataset} has {info.test} test images in "
                f"{info.classes} classes, not {standing.test_size} in {standing.classes}"
            )
        self._is_drawn = standing.dataset == procedural.KIND

    def task(self, context: RoundContext) -> Task:
        """What a round searches, apart from a unit's own data: a published or the standing task."""
        return self.task_for(None if context.paid is None else context.paid.terms)

    def task_for(self, terms: Publish | None) -> Task:
        """What the terms of a published task ask for; None stands for the standing task."""
        return self.standing if terms is None else task_of(terms, self._limits.max_mac_images)

    def space(self, context: RoundContext) -> Space:
        """The space of a round: Algorithm 1 seeded by the ancestor's id (design 3)."""
        return _draw_space(context.ancestor_id, self.task(context))

    def task_of(self, context: RoundContext, producer: bytes, unit: int) -> Task:
        """The task of a round for a producer's unit: on data of its own, if they are drawn."""
        if context.paid is not None or not self._is_drawn:
            return self.task(context)
        return self.task_on(context, procedural.name_of(context.instance(producer, unit)))

    def task_on(self, context: RoundContext, data: str) -> Task:
        """The task of a round on the data that a pool names.

        Raises ValueError for data that are none of this task: a pool's word is no reason to read
        whatever else this machine has.
        """
        task = self.task(context)
        is_drawn = context.paid is None and self._is_drawn
        if not (procedural.is_instance(data) if is_drawn else data == task.dataset):
            raise ValueError(f"the task has no data {data!r:.120}")
        return replace(task, dataset=data)

    def test_data(self, context: RoundContext, producer: bytes, claim: Claim) -> str:
        """The data set whose test images a claim is counted on, by the secrets that it carries."""
        if context.paid is not None:
            return shard_data(context.paid.terms, context.paid.shard).name
        if not self._is_drawn:
            return self.standing.dataset
        instance = context.instance(producer, claim.unit)
        return procedural.name_of(instance, context.test_seed(claim.secrets))

    def price(self, terms: Publish | None, genotype: Genotype) -> design.Design:
        """The verdict on a genotype of a task, as for `task_for`: what its hardware costs."""
        return design.judge(genotype, self.task_for(terms))

    def refuse(self, context: RoundContext, genotype: bytes) -> tuple[Reason, str] | None:
        """Why a genotype can't win the round, or None."""
        try:
            parsed = Genotype.from_bytes(genotype)
        except GenotypeError as error:
            return Reason.GENOTYPE_MALFORMED, str(error)
        verdict = _judge(parsed, self.task(context), self.space(context))
        if verdict.reason is None:
            return None
        return _REASONS.get(verdict.reason, Reason.INFEASIBLE), verdict.detail

    def refuse_task(self, terms: Publish) -> tuple[Reason, str] | None:
        """Why the engine can't serve a published task, or None."""
        return refuse_terms(terms, self._limits.max_mac_images)

    def model_length(self, context: RoundContext, genotype: bytes) -> int:
        """Bytes of the canonical model of a genotype that `refuse` lets pass."""
        info = describe(self.task(context).dataset)
        return model_length(Genotype.from_bytes(genotype), info.shape, info.classes)


# A round has one space, and its claims are judged when they come, in the walk and in the chain.


@lru_cache(maxsize=16)
def _draw_space(seed: bytes, task: Task) -> Space:
    return round_space(task.space, seed, lambda space: holds_usable_design(space, task))


@lru_cache(maxsize=64)
def _judge(genotype: Genotype, task: Task, space: Space) -> design.Design:
    return design.judge(genotype, task, space)
