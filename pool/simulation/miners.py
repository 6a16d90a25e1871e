"""Simulated miners: how long they take, what they find, and what the dishonest among them claim."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace

from nas.designs.design import Design
from nas.designs.genotype import Genotype
from nas.designs.space import preset
from nas.jobs import SEED_BOUND
from nas.task import Task
from node.chain.hashing import blake, u64
from pool.decisions.results import PRECISION
from pool.records.state import Best
from pool.rules.audits import Fault
from pool.rules.prices import price_of
from pool.rules.reports import Report
from pool.simulation.draws import Topic, bits, normal, uniform
from pool.simulation.rewards import Outcome, Rewards
from pool.simulation.scenario import Cheat, MinerClass

SPACE = preset("devnet")
"""Subspaces all look alike in a simulation; what differs are their rewards."""

TASK = Task("digits", SPACE, "qat", 3, "paper", 87_000_000_000)
"""That of the recorded searches (`tools.record_rewards`)."""

PROPOSAL_MS = 1
"""The controller proposes about 1,400 designs a second (docs/benchmarks); a design that the search
has had already costs no more."""

TYPICAL_MACS = 27_000
"""The median design of the recorded searches: a speed in candidates/s is for designs like it."""

# Spreads the training seeds of a search: the odd number next to 2**63 by the golden ratio.
_ODD = 5_700_357_409_661_599_241

_ANY = Genotype.from_tokens(values[0] for values in SPACE.positions)
GENOTYPE = _ANY.to_bytes()
"""Of every simulated design: what tells them apart are their training seeds."""


class Order(Struct, frozen=True, gc=False):
    """What a miner is to do: a search from episode `first` on, or attempts to improve `base`."""

    assignment: int
    search: int | None
    seed: int
    first: int
    base: Best | None


class Candidate(Struct, frozen=True, gc=False):
    """What a miner is at: the next episode of its order, and how long that takes.

    `first` is the episode in which the search had the design first.
    """

    order: Order
    episode: int
    first: int
    outcome: Outcome
    busy_ms: int


class Claim(Struct, frozen=True, gc=False):
    """A result as the manager gets it, and the truth that an audit would find in `fault`.

    `busy_ms` is what the candidate took; `is_repeat` that the search had the design before.
    """

    report: Report
    design: Design
    fault: Fault | None
    busy_ms: int
    is_repeat: bool


@dataclass(slots=True)
class Miner:
    """One miner, and the `candidate` that it is at since `begun_ms`.

    `results` are those it has reported; `judged_ms` is when the manager is through with them.
    """

    number: int
    kind: MinerClass
    key: bytes
    ms_per_candidate: float
    is_online: bool = False
    is_banned: bool = False
    absences: int = 0
    order: Order | None = None
    pending: Order | None = None
    is_pending: bool = False
    episode: int = 0
    candidate: Candidate | None = None
    begun_ms: int = 0
    online_since_ms: int = 0
    results: int = 0
    judged_ms: int = 0


def make_miner(number: int, kind: MinerClass, seed: int) -> Miner:
    """Miner `number` of the pool, of a speed drawn for it."""
    factor = math.exp(kind.spread * normal(Topic.SPEED, seed, number)) if kind.spread else 1.0
    key = blake("ponas/pool/simulation/miner", u64(number))
    return Miner(number, kind, key, 1000 / (kind.candidates_per_s * factor))


class Trainer:
    """Gives the results of candidates; remembers which designs each search has had.

    Every subspace holds `designs` designs.
    """

    def __init__(self, rewards: Rewards, designs: int) -> None:
        self._rewards = rewards
        self._designs = designs
        # By the seed of a search and the design: the episode that had it first, and its outcome.
        self._first: dict[tuple[int, int], tuple[int, Outcome]] = {}

    def start_round(self) -> None:
        """Searches of earlier rounds don't go on."""
        self._first.clear()

    def begin(self, miner: Miner) -> Candidate:
        """The miner's next candidate. Raises ValueError for a miner without an order."""
        order, episode = miner.order, miner.episode
        if order is None:
            raise ValueError("a miner without an order has no candidate")
        draw = bits(Topic.CANDIDATE, order.seed, episode)
        if order.base is not None:
            correct = self._rewards.improvement(order.base.correct, order.seed, episode)
            outcome = Outcome(correct, TYPICAL_MACS)
        elif (had := self._first.get((order.seed, draw % self._designs))) is not None:
            first, outcome = had
            return Candidate(order, episode, first, outcome, PROPOSAL_MS)
        else:
            outcome = self._rewards.result(order.seed, episode, draw)
            self._first[order.seed, draw % self._designs] = (episode, outcome)
        busy_ms = _duration_ms(miner, outcome.macs, draw >> 32)
        return Candidate(order, episode, episode, outcome, busy_ms)

    def claim(self, miner: Miner, candidate: Candidate, best: Best | None) -> Claim:
        """What the miner will report of a candidate.

        `best` is the pool's by then, which is what cheaters go by.
        """
        honest = _honest(candidate, self._rewards.images)
        if miner.kind.cheat is None or miner.results < miner.kind.cheats_after:
            return honest
        return _cheated(honest, miner.kind.cheat, best, self._rewards.images)


