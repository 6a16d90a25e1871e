"""Scripted cheaters against the rules of pay: each is caught or earns nothing, nobody else loses.

The manager that skims is in tests/test_pool_verification.py.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import msgspec
import pytest

from nas.data.datasets import describe
from nas.designs.design import Design, judge
from nas.designs.genotype import Genotype
from nas.training.protocol import Protocol
from node.chain.hashing import blake, u64
from pool.proofs.recount import lines_of_log
from pool.proofs.sharelog import Page, Share, Terms, open_page, share_hash
from pool.records.books import (
    Books,
    compute_lines,
    with_forfeited,
    with_page_closed,
    with_passed_audit,
    with_result,
    with_round_ended,
)
from pool.records.seen import Seen
from pool.rules.appraisal import (
    Appraisal,
    Reported,
    Standing,
    appraise,
    audit_of,
    with_payout,
    with_share,
)
from pool.rules.audits import (
    AuditKind,
    Fault,
    Suspicion,
    epoch_to_repeat,
    judge_count,
    judge_repetition,
)
from pool.rules.classes import ClassRecord
from pool.rules.draws import Draws
from pool.rules.prices import class_of
from pool.rules.window import LOG_ROUNDS
from pool.rules.worth import Worth
from tests.pool_world import SPACE, TASK, public

INFO = describe("digits")
EPOCHS = 10
SECRET = b"a secret of the manager"
ROUND_MS = 30_000


@dataclass(frozen=True)
class Job:
    """What a miner says of a candidate, and what is true: its model's count, its states."""

    reported: Reported
    true_correct: int
    states: tuple[bytes, ...]
    true_states: tuple[bytes, ...]


Worker = Callable[[int], Job]


def alive_design(number: int) -> Design:
    """A feasible design that needs training, another for each number."""
    draws = Draws(f"cheat {number}".encode())
    while True:
        design = judge(draws.genotype(SPACE), TASK)
        if design.feasible and not design.dead:
            return design


def states(name: str, number: int) -> tuple[bytes, ...]:
    return tuple(blake("test/state", name.encode(), u64(number), u64(at)) for at in range(11))


def honest(name: str) -> Worker:
    """Trains what it is asked to, with counts around 310 of 360."""

    def job(number: int) -> Job:
        rng = random.Random(f"{name} {number}")
        model = blake("test/model", name.encode(), u64(number))
        design = alive_design(int.from_bytes(model[:4], "big"))
        correct = min(360, round(rng.gauss(310, 15)))
        reported = Reported(design, number, EPOCHS, correct, model, is_same_precision=True)
        return Job(reported, correct, states(name, number), states(name, number))

    return job


@dataclass
class Manager:
    """The rules of pay over a manager's books, with audits done at once."""

    protocol: Protocol = Protocol.QAT
    books: Books = field(default_factory=Books)
    faults: list[tuple[str, Fault]] = field(default_factory=list)
    appraisals: dict[str, list[Appraisal]] = field(default_factory=dict)
    pages: list[Page] = field(default_factory=list)

    def play(self, number: int, jobs: dict[str, list[Job]]) -> None:
        """A round: miners take turns delivering; what each delivers is spread over its time."""
        for turn in range(max(map(len, jobs.values()))):
            for name, delivered in jobs.items():
                if turn < len(delivered):
                    elapsed_ms = ROUND_MS * (turn + 1) // len(delivered)
                    self._enter(number, name, delivered[turn], elapsed_ms)
        self.lines = compute_lines(self.books, number, public("finder"), public("manager"), 0)
        terms = Terms(public("finder"), public("manager"), 0)
        hash_, data, self.books = with_page_closed(self.books, public("manager"), number, terms)
        self.pages.append(open_page(data, hash_))
        self.books = with_round_ended(
            self.books, number, dict.fromkeys(map(public, jobs), ROUND_MS)
        )

    def weights(self) -> dict[bytes, int]:
        """What each address got of the last round's block, found by nobody who works here."""
        assert lines_of_log(self.pages) == self.lines
        return {line.address: line.weight for line in self.lines}

    def standing(self, name: str) -> Standing:
        return self.books.standing(public(name))

    def _enter(self, number: int, name: str, job: Job, elapsed_ms: int) -> None:
        reported = job.reported
        standing = self.standing(name)
        size = class_of(reported.design.macs)
        record = self.books.classes.get(size, ClassRecord())
        found = appraise(
            reported, INFO, self.protocol, self.books.seen, standing, record, elapsed_ms
        )
        self.appraisals.setdefault(name, []).append(found)
        share = Share(
            miner=public(name),
            address=public(name),
            assignment=number,
            episode=reported.training_seed,
            genotype=reported.design.genotype.to_bytes(),
            training_seed=reported.training_seed,
            epochs=reported.epochs,
            correct=reported.correct,
            size=INFO.validation,
            model_hash=reported.model_hash,
            work=found.work,
        )
        self.books = with_result(self.books, share, found.keys.trainings)
        hash_ = share_hash(share)
        kind = audit_of(SECRET, hash_, reported, found, standing)
        fault = None if kind is None else self._audit(kind, hash_, job)
        if fault is not None:
            self.faults.append((name, fault))
            self.books = with_forfeited(self.books, public(name), fault)
        elif kind is not None:
            self.books = with_passed_audit(self.books, size, reported.correct)

    @staticmethod
    def _audit(kind: AuditKind, share: bytes, job: Job) -> Fault | None:
        if kind is AuditKind.COUNT:
            return judge_count(job.reported.correct, job.true_correct)
        epoch = epoch_to_repeat(SECRET, share, EPOCHS)
        return judge_repetition(job.states, epoch, job.true_states[epoch + 1])


