"""Difficulty from terms alone, data in chunks, and shards that only their key opens."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.designs.genotype import Genotype
from nas.designs.shapes import InputShape, macs_per_image
from node.chain.errors import Reason, Rejected
from node.chain.hashing import MAX_INT, blob_hash
from node.chain.published.difficulty import compute_difficulty_ms, largest_macs, score
from node.chain.published.manifest import (
    CHUNK_BYTES,
    chunks_of,
    make_manifest,
    manifest_bytes,
    read_manifest,
)
from node.chain.published.sealing import hash_key, open_shard, seal, shard_key
from node.chain.published.terms import MAX_EPOCHS, SEAL_BYTES, SealedShard, ValueRange
from tests.task_world import LIMITS, SECRET, make_terms

NONCE = bytes(range(24))
PLAIN = b"images, labels and a pad"


def sealed(plain: bytes = PLAIN, shard: int = 0) -> tuple[SealedShard, bytes]:
    key = shard_key(SECRET, shard)
    cipher = seal(plain, key, NONCE)
    manifest = make_manifest(chunks_of(cipher))
    return SealedShard(blob_hash(manifest), blob_hash(plain), hash_key(key)), cipher


def test_the_largest_design_is_reckoned_as_the_engine_counts_it() -> None:
    terms = make_terms()
    largest = Genotype.from_tokens((3, 3, 4, 1, 1, 2, 1, 2, 1, 3) * 2)
    assert largest_macs(terms) == macs_per_image(largest, InputShape(2, 4, 6), 4)


def test_difficulty_adds_download_evaluation_and_training_and_rounds_up() -> None:
    terms = make_terms(epochs=MAX_EPOCHS)
    evaluation = largest_macs(terms) * 20
    training = 3 * MAX_EPOCHS * 60 * largest_macs(terms)
    exact = (70 * 49 + 20 * 49 + 72) / 1e6 + (evaluation + training) / 1e9
    found = compute_difficulty_ms(terms, LIMITS)
    assert 0 <= found - 1_000 * exact < 1


def test_work_is_reckoned_by_what_may_be_evaluated_at_most() -> None:
    terms = make_terms(epochs=MAX_EPOCHS)
    capped = replace(LIMITS, max_mac_images=largest_macs(terms) * 20 // 2)
    assert compute_difficulty_ms(terms, capped) * 2 == pytest.approx(
        compute_difficulty_ms(terms, LIMITS), rel=0.01
    )


def test_a_witness_does_not_make_a_task_look_easy() -> None:
    terms = make_terms(epochs=MAX_EPOCHS)
    assert compute_difficulty_ms(terms, LIMITS) == compute_difficulty_ms(
        replace(terms, witness=b"\1" + terms.witness[1:]), LIMITS
    )


def test_tiny_tasks_are_reckoned_at_the_floor() -> None:
    tiny = make_terms(epochs=1, ranges=(ValueRange(b"\1"),) * 10)
    assert compute_difficulty_ms(tiny, LIMITS) == LIMITS.min_difficulty_ms


@given(*(st.integers(1, MAX_INT),) * 4)
def test_scores_compare_by_cross_multiplication(a: int, b: int, c: int, d: int) -> None:
    assert (score(a, b) < score(c, d)) == (a * d < c * b)


@pytest.mark.parametrize("length", [1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1])
def test_a_manifest_names_every_chunk_and_its_length(length: int) -> None:
    data = bytes(length)
    chunks = chunks_of(data)
    manifest = make_manifest(chunks)
    assert b"".join(chunks) == data
    assert len(manifest) == manifest_bytes(length)
    named = read_manifest(manifest, length)
    assert named == tuple((blob_hash(chunk), len(chunk)) for chunk in chunks)


def test_a_manifest_for_another_length_is_refused() -> None:
    manifest = make_manifest(chunks_of(bytes(CHUNK_BYTES)))
    with pytest.raises(Rejected) as refused:
        read_manifest(manifest, CHUNK_BYTES + 1)
    assert refused.value.reason is Reason.TASK_DATA


def test_a_shard_opens_with_its_key() -> None:
    shard, cipher = sealed()
    assert len(cipher) == len(PLAIN) + SEAL_BYTES
    assert PLAIN not in cipher
    assert open_shard(shard, cipher, shard_key(SECRET, 0)) == PLAIN


def test_every_shard_has_a_key_of_its_own() -> None:
    assert len({shard_key(SECRET, shard) for shard in range(32)}) == 32


def refusal(shard: SealedShard, cipher: bytes, key: bytes) -> str:
    with pytest.raises(Rejected) as refused:
        open_shard(shard, cipher, key)
    assert refused.value.reason is Reason.SECRETS
    return refused.value.detail


def test_another_key_is_refused() -> None:
    shard, cipher = sealed()
    assert refusal(shard, cipher, shard_key(SECRET, 1)) == "this is not the key that the task names"


@pytest.mark.parametrize("wrong", [b"", b"x" * 10, b"x" * 100])
def test_a_cipher_that_the_key_does_not_open_is_refused(wrong: bytes) -> None:
    shard, _ = sealed()
    assert refusal(shard, wrong, shard_key(SECRET, 0)) == "the key does not open the shard"


def test_other_contents_than_promised_are_refused() -> None:
    shard, _ = sealed()
    _, other = sealed(b"easier images and their labels")
    detail = refusal(shard, other, shard_key(SECRET, 0))
    assert detail == "the shard does not hold what the task names"
