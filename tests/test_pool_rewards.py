from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec
import pytest

from pool.simulation.draws import Topic, bits
from pool.simulation.rewards import (
    SHIPPED,
    WINDOW,
    Modelled,
    Outcome,
    Recorded,
    Recording,
    Rewards,
    fit,
    read_rewards,
)
from pool.simulation.scenario import RewardKind, RewardSource, ScenarioError

SMALL: dict[str, Any] = {
    "made_by": "hand",
    "images": 100,
    "classes": 10,
    "searches": [[[at, 1000 + at] for at in range(20, 80)], [[10, 500]] * 60],
    "improvements": [[[50, 55], [55, 52]], [[90, 91]]],
}


def _read(folder: Path, fields: Any, kind: RewardKind = RewardKind.RECORDED) -> Rewards:
    path = folder / "rewards.json"
    path.write_text(json.dumps(fields), encoding="utf-8")
    return read_rewards(RewardSource(kind, str(path)))


def _shipped() -> Recording:
    return msgspec.json.decode(SHIPPED.read_bytes(), type=Recording)


def result_of(rewards: Rewards, search: int, episode: int) -> Outcome:
    return rewards.result(search, episode, bits(Topic.CANDIDATE, search, episode))


def test_a_recorded_reward_comes_from_the_episodes_around(tmp_path: Path) -> None:
    rewards = _read(tmp_path, SMALL)
    for search in range(0, 40, 2):
        found = result_of(rewards, search, 30).correct - 20
        assert 30 - WINDOW <= found <= 30 + WINDOW


def test_beyond_its_end_a_recorded_search_goes_on_as_it_ended(tmp_path: Path) -> None:
    rewards = _read(tmp_path, SMALL)
    found = {result_of(rewards, search, 10_000).correct - 20 for search in range(0, 400, 2)}
    assert found == set(range(60 - 2 * WINDOW - 1, 60))


def test_the_same_search_and_episode_give_the_same_result() -> None:
    for rewards in (Recorded(_shipped()), fit(_shipped())):
        results = [result_of(rewards, 7, episode) for episode in range(50)]
        assert results == [result_of(rewards, 7, episode) for episode in range(50)]
        assert len(set(results)) > 20


def test_the_quality_of_subspaces_differs() -> None:
    for rewards in (Recorded(_shipped()), fit(_shipped())):
        bests = [max(result_of(rewards, s, e).correct for e in range(40)) for s in range(60)]
        assert min(bests) < 300 < 340 < max(bests) <= rewards.images


def test_the_model_follows_the_recording() -> None:
    recording = _shipped()
    modelled = fit(recording)
    for episodes, tolerance in ((5, 0.05), (20, 0.05), (80, 0.05)):
        real = fmean(max(search[:episodes])[0] for search in recording.searches)
        drawn = fmean(
            max(result_of(modelled, s, e).correct for e in range(episodes)) for s in range(400)
        )
        assert abs(drawn - real) < tolerance * recording.images


def test_training_on_helps_a_middling_design_and_seldom_a_very_good_one() -> None:
    for rewards in (Recorded(_shipped()), fit(_shipped())):
        middling = [rewards.improvement(335, seed, 0) > 335 for seed in range(500)]
        good = [rewards.improvement(350, seed, 0) > 350 for seed in range(500)]
        assert 0.1 < fmean(good) < fmean(middling)


def test_a_model_has_the_useless_subspaces_of_its_recording(tmp_path: Path) -> None:
    modelled = _read(tmp_path, SMALL, RewardKind.MODELLED)
    assert isinstance(modelled, Modelled)
    assert modelled.useless == 0.5
    assert sum(result_of(modelled, search, 0).correct == 10 for search in range(400)) > 150


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"searches": []}, "no search holds a trained design"),
        ({"searches": [[[5, 0]]]}, "no search holds a trained design"),
        ({"searches": [[[5, 1]], []]}, "a search or all improvements are empty"),
        ({"improvements": [[]]}, "a search or all improvements are empty"),
        ({"searches": [[[101, 1]]]}, "a count is not one of 0 to 100 images"),
        ({"improvements": [[[5, -1]]]}, "a count is not one of 0 to 100 images"),
        ({"images": "many"}, "Expected `int`, got `str`"),
        ({"seed": 1}, "unknown field `seed`"),
    ],
)
def test_a_bad_recording_is_refused_in_one_sentence(
    tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ScenarioError, match=sentence):
        _read(tmp_path, SMALL | change)


def test_a_missing_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"none\.json: No such file"):
        read_rewards(RewardSource(RewardKind.RECORDED, str(tmp_path / "none.json")))
