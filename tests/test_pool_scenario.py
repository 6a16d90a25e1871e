from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import pytest

from pool.simulation.scenario import ScenarioError, find_scenario, read_scenario

GOOD = """
title = "A pool"
rounds = 2
train_s = 10.0
[rewards]
kind = "recorded"
[[classes]]
name = "strong"
miners = 3
strength = "strong"
candidates_per_s = 1.0
"""


def _write(folder: Path, text: str) -> Path:
    path = folder / "pool.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_scenario_is_read_with_its_defaults(tmp_path: Path) -> None:
    scenario = read_scenario(_write(tmp_path, GOOD))
    assert (scenario.title, scenario.miners, scenario.rewards.file) == ("A pool", 3, None)


def test_a_reward_file_is_looked_for_beside_the_scenario(tmp_path: Path) -> None:
    text = GOOD.replace('kind = "recorded"', 'kind = "recorded"\nfile = "mine.json"')
    assert read_scenario(_write(tmp_path, text)).rewards.file == str(tmp_path / "mine.json")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("rounds = 2", "rounds = 2\nroudns = 3", "Object contains unknown field `roudns`"),
        ("miners = 3", "miners = 3\nspeed = 3", "unknown field `speed` - at `$.classes[0]`"),
        ("rounds = 2", "", "Object missing required field `rounds`"),
        ("rounds = 2", "rounds = 0", "Expected `int` >= 1 - at `$.rounds`"),
        ("rounds = 2", 'rounds = "2"', "Expected `int`, got `str` - at `$.rounds`"),
        ("train_s = 10.0", "train_s = nan", "Expected `float` > 0.0 - at `$.train_s`"),
        ("= 1.0", "= 1.0\nspread = nan", "classes[0].spread`"),
        ("= 1.0", "= inf", "candidates_per_s"),
        ("= 1.0", "= -1.0", "Expected `float` > 0.0 - at `$.classes[0].candidates_per_s`"),
        ('"strong"\ncand', '"heavy"\ncand', "Invalid enum value 'heavy'"),
        ("miners = 3", 'miners = 3\ncheat = "lies"', "Invalid enum value 'lies'"),
        ("miners = 3", "miners = 100001", "Expected `int` <= 100000"),
        ("[rewards]", "[rewards", "Expected ']' at the end of a table declaration"),
    ],
)
def test_a_bad_scenario_is_refused_in_one_sentence(
    tmp_path: Path, old: str, new: str, sentence: str
) -> None:
    path = _write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(ScenarioError, match=re.escape(sentence)) as refusal:
        read_scenario(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert "\n" not in str(refusal.value)


def test_two_classes_of_one_name_are_refused(tmp_path: Path) -> None:
    double = GOOD + GOOD[GOOD.index("[[classes]]") :]
    with pytest.raises(ScenarioError, match="two classes have the same name"):
        read_scenario(_write(tmp_path, double))


def test_too_many_miners_in_all_are_refused(tmp_path: Path) -> None:
    classes = GOOD[GOOD.index("[[classes]]") :].replace("= 3", "= 60_000")
    text = GOOD.replace("miners = 3", "miners = 60_000") + classes.replace('"strong"', '"s2"', 1)
    with pytest.raises(ScenarioError, match="there are more than 100000 miners"):
        read_scenario(_write(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"none\.toml: No such file or directory"):
        read_scenario(tmp_path / "none.toml")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pool.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ScenarioError, match=r"pool\.toml: "):
        read_scenario(path)


def test_an_unknown_name_lists_the_shipped_scenarios() -> None:
    with pytest.raises(ScenarioError, match="no scenario is called 'no'; there are cheaters,"):
        find_scenario("no")


def test_every_shipped_scenario_is_good() -> None:
    folder = Path(str(resources.files("pool.simulation"))) / "scenarios"
    paths = sorted(folder.glob("*.toml"))
    assert {path.stem for path in paths} >= {"weak-miners", "departures", "cheaters", "large"}
    for path in paths:
        assert find_scenario(path.stem) == path
        read_scenario(path)
