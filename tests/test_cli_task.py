"""`ponas task`: images go in, a task is published, won, downloaded and counted again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from nas.data import datasets, published
from nas.data.dataset import input_codes
from nas.designs.shapes import InputShape
from nas.evaluation.evaluate import logits
from nas.evaluation.model_format import pack, unpack
from node.chain.codec import encode
from node.chain.envelope import sign
from node.chain.hashing import blob_hash
from node.chain.messages import Claim
from node.chain.params import FAST
from node.chain.published.queue import make_bitmap
from node.chain.published.sealing import shard_key
from node.cli import task_proofs
from node.cli.client import main
from node.cli.task_proofs import fetch_win
from node.consensus.designs import NasDesigns
from node.identity import format_address
from node.inspection.tasks import ChainTasks
from node.publishing import appraisal
from node.publishing.appraisal import Appraisal
from node.publishing.engine import training_data
from node.publishing.folder import read_prepared, read_secret
from node.publishing.prepare import Prepared
from node.publishing.recount import recount
from node.views.status import UnknownItem
from node.views.tasks import ModelPartView, TaskResultsView, TaskTermsView
from ponas.v1 import query_service_pb2 as pb
from tests import chain_world
from tests.chain_world import ATTESTERS, PRODUCERS, ClaimPlan, World, make_network, public
from tests.nas_models import devnet_design, integer_model, random_codes
from tests.test_cli_wallet import Node

PARAMETERS = replace(FAST, subsidy=10_000_000)
REWARD = 20_000_000
DESIGN = devnet_design(3)
WISHES = ("--reward", str(REWARD), "--rounds", "2", "--margin", "0")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PONAS_CACHE", str(tmp_path / "cache"))
    datasets.load.cache_clear()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    folder = tmp_path / "node"
    folder.mkdir()
    served = Node(folder, World(make_network(PARAMETERS)))
    served.views.published = ChainTasks(  # type: ignore[assignment]
        served.desk.chain, NasDesigns(PARAMETERS)
    )
    yield served
    served.close()


def task(node: Node, *words: str, answer: str = "") -> Result:
    return node.call("task", *words, answer=answer)


def arrays(folder: Path) -> Path:
    rng = np.random.default_rng(1)
    file = folder / "images.npz"
    np.savez(
        file,
        train_images=rng.integers(0, 256, (100, 8, 8), np.uint8),
        train_labels=np.arange(100) % 10,
        test_images=rng.integers(0, 256, (200, 8, 8), np.uint8),
        test_labels=np.arange(200) % 10,
    )
    return file


def prepare(node: Node, source: Path, *wishes: str) -> Result:
    words = ("task", "prepare", str(source), "digits", *(wishes or WISHES))
    options = ("--data-dir", str(node.folder), "--network", str(node.folder / "network.json"))
    return CliRunner().invoke(main, [*words, *options])


def prepared_in(node: Node) -> Prepared:
    return read_prepared(node.folder / "tasks" / "digits")


def test_arrays_are_prepared_where_the_node_finds_them(node: Node, tmp_path: Path) -> None:
    result = prepare(node, arrays(tmp_path))
    assert result.exit_code == 0, result.output
    assert f"escrow: {2 * REWARD:,}" in result.output
    assert "candidates:" in result.output
    terms = prepared_in(node).terms
    assert (terms.train_images, terms.validation_images, terms.test_images) == (90, 10, 100)
    assert terms.key_holders == (public(PRODUCERS[0]),)


def test_an_image_folder_is_prepared(node: Node, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    for part, count in (("train", 10), ("test", 100)):
        for label in ("cat", "dog"):
            place = tmp_path / "images" / part / label
            place.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (8, 8, 3), np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.png")
    result = prepare(node, tmp_path / "images", "--reward", str(REWARD))
    assert result.exit_code == 0, result.output
    terms = prepared_in(node).terms
    assert (len(terms.channels), terms.classes, terms.test_images) == (3, 2, 200)


def test_a_design_that_takes_longer_than_a_round_is_told(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cost = Appraisal(1, 2, 3, 4, 5, difficulty_ms=6, candidates=0)
    monkeypatch.setattr(appraisal, "appraise", lambda *_: cost)
    assert "candidates: fewer than one" in prepare(node, arrays(tmp_path)).output


def test_a_name_is_used_once(node: Node, tmp_path: Path) -> None:
    prepare(node, arrays(tmp_path))
    result = prepare(node, arrays(tmp_path))
    assert result.exit_code == 1
    assert "never overwritten" in result.output


def test_images_that_can_not_be_used_are_told(node: Node, tmp_path: Path) -> None:
    file = tmp_path / "images.npz"
    np.savez(file, train_images=np.zeros(3))
    result = prepare(node, file)
    assert result.exit_code == 1
    assert "holds no array" in result.output


def test_another_key_holder_may_be_named(node: Node, tmp_path: Path) -> None:
    other = public(PRODUCERS[1])
    prepare(node, arrays(tmp_path), *WISHES, "--key-holder", format_address(other))
    assert prepared_in(node).terms.key_holders == (other,)


def test_a_task_is_published_after_a_warning_and_cancelled(node: Node, tmp_path: Path) -> None:
    prepare(node, arrays(tmp_path))
    result = task(node, "publish", "digits", answer="n\n")
    assert (result.exit_code, len(node.desk.mempool)) == (1, 0)
    assert "The training images become public" in result.output
    result = task(node, "publish", "digits", "--yes")
    assert result.exit_code == 0, result.output
    node.mine()
    ((task_id, _),) = node.desk.chain.tree.head().state.tasks.items()
    assert result.output.strip().endswith(task_id.hex())
    shown = CliRunner().invoke(main, ["task", "list", "--node", node.address, "--json"])
    assert json.loads(shown.output)["tasks"][0]["escrow"] == str(2 * REWARD)
    words = ("task", "show", task_id.hex(), "--node", node.address)
    assert f"{2 * REWARD:,}" in CliRunner().invoke(main, words).output
    assert task(node, "cancel", task_id.hex(), "--yes").exit_code == 0
    node.mine()
    gone = CliRunner().invoke(main, words)
    assert (gone.exit_code, "No such task is in the queue" in gone.output) == (1, True)
    assert len(node.desk.chain.tree.head().state.tasks) == 0


def test_what_the_chain_refuses_is_told_with_its_reason(node: Node) -> None:
    result = task(node, "rebond", "7" * 64, "--yes")
    assert result.exit_code == 1
    assert "Refused (task-unknown)" in result.output


def test_a_word_that_is_no_id_is_refused(node: Node) -> None:
    assert task(node, "cancel", "digits", "--yes").exit_code == 2


def test_a_task_that_nobody_knows_has_no_result(node: Node, tmp_path: Path) -> None:
    result = task(node, "download", "7" * 64, str(tmp_path / "out"))
    assert result.exit_code == 1
    assert "knows no task" in result.output


def make_model(prepared: Prepared) -> bytes:
    shape, classes = training_data(prepared.terms).shape, prepared.terms.classes
    return pack(integer_model(DESIGN, shape, classes, random_codes(1)), DESIGN, shape, classes)


def easy_arrays(folder: Path) -> Path:
    """Test labels of which a model drawn at random has most right."""
    file = arrays(folder)
    with np.load(file) as archive:
        held = dict(archive)
    source = published.PublishedData(
        bytes(32), InputShape(1, 8, 8), 10, 90, 10, 100, ((5_000, 2_900),)
    ).source
    codes = input_codes(source)[0][held["test_images"]][:, None]
    model = integer_model(DESIGN, InputShape(1, 8, 8), 10, random_codes(1))
    found = logits(model, DESIGN, torch.from_numpy(codes), lambda: False).argmax(axis=1)
    held["test_labels"] = np.where(np.arange(200) % 4 == 0, (found + 1) % 10, found)
    np.savez(file, **held)
    return file


def win(node: Node, prepared: Prepared, correct: int) -> None:
    """Blocks up to the paid round, which is won with this count."""
    world, desk = node.desk.world, node.desk
    secret = read_secret(node.folder / "tasks" / "digits")
    while True:
        head = world.tree.head()
        number = head.state.round + 1
        paid = world.context(head.id, number).paid
        bits = make_bitmap((0,))
        voters = ATTESTERS if head.id != world.genesis else []
        votes = tuple(world.vote(key, head.id, tasks_held=bits) for key in voters)
        plan = ClaimPlan(producer=PRODUCERS[1], votes=votes)
        if paid is not None:
            key = shard_key(secret, paid.shard)
            genotype = DESIGN.to_bytes()
            plan = replace(plan, genotype=genotype, correct=correct, secrets=(key,))
        block = world.add(world.claim_block(head.id, number, plan))
        node.run(desk.chain.adopt(block, desk.chain.apply(block), [chain_world.MODEL]))
        if paid is not None:
            return


@dataclass(frozen=True)
class Won:
    """A task that was won, its prepared images and the winner's model."""

    task_id: bytes
    prepared: Prepared
    model: bytes
    correct: int


