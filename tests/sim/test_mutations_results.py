"""Each mutated rule of commits, claims and rewards trips its own invariant, and only then."""

import asyncio
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from nas.designs.genotype import Genotype
from node.chain import ranking as ranking_module
from node.chain import rewards as rewards_module
from node.chain import validity as validity_module
from node.chain.context import RoundContext
from node.chain.counting import CountVerdict
from node.chain.draft import Draft
from node.chain.envelope import Signed
from node.chain.messages import Claim, Commit
from node.chain.params import FAST, PROCEDURAL, SEALED, Parameters, StandingTask
from node.chain.rewards import compute_subsidy
from node.consensus import attester as attester_module
from node.consensus import counter as counter_module
from node.consensus import validator as validator_module
from node.consensus.designs import NasDesigns
from pool.manager.manager import ConfirmedBest
from tests.sim.adversaries.producers import (
    Copier,
    Crook,
    HiddenCommitter,
    overstate,
    redesigned,
    understate,
)
from tests.sim.trial import broken_by, rounds
from tests.sim.world import Hack, Plan, World
from tests.virtual_time import run_virtual

MINTS = Plan(full=4, managers=0, strong=0, weak=0, mints=2)
MANY = replace(MINTS, mints=4)


def test_a_lost_unit_breaks_i1(monkeypatch: pytest.MonkeyPatch) -> None:
    assert broken_by(rounds(2), MINTS) == set()

    def issue_one_less(self: Draft, address: bytes, amount: int) -> None:
        self.issued += amount
        self.credit(address, amount - 1)

    monkeypatch.setattr(Draft, "issue", issue_one_less)
    assert broken_by(rounds(2), MINTS) == {"I1"}


def test_results_without_lists_break_i4(monkeypatch: pytest.MonkeyPatch) -> None:
    late = {"mint1": HiddenCommitter()}
    assert broken_by(rounds(2), MINTS, late) == set()
    monkeypatch.setattr(validity_module, "_check_certified", lambda *_: None)
    assert "I4" in broken_by(rounds(2), MINTS, late)


def test_false_claims_break_i6(monkeypatch: pytest.MonkeyPatch) -> None:
    liars = [{"mint1": Crook(tamper)} for tamper in (overstate, understate)]
    assert [broken_by(rounds(2), MINTS, liar) for liar in liars] == [set(), set()]

    def believe(claim: Signed[Claim], *, holds: bool) -> CountVerdict:
        return CountVerdict(claim.id, claim.message.round, holds=True)

    monkeypatch.setattr(counter_module, "judge_count", believe)
    assert all("I6" in broken_by(rounds(2), MINTS, liar) for liar in liars)


def test_no_floor_breaks_i6(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = replace(MINTS, mints=1)
    poor: dict[str, Hack] = {"mint0": Crook(permille=297)}
    assert broken_by(rounds(2), plan, poor) == set()
    monkeypatch.setattr(StandingTask, "min_correct", 0)
    assert "I6" in broken_by(rounds(2), plan, poor)


class Dreamer(Crook):
    """Commits a design with larger kernels than the round allows."""

    def change(self, best: ConfirmedBest) -> ConfirmedBest:
        last = replace(best.genotype.layers[-1], kernel_height=7)
        genotype = Genotype((*best.genotype.layers[:-1], last))
        return redesigned(best, genotype)


def test_a_design_outside_of_the_rules_breaks_i6(monkeypatch: pytest.MonkeyPatch) -> None:
    dreamer = {"mint1": Dreamer()}
    assert broken_by(rounds(2), MINTS, dreamer) == set()
    monkeypatch.setattr(NasDesigns, "refuse", lambda *_: None)
    assert "I6" in broken_by(rounds(2), MINTS, dreamer)


def test_first_seen_first_served_breaks_i7(monkeypatch: pytest.MonkeyPatch) -> None:
    assert broken_by(rounds(3), MINTS) == set()
    monkeypatch.setattr(ranking_module, "rank", lambda _context, claims: list(claims))
    assert "I7" in broken_by(rounds(3), MINTS)


def test_a_cap_on_lists_by_arrival_breaks_i8(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = replace(MANY, parameters=replace(FAST, max_commits=1))
    assert broken_by(rounds(3), plan) == set()

    def first_come(context: RoundContext, commits: Iterable[Signed[Commit]]) -> tuple[bytes, ...]:
        return tuple(commit.id for commit in commits)[:1]

    monkeypatch.setattr(attester_module, "choose_listed", first_come)
    assert "I8" in broken_by(rounds(3), plan)


def test_walking_all_claims_breaks_i16(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = replace(MANY, parameters=replace(FAST, max_walked=2))
    liars = {f"mint{number}": Crook(overstate, permille=980 - 5 * number) for number in range(4)}
    assert broken_by(rounds(2), plan, liars) == set()

    def walk_all(
        context: RoundContext, claims: Iterable[Signed[Claim]], head: bytes
    ) -> Sequence[Signed[Claim]]:
        return [claim for claim in claims if claim.message.parent == head]

    monkeypatch.setattr(validator_module, "choose_walked", walk_all)
    assert broken_by(rounds(2), plan, liars) == {"I16"}


def test_a_rule_that_reads_the_clock_breaks_i18(monkeypatch: pytest.MonkeyPatch) -> None:
    async def linger(world: World) -> None:
        await world.until_round(3)
        await world.clock.sleep_until(35_000)

    assert broken_by(linger, MINTS) == set()

    def compute_by_the_hour(parameters: Parameters, round_number: int, supply: int) -> int:
        is_late = asyncio.get_running_loop().time() > 32
        return compute_subsidy(parameters, round_number, supply) + is_late

    monkeypatch.setattr(rewards_module, "compute_subsidy", compute_by_the_hour)
    assert broken_by(linger, MINTS) == {"I18"}


def trace_of(seed: int) -> str:
    async def run() -> str:
        world = World(seed, MINTS)
        await world.start()
        await world.until_round(3)
        await world.close()
        return world.watch.digest

    return run_virtual(run())


def test_a_seed_gives_one_trace_unless_chance_comes_from_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert trace_of(1) == trace_of(1) != trace_of(2)
    elsewhere = random.Random(5)
    monkeypatch.setattr(
        random.Random, "randint", lambda _self, least, most: elsewhere.choice((least, most))
    )
    assert trace_of(1) != trace_of(1)


SEALED_MINTS = replace(MINTS, parameters=SEALED, weights=(16, 16, 16, 16))


def test_releasing_seals_by_the_clock_breaks_i5(monkeypatch: pytest.MonkeyPatch) -> None:
    async def cut_in_halves(world: World) -> None:
        await world.until_round(4)
        world.cut(["full0", "full1"])
        await world.until_round(5)

    assert broken_by(cut_in_halves, SEALED_MINTS) == set()
    monkeypatch.setattr(RoundContext, "is_quorum", lambda *_: True)
    assert "I5" in broken_by(cut_in_halves, SEALED_MINTS)


def test_the_same_data_for_all_break_i14(monkeypatch: pytest.MonkeyPatch) -> None:
    # One design only, so that a model of one round is allowed in the next.
    values = (3, 3, 8, 1, 1, 2, 2, 2, 1, 3)
    one_design = replace(PROCEDURAL, ranges=tuple((value,) for value in values))
    plan = replace(SEALED_MINTS, parameters=replace(SEALED, task=one_design), mints=1)
    copier = {"mint0": Copier()}
    assert broken_by(rounds(6), plan, copier) == set()
    monkeypatch.setattr(RoundContext, "instance", lambda *_: bytes(32))
    assert "I14" in broken_by(rounds(6), plan, copier)
