"""A search is the same for any number of workers and after any interruption; nothing is lost."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.designs.genotype import Genotype, Layer
from nas.designs.genotype_json import genotype_from_json
from nas.designs.space import Space
from nas.searching.journal import EARLY, JOURNAL, Journal, JournalError
from nas.searching.summary import to_csv, write_results
from nas.searching.trial import Outcome, Trial
from nas.searching.winner import GENOTYPE, MODEL, WEIGHTS, Winner, best_of
from nas.strategies.registry import STRATEGIES
from nas.training.protocol import EDITION
from tests.search_world import SIZE, FakeTrainer, Killed, correct, plan, run


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def journal_without_times(folder: Path) -> list[Any]:
    lines = (folder / JOURNAL).read_text().splitlines()
    return [{**json.loads(line), "seconds": 0} for line in lines]


class Script:
    """Proposes the designs of a list."""

    def __init__(self, designs: list[Genotype]) -> None:
        self._designs: Iterator[Genotype] = iter(designs)

    def tells_before(self, episode: int) -> int:
        return max(0, episode - 3)

    def ask(self) -> Genotype:
        return next(self._designs)

    def tell(self, genotype: Genotype, reward: float) -> None:
        pass


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_the_journal_is_the_same_for_any_number_of_workers(
    strategy: str, tmp_path: Path
) -> None:
    search = plan(strategy)
    for workers in (1, 2, 7):
        await run(tmp_path / str(workers), 40, FakeTrainer(workers, workers), search)
    alone = journal_without_times(tmp_path / "1")
    assert len(alone) == 41
    assert alone == journal_without_times(tmp_path / "2")
    assert alone == journal_without_times(tmp_path / "7")


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_killed_search_goes_on_to_the_same_journal(strategy: str, tmp_path: Path) -> None:
    search = plan(strategy)
    await run(tmp_path / "whole", 30, FakeTrainer(3), search)
    for killed_after in (1, 6, 17):
        with pytest.raises((Killed, BaseExceptionGroup)):
            await run(tmp_path / "cut", 30, FakeTrainer(3), search, killed_after=killed_after)
    await run(tmp_path / "cut", 30, FakeTrainer(2), search)
    assert journal_without_times(tmp_path / "cut") == journal_without_times(tmp_path / "whole")
    assert (tmp_path / "cut" / MODEL).read_bytes() == (tmp_path / "whole" / MODEL).read_bytes()


async def test_what_finished_ahead_of_its_turn_is_not_trained_again(tmp_path: Path) -> None:
    first = FakeTrainer(7, order_seed=3)
    with pytest.raises((Killed, BaseExceptionGroup)):
        await run(tmp_path, 30, first, killed_after=1)
    early = [json.loads(line) for line in (tmp_path / EARLY).read_text().splitlines()]
    assert early
    second = FakeTrainer(7)
    await run(tmp_path, 30, second)
    retrained = {job.genotype.to_bytes().hex() for job in second.jobs}
    assert not retrained & {trial["genotype"] for trial in early}
    assert not (tmp_path / EARLY).exists()


async def test_a_longer_search_continues_a_shorter_one(tmp_path: Path) -> None:
    await run(tmp_path / "long", 30, FakeTrainer(2))
    await run(tmp_path / "short", 12, FakeTrainer(2))
    trainer = FakeTrainer(2)
    await run(tmp_path / "short", 30, trainer)
    assert len(trainer.jobs) == 18
    assert journal_without_times(tmp_path / "short") == journal_without_times(tmp_path / "long")


async def test_no_design_is_trained_twice(tmp_path: Path) -> None:
    design, other = (plan().space.sample(random.Random(n)) for n in (1, 2))
    trainer = FakeTrainer(4)
    script = Script([design, design, other, design])
    found = await run(tmp_path, 4, trainer, strategy=script)
    assert [job.genotype for job in trainer.jobs] == [design, other]
    assert [trial.repeats for trial in found] == [None, 0, None, 0]
    assert [trial.reward for trial in found] == [
        correct(design) / SIZE if trial.genotype == design else correct(other) / SIZE
        for trial in found
    ]
    assert [trial.epochs for trial in found] == [3, 0, 3, 0]


async def test_a_failed_training_is_a_trial_with_its_reason(tmp_path: Path) -> None:
    designs = [plan().space.sample(random.Random(n)) for n in range(4)]
    reason = "the worker process ended with exit code -9"
    trainer = FakeTrainer(2, reasons={designs[1]: reason})
    found = await run(tmp_path, 4, trainer, strategy=Script(designs))
    assert [trial.outcome for trial in found] == [
        Outcome.TRAINED, Outcome.FAILED, Outcome.TRAINED, Outcome.TRAINED
    ]  # fmt: skip
    assert (found[1].reward, found[1].detail, found[1].model_hash) == (0.0, reason, "")
    summary = write_results(tmp_path, plan(), found, best_of(found))
    assert summary["failures"] == [{"episode": 1, "reason": reason}]


async def test_refused_and_dead_designs_earn_their_reward_untrained(tmp_path: Path) -> None:
    good = Layer(3, 3, 8, 1, 1, 1, 2, 2, 2, 3)
    space = Space.uniform(2, [(3,), (3,), (8,), (0, 1), (1,), (1,), (2,), (2,), (0, 2), (1, 3)])
    still = Layer(3, 3, 8, 0, 1, 1, 2, 2, 2, 3)
    dead = Layer(3, 3, 8, 1, 1, 1, 2, 2, 0, 1)
    designs = [Genotype((good, still)), Genotype((good, dead)), Genotype((good, good))]
    search = dataclasses.replace(plan(), space=space)
    trainer = FakeTrainer(1)
    found = await run(tmp_path, 3, trainer, search, Script(designs))
    assert [trial.outcome for trial in found] == ["infeasible", "dead", "trained"]
    assert [trial.correct for trial in found[:2]] == [0, 36]
    assert found[0].detail == "layer 2 has a stride of 0"
    assert [job.genotype for job in trainer.jobs] == designs[2:]


async def test_a_journal_that_another_program_wrote_is_refused(tmp_path: Path) -> None:
    designs = [plan().space.sample(random.Random(n)) for n in range(6)]
    await run(tmp_path, 3, FakeTrainer(1), strategy=Script(designs[:3]))
    with pytest.raises(ExceptionGroup) as caught:
        await run(tmp_path, 3, FakeTrainer(1), strategy=Script(designs[3:]))
    assert isinstance(caught.value.exceptions[0], JournalError)
    assert "another version of this program" in str(caught.value.exceptions[0])


async def test_a_journal_of_another_edition_of_the_rules_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run(tmp_path, 2, FakeTrainer(1))
    written = (tmp_path / JOURNAL).read_bytes()
    monkeypatch.setattr("nas.searching.plan.EDITION", EDITION + 1)
    with pytest.raises(JournalError, match=f"its edition is {EDITION}, here it is {EDITION + 1}"):
        await run(tmp_path, 4, FakeTrainer(1))
    assert (tmp_path / JOURNAL).read_bytes() == written


async def test_the_best_model_is_kept(tmp_path: Path) -> None:
    trainer = FakeTrainer(5, order_seed=8)
    found = await run(tmp_path, 30, trainer)
    best = best_of(found)
    assert best is not None
    assert best.reward == max(trial.reward for trial in found)
    assert best.episode == min(t.episode for t in found if t.reward == best.reward)
    model = (tmp_path / MODEL).read_bytes()
    assert hashlib.blake2b(model, digest_size=32).hexdigest() == best.model_hash
    assert (tmp_path / WEIGHTS).read_bytes() == b"weights" + model
    text = (tmp_path / GENOTYPE).read_text()
    assert genotype_from_json(text) == best.genotype
    assert (json.loads(text)["image"], json.loads(text)["classes"]) == ("1x8x8", 10)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(6)), st.lists(st.integers(0, 3), min_size=6, max_size=6))
def test_the_best_is_the_earliest_of_the_highest(order: list[int], rewards: list[int]) -> None:
    design = plan().space.sample(random.Random(1))
    trials = [
        Trial(episode, design, 1, Outcome.TRAINED, "", rewards[episode] / 3, rewards[episode], 3,
              1, 0, 0, 0, "", None, 0.0)
        for episode in order
    ]  # fmt: skip
    best = best_of(trials)
    assert best is not None
    assert best.episode == rewards.index(max(rewards))


async def test_results_are_written_for_programs_and_for_people(tmp_path: Path) -> None:
    found = await run(tmp_path, 12, FakeTrainer(2))
    summary = write_results(tmp_path, plan(), found, best_of(found))
    assert json.loads((tmp_path / "result.json").read_text()) == summary
    assert summary["episodes"] == summary["trained"] == 12
    assert summary["plan"]["dataset"] == "digits"
    rows = (tmp_path / "trials.csv").read_text().splitlines()
    assert len(rows) == 13
    assert rows[0].startswith("episode,training_seed,outcome,detail,reward,correct,size")
    assert rows[0].endswith("weight_int_bits_3,weight_frac_bits_3")
    assert rows[1].split(",")[-30:] == [str(token) for token in found[0].genotype.tokens]
    assert (tmp_path / "search.png").read_bytes().startswith(b"\x89PNG")


def test_results_of_nothing() -> None:
    assert to_csv([]) == "\n"
    assert best_of([]) is None


async def test_an_interrupted_search_names_the_model_that_it_kept(tmp_path: Path) -> None:
    with pytest.raises((Killed, BaseExceptionGroup)):
        await run(tmp_path, 30, FakeTrainer(7, order_seed=5), killed_after=1)
    with Journal(tmp_path, plan().to_object(), resume=True) as journal:
        winner = Winner(tmp_path, best_of((*journal.trials, *journal.early.values())))
        summary = write_results(tmp_path, plan(), journal.trials, winner.best)
        # The best one came ahead of its turn.
        assert summary["best"]["episode"] >= len(journal.trials)
    model = (tmp_path / MODEL).read_bytes()
    assert hashlib.blake2b(model, digest_size=32).hexdigest() == summary["best"]["model_hash"]