@pytest.fixture
def won(node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Won:
    """A task whose winner claims what it counts."""
    return play(node, tmp_path, monkeypatch, lie=0)


def play(node: Node, folder: Path, monkeypatch: pytest.MonkeyPatch, lie: int) -> Won:
    prepare(node, easy_arrays(folder))
    prepared, secret = prepared_in(node), read_secret(node.folder / "tasks" / "digits")
    model = make_model(prepared)
    monkeypatch.setattr(chain_world, "MODEL", model)
    task(node, "publish", "digits", "--yes")
    node.mine()
    ((task_id, _),) = node.desk.chain.tree.head().state.tasks.items()
    claim = Claim(
        *(1, bytes(32), 0, DESIGN.to_bytes(), blob_hash(model), bytes(32), bytes(32)),
        *(0, (shard_key(secret, 0),), bytes(32), bytes(32)),
    )
    correct = recount(prepared, secret, 0, claim, model)
    assert correct >= 30
    win(node, prepared, correct + lie)
    return Won(task_id, prepared, model, correct)


@pytest.mark.parametrize("lie", [0, 1])
def test_a_winner_is_downloaded_and_counted_again(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lie: int
) -> None:
    won = play(node, tmp_path, monkeypatch, lie)
    out = tmp_path / "out"
    result = task(node, "download", won.task_id.hex(), str(out), "--json")
    assert result.exit_code == 0, result.output
    assert (out / "model.bin").read_bytes() == won.model
    unpack((out / "model.bin").read_bytes(), DESIGN, InputShape(1, 8, 8), 10)
    told = json.loads((out / "result.json").read_text())
    assert (told["correct"], told["test_images"]) == (won.correct + lie, 100)
    assert told["node_says_final"] is False
    assert json.loads(result.stdout) == told | {"folder": str(out)}
    result = task(node, "verify", won.task_id.hex(), "digits")
    assert result.exit_code == lie, result.output
    verdict = f"but {won.correct + 1} were claimed" if lie else "as claimed"
    assert f"{won.correct} of 100 correct, {verdict}" in result.output


class Liar(ChainTasks):
    """Shows of a task what somebody else's answers would be."""

    changes: Mapping[str, Any] = {}
    models: Sequence[bytes | None] = ()
    asked = 0

    def terms(self, task_id: bytes) -> TaskTermsView:
        return replace(super().terms(task_id), **self.changes.get("terms", {}))

    def results(self, task_id: bytes) -> TaskResultsView:
        (found,) = super().results(task_id).results
        changed = replace(found, **self.changes.get("results", {}))
        return TaskResultsView([changed] * max(1, len(self.models)))

    def model(self, model_hash: bytes, offset: int) -> ModelPartView:
        told = super().model(model_hash, offset)
        if not self.models:
            return told
        self.asked += 1
        model = self.models[min(self.asked, len(self.models)) - 1]
        if model is None:
            raise UnknownItem("this node has no such model")
        return ModelPartView(model, told.total)


def liar_of(node: Node) -> Liar:
    liar = Liar(node.desk.chain, NasDesigns(PARAMETERS))
    node.views.published = liar  # type: ignore[assignment]
    return liar


def test_what_a_node_says_beside_the_claim_is_not_written(
    node: Node, won: Won, tmp_path: Path
) -> None:
    honest = task(node, "download", won.task_id.hex(), str(tmp_path / "honest"), "--json")
    lies = {"correct": 100, "luts": 1, "images_per_s": 9, "shard": 1, "genotype": b"\1" * 30}
    liar_of(node).changes = {"results": {**lies, "model_hash": bytes(32), "test_images": 7}}
    result = task(node, "download", won.task_id.hex(), str(tmp_path / "out"), "--json")
    assert json.loads(result.stdout) | {"folder": ""} == json.loads(honest.stdout) | {"folder": ""}
    for name in ("model.bin", "design.json", "result.json", "block.bin"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "honest" / name).read_bytes()


def test_a_result_that_its_block_does_not_prove_is_not_downloaded(
    node: Node, won: Won, tmp_path: Path
) -> None:
    liar, chain = liar_of(node), node.desk.chain
    other = encode(replace(won.prepared.terms, nonce=7))
    standing = chain.id_at(1)
    cases: list[tuple[dict[str, Any], tuple[bytes | None, ...], str]] = [
        ({"terms": {"terms": other}}, (), "showed the terms of another task"),
        ({"terms": {"terms": b"x"}}, (), "showed no terms"),
        ({"results": {"block": standing}}, (), "is not for this task"),
        ({}, (b"not the model",), "another model than the block"),
        ({}, (won.model + b"x",), "another model than the block"),
        ({}, (b"",), "another model than the block"),
        ({}, (None,), "does not keep the model any more"),
    ]
    for changes, models, reason in cases:
        liar.changes, liar.models = changes, models
        result = task(node, "download", won.task_id.hex(), str(tmp_path / "out"))
        assert (result.exit_code, reason in result.output) == (1, True), result.output
    assert not (tmp_path / "out").exists()


def test_a_claim_that_does_not_fit_the_terms_proves_nothing(
    node: Node, won: Won, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = liar_of(node).results(won.task_id).results
    block, network = node.desk.chain.block(found.block), node.desk.world.network
    assert block is not None
    cases: list[tuple[dict[str, Any], str]] = [
        ({"correct": 101}, "is of more images than the task has"),
        ({"genotype": bytes(30)}, "has a design that the task does not allow"),
        ({"genotype": b"x"}, "no multiple of 10 per layer"),
        ({"secrets": (bytes(32),)}, "is not for this task"),
        ({"secrets": ()}, "is not for this task"),
    ]
    for changes, reason in cases:
        signed = sign(replace(block.header.message, **changes), PRODUCERS[1], network.id)
        answer = pb.GetBlockBytesResponse(header=encode(signed.envelope).hex())
        monkeypatch.setattr(task_proofs, "ask", lambda *_, answer=answer: answer)
        with pytest.raises(ValueError, match=reason):
            fetch_win("a node", network, won.prepared.terms, signed.id.hex())


def test_a_model_that_is_gone_does_not_keep_others_from_being_counted(node: Node, won: Won) -> None:
    liar_of(node).models = (None, won.model)
    result = task(node, "verify", won.task_id.hex(), "digits")
    assert result.exit_code == 1
    missing, counted = result.stdout.splitlines()
    assert "not counted" in missing
    assert missing.endswith("does not keep the model any more.")
    assert f"{won.correct} of 100 correct, as claimed." in counted
    assert "1 of 2 results" in result.stderr
    liar_of(node).models = (None, won.model)
    result = task(node, "verify", won.task_id.hex(), "digits", "--json")
    first, second = json.loads(result.stdout)["results"]
    assert (first["counted"], second["counted"], second["fault"]) == (None, won.correct, "")
    assert (result.exit_code, first["claimed"]) == (1, won.correct)


def test_what_a_round_was_mined_for_is_told_once_it_is_final(node: Node, won: Won) -> None:
    chain, tasks = node.desk.chain, ChainTasks(node.desk.chain, NasDesigns(PARAMETERS))
    paid_round = chain.tree.head().state.round
    assert paid_round not in {told.round for told in tasks.of_rounds(0, 0).tasks}
    win(node, won.prepared, won.correct + 1)
    while chain.tree.final.round < paid_round:
        node.mine()

    told = {each.round: each for each in tasks.of_rounds(paid_round - 1, 0).tasks}

    assert set(told) == set(range(paid_round - 1, chain.tree.final.round + 1))
    terms = won.prepared.terms
    assert told[paid_round].dataset.startswith(f"published:{terms.training.hex()}")
    assert told[paid_round].epochs == terms.epochs
    standing = PARAMETERS.task
    assert (told[paid_round - 1].dataset, told[paid_round - 1].epochs) == (
        standing.dataset,
        standing.epochs,
    )
