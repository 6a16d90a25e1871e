"""`ponas pool partition`: the table, the JSON, results of a search, and wrong ones."""

import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nas.designs.space import preset, space_from_object
from nas.searching.journal import JOURNAL
from nas.searching.trial import Outcome, Trial
from node.cli.client import main


def partition(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["pool", "partition", *arguments])


def test_the_table_tells_coverage_overlap_and_what_was_reported() -> None:
    result = partition("--miners", "3", "--kind", "disjoint")

    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.output.splitlines()]
    assert lines[:3] == [
        "designs 4.13e+13",
        "covered 100 % (exact)",
        "overlap 0 % of the covered",
    ]
    assert "reported nothing" in lines
    assert [line for line in lines if line.startswith(("0 ", "1 ", "2 "))]


def test_json_holds_every_subspace_exactly() -> None:
    result = partition("--miners", "5", "--kind", "disjoint", "--seed", "7", "--json")

    found = json.loads(result.output)
    spaces = [space_from_object(subspace["space"]) for subspace in found["subspaces"]]
    assert (found["kind"], found["seed"], found["is_exact"]) == ("disjoint", 7, True)
    assert [subspace["designs"] for subspace in found["subspaces"]] == [
        space.size() for space in spaces
    ]
    assert sum(space.size() for space in spaces) == preset("devnet").size() == found["designs"]


def test_the_paper_s_partition_is_the_default_and_reports_redraws() -> None:
    result = partition("--json")

    found = json.loads(result.output)
    assert found["kind"] == "algorithm1"
    assert len(found["subspaces"]) == 9
    assert found["covered"] < 0.01
    assert sum(subspace["redraws"] for subspace in found["subspaces"]) > 0


def test_long_tables_are_cut_and_say_so() -> None:
    result = partition("--miners", "50", "--kind", "disjoint")

    assert "and 10 more; --json prints all" in result.output


def journal(folder: Path, rewards: int) -> Path:
    """A search's folder: the plan, trials that like large kernels, and a line cut short."""
    rng = random.Random(1)
    lines = ["{}"]
    for episode in range(rewards):
        genotype = preset("devnet").sample(rng)
        reward = 0.9 if genotype.tokens[0] == 5 else 0.1
        trial = Trial(
            episode, genotype, 0, Outcome.TRAINED, "", reward, 9, 10, 1, 1, 1, 1, "", None, 1.0
        )
        lines.append(json.dumps(trial.to_object()))
    (folder / JOURNAL).write_text("\n".join(lines) + '\n{"episode"', encoding="utf-8")
    return folder


def test_results_make_adaptive_choose(tmp_path: Path) -> None:
    folder = journal(tmp_path, 200)

    result = partition("--kind", "adaptive", "--miners", "2", "--json", "--results", str(folder))

    found = json.loads(result.output)
    for subspace in found["subspaces"]:
        assert subspace["space"]["layers"][0]["kernel_height"] == [5]
    assert found["covered"] == pytest.approx(1 / 3)


def test_wrong_arguments_get_one_sentence(tmp_path: Path) -> None:
    assert "no preset is called 'nope'" in partition("--space", "nope").output
    assert "no data set is called" in partition("--data", "nope").output
    result = partition("--results", str(tmp_path), "--kind", "adaptive")
    assert result.exit_code == 1
    assert JOURNAL in result.output
    (tmp_path / JOURNAL).write_text("{}\n{}\n")
    assert partition("--results", str(tmp_path), "--kind", "adaptive").exit_code == 1
