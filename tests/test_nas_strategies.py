"""What every search strategy promises, and what each adds to it."""

from __future__ import annotations

import dataclasses
import random

import pytest
import torch

from nas.designs.genotype import Genotype
from nas.designs.space import Space
from nas.strategies import evolution, local, reinforce_plus
from nas.strategies.base import MAX_DRAWS, Accept, Strategy, draw, mutate, neighbours
from nas.strategies.controller import BASELINE_SPAN, Baseline
from nas.strategies.registry import STRATEGIES, StrategyError, make_strategy
from nas.strategies.search import Search
from tests.nas_models import DEVNET

LEARNERS = [name for name in STRATEGIES if name != "random"]
PICKY = [name for name in STRATEGIES if name != "reinforce"]
TINY = Space.uniform(1, [(1, 3), (1,), (4, 8), *[(1,)] * 7])


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def anything(_: Genotype) -> bool:
    return True


def few_kernels(genotype: Genotype) -> bool:
    return genotype.layers[0].num_kernels <= 12


def score(genotype: Genotype) -> float:
    """Separable, with its optimum in the interior of some ranges."""
    layers = genotype.layers
    kernels = sum(layer.num_kernels == 12 for layer in layers)
    return (kernels + sum(layer.act_frac_bits for layer in layers) / 4) / (2 * len(layers))


def run(
    strategy: Strategy, episodes: int, reward: dict[int, float] | None = None
) -> list[Genotype]:
    """The designs of a search that asks as early as it may; `reward` replaces some scores."""
    designs: list[Genotype] = []
    for told in range(episodes):
        while len(designs) < episodes and strategy.tells_before(len(designs)) <= told:
            designs.append(strategy.ask())
        strategy.tell(designs[told], (reward or {}).get(told, score(designs[told])))
    return designs


def search(name: str, seed: int, episodes: int, accept: Accept = anything) -> list[Genotype]:
    return run(make_strategy(name, DEVNET, seed, accept), episodes)


@pytest.mark.parametrize("name", STRATEGIES)
def test_designs_follow_from_the_seed_and_lie_in_the_space(name: str) -> None:
    designs = search(name, 3, 40)
    assert designs == search(name, 3, 40)
    assert designs != search(name, 4, 40)
    assert all(DEVNET.contains(design) for design in designs)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_longer_search_begins_like_a_shorter_one(name: str) -> None:
    assert search(name, 5, 45)[:23] == search(name, 5, 23)


@pytest.mark.parametrize("name", STRATEGIES)
def test_asks_need_no_reward_that_cannot_be_there(name: str) -> None:
    strategy = make_strategy(name, DEVNET, 1, anything)
    needed = [strategy.tells_before(episode) for episode in range(300)]
    assert needed == sorted(needed)
    assert all(tells <= episode for episode, tells in enumerate(needed))
    assert needed[0] == 0
    assert needed[-1] > 0


@pytest.mark.parametrize("name", LEARNERS)
def test_a_reward_changes_only_designs_that_were_asked_for_after_it(name: str) -> None:
    at, seed = 20, 2
    plain = make_strategy(name, DEVNET, seed, anything)
    designs = run(plain, 60)
    changed = dict.fromkeys(range(at, at + 5), 1.0)
    other = run(make_strategy(name, DEVNET, seed, anything), 60, changed)
    first_free = next(e for e in range(60) if plain.tells_before(e) > at)
    assert other[:first_free] == designs[:first_free]
    assert other != designs


def test_random_search_learns_nothing() -> None:
    designs = run(make_strategy("random", DEVNET, 1, anything), 80)
    assert run(make_strategy("random", DEVNET, 1, anything), 80, {5: 1.0}) == designs


@pytest.mark.parametrize("name", LEARNERS)
def test_learners_end_above_random_search(name: str) -> None:
    def late_mean(which: str) -> float:
        designs = [design for seed in (1, 2) for design in search(which, seed, 200)[150:]]
        return sum(map(score, designs)) / len(designs)

    assert late_mean(name) > late_mean("random") + 0.15


@pytest.mark.parametrize("name", PICKY)
def test_only_accepted_designs_are_proposed(name: str) -> None:
    assert all(map(few_kernels, search(name, 1, 60, few_kernels)))


@pytest.mark.parametrize("name", PICKY)
def test_a_space_without_an_accepted_design_still_proposes(name: str) -> None:
    assert len(search(name, 1, 20, lambda _: False)) == 20


