"""The controller against plain, slow restatements of its definition, and whether it learns."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nas.designs.genotype import Genotype
from nas.designs.space import Space
from nas.strategies.controller import BASELINE_SPAN, Baseline, Controller

RANGES = ((1, 3), (3,), (4, 8, 12), (1, 2), (1,), (1, 2), (1, 2), (1, 2, 3, 4, 5), (1,), (2, 5))
SPACE = Space.uniform(2, RANGES)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@given(st.lists(st.floats(0, 1), max_size=60))
def test_baseline_is_a_mean_and_then_exponential(rewards: list[float]) -> None:
    baseline = Baseline()
    for reward in rewards:
        baseline = baseline.include(reward)
    head, tail = rewards[:BASELINE_SPAN], rewards[BASELINE_SPAN:]
    expected = sum(head) / len(head) if head else 0.0
    for reward in tail:
        expected = 0.9 * expected + 0.1 * reward
    assert baseline.value == pytest.approx(expected)


def test_designs_follow_from_the_seed_and_lie_in_the_space() -> None:
    first = Controller(SPACE, 3).sample(40)
    assert first.genotypes == Controller(SPACE, 3).sample(40).genotypes
    assert first.genotypes != Controller(SPACE, 4).sample(40).genotypes
    assert all(SPACE.contains(genotype) for genotype in first.genotypes)


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    controller = Controller(SPACE, 1)
    controller.update(controller.sample(5), (0.1, 0.2, 0.3, 0.4, 0.5))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_every_open_choice_is_drawn_in_time() -> None:
    drawn = Controller(SPACE, 11).sample(400).choices
    assert [set(row.tolist()) for row in drawn] == [
        set(range(len(values))) for values in SPACE.positions
    ]


def test_log_probabilities_are_those_the_choices_were_drawn_by() -> None:
    # One position at a time, as the authors' loop does it, against the pass over the sequence.
    controller = Controller(SPACE, 2)
    policy, start = controller._policy, controller._start
    choices = controller.sample(3).choices
    state, before, expected = start.state(3), start.token.expand(3), torch.zeros(3).double()
    for position, values in enumerate(SPACE.positions):
        output, state = policy.lstm(policy.embeddings[position][before].unsqueeze(0), state)
        logits = output[0] @ policy.head_weights[position, : len(values)].t()
        logits = logits + policy.head_biases[position, 0, : len(values)]
        before = choices[position]
        expected = expected + logits.softmax(1).gather(1, before.unsqueeze(1)).squeeze(1).log()
    torch.testing.assert_close(policy.log_probabilities(start, choices), expected)


def test_probabilities_of_all_designs_add_up_to_one() -> None:
    space = Space.uniform(1, ((1, 3), (3,), (4, 8, 12), (1, 2), *[(1,)] * 6))
    controller = Controller(space, 1)
    grid = torch.cartesian_prod(*(torch.arange(len(values)) for values in space.positions))
    total = controller._policy.log_probabilities(controller._start, grid.t()).exp().sum()
    assert total.item() == pytest.approx(1.0)


def test_an_update_is_one_step_of_the_summed_loss() -> None:
    controller = Controller(SPACE, 6)
    policy, start = controller._policy, controller._start
    rollouts = controller.sample(3)
    # Baselines before each reward: 0, then the mean of those before.
    advantages = torch.tensor([0.5 - 0, 0.9 - 0.5, 0.1 - 0.7], dtype=torch.float64)
    loss = -(policy.log_probabilities(start, rollouts.choices) * advantages).sum()
    before = [parameter.detach().clone() for parameter in policy.parameters()]
    gradients = torch.autograd.grad(loss, list(policy.parameters()))
    controller.update(rollouts, (0.5, 0.9, 0.1))
    for parameter, old, gradient in zip(policy.parameters(), before, gradients, strict=True):
        torch.testing.assert_close(parameter.detach(), old - 0.2 * gradient)
    assert not torch.equal(controller._start.hidden, start.hidden)


def test_reinforce_finds_a_rewarded_design() -> None:
    controller = Controller(SPACE, 1)

    def reward(genotype: Genotype) -> float:
        return sum(layer.num_kernels == 12 for layer in genotype.layers) / 2

    def mean(rewards: tuple[float, ...]) -> float:
        return math.fsum(rewards) / len(rewards)

    first = mean(tuple(map(reward, controller.sample(100).genotypes)))
    for _ in range(60):
        rollouts = controller.sample(5)
        controller.update(rollouts, tuple(map(reward, rollouts.genotypes)))
    assert first < 0.5
    assert mean(tuple(map(reward, controller.sample(100).genotypes))) > 0.9
