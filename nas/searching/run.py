"""The loop of a search: ask, judge, train, enter, tell.

Designs are asked for as soon as the strategy allows and told in episode order, so that the calls a
strategy sees, and with them the search, are the same for any number of workers and after any
number of interruptions: resuming asks and tells everything again, but trains only what is missing.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Protocol

from nas.data.datasets import describe
from nas.designs.design import is_dead, judge, reward_without_training
from nas.designs.genotype import Genotype
from nas.jobs import JobFailed, Train, Trained, training_seed
from nas.searching import trial as trials
from nas.searching.journal import Journal, JournalError
from nas.searching.plan import Plan
from nas.searching.trial import Trial
from nas.searching.winner import Winner
from nas.strategies.base import Accept, Strategy

OnTrial = Callable[[Trial], None]


class Trainer(Protocol):
    """The part of `nas.jobs.Executor` that a search needs."""

    async def run(self, job: Train) -> Trained:
        """What came of the training. Raises JobFailed with the reason."""
        ...


def worth_training(plan: Plan) -> Accept:
    """What the strategies of a plan accept: designs that are feasible and not provably dead."""
    task = plan.task
    # The cheap question first: half of `full` is dead.
    return lambda genotype: not is_dead(genotype) and judge(genotype, task).feasible


async def run_search(
    plan: Plan,
    strategy: Strategy,
    trainer: Trainer,
    journal: Journal,
    winner: Winner,
    episodes: int,
    on_trial: OnTrial,
) -> None:
    """Go on until the journal holds `episodes` trials.

    `on_trial` hears of each trial in episode order, those of earlier runs included. Cancelling
    stops at once, with nothing lost but the trainings under way. Raises JournalError (in an
    ExceptionGroup) when the journal does not follow from its plan, OSError when the disk fails.
    """
    attempts = _Attempts(plan, trainer, journal, winner)
    async with asyncio.TaskGroup() as group:
        under_way: dict[int, asyncio.Task[Trial]] = {}
        by_design: dict[Genotype, asyncio.Task[Trial]] = {}
        asked = 0
        for told in range(episodes):
            while asked < episodes and strategy.tells_before(asked) <= told:
                genotype = strategy.ask()
                earlier = by_design.get(genotype)
                task = group.create_task(
                    attempts.make(asked, genotype) if earlier is None else _again(asked, earlier)
                )
                by_design.setdefault(genotype, task)
                under_way[asked] = task
                asked += 1
            trial = await under_way.pop(told)
            if told >= len(journal.trials):
                journal.append(trial)
            strategy.tell(trial.genotype, trial.reward)
            on_trial(trial)


async def _again(episode: int, earlier: asyncio.Task[Trial]) -> Trial:
    return (await earlier).again(episode)


class _Attempts:
    """Makes trials, or finds them in the journal."""

    def __init__(self, plan: Plan, trainer: Trainer, journal: Journal, winner: Winner) -> None:
        self._plan, self._task = plan, plan.task
        self._info = describe(plan.dataset)
        self._trainer = trainer
        self._journal, self._known = journal, journal.trials
        self._winner = winner

    async def make(self, episode: int, genotype: Genotype) -> Trial:
        """The trial of a design that is new to the search."""
        if episode < len(self._known):
            return self._from_journal(episode, genotype)
        if genotype in self._journal.early:
            return dataclasses.replace(self._journal.early[genotype], episode=episode)
        design = judge(genotype, self._task)
        seed = training_seed(self._plan.seed, self._plan.dataset, genotype, 0)
        size = self._info.validation
        untrained = reward_without_training(design, size, self._info.classes)
        if untrained is not None:
            return trials.untrained(episode, design, seed, untrained, size)
        try:
            found = await self._trainer.run(
                Train(self._task, genotype, seed, self._plan.epochs, None)
            )
        except JobFailed as error:
            trial = trials.failed(episode, design, seed, str(error), size)
        else:
            trial = trials.trained(episode, design, seed, found)
            self._winner.offer(trial, found, self._info)
        if episode > len(self._journal.trials):
            self._journal.keep_early(trial)
        return trial

    def _from_journal(self, episode: int, genotype: Genotype) -> Trial:
        trial = self._known[episode]
        if trial.genotype != genotype:
            raise JournalError(
                f"episode {episode} of the journal holds another design than the search proposes; "
                "another version of this program wrote it"
            )
        return trial