def played(cheater: Worker | None, rounds: int = 3, shares: int = 8, **options: object) -> Manager:
    """Two honest miners and perhaps a cheater, for some rounds."""
    manager = Manager(**options)  # type: ignore[arg-type]
    workers = {"ann": honest("ann"), "bob": honest("bob")}
    if cheater is not None:
        workers["mal"] = cheater
    for number in range(1, rounds + 1):
        jobs = {
            name: [work(100 * number + at) for at in range(shares)]
            for name, work in workers.items()
        }
        manager.play(number, jobs)
    return manager


def assert_honest_miners_lose_nothing(manager: Manager, **options: object) -> None:
    alone = played(None, **options)  # type: ignore[arg-type]
    for name in ("ann", "bob"):
        assert manager.weights()[public(name)] == alone.weights()[public(name)]


def inventor(number: int) -> Job:
    """Claims counts that its models don't have."""
    job = honest("mal")(number)
    return replace(job, true_correct=job.reported.correct - 40)


def idler(number: int) -> Job:
    """Hands in untrained models, counted truly, with made-up states."""
    job = honest("mal")(number)
    reported = msgspec.structs.replace(job.reported, correct=40)
    return replace(job, reported=reported, true_correct=40, true_states=states("true", number))


def test_honest_miners_pass_every_audit() -> None:
    manager = played(None)

    assert manager.faults == []
    worth = {found.worth for name in ("ann", "bob") for found in manager.appraisals[name]}
    assert worth == {Worth.FULL}


def test_who_invents_accuracies_is_caught_at_once_and_earns_nothing() -> None:
    manager = played(inventor)

    # Never a streak, so every share is audited.
    assert manager.faults == [("mal", Fault.COUNT_DIFFERS)] * 24
    assert public("mal") not in manager.weights()
    assert_honest_miners_lose_nothing(manager)


def test_who_replays_the_models_of_others_earns_nothing() -> None:
    def replayer(number: int) -> Job:
        mine, of_ann = honest("mal")(number), honest("ann")(number)
        stolen = msgspec.structs.replace(
            mine.reported,
            correct=of_ann.reported.correct,
            model_hash=of_ann.reported.model_hash,
        )
        return replace(mine, reported=stolen, true_correct=of_ann.true_correct)

    manager = played(replayer)

    assert {found.worth for found in manager.appraisals["mal"]} == {Worth.REPEATED_MODEL}
    assert public("mal") not in manager.weights()
    assert_honest_miners_lose_nothing(manager)


def test_who_hands_in_untrained_models_as_full_work_is_caught_by_a_repeated_epoch() -> None:
    manager = played(idler)

    assert manager.faults == [("mal", Fault.STATE_DIFFERS)] * 24
    assert public("mal") not in manager.weights()
    assert_honest_miners_lose_nothing(manager)


