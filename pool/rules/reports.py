"""Is a result what was asked for? Every rule that needs no model, each with its own reason.

A result that names the right assignment and the next episode takes its place in the order even if
a later rule refuses it: it then counts as reward 0, so that one bad result can't stop a search.
"""

from __future__ import annotations

from nas.data.datasets import describe
from nas.designs.design import Design, judge, reward_without_training
from nas.designs.genotype import Genotype, GenotypeError
from nas.designs.space import Space
from nas.jobs import training_seed
from node.chain.hashing import HASH_BYTES
from pool.records.refusals import Refusal
from pool.records.state import (
    Assignment,
    Exploitation,
    Exploration,
    MinerState,
    PoolState,
    Record,
    RoundState,
    is_full,
)
from pool.rules.delivery import MAX_BUDGET
from pool.rules.variants import exploit_variant

MAX_PRECISION_CHARS = 128
"""Longest name of how a miner computes."""


class Report(Record, frozen=True):
    """A miner's result as it came, unchecked; see `Result` in pool_service.proto."""

    assignment_id: int
    episode: int
    genotype: bytes
    training_seed: int
    correct: int
    size: int
    epochs: int
    model_hash: bytes
    weights_hash: bytes
    failure: str
    states: tuple[bytes, ...] = ()
    precision: str = ""


class Refused(Exception):
    """A result that does not count.

    `takes_place` says whether the episode is used up all the same.
    """

    def __init__(self, reason: Refusal, detail: str, takes_place: bool = True) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.takes_place = takes_place


class Stale(Exception):
    """A result that came too late; it is not held against the miner."""


class Checked(Record, frozen=True):
    """A result that obeys the rules; its count still has to be confirmed if it is a best.

    `is_trained` is False for a failed candidate and for designs that need no training.
    """

    report: Report
    assignment: Assignment
    design: Design
    is_trained: bool


def check(report: Report, pool: PoolState, miner: bytes, now_ms: int) -> Checked:
    """Judge a registered miner's result by everything except its model.

    Raises Stale, or Refused with the rule.
    """
    round_, assignment = find_assignment(report, pool, miner, now_ms)
    design = _check_design(report, round_, assignment)
    return Checked(report, assignment, design, _check_count(report, round_, design))


def find_assignment(
    report: Report, pool: PoolState, miner: bytes, now_ms: int
) -> tuple[RoundState, Assignment]:
    """The assignment whose next result this is, and its round: the rules on time and place.

    Raises Stale, or Refused with the rule.
    """
    round_ = pool.round
    # 1. The assignment was given to this miner, in this round.
    if 0 < report.assignment_id < (round_.first_assignment if round_ else pool.next_assignment):
        raise Stale("the round of this assignment is over")
    assignment = _assignment(report, pool.miners[miner])
    # 2. It comes in time.
    if round_ is None or not round_.is_open or now_ms >= round_.task.train_end_ms:
        raise Stale("the train phase is over")
    _check_place(report, round_, assignment)
    return round_, assignment


def seed_of(report_genotype: Genotype, round_: RoundState, assignment: Assignment, at: int) -> int:
    """The training seed that the assignment prescribes for its episode `at`.

    A search trains each architecture from one seed; an exploitation takes a new one every time.
    """
    replica = at if isinstance(assignment.work, Exploitation) else 0
    dataset = round_.task.task.dataset
    return training_seed(assignment.seed, dataset, report_genotype, replica)


def claims_best(checked: Checked, round_: RoundState) -> bool:
    """Whether the result says that it beats the confirmed best of the round."""
    best = 0 if round_.best is None else round_.best.correct
    return checked.is_trained and checked.report.correct > best


def next_episode(round_: RoundState, assignment: Assignment) -> int:
    """The episode whose result must come next."""
    if isinstance(assignment.work, Exploration):
        return len(round_.searches[assignment.work.search].rewards)
    return assignment.episodes


def _assignment(report: Report, miner: MinerState) -> Assignment:
    try:
        return miner.assignment(report.assignment_id)
    except LookupError as error:
        if 0 < report.assignment_id <= miner.dropped:
            raise Stale("the assignment was replaced long ago") from error
        raise Refused(Refusal.UNKNOWN_ASSIGNMENT, str(error), takes_place=False) from error


