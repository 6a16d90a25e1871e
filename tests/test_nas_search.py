"""A search is a function of its seed and its rewards, live or replayed; and the jobs around it."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.designs.genotype import Genotype, Layer
from nas.designs.space import Space
from nas.jobs import (
    BATCH_EPISODES,
    JobError,
    Propose,
    Train,
    rewards_needed,
    training_seed,
)
from nas.strategies import search as search_module
from nas.strategies.search import LIVE_SEARCHES, Search, SearchError, propose
from nas.task import Task

DEVNET = Space.uniform(
    3,
    (
        (1, 3, 5),
        (1, 3, 5),
        (4, 8, 12, 16, 24),
        (1, 2),
        (1, 2),
        (1, 2),
        (1, 2, 3),
        (1, 2, 3, 4),
        (1, 2),
        (2, 3, 4, 5),
    ),
)
TASK = Task("digits", DEVNET, "qat", epochs=10, profile="paper", max_mac_images=1 << 40)
GENOTYPE = Genotype((Layer(3, 5, 24, 1, 2, 2, 3, 4, 2, 5), Layer(1, 3, 8, 2, 1, 1, 0, 6, 4, 0)))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def reward(genotype: Genotype) -> float:
    return sum(layer.num_kernels for layer in genotype.layers) / 72


def run_live(seed: int, episodes: int) -> tuple[list[Genotype], tuple[float, ...]]:
    """Designs and rewards of a search that runs episode by episode."""
    search = Search(DEVNET, seed)
    designs: list[Genotype] = []
    for episode in range(episodes):
        designs.append(search.ask(episode))
        search.tell(episode, reward(designs[-1]))
    return designs, tuple(map(reward, designs))


def proposed(seed: int, rewards: tuple[float, ...], episode: int) -> Genotype:
    return propose(Propose(TASK, DEVNET, seed, rewards, episode)).genotype


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**62), st.permutations(range(15)))
def test_proposals_are_those_of_a_live_search_in_any_order(seed: int, order: list[int]) -> None:
    designs, rewards = run_live(seed, 15)
    for episode in order:
        assert proposed(seed, rewards, episode) == designs[episode]


def test_replayed_and_cached_proposals_agree() -> None:
    designs, rewards = run_live(9, 30)
    cached = [proposed(9, rewards[:episode], episode) for episode in range(30)]
    replayed = []
    for episode in range(30):
        search_module._live.clear()
        replayed.append(proposed(9, rewards[:episode], episode))
    assert cached == replayed == designs


def test_other_rewards_are_not_served_from_the_cache() -> None:
    designs, rewards = run_live(9, 10)
    other = tuple(1 - value for value in rewards)
    search_module._live.clear()
    expected = [proposed(9, other, episode) for episode in range(5, 10)]
    assert proposed(9, rewards, 9) == designs[9]
    assert [proposed(9, other, episode) for episode in range(5, 10)] == expected
    assert expected != designs[5:10]


def test_rewards_of_the_open_batch_change_nothing() -> None:
    _, rewards = run_live(9, 10)
    assert proposed(9, rewards[:5], 7) == proposed(9, (*rewards[:5], 1.0, 1.0), 7)


def test_live_searches_are_bounded() -> None:
    for seed in range(LIVE_SEARCHES + 3):
        proposed(seed, (), 0)
    assert len(search_module._live) == LIVE_SEARCHES


def test_tells_count_in_episode_order() -> None:
    ordered, shuffled = Search(DEVNET, 1), Search(DEVNET, 1)
    rewards = [0.1, 0.9, 0.3, 0.7, 0.5]
    for episode in range(BATCH_EPISODES):
        ordered.tell(episode, rewards[episode])
    for episode in random.Random(2).sample(range(BATCH_EPISODES), BATCH_EPISODES):
        shuffled.tell(episode, rewards[episode])
    assert shuffled.rewards == ordered.rewards == tuple(rewards)
    assert [shuffled.ask(n) for n in range(5, 10)] == [ordered.ask(n) for n in range(5, 10)]


@pytest.mark.parametrize("episode", [-1, 5])
def test_episodes_outside_the_open_batch_are_refused(episode: int) -> None:
    search = Search(DEVNET, 1)
    with pytest.raises(SearchError, match=f"episode {episode} is not of the open batch, 0 to 4"):
        search.ask(episode)
    with pytest.raises(SearchError, match=f"episode {episode} is not of the open batch"):
        search.tell(episode, 0.5)


def test_a_second_reward_is_refused() -> None:
    search = Search(DEVNET, 1)
    search.tell(2, 0.5)
    with pytest.raises(SearchError, match="episode 2 has its reward already"):
        search.tell(2, 0.5)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_rewards_outside_their_range_are_refused(value: float) -> None:
    with pytest.raises(SearchError, match="outside 0 to 1"):
        Search(DEVNET, 1).tell(0, value)


def test_a_batch_needs_all_rewards_before_it() -> None:
    assert [rewards_needed(episode) for episode in (0, 4, 5, 14)] == [0, 0, 5, 10]
    with pytest.raises(JobError, match="episode 5 follows from 5 rewards, but only 4 are known"):
        Propose(TASK, DEVNET, 1, (0.5,) * 4, 5)
    with pytest.raises(JobError, match="episodes count from 0"):
        Propose(TASK, DEVNET, 1, (), -1)


@pytest.mark.parametrize("seed", [-1, 1 << 63])
def test_seeds_out_of_range_are_refused(seed: int) -> None:
    with pytest.raises(JobError, match="outside 0 to"):
        Propose(TASK, DEVNET, seed, (), 0)
    with pytest.raises(JobError, match="outside 0 to"):
        Train(TASK, GENOTYPE, seed, 10, None)
    with pytest.raises(JobError, match="outside 0 to"):
        training_seed(seed, "digits", GENOTYPE, 0)


def test_a_training_without_epochs_is_refused() -> None:
    with pytest.raises(JobError, match="at least 1 epoch"):
        Train(TASK, GENOTYPE, 1, 0, None)


def test_a_replica_out_of_range_is_refused() -> None:
    with pytest.raises(JobError, match="replica"):
        training_seed(1, "digits", GENOTYPE, 1 << 32)


def test_golden_training_seed() -> None:
    assert training_seed(1, "digits", GENOTYPE, 0) == 8_042_639_373_232_002_300


def test_training_seeds_depend_on_everything_but_the_bits() -> None:
    first = GENOTYPE.layers[0]
    other_bits = Genotype((replace(first, act_frac_bits=1, weight_int_bits=1), GENOTYPE.layers[1]))
    other_shape = Genotype((replace(first, pool_size=1), GENOTYPE.layers[1]))
    seed = training_seed(1, "digits", GENOTYPE, 0)
    assert training_seed(1, "digits", other_bits, 0) == seed
    others = {
        training_seed(1, "digits", other_shape, 0),
        training_seed(2, "digits", GENOTYPE, 0),
        training_seed(1, "mnist", GENOTYPE, 0),
        training_seed(1, "digits", GENOTYPE, 1),
    }
    assert len(others | {seed}) == 5
    assert all(0 <= value < 1 << 63 for value in others)
