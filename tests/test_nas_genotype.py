"""Genotypes: their bytes, their values, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.designs.genotype import HYPERPARAMETERS, Genotype, GenotypeError, Layer

FIRST = Layer(3, 5, 24, 1, 2, 2, 3, 4, 2, 5)
SECOND = Layer(1, 3, 128, 2, 1, 1, 0, 6, 4, 0)


def test_bytes_of_a_known_genotype() -> None:
    genotype = Genotype((FIRST, SECOND))
    assert genotype.to_bytes().hex() == "03051801020203040205" + "01038002010100060400"


def test_hyperparameters_are_the_papers_in_its_order() -> None:
    assert HYPERPARAMETERS == (
        "kernel_height",
        "kernel_width",
        "num_kernels",
        "stride_height",
        "stride_width",
        "pool_size",
        "act_int_bits",
        "act_frac_bits",
        "weight_int_bits",
        "weight_frac_bits",
    )


@given(st.integers(1, 8).flatmap(lambda n: st.binary(min_size=10 * n, max_size=10 * n)))
def test_bytes_round_trip(data: bytes) -> None:
    genotype = Genotype.from_bytes(data)
    assert genotype.to_bytes() == data
    assert Genotype.from_tokens(genotype.tokens) == genotype


def test_architecture_leaves_out_the_bits() -> None:
    assert Genotype((FIRST, SECOND)).architecture == ((3, 5, 24, 1, 2, 2), (1, 3, 128, 2, 1, 1))


def test_bits_add_up() -> None:
    assert (FIRST.act_bits, FIRST.weight_bits) == (7, 7)


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "at least one layer"), (bytes(9), "no multiple"), (bytes(11), "no multiple")],
)
def test_bytes_of_no_genotype_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(GenotypeError, match=reason):
        Genotype.from_bytes(data)


@pytest.mark.parametrize("value", [-1, 256])
def test_values_beyond_a_byte_are_refused(value: int) -> None:
    with pytest.raises(GenotypeError, match="num_kernels"):
        Layer(3, 3, value, 1, 1, 1, 1, 1, 1, 1)
