"""A claimed count stands exactly if it is true, and falls as early as it can."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.data import datasets
from nas.designs.genotype import Genotype, Layer
from nas.evaluation import verify as verify_module
from nas.evaluation.evaluate import batch_size, count
from nas.evaluation.model_format import ModelFormatError, pack
from nas.evaluation.verify import LEAST_PART, Standing, next_batch, verify
from nas.execution.cancel import Cancelled
from nas.jobs import Count, Counted, JobError, Refuted, Verify
from tests.nas_models import integer_model, random_codes

DIGITS = datasets.load("digits")
DESIGN = Genotype((Layer(3, 5, 8, 1, 2, 2, 2, 4, 1, 5), Layer(5, 1, 12, 2, 1, 1, 3, 2, 2, 4)))
MODEL = pack(integer_model(DESIGN, DIGITS.shape, 10, random_codes(2206)), DESIGN, DIGITS.shape, 10)
JOB = Count("digits", "test", DESIGN, MODEL)
TRUE, SIZE = 37, 360


def never() -> bool:
    return False


def walk(right: list[bool], claimed: int, largest: int) -> Standing:
    """The standing of a claim after the images that had to be evaluated."""
    standing = Standing(len(right), claimed)
    while not standing.is_refuted and standing.seen < standing.size:
        images = next_batch(standing, largest)
        assert 1 <= images <= largest
        part = right[standing.seen : standing.seen + images]
        standing = standing.after(images, sum(part))
    return standing


def exact_bound(right: list[bool], claimed: int) -> int:
    """Images after which a claim is first refuted, one image after the other; all if it is true."""
    standing = Standing(len(right), claimed)
    for image in right:
        if standing.is_refuted:
            break
        standing = standing.after(1, image)
    return standing.seen


@pytest.mark.parametrize(
    ("claimed", "holds"),
    [(TRUE, True), (TRUE + 1, False), (TRUE - 1, False), (0, False), (SIZE, False), (361, False)],
)
def test_only_the_true_count_stands(claimed: int, holds: bool) -> None:
    found = verify(Verify(JOB, claimed), DIGITS, "cpu", never)
    assert isinstance(found, Counted if holds else Refuted)


def test_a_true_claim_gives_what_a_full_count_gives() -> None:
    assert verify(Verify(JOB, TRUE), DIGITS, "cpu", never) == count(JOB, DIGITS, "cpu", never)


@given(st.lists(st.booleans(), min_size=1, max_size=300), st.integers(0, 310), st.data())
def test_order_and_batches_change_no_verdict(
    right: list[bool], claimed: int, data: st.DataObject
) -> None:
    holds = claimed == sum(right)
    for order in (right, data.draw(st.permutations(right))):
        for largest in (1, data.draw(st.integers(2, 300))):
            standing = walk(order, claimed, largest)
            assert standing.is_refuted is not holds
            assert not holds or standing.seen == standing.size


@given(st.lists(st.booleans(), min_size=1, max_size=2_000), st.integers(0, 2_000))
def test_few_images_are_evaluated_beyond_the_bound(right: list[bool], claimed: int) -> None:
    bound = exact_bound(right, claimed)
    assert walk(right, claimed, 1_024).seen <= bound + bound // LEAST_PART


def test_a_bold_lie_falls_early_and_in_few_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    inner = next_batch

    def noted(standing: Standing, largest: int) -> int:
        sizes.append(inner(standing, largest))
        return sizes[-1]

    monkeypatch.setattr(verify_module, "next_batch", noted)
    found = verify(Verify(JOB, 340), DIGITS, "cpu", never)
    assert isinstance(found, Refuted)
    # 21 wrong images are too many, and about nine of ten are wrong.
    assert found.evaluated == sum(sizes) <= 30
    assert len(sizes) <= 5


def test_batches_come_from_the_genotype() -> None:
    largest = batch_size(DESIGN, DIGITS.shape)
    assert next_batch(Standing(100_000, 50_000), largest) == largest


def test_a_claim_of_more_than_all_images_needs_none() -> None:
    assert verify(Verify(JOB, SIZE + 1), DIGITS, "cpu", never) == Refuted(0)


def test_bytes_that_are_no_model_and_counts_below_zero() -> None:
    with pytest.raises(ModelFormatError):
        verify(Verify(Count("digits", "test", DESIGN, b"\0"), 1), DIGITS, "cpu", never)
    with pytest.raises(JobError):
        Verify(JOB, -1)


def test_it_stops_when_told() -> None:
    with pytest.raises(Cancelled):
        verify(Verify(JOB, TRUE), DIGITS, "cpu", lambda: True)