def _check_place(report: Report, round_: RoundState, assignment: Assignment) -> None:
    work = assignment.work
    search = round_.searches[work.search] if isinstance(work, Exploration) else None
    # 3. The search is in nobody else's hands; who just gave it up may finish a candidate.
    if search is not None and search.holder not in (assignment.miner, b""):
        raise Stale("the search is in other hands")
    # 4. The miner has promised what the lease asks for.
    if not assignment.is_accepted:
        detail = f"the lease of assignment {assignment.id} is not accepted"
        raise Refused(Refusal.LEASE_NOT_ACCEPTED, detail, takes_place=False)
    # 5. The search goes on.
    if search is not None and is_full(search):
        raise Stale(f"the search has had its {MAX_BUDGET} episodes")
    # 6. Results come in order, each once.
    expected = next_episode(round_, assignment)
    if report.episode < expected:
        detail = f"the result of episode {report.episode} is already here"
        raise Refused(Refusal.DUPLICATE, detail, takes_place=False)
    if report.episode > expected:
        detail = f"episode {report.episode} came before episode {expected}"
        raise Refused(Refusal.OUT_OF_ORDER, detail, takes_place=False)


def _check_design(report: Report, round_: RoundState, assignment: Assignment) -> Design:
    # 7. The genotype is one.
    try:
        genotype = Genotype.from_bytes(report.genotype)
    except GenotypeError as error:
        raise Refused(Refusal.GENOTYPE, str(error)) from error
    # 8. It lies in the miner's subspace, or is the variant that was asked for.
    space = _space_of(round_, assignment)
    if not space.contains(genotype):
        raise Refused(Refusal.OUTSIDE_SUBSPACE, "the design is not in the assigned space")
    if isinstance(assignment.work, Exploitation):
        base = assignment.work.base.genotype
        if genotype != exploit_variant(base, space, report.episode, assignment.seed):
            detail = f"the design is not variant {report.episode} of the best"
            raise Refused(Refusal.OTHER_VARIANT, detail)
    # 9. It was trained from the assigned seed.
    expected_seed = seed_of(genotype, round_, assignment, report.episode)
    if report.training_seed != expected_seed:
        detail = f"the training seed is {report.training_seed} instead of {expected_seed}"
        raise Refused(Refusal.TRAINING_SEED, detail)
    return judge(genotype, round_.task.task, space)


def _check_count(report: Report, round_: RoundState, design: Design) -> bool:
    """Whether the design was trained."""
    task, info = round_.task.task, describe(round_.task.task.dataset)
    # 10. The count is of the validation images.
    if report.size != info.validation:
        detail = f"{report.size} images were counted instead of {info.validation}"
        raise Refused(Refusal.SIZE, detail)
    # 11. What needs no training, or failed, earns what the rules say, without epochs or model.
    untrained = reward_without_training(design, info.validation, info.classes)
    if report.failure:
        untrained = 0
    if untrained is not None:
        named = (report.epochs, report.model_hash, report.weights_hash, report.states)
        if report.correct != untrained or any(named):
            detail = f"an untrained design counts {untrained} images, without epochs or model"
            raise Refused(Refusal.UNTRAINED_COUNT, detail)
        return False
    # 12. It had the epochs of the task.
    if report.epochs != task.epochs:
        detail = f"{report.epochs} epochs were trained instead of {task.epochs}"
        raise Refused(Refusal.EPOCHS, detail)
    # 13. The count is possible.
    if report.correct > report.size:
        detail = f"{report.correct} of {report.size} images can't be correct"
        raise Refused(Refusal.COUNT_ABOVE_SIZE, detail)
    # 14. Model and weights are named, so that they can be asked for.
    if len(report.model_hash) != HASH_BYTES or len(report.weights_hash) != HASH_BYTES:
        detail = f"hashes of model and weights are {HASH_BYTES} bytes each"
        raise Refused(Refusal.HASHES, detail)
    # 15. So are the states of the training, before its first epoch and after each; a training may
    # end before all of its epochs.
    if not 2 <= len(report.states) <= task.epochs + 1:
        detail = f"{len(report.states)} states are named instead of 2 to {task.epochs + 1}"
        raise Refused(Refusal.STATES, detail)
    if any(len(state) != HASH_BYTES for state in report.states):
        raise Refused(Refusal.STATES, f"hashes of states are {HASH_BYTES} bytes each")
    # 16. And how the miner computes, without which nobody could repeat it.
    if not (0 < len(report.precision) <= MAX_PRECISION_CHARS and report.precision.isprintable()):
        detail = f"the precision takes 1 to {MAX_PRECISION_CHARS} printable characters"
        raise Refused(Refusal.PRECISION, detail)
    return True


def _space_of(round_: RoundState, assignment: Assignment) -> Space:
    if isinstance(assignment.work, Exploration):
        return round_.searches[assignment.work.search].subspace
    return round_.task.space