@pytest.mark.parametrize("name", ["random", "evolution", "local"])
def test_no_design_twice_while_others_are_left(name: str) -> None:
    designs = run(make_strategy(name, TINY, 1, anything), 12)
    assert len(set(designs[:4])) == 4 == TINY.size()
    assert all(TINY.contains(design) for design in designs)


def test_reinforce_is_the_search_of_the_pool() -> None:
    pool, designs = Search(DEVNET, 9), search("reinforce", 9, 30)
    for episode, design in enumerate(designs):
        assert pool.ask(episode) == design
        pool.tell(episode, score(design))


def test_an_unknown_strategy_names_the_known_ones() -> None:
    with pytest.raises(StrategyError, match=r"'tpe'; there are reinforce, .*, random"):
        make_strategy("tpe", DEVNET, 1, anything)


def test_draw_gives_up_after_its_limit() -> None:
    drawn = [0]

    def propose() -> Genotype:
        drawn[0] += 1
        return DEVNET.sample(random.Random(drawn[0]))

    assert draw(propose, lambda _: False) == DEVNET.sample(random.Random(MAX_DRAWS))
    assert drawn == [MAX_DRAWS]


def test_neighbours_differ_in_one_token_and_mutations_are_neighbours() -> None:
    design, rng = DEVNET.sample(random.Random(1)), random.Random(2)
    around = neighbours(DEVNET, design)
    assert len(set(around)) == sum(len(values) - 1 for values in DEVNET.positions)
    for other in around:
        assert DEVNET.contains(other)
        assert sum(a != b for a, b in zip(design.tokens, other.tokens, strict=True)) == 1
    assert {mutate(DEVNET, design, rng) for _ in range(3_000)} == set(around)


def test_a_mutation_where_there_is_no_choice_is_the_design_itself() -> None:
    only = Space.uniform(1, [(1,)] * 10)
    design = only.sample(random.Random(1))
    assert mutate(only, design, random.Random(1)) == design


def test_evolution_breeds_from_its_youngest_only() -> None:
    # After 40 episodes the last 10 are the population; the best of all times is long dead.
    strategy = evolution.RegularisedEvolution(DEVNET, 1, anything)
    designs = run(strategy, 40, {0: 1.0})
    for _ in range(50):
        assert strategy._parent() in designs[30:]


def test_local_search_tries_neighbours_of_the_best_and_moves_when_one_wins() -> None:
    strategy = local.LocalSearch(DEVNET, 1, anything)
    designs: list[Genotype] = [strategy.ask() for _ in range(local.WINDOW)]
    for design in designs:
        strategy.tell(design, 0.9 if design is designs[3] else 0.1)
    asked = strategy.ask()
    assert asked in neighbours(DEVNET, designs[3])
    strategy.tell(asked, 0.95)
    assert strategy.ask() in neighbours(DEVNET, asked)


def test_local_search_starts_again_when_no_neighbour_is_left() -> None:
    space = Space.uniform(1, [(1, 3, 5), (1, 3, 5), (4, 8, 12), *[(1,)] * 7])
    designs = run(make_strategy("local", space, 1, anything), space.size())
    assert len(set(designs)) == space.size()


def test_reinforce_plus_is_conditioned_on_acceptance(monkeypatch: pytest.MonkeyPatch) -> None:
    # When all accepted designs earn the same, nothing tells one from another, however far their
    # reward is from the mean: only the gradient of log P(accepted) makes the two terms cancel.
    monkeypatch.setattr(reinforce_plus, "ENTROPY_WEIGHT", 0.0)
    monkeypatch.setattr(reinforce_plus, "DRAWS", reinforce_plus.BATCH)
    monkeypatch.setattr(reinforce_plus, "MAX_ROUNDS", 1)
    strategy = reinforce_plus.ReinforcePlus(DEVNET, 1, few_kernels)
    strategy._mean = Baseline(BASELINE_SPAN, 0.2)
    before = [parameter.detach().clone() for parameter in strategy._policy.parameters()]
    designs = [strategy.ask() for _ in range(reinforce_plus.BATCH)]
    accepted = list(map(few_kernels, designs))
    assert 1 < sum(accepted) < len(accepted)
    assert strategy._batch is not None
    batch = dataclasses.replace(
        strategy._batch, choices=strategy._batch.choices[:, : sum(accepted)]
    )
    batch = dataclasses.replace(batch, is_accepted=batch.is_accepted[: sum(accepted)])
    strategy._rewards = [0.9] * sum(accepted)
    strategy._learn(batch)
    for parameter, old in zip(strategy._policy.parameters(), before, strict=True):
        torch.testing.assert_close(parameter.detach(), old, rtol=0, atol=1e-6)
