"""Which tasks the chain takes: one pure function over the terms, with a reason for each rule.

What needs the search engine (space, profile, protocol, witness) is `DesignRules.refuse_task`; what
needs the data themselves, the attesters check before they vote that they hold them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TypeVar

from node.chain.errors import InvalidBlock, Reason
from node.chain.hashing import MAX_INT
from node.chain.params import FLOOR_TIMES_CHANCE
from node.chain.published.limits import TaskLimits
from node.chain.published.terms import GENES, MAX_KEY_HOLDERS, RANGES, Publish

_Ordered = TypeVar("_Ordered", bytes, int)

REWARD_IN_SUBSIDIES = 2
"""R_MIN: below it miners and attesters would rather have the standing task (consensus C1)."""


def check_terms(terms: Publish, limits: TaskLimits, subsidy: int) -> None:
    """Whether a task may be queued while a won standing round issues `subsidy`.

    Raises InvalidBlock with the first rule that it breaks, from cheap to dear.
    """
    for reason, fault in _faults(terms, limits, subsidy):
        if fault:
            raise InvalidBlock(reason, fault)


def min_correct(terms: Publish) -> int:
    """Least count of correct images that any claim needs: the target, but thrice chance."""
    floor = -(-FLOOR_TIMES_CHANCE * terms.test_images // terms.classes)
    return max(floor, terms.target)


def _faults(terms: Publish, limits: TaskLimits, subsidy: int) -> Iterator[tuple[Reason, str]]:
    yield Reason.TASK_IMAGES, _fault_of_images(terms)
    yield Reason.TASK_CLASSES, "" if terms.classes >= 2 else "a task has two classes or more"
    yield Reason.TASK_SIZES, _fault_of_sizes(terms, limits)
    yield Reason.TASK_SHARDS, _fault_of_shards(terms)
    yield Reason.TASK_SPACE, _fault_of_space(terms)
    yield Reason.TASK_EPOCHS, "" if terms.epochs else "a task asks for one epoch or more"
    yield Reason.TASK_TARGET, _fault_of_target(terms)
    yield Reason.TASK_KEY_HOLDERS, _fault_of_key_holders(terms)
    yield Reason.TASK_REWARD, _fault_of_reward(terms, subsidy)
    yield Reason.TASK_DATA, _fault_of_data(terms, limits)


def _fault_of_images(terms: Publish) -> str:
    if not terms.channels or not terms.height or not terms.width:
        return "images have a channel, a row and a column or more"
    if not all(channel.deviation for channel in terms.channels):
        return "a channel has a deviation of 0"
    return ""


def _fault_of_sizes(terms: Publish, limits: TaskLimits) -> str:
    if not terms.train_images or not terms.validation_images:
        return "there is nothing to train on or to validate with"
    if terms.test_images < limits.min_test_images:
        return f"{terms.test_images} test images, at least {limits.min_test_images} are due"
    return ""


def _fault_of_shards(terms: Publish) -> str:
    if not terms.shards:
        return "there is no test shard"
    for name in ("cipher", "plain", "key"):
        if len({getattr(shard, name) for shard in terms.shards}) < len(terms.shards):
            return f"two shards have the same {name}: the second would be open before its round"
    return ""


def _fault_of_space(terms: Publish) -> str:
    if not terms.layers or len(terms.ranges) != RANGES:
        return f"a space has one layer or more and {RANGES} ranges"
    if any(_is_disordered(each.values) for each in terms.ranges):
        return "the values of a range must ascend"
    if len(terms.witness) != GENES * terms.layers:
        return "the witness has another number of layers than the space"
    for place, value in enumerate(terms.witness):
        if value not in terms.ranges[place % GENES].values:
            return "the witness lies outside the space"
    return ""


def _fault_of_target(terms: Publish) -> str:
    if max(min_correct(terms), terms.target + terms.margin) > terms.test_images:
        return f"target and margin are above {terms.test_images} test images"
    return ""


def _fault_of_key_holders(terms: Publish) -> str:
    if not terms.key_holders or _is_disordered(terms.key_holders):
        return f"there are 1 to {MAX_KEY_HOLDERS} key holders, ascending, each once"
    return ""


def _fault_of_reward(terms: Publish, subsidy: int) -> str:
    if terms.reward < max(1, REWARD_IN_SUBSIDIES * subsidy):
        return f"a reward of {terms.reward}, at least {REWARD_IN_SUBSIDIES * subsidy} is due"
    return "" if terms.escrow <= MAX_INT else "the rewards come to 2**63 or more"


def _fault_of_data(terms: Publish, limits: TaskLimits) -> str:
    if terms.data_bytes > limits.max_data_bytes:
        return f"{terms.data_bytes} bytes of data, at most {limits.max_data_bytes} are taken"
    return ""


def _is_disordered(values: Sequence[_Ordered]) -> bool:
    """Whether values do not ascend strictly."""
    return any(low >= high for low, high in pairwise(values))