def _honest(candidate: Candidate, images: int) -> Claim:
    order, outcome = candidate.order, candidate.outcome
    # The same design has the same training seed, so that a repeat shows (docs/pool.md, Seeds).
    training_seed = (order.seed + candidate.first * _ODD) % SEED_BOUND
    model = _model(training_seed)
    report = Report(
        assignment_id=order.assignment,
        episode=candidate.episode,
        genotype=GENOTYPE,
        training_seed=training_seed,
        correct=outcome.correct,
        size=images,
        epochs=TASK.epochs,
        model_hash=model,
        weights_hash=model,
        failure="",
        precision=PRECISION,
    )
    is_repeat = candidate.first != candidate.episode
    return Claim(report, _design(outcome.macs), None, candidate.busy_ms, is_repeat)


def _cheated(honest: Claim, cheat: Cheat, best: Best | None, images: int) -> Claim:
    """What a cheater makes of its candidate; it takes its time, so as not to look too fast."""
    report = honest.report
    match cheat:
        case Cheat.INVENTS:
            # Near the best, but below it: a best would be counted at once.
            most = best.correct - 1 if best else images // 2
            share = 0.8 + 0.2 * uniform(Topic.CLAIM, report.training_seed)
            model = _model(report.training_seed ^ 1)
            invented = report.but(correct=int(most * share), model_hash=model)
            return replace(honest, report=invented, fault=Fault.MODEL_MISSING)
        case Cheat.REPLAYS if best is not None:
            replayed = report.but(correct=best.correct, model_hash=best.model_hash)
            return replace(honest, report=replayed)
        case Cheat.UNTRAINED:
            untrained = report.but(correct=images // 10)
            return replace(honest, report=untrained, fault=Fault.STATE_DIFFERS)
    # A defector computes like everybody else; it cheats when the round is over.
    return honest


def _duration_ms(miner: Miner, macs: int, draw: int) -> int:
    """As long as the design's price says, a tenth more or less by 32 random bits."""
    jitter = 0.9 + 0.2 * draw / (1 << 32)
    return max(PROPOSAL_MS, round(miner.ms_per_candidate * _relative_price(macs) * jitter))


@lru_cache(maxsize=4096)
def _relative_price(macs: int) -> float:
    return price_of(macs) / price_of(TYPICAL_MACS)


def _model(training_seed: int) -> bytes:
    return training_seed.to_bytes(32, "big")


@lru_cache(maxsize=4096)
def _design(macs: int) -> Design:
    return Design(_ANY, macs > 0, False, None, "", macs=macs)
