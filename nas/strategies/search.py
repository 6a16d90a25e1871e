"""A search by ask and tell, whose whole state is its seed and its rewards in order."""

from __future__ import annotations

from collections import OrderedDict

from nas.designs.genotype import Genotype
from nas.designs.space import Space
from nas.jobs import BATCH_EPISODES, Proposal, Propose, rewards_needed
from nas.strategies.controller import Controller

LIVE_SEARCHES = 4
"""How many searches a process keeps, so that a next proposal needs no replay."""


class SearchError(ValueError):
    """An episode out of turn, or a reward that is none."""


class Search:
    """The controller's episodes, counted from 0 and proposed in batches of BATCH_EPISODES.

    All designs of a batch come from one policy snapshot; the batch after it opens when each of
    them has its reward. Tells may come in any order within the batch and count in episode order,
    so that the search is the same for any number of workers.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self._controller = Controller(space, seed)
        self._rollouts = self._controller.sample(BATCH_EPISODES)
        self._rewards: tuple[float, ...] = ()
        self._told: dict[int, float] = {}

    @property
    def rewards(self) -> tuple[float, ...]:
        """The rewards of all complete batches, in episode order."""
        return self._rewards

    def ask(self, episode: int) -> Genotype:
        """The design of an episode. Raises SearchError unless it is of the open batch."""
        return self._rollouts.genotypes[self._place(episode)]

    def tell(self, episode: int, reward: float) -> None:
        """Enter the reward of an episode.

        Raises SearchError for an episode outside the open batch or told before, or for a reward
        outside 0 to 1.
        """
        place = self._place(episode)
        if place in self._told:
            raise SearchError(f"episode {episode} has its reward already")
        if not 0.0 <= reward <= 1.0:
            raise SearchError(f"the reward of episode {episode} is {reward}, outside 0 to 1")
        self._told[place] = reward
        if len(self._told) == BATCH_EPISODES:
            self._close_batch()

    def _place(self, episode: int) -> int:
        place = episode - len(self._rewards)
        if not 0 <= place < BATCH_EPISODES:
            first = len(self._rewards)
            raise SearchError(
                f"episode {episode} is not of the open batch, {first} to "
                f"{first + BATCH_EPISODES - 1}"
            )
        return place

    def _close_batch(self) -> None:
        rewards = tuple(self._told[place] for place in range(BATCH_EPISODES))
        self._controller.update(self._rollouts, rewards)
        self._rollouts = self._controller.sample(BATCH_EPISODES)
        self._rewards += rewards
        self._told = {}


def propose(job: Propose) -> Proposal:
    """The design that the job asks for, from a live search when its rewards are a continuation.

    Raises SearchError for a reward outside 0 to 1.
    """
    history = job.rewards[: rewards_needed(job.episode)]
    key = (job.space, job.seed)
    search = _live.pop(key, None)
    if search is None or search.rewards != history[: len(search.rewards)]:
        search = Search(job.space, job.seed)
    for episode in range(len(search.rewards), len(history)):
        search.tell(episode, history[episode])
    _live[key] = search
    if len(_live) > LIVE_SEARCHES:
        _live.popitem(last=False)
    return Proposal(search.ask(job.episode))


# Only a cache: dropping it changes the time a proposal takes, never the proposal.
_live: OrderedDict[tuple[Space, int], Search] = OrderedDict()
