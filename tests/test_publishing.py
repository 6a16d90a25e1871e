"""From images to a task: split, sealed, written, read back and checked before it costs anything."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from nas.data import datasets, published
from nas.data.dataset import DatasetError
from nas.data.published import pack_training
from nas.data.sources import Labelled, Parts
from nas.data.stored import stratified_split
from nas.designs.space import Space
from node.chain.errors import Reason, Rejected
from node.chain.params import DEVNET
from node.chain.published.rules import check_terms
from node.chain.published.sealing import open_shard, shard_key
from node.chain.published.terms import ValueRange
from node.publishing.appraisal import DRAWS, appraise
from node.publishing.engine import draw_designs, refuse_terms, shard_data, task_of, training_data
from node.publishing.errors import PublishingError
from node.publishing.folder import read_prepared, read_secret, write_prepared
from node.publishing.prepare import Offer, Prepared, check_prepared, find_witness, prepare
from tests.task_world import SECRET, some_hash

LIMITS = DEVNET.tasks
SPACE = Space.uniform(
    2, ((1, 3), (1, 3), (2, 4), (1, 2), (1,), (2,), (1, 2), (2, 3), (1, 2), (3, 4))
)
OFFER = Offer(
    space=SPACE,
    profile="paper",
    protocol="qat",
    epochs=2,
    rounds=2,
    reward=2 * DEVNET.subsidy,
    target=40,
    margin=None,
    key_holders=(some_hash("b"), some_hash("a"), some_hash("b")),
)


def labelled(count: int, seed: int) -> Labelled:
    rng = np.random.default_rng(seed)
    return Labelled(rng.integers(0, 256, (count, 1, 8, 8), np.uint8), np.arange(count) % 3)


PARTS = Parts(labelled(60, 1), labelled(205, 2), 3)


def make(offer: Offer = OFFER, parts: Parts = PARTS) -> Prepared:
    rng = random.Random(3)
    return prepare(parts, offer, LIMITS.max_mac_images, SECRET, rng.randbytes)


def read_all(folder: Path) -> tuple[Prepared, bytes]:
    return read_prepared(folder), read_secret(folder)


def test_what_is_prepared_keeps_every_rule_of_the_chain() -> None:
    prepared = make()
    check_prepared(prepared, SECRET)
    check_terms(prepared.terms, LIMITS, DEVNET.subsidy)
    assert refuse_terms(prepared.terms, LIMITS.max_mac_images) is None
    assert prepared.terms.key_holders == (some_hash("a"), some_hash("b"))
    assert prepared.terms.margin == 10


def test_training_data_are_the_images_of_both_splits() -> None:
    prepared = make()
    assert prepared.training == pack_training(*stratified_split(PARTS.train))
    assert (prepared.terms.train_images, prepared.terms.validation_images) == (54, 6)


def test_each_round_gets_test_images_of_its_own() -> None:
    prepared, seen = make(), list[bytes]()
    for number, (shard, cipher) in enumerate(
        zip(prepared.terms.shards, prepared.ciphers, strict=True)
    ):
        plain = open_shard(shard, cipher, shard_key(SECRET, number))
        seen += [plain[at : at + 64] for at in range(0, 102 * 64, 64)]
    own = {image.tobytes() for image in PARTS.test.images}
    assert len(set(seen)) == len(seen) == 204
    assert set(seen) < own


def test_no_test_image_is_in_what_the_network_gets() -> None:
    prepared = make()
    public = prepared.training + b"".join(prepared.ciphers)
    assert not any(image.tobytes() in public for image in PARTS.test.images)


def test_served_blobs_lead_from_the_terms_to_all_the_data() -> None:
    prepared = make()
    blobs = prepared.blobs
    names = [prepared.terms.training_chunks, *(shard.cipher for shard in prepared.terms.shards)]
    for name, content in zip(names, (prepared.training, *prepared.ciphers), strict=True):
        manifest = blobs[name]
        chunks = [blobs[manifest[at : at + 32]] for at in range(0, len(manifest), 32)]
        assert b"".join(chunks) == content


def test_the_engine_trains_and_counts_on_the_very_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PONAS_CACHE", str(tmp_path))
    prepared = make()
    task = task_of(prepared.terms, LIMITS.max_mac_images)
    published.keep(training_data(prepared.terms), prepared.training)
    plain = open_shard(prepared.terms.shards[1], prepared.ciphers[1], shard_key(SECRET, 1))
    published.keep(shard_data(prepared.terms, 1), plain)
    assert len(datasets.load(task.dataset).train.labels) == 54
    assert len(datasets.load(shard_data(prepared.terms, 1).name).test.labels) == 102


def test_a_task_that_was_written_is_read_back_whole(tmp_path: Path) -> None:
    prepared = make()
    write_prepared(tmp_path / "task", prepared, SECRET)
    assert read_all(tmp_path / "task") == (prepared, SECRET)
    assert (tmp_path / "task" / "secret").stat().st_mode & 0o777 == 0o600


def test_a_task_is_never_overwritten(tmp_path: Path) -> None:
    write_prepared(tmp_path / "task", make(), SECRET)
    with pytest.raises(PublishingError, match="never overwritten"):
        write_prepared(tmp_path / "task", make(), SECRET)


@pytest.mark.parametrize("file", ["training.bin", "shard-01.sealed", "terms", "secret"])
def test_a_file_that_is_gone_or_too_long_is_named(tmp_path: Path, file: str) -> None:
    write_prepared(tmp_path / "task", make(), SECRET)
    path = tmp_path / "task" / file
    content = path.read_bytes()
    path.write_bytes(content + bytes(10_000))
    with pytest.raises(PublishingError, match=f"{file} is longer than"):
        read_all(tmp_path / "task")
    path.unlink()
    with pytest.raises(PublishingError, match=f"{file} can't be read"):
        read_all(tmp_path / "task")


def test_changed_training_data_are_found() -> None:
    prepared = make()
    with pytest.raises(DatasetError, match="not the ones that the task names"):
        check_prepared(replace(prepared, training=prepared.training[:-1] + b"\0"), SECRET)


def test_a_changed_cipher_is_found() -> None:
    prepared = make()
    changed = (prepared.ciphers[0][:-1] + b"\0", prepared.ciphers[1])
    with pytest.raises(PublishingError, match="the chunks are not the ones"):
        check_prepared(replace(prepared, ciphers=changed), SECRET)


def test_another_secret_is_found() -> None:
    with pytest.raises(Rejected) as refused:
        check_prepared(make(), b"x" * 32)
    assert refused.value.reason is Reason.SECRETS


def test_too_few_test_images_for_the_rounds_are_refused() -> None:
    with pytest.raises(PublishingError, match="205 test images do not go round 206 rounds"):
        make(replace(OFFER, rounds=206))


def test_a_space_without_a_feasible_design_is_refused() -> None:
    zero_bits = Space.uniform(1, (*SPACE.ranges[0][:6], (0,), (0,), (1,), (3,)))
    task = replace(task_of(make().terms, LIMITS.max_mac_images), space=zero_bits)
    with pytest.raises(PublishingError, match="none of 10000 designs"):
        find_witness(task)


def test_layers_with_ranges_of_their_own_are_refused() -> None:
    mixed = Space((SPACE.ranges[0], (*SPACE.ranges[0][:9], (4,))))
    with pytest.raises(PublishingError, match="same ten ranges in every layer"):
        make(replace(OFFER, space=mixed))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"profile": b"none"}, Reason.TASK_ENGINE),
        ({"profile": b"\xff"}, Reason.TASK_ENGINE),
        ({"protocol": b"none"}, Reason.TASK_ENGINE),
        ({"ranges": (ValueRange(b"\0"), *make().terms.ranges[1:])}, Reason.TASK_ENGINE),
        ({"witness": b"\1\1\2\1\1\2\0\0\1\3" * 2}, Reason.TASK_WITNESS),
        ({"witness": b"\5" + make().terms.witness[1:]}, Reason.TASK_WITNESS),
        ({"witness": b"\1"}, Reason.TASK_WITNESS),
    ],
)
def test_terms_that_the_engine_can_not_serve_are_refused(
    changes: dict[str, object], reason: Reason
) -> None:
    terms = replace(make().terms, **changes)  # type: ignore[arg-type]
    refusal = refuse_terms(terms, LIMITS.max_mac_images)
    assert refusal is not None
    assert refusal[0] is reason


def test_a_witness_above_the_bound_on_evaluation_is_refused() -> None:
    refusal = refuse_terms(make().terms, 1)
    assert refusal is not None
    assert refusal[0] is Reason.TASK_WITNESS


def test_the_publisher_sees_what_it_costs_and_brings() -> None:
    terms = make().terms
    shown = appraise(terms, DEVNET)
    assert shown.escrow == 4 * DEVNET.subsidy
    assert shown.burnt_if_won == shown.burnt_if_lost == 2 * DEVNET.subsidy // 5
    for_data = -(-terms.data_bytes // 1_024) * LIMITS.publish_fee_per_kib
    assert shown.publish_fee == for_data + 2 * DEVNET.subsidy // 5


def test_candidates_are_reckoned_by_designs_as_they_are_drawn() -> None:
    wide = Space.uniform(3, [tuple(values) for values in DEVNET.task.ranges])
    terms = replace(make(replace(OFFER, space=wide)).terms, train_images=20_000, epochs=10)
    shown = appraise(terms, DEVNET)
    task = task_of(terms, LIMITS.max_mac_images)
    macs = sorted(design.macs for design in islice(draw_designs(task), DRAWS))
    slowest_ms, fastest_ms = (
        LIMITS.duration_ms(0, macs[at] * terms.test_images, terms.test_images, 200_000)
        for at in (DRAWS // 2 + 1, DRAWS // 2 - 1)
    )
    lists_ms = DEVNET.timing.lists_ms
    assert lists_ms // slowest_ms <= shown.candidates <= lists_ms // fastest_ms
    # The largest design takes longer than the round.
    assert shown.candidates > 0 == lists_ms // shown.difficulty_ms


def test_what_takes_no_time_of_its_own_is_reckoned_at_the_least() -> None:
    shown = appraise(make().terms, DEVNET)
    assert shown.candidates == DEVNET.timing.lists_ms // LIMITS.min_difficulty_ms


def test_a_round_too_short_for_a_design_has_no_candidates() -> None:
    assert appraise(replace(make().terms, epochs=10**6), DEVNET).candidates == 0