def test_untrained_models_of_another_precision_pay_their_evaluation() -> None:
    def elsewhere(number: int) -> Job:
        job = idler(number)
        return replace(job, reported=msgspec.structs.replace(job.reported, is_same_precision=False))

    manager = played(elsewhere)

    assert {found.worth for found in manager.appraisals["mal"]} == {Worth.NOT_REPEATABLE}
    # A ninth of the training price: 360 / 3 images of 1,077.
    assert manager.weights()[public("mal")] < manager.weights()[public("ann")] / 6


def test_float_weights_used_again_pay_their_evaluation() -> None:
    def bit_changer(number: int) -> Job:
        first = honest("mal")(0)
        tokens = list(first.reported.design.genotype.tokens)
        for at in (9, 19, 29):
            tokens[at] = 2 + number // 4 ** (at // 10) % 4
        design = replace(first.reported.design, genotype=Genotype.from_tokens(tokens))
        model = blake("test/model", b"mal", u64(number))
        reported = msgspec.structs.replace(first.reported, design=design, model_hash=model)
        return Job(reported, reported.correct, states("mal", 0), states("mal", 0))

    manager = played(bit_changer, rounds=1, protocol=Protocol.PTQ)

    worths = [found.worth for found in manager.appraisals["mal"]]
    assert worths == [Worth.FULL] + [Worth.REUSED_WEIGHTS] * 7
    assert manager.faults == []


def test_who_claims_to_be_faster_than_it_is_earns_at_most_a_half_more_and_suspicion() -> None:
    manager = played(honest("mal"), rounds=2, shares=10)
    fastest = max(work for work, _ in manager.standing("mal").pace.past)
    rushed = [honest("mal")(1_000 + at) for at in range(100)]

    manager.play(3, {"mal": rushed})

    assert manager.standing("mal").pace.past[-1][0] <= 1.5 * fastest
    assert any(Suspicion.TOO_FAST in found.suspicions for found in manager.appraisals["mal"])


def test_a_sleeper_loses_by_cheating() -> None:
    """Honest for long, then inventing: over many secrets it keeps less than had it stopped."""
    gained, lost = 0, 0
    for seed in range(300):
        standing = replace_streak(40)
        for cheat in range(10):
            share = blake("test/share", u64(seed), u64(cheat))
            job = inventor(cheat)
            found = appraise(
                job.reported, INFO, Protocol.QAT, Seen(), standing, ClassRecord(), ROUND_MS
            )
            if audit_of(SECRET, share, job.reported, found, standing):
                lost += standing.unpaid
                break
            standing = with_share(standing, found.work)
            gained += 1
    assert lost > gained


def replace_streak(shares: int) -> Standing:
    return Standing(streak=shares, unpaid=shares)


def test_after_a_payout_the_next_shares_are_audited() -> None:
    standing = with_payout(replace_streak(1_000))
    job = inventor(1)
    found = appraise(job.reported, INFO, Protocol.QAT, Seen(), standing, ClassRecord(), ROUND_MS)

    for seed in range(20):
        share = blake("test/share", u64(seed))
        assert audit_of(SECRET, share, job.reported, found, standing) is AuditKind.COUNT


def test_a_round_whose_work_was_forfeited_keeps_its_place_in_the_window() -> None:
    manager, workers = Manager(), {name: honest(name) for name in ("ann", "bob", "mal")}
    shares = {4: ("ann", 9), 5: ("mal", 1), 17: ("bob", 3)}
    for number in range(1, LOG_ROUNDS + 4):
        name, count = shares.get(number, ("ann", 1))
        manager.play(number, {name: [workers[name](100 * number + at) for at in range(count)]})

    manager.books = with_forfeited(manager.books, public("mal"), Fault.COUNT_DIFFERS)
    manager.play(LOG_ROUNDS + 4, {"ann": [workers["ann"](9_999)]})

    # Round 4 is gone for the manager, so it must be for the log; `weights` compares them.
    assert public("bob") in manager.weights()


@pytest.mark.parametrize("work", [0, 7])
def test_a_share_without_work_earns_no_trust(work: int) -> None:
    after = with_share(Standing(3, 2), work)

    assert (after.streak, after.unpaid) == ((4, 3) if work else (3, 2))
