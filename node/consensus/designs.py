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
from node.chain.params import StandingTask
from pool.partition.algorithm1 import holds_usable_design, round_space

_REASONS = {
    design.Refusal.OUTSIDE_SPACE: Reason.OUTSIDE_SPACE,
    design.Refusal.MAC_BOUND: Reason.MAC_BOUND,
}


class NasDesigns:
    """Implements `node.chain.validity.DesignRules` for a network's standing task.

    Raises NetworkError for a task that this program's NAS engine does not know.
    """

    def __init__(self, standing: StandingTask) -> None:
        try:
            self.task = Task(
                dataset=standing.dataset,
                space=Space.uniform(standing.layers, standing.ranges),
                protocol=standing.protocol,
                epochs=standing.epochs,
                profile=standing.profile,
                max_mac_images=standing.max_mac_images,
            )
            self.info = describe(standing.dataset)
        except ValueError as error:
            raise NetworkError(f"task: {error}") from error
        if (self.info.test, self.info.classes) != (standing.test_size, standing.classes):
            raise NetworkError(
                f"task: {standing.dataset} has {self.info.test} test images in "
                f"{self.info.classes} classes, not {standing.test_size} in {standing.classes}"
            )
        self._is_drawn = standing.dataset == procedural.KIND
        self._space_of_seed = lru_cache(maxsize=16)(self._draw_space)

    def space(self, context: RoundContext) -> Space:
        """The space of a round: Algorithm 1 seeded by the ancestor's id (design 3)."""
        return self._space_of_seed(context.ancestor_id)

    def task_of(self, context: RoundContext, producer: bytes, unit: int) -> Task:
        """The task of a round for a producer's unit: on data of its own, if they are drawn."""
        if not self._is_drawn:
            return self.task
        return self.task_on(procedural.name_of(context.instance(producer, unit)))

    def task_on(self, data: str) -> Task:
        """The task on the data that a pool names.

        Raises ValueError for data that are none of this task: a pool's word is no reason to read
        whatever else this machine has.
        """
        is_own = procedural.is_instance(data) if self._is_drawn else data == self.task.dataset
        if not is_own:
            raise ValueError(f"the task has no data {data!r:.120}")
        return replace(self.task, dataset=data)

    def test_data(self, context: RoundContext, producer: bytes, claim: Claim) -> str:
        """The data set whose test images a claim is counted on, by the secrets that it carries."""
        if not self._is_drawn:
            return self.task.dataset
        instance = context.instance(producer, claim.unit)
        return procedural.name_of(instance, context.test_seed(claim.secrets))

    def price(self, genotype: Genotype) -> design.Design:
        """The verdict on a genotype of any round: what its hardware costs."""
        return design.judge(genotype, self.task)

    def refuse(self, context: RoundContext, genotype: bytes) -> tuple[Reason, str] | None:
        """Why a genotype can't win the round, or None."""
        try:
            parsed = Genotype.from_bytes(genotype)
        except GenotypeError as error:
            return Reason.GENOTYPE_MALFORMED, str(error)
        verdict = design.judge(parsed, self.task, self.space(context))
        if verdict.reason is None:
            return None
        return _REASONS.get(verdict.reason, Reason.INFEASIBLE), verdict.detail

    def model_length(self, genotype: bytes) -> int:
        """Bytes of the canonical model of a genotype that `refuse` lets pass."""
        return model_length(Genotype.from_bytes(genotype), self.info.shape, self.info.classes)

    def _draw_space(self, seed: bytes) -> Space:
        return round_space(
            self.task.space, seed, lambda space: holds_usable_design(space, self.task)
        )
