"""The journal: what survives, what is cut off, and what is refused."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nas.searching.journal import EARLY, JOURNAL, Journal, JournalError
from nas.searching.trial import Outcome, Trial, TrialError, trial_from_object
from tests.nas_models import DEVNET

PLAN = {"dataset": "digits", "seed": 1, "space": {"layers": [{"pool_size": [1, 2]}]}}


def trial(episode: int) -> Trial:
    return Trial(
        episode=episode,
        genotype=DEVNET.sample(random.Random(episode)),
        training_seed=episode,
        outcome=Outcome.TRAINED,
        detail="",
        reward=0.5,
        correct=180,
        size=360,
        epochs=3,
        macs=100,
        luts=200,
        images_per_s=300,
        model_hash="ab",
        repeats=None,
        seconds=0.25,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A journal of three trials."""
    with Journal(tmp_path, PLAN, resume=False) as journal:
        for episode in range(3):
            journal.append(trial(episode))
    return tmp_path


def reopen(folder: Path) -> tuple[Trial, ...]:
    with Journal(folder, PLAN, resume=True) as journal:
        return journal.trials


def test_trials_come_back(folder: Path) -> None:
    assert reopen(folder) == tuple(map(trial, range(3)))


def test_a_line_that_was_cut_is_dropped_wherever_it_was_cut(folder: Path) -> None:
    path = folder / JOURNAL
    data = path.read_bytes()
    start = data[:-1].rfind(b"\n") + 1
    for end in range(start, len(data)):
        path.write_bytes(data[:end])
        assert reopen(folder) == (trial(0), trial(1))
        assert path.read_bytes() == data[:start]


def test_a_search_goes_on_behind_a_cut_line(folder: Path) -> None:
    path = folder / JOURNAL
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with Journal(folder, PLAN, resume=True) as journal:
        journal.append(trial(2))
    assert path.read_bytes() == whole


def test_a_journal_cut_in_its_first_line_begins_anew(folder: Path) -> None:
    path = folder / JOURNAL
    path.write_bytes(path.read_bytes()[:10])
    assert reopen(folder) == ()
    assert json.loads(path.read_text())["seed"] == 1


def test_an_existing_journal_is_not_overwritten(folder: Path) -> None:
    before = (folder / JOURNAL).read_bytes()
    with pytest.raises(JournalError, match="holds a search already"):
        Journal(folder, PLAN, resume=False)
    assert (folder / JOURNAL).read_bytes() == before


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("seed", 2, "its seed is 1, here it is 2"),
        ("dataset", "mnist", 'its dataset is "digits", here it is "mnist"'),
        ("space", {"layers": []}, "its space is "),
        ("profile", "paper", 'its profile is null, here it is "paper"'),
    ],
)
def test_a_journal_of_another_search_is_refused(
    folder: Path, name: str, value: Any, sentence: str
) -> None:
    with pytest.raises(JournalError, match="of another search") as caught:
        Journal(folder, {**PLAN, name: value}, resume=True)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("line", "text", "sentence"),
    [
        (0, "[1]", "is not the journal of a search"),
        (0, "{}", "is not the journal of a search"),
        (0, "nonsense", "line 1 is damaged"),
        (2, "{", "line 3 is damaged"),
        (2, "{}", "line 3 is damaged: a trial has other fields"),
        (1, json.dumps(trial(2).to_object()), "line 2 is episode 2, not 0"),
    ],
)
def test_a_damaged_journal_is_refused(folder: Path, line: int, text: str, sentence: str) -> None:
    path = folder / JOURNAL
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:line], text, *lines[line + 1 :]]) + "\n")
    with pytest.raises(JournalError) as caught:
        reopen(folder)
    assert sentence in str(caught.value)


def test_a_journal_in_use_is_refused(folder: Path) -> None:
    with (
        Journal(folder, PLAN, resume=True),
        pytest.raises(JournalError, match="another process searches in"),
    ):
        Journal(folder, PLAN, resume=True)
    assert len(reopen(folder)) == 3


def test_trials_are_entered_in_order(folder: Path) -> None:
    with (
        Journal(folder, PLAN, resume=True) as journal,
        pytest.raises(JournalError, match="episode 4 after 3 episodes"),
    ):
        journal.append(trial(4))


def test_early_trials_are_kept_until_their_turn(folder: Path) -> None:
    with Journal(folder, PLAN, resume=True) as journal:
        journal.keep_early(trial(4))
    with Journal(folder, PLAN, resume=True) as journal:
        assert dict(journal.early) == {trial(4).genotype: trial(4)}
        journal.append(trial(3))
        journal.append(trial(4))
    assert not (folder / EARLY).exists()
    with Journal(folder, PLAN, resume=True) as journal:
        assert not journal.early


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("episode", "1"),
        ("episode", True),
        ("genotype", "zz"),
        ("genotype", ""),
        ("outcome", "won"),
        ("correct", 361),
        ("correct", -1),
        ("reward", 1.5),
        ("seconds", None),
        ("repeats", "no"),
        ("surprise", 1),
    ],
)
def test_what_is_no_trial_is_refused(name: str, value: Any) -> None:
    fields = json.loads(json.dumps(trial(0).to_object()))
    assert trial_from_object(fields) == trial(0)
    with pytest.raises(TrialError):
        trial_from_object({**fields, name: value})


def test_a_repeat_takes_the_result_over() -> None:
    again = trial(3).again(8)
    assert again == replace(trial(3), episode=8, repeats=3, epochs=0, seconds=0)


def test_early_trials_of_a_search_whose_journal_is_gone_are_not_taken_over(tmp_path: Path) -> None:
    with Journal(tmp_path, PLAN, resume=False) as journal:
        journal.keep_early(trial(3))
    assert (tmp_path / EARLY).exists()
    (tmp_path / JOURNAL).unlink()
    with Journal(tmp_path, {**PLAN, "seed": 2}, resume=False) as journal:
        assert journal.early == {}
