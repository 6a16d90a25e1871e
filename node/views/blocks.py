"""Views of blocks, one class per message of query_service.proto."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class LayerView:
    kernel_height: int
    kernel_width: int
    num_kernels: int
    stride_height: int
    stride_width: int
    pool_size: int
    act_int_bits: int
    act_frac_bits: int
    weight_int_bits: int
    weight_frac_bits: int


@dataclass(frozen=True)
class WinnerView:
    unit: int
    layers: Sequence[LayerView]
    model_hash: bytes
    verified_correct: int
    test_size: int
    luts: int
    images_per_s: int
    genotype: bytes
    secrets: Sequence[bytes]


@dataclass(frozen=True)
class PayoutView:
    address: str
    weight: int
    amount: int


@dataclass(frozen=True)
class BlockView:
    id: bytes
    height: int
    round: int
    parent: bytes
    proposer: str
    fallback: bool
    final: bool
    winner: WinnerView | None
    payouts: Sequence[PayoutView]
    attester_rewards: Sequence[PayoutView]
    listed_commitments: int
    lists: int
    votes: int
    transactions: int
    state_root: bytes
    missing: Sequence[bytes]


@dataclass(frozen=True)
class BlockBytesView:
    header: bytes
    body: bytes
