"""Which tasks the chain takes: terms that break one rule alone are refused for that one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from node.chain.codec import decode, encode
from node.chain.errors import InvalidBlock, Reason
from node.chain.hashing import MAX_INT
from node.chain.messages import MAX_GENOTYPE_BYTES, MAX_PAYLOAD_BYTES
from node.chain.published.rules import check_terms, min_correct
from node.chain.published.terms import MAX_KEY_HOLDERS, MAX_SHARDS, Channel, Publish, ValueRange
from tests.task_world import LIMITS, SUBSIDY, make_shards, make_terms, some_hash

RANGES = make_terms().ranges

BROKEN: list[tuple[Reason, dict[str, Any]]] = [
    (Reason.TASK_IMAGES, {"height": 0}),
    (Reason.TASK_IMAGES, {"width": 0}),
    (Reason.TASK_IMAGES, {"channels": ()}),
    (Reason.TASK_IMAGES, {"channels": (Channel(0, 0),)}),
    (Reason.TASK_CLASSES, {"classes": 1}),
    (Reason.TASK_SIZES, {"train_images": 0}),
    (Reason.TASK_SIZES, {"validation_images": 0}),
    (Reason.TASK_SIZES, {"test_images": 19}),
    (Reason.TASK_SHARDS, {"shards": ()}),
    (Reason.TASK_SPACE, {"layers": 0, "witness": b"\1"}),
    (Reason.TASK_SPACE, {"ranges": RANGES[:9]}),
    (Reason.TASK_SPACE, {"ranges": (ValueRange(b"\3\1"), *RANGES[1:])}),
    (Reason.TASK_SPACE, {"ranges": (ValueRange(b"\1\3\3"), *RANGES[1:])}),
    (Reason.TASK_SPACE, {"witness": make_terms().witness[:10]}),
    (Reason.TASK_SPACE, {"witness": b"\2" + make_terms().witness[1:]}),
    (Reason.TASK_EPOCHS, {"epochs": 0}),
    (Reason.TASK_TARGET, {"target": 21}),
    (Reason.TASK_TARGET, {"target": 20, "margin": 1}),
    (Reason.TASK_KEY_HOLDERS, {"key_holders": ()}),
    (Reason.TASK_KEY_HOLDERS, {"key_holders": (some_hash("b"), some_hash("a"))}),
    (Reason.TASK_KEY_HOLDERS, {"key_holders": (some_hash("a"),) * 2}),
    (Reason.TASK_REWARD, {"reward": 2 * SUBSIDY - 1}),
    (Reason.TASK_REWARD, {"reward": MAX_INT // 3 + 1}),
    (Reason.TASK_DATA, {"train_images": 2_000}),
]


def test_terms_that_keep_every_rule_are_taken() -> None:
    check_terms(make_terms(), LIMITS, SUBSIDY)


@pytest.mark.parametrize(("reason", "changes"), BROKEN)
def test_terms_that_break_a_rule_are_refused_for_it(
    reason: Reason, changes: dict[str, Any]
) -> None:
    with pytest.raises(InvalidBlock) as refused:
        check_terms(make_terms(**changes), LIMITS, SUBSIDY)
    assert refused.value.reason is reason


@pytest.mark.parametrize("name", ["cipher", "plain", "key"])
def test_no_two_shards_are_alike_in_anything(name: str) -> None:
    first, second = make_shards(2)
    twin = replace(second, **{name: getattr(first, name)})
    with pytest.raises(InvalidBlock) as refused:
        check_terms(make_terms(shards=(first, twin)), LIMITS, SUBSIDY)
    assert refused.value.reason is Reason.TASK_SHARDS


def test_a_free_task_needs_a_reward_even_without_subsidy() -> None:
    check_terms(make_terms(reward=1), LIMITS, subsidy=0)
    with pytest.raises(InvalidBlock) as refused:
        check_terms(make_terms(reward=0), LIMITS, subsidy=0)
    assert refused.value.reason is Reason.TASK_REWARD


def test_data_up_to_the_bound_are_taken() -> None:
    terms = make_terms()
    check_terms(terms, replace(LIMITS, max_data_bytes=terms.data_bytes), SUBSIDY)
    with pytest.raises(InvalidBlock) as refused:
        check_terms(terms, replace(LIMITS, max_data_bytes=terms.data_bytes - 1), SUBSIDY)
    assert refused.value.reason is Reason.TASK_DATA


def test_a_claim_needs_the_target_but_at_least_thrice_chance() -> None:
    assert min_correct(make_terms(target=16)) == 16
    assert min_correct(make_terms(target=0)) == 15


def test_lengths_follow_from_the_terms() -> None:
    terms = make_terms()
    assert terms.training_bytes == 70 * (2 * 4 * 6 + 1)
    assert terms.plain_bytes == 20 * 49 + 32
    assert terms.data_bytes == terms.training_bytes + 3 * (20 * 49 + 32 + 40)
    assert terms.escrow == 3 * 2 * SUBSIDY


def test_the_longest_terms_fit_an_envelope() -> None:
    longest = make_terms(
        shards=make_shards(MAX_SHARDS),
        ranges=(ValueRange(bytes(range(1, 256))),) * 10,
        witness=bytes(MAX_GENOTYPE_BYTES),
        key_holders=tuple(some_hash(str(n)) for n in range(MAX_KEY_HOLDERS)),
        profile=b"p" * 32,
        reward=MAX_INT,
        nonce=MAX_INT,
        fee=MAX_INT,
    )
    data = encode(longest)
    assert len(data) <= MAX_PAYLOAD_BYTES
    assert decode(Publish, data) == longest
